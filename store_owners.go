package tokenvault

import "context"

// OwnerStore deletes all that belongs to an owner: whatever [Owner.Covers].
type OwnerStore interface {
	// ListOwned returns the connections that the owner covers, revoked ones too, in
	// the order of ids.
	ListOwned(ctx context.Context, owner Owner, page Page) ([]SealedConnection, error)
	// DeleteOwner deletes the given connections with their permissions and writes
	// their jobs. If no other connection of the owner's is left, it deletes all the
	// rest too: its auth requests, attempts, permissions, API keys, apps and custom
	// providers; it destroys the data keys of the key space, of which the newest
	// version is remembered; it forgets the owner as the one who shared a connection;
	// it writes the event, unless there was nothing to delete; and it reports true.
	// Otherwise it is to be called again. Audit entries and jobs stay.
	//
	// It returns [ErrConflict], and deletes nothing, if a connection is not there or
	// its version moved on.
	DeleteOwner(ctx context.Context, cmd OwnerDeletion) (done bool, err error)
}

// An OwnerDeletion is the command of OwnerStore.DeleteOwner.
type OwnerDeletion struct {
	Owner       Owner
	Connections []OwnedConnection
	KeySpace    string // whose data keys are destroyed; empty: none
	Event       Event
}

// An OwnedConnection is a connection to delete.
type OwnedConnection struct {
	ID      string
	Version int64
	Job     *Job // provider-side revocation; nil if there is none
}
