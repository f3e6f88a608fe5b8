package tokenvault

import "context"

// OwnerStore deletes all that belongs to an owner: whatever [Owner.Covers].
type OwnerStore interface {
	// ListOwned returns the connections that the owner covers, revoked ones too, in
	// the order of ids.
	ListOwned(ctx context.Context, owner Owner, page Page) ([]SealedConnection, error)
	// DeleteOwner deletes the given connections with their permissions and writes
	// their jobs. If no other connection of the owner's is left, it deletes all the
	// rest too: its auth requests, attempts, permissions, API keys, apps, custom
	// providers, webhooks, and the deliveries that name it with their jobs; it destroys the data keys of the key space, of which the newest
	// version is remembered; it forgets the owner as the one who shared a connection;
	// it writes the event, unless there was nothing to delete; and it reports true.
	// Otherwise it is to be called again. Audit entries and other jobs stay.
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

// HostDeletionStore is an optional ability of a [Store] in which owners' rows refer
// to the host's own tables: the host may delete a user or an organization there,
// and the store notes whose rows that reached.
//
// From the host's transaction on nothing of such an owner's can be used, and nothing
// new can be stored. Connections, apps, custom providers and data keys are there, to
// end the grants with, until DeleteOwner deletes them.
type HostDeletionStore interface {
	// HostDeletions returns up to limit of the tenant's owners who were deleted, an
	// organization before its members. [OwnerStore.DeleteOwner] forgets those that its
	// owner covers, and writes its event for one also if nothing else is left of it.
	HostDeletions(ctx context.Context, tenant string, limit int) ([]Owner, error)
}
