package tokenvault

import (
	"context"
	"time"
)

// A Store keeps everything that is durable. Its methods are commands: each is
// one atomic transaction that happens whole or not at all, because a store of
// single-row reads and writes cannot keep the vault's promises.
//
// Every implementation must hold to this, and storetest proves it:
//
//   - Methods are safe for concurrent use, also from several processes unless the
//     implementation says otherwise.
//   - Rows of another tenant, or of an owner that the given one does not see
//     ([Owner.Sees]), are [ErrNotFound].
//   - The store's clock decides. Callers pass durations; a store sets every time.
//   - Events given to a command are written in its transaction.
//   - Nothing is held open between calls.
//   - A sealed record whose data key is not there (any more) is refused with
//     [ErrConflict]: seal it again under the newest one.
//   - A store that cannot be reached, is full or is read-only returns an error
//     wrapping [ErrUnavailable], and nothing was changed.
type Store interface {
	ConnectionStore
	SharingStore
	RefreshStore
	AuthRequestStore
	NoticeStore
	AttemptStore
	AttemptReader
	PermissionStore
	AppStore
	ProviderStore
	DataKeyStore
	SealedStore
	OwnerStore
	APIKeyStore
	AuditStore
	AuditHeadStore
	JobStore
	JobListStore
	UpkeepStore
	NonceStore
	WebhookStore
	DeliveryStore

	// Ping reports whether the store can be read and written.
	Ping(ctx context.Context) error
	Close() error
}

// A Listener is an optional ability of a [Store] that several processes share: it
// tells what others did.
type Listener interface {
	// Listen calls changed with the id of each auth request that any process settles,
	// or gives or takes a notice, until ctx ends, and returns its error. It may miss
	// some: who waits looks at the store now and then too.
	Listen(ctx context.Context, changed func(authRequestID string)) error
}

// A Page asks for one page of a list in ascending order of ids.
type Page struct {
	After string // the last id of the page before; empty for the first
	Limit int    // 1 to 1000
}

// A SealedConnection is a connection with its sealed credential.
type SealedConnection struct {
	Connection
	Record SealedRecord // zero once revoked
}

// ConnectionStore keeps connections. At most one exists per (owner, provider,
// account id).
type ConnectionStore interface {
	// FindUsable returns, in one round trip, all that resolve needs: the owner's
	// own connections and its organization's at the provider, revoked ones too.
	// It writes nothing.
	FindUsable(ctx context.Context, q FindQuery) (Found, error)
	GetConnection(ctx context.Context, owner Owner, id string) (SealedConnection, error)
	// FindAccount returns the connection of exactly this owner to the account, in
	// any status.
	FindAccount(ctx context.Context, owner Owner, providerID, accountID string) (SealedConnection, error)
	// ListConnections returns what the owner sees and was not revoked.
	ListConnections(ctx context.Context, owner Owner, page Page) ([]Connection, error)
	// Revoke ends a connection: its sealed credential is erased, its permissions
	// are deleted, its fence moves on, and the job goes into the outbox, together.
	// Revoking a revoked connection changes nothing and is no error.
	Revoke(ctx context.Context, cmd Revocation) (Connection, error)
	// Rename gives a connection of exactly Owner a name. It is [ErrNotFound] once
	// revoked. The name that it has changes nothing, and writes no event. A name stays
	// with the connection whatever becomes of its credential or its owner.
	Rename(ctx context.Context, cmd Renaming) (Connection, error)
}

// A FindQuery asks for what an agent could use.
type FindQuery struct {
	Owner        Owner
	AgentID      string
	ProviderID   string
	ConnectionID string // empty: any
}

// Found is the answer to a FindQuery.
type Found struct {
	Now        time.Time // the store's clock
	Candidates []Candidate
}

// A Candidate is a connection with what is needed to use it: its name and its last
// use are not read.
type Candidate struct {
	SealedConnection
	Permission *Permission // the agent's, unless it has none or it expired
	WrappedKey Sealed      // the data key of Record; empty once revoked
}

// A Revocation is the command of ConnectionStore.Revoke.
type Revocation struct {
	Owner        Owner
	ConnectionID string
	Job          *Job // provider-side revocation; nil if there is none
	Event        Event
}

// A Renaming is the command of ConnectionStore.Rename.
type Renaming struct {
	Owner        Owner
	ConnectionID string
	Name         string // empty takes the name away
	Event        Event
}

// SharingStore lets connections change hands within an organization.
type SharingStore interface {
	// Transfer gives a connection of exactly From to another owner, with a record
	// sealed for that one as its next version; status and times of the credential
	// stay. Permissions of owners who do not see it there are deleted. A revoked
	// connection of the new owner's to the same account gives way; any other one is
	// [ErrAccountTaken]. It returns [ErrConflict], and changes nothing, if the
	// version moved on, the connection is revoked, or a refresh is under way or
	// ended without a word: what that brings is sealed for the old owner.
	Transfer(ctx context.Context, cmd Transfer) (Connection, error)
}

// A Transfer is the command of SharingStore.Transfer.
type Transfer struct {
	From, To     Owner
	ConnectionID string
	SharedBy     string       // becomes the connection's
	Version      int64        // that Record is sealed for
	Record       SealedRecord // the same credential, sealed for To
	Event        Event
}

// RefreshStore is the refresh of a credential as a state machine in one row: a
// lease, a fence and a write-ahead mark.
//
//	idle ── BeginRefresh ──► leased, marked ── CommitRefresh ──► idle, version+1
//	                             │  └── FailRefresh ──► idle, or needs_reauth
//	                             └── lease runs out ──► marked: the next turn is Uncertain
type RefreshStore interface {
	// BeginRefresh takes the lease if the connection is active, still has the
	// version, and nobody holds it. It is lock, mark and proof that the store can
	// be written, in one durable statement.
	BeginRefresh(ctx context.Context, cmd RefreshClaim) (RefreshTurn, error)
	// CommitRefresh stores the new credential as the next version and ends the
	// turn. It returns [ErrFenced], and stores nothing, if the turn is over. The turn
	// goes on after [ErrConflict].
	CommitRefresh(ctx context.Context, cmd RefreshCommit) (SealedConnection, error)
	// FailRefresh ends the turn without a new credential. [ErrFenced] as above.
	FailRefresh(ctx context.Context, cmd RefreshFailure) error
}

// A RefreshClaim is the command of RefreshStore.BeginRefresh.
type RefreshClaim struct {
	Owner        Owner
	ConnectionID string
	Version      int64 // the version that was found stale
	Lease        time.Duration
}

// A RefreshTurn says whether it is the caller's turn to refresh.
type RefreshTurn struct {
	Held bool
	// Fence is the number of the turn. Only its holder can commit.
	Fence int64
	// Uncertain is true if an earlier turn ended without a word: its request may
	// have spent the refresh token.
	Uncertain bool
	// Connection is the row as it is now; with another version somebody else
	// has refreshed.
	Connection SealedConnection
	WrappedKey Sealed
	Now        time.Time
	// RetryIn is when to look again, if the turn is not held and the version is
	// still the same.
	RetryIn time.Duration
}

// A RefreshCommit is the command of RefreshStore.CommitRefresh.
type RefreshCommit struct {
	Owner        Owner
	ConnectionID string
	Fence        int64
	Record       SealedRecord  // sealed for the next version
	ExpiresIn    time.Duration // 0: unknown
	Scopes       []string
	Event        Event
}

// A RefreshFailure is the command of RefreshStore.FailRefresh.
type RefreshFailure struct {
	Owner        Owner
	ConnectionID string
	Fence        int64
	Reason       ReauthReason  // empty: the connection stays active
	KeepMark     bool          // the refresh token may have been spent
	HoldOff      time.Duration // nobody gets a turn before
	Event        Event
}

// AuthRequestStore keeps auth requests.
type AuthRequestStore interface {
	// OpenOrJoin returns the pending request with the same [AuthRequest.Key] and
	// true, or stores the given one. An expired one is settled first, with an event
	// of kind [EventAuthExpired].
	OpenOrJoin(ctx context.Context, cmd NewAuthRequest) (req AuthRequest, joined bool, err error)
	// GetAuthRequest returns a request of exactly this owner. One whose time is
	// over is returned as expired, also before a sweep.
	GetAuthRequest(ctx context.Context, owner Owner, id string) (AuthRequest, error)
	// FindAuthRequest returns a request of any owner in the tenant. It is for
	// browsers whose user is proven only after they came back.
	FindAuthRequest(ctx context.Context, tenant, id string) (AuthRequest, error)
	// Settle moves a pending request to a final state with all that follows from
	// it, exactly once. The request takes the connection's id if it ends connected,
	// and keeps its own otherwise. Settle returns [ErrExpired] if the request's time
	// is over, [ErrConflict] if it is settled or the connection's version moved on,
	// and stores nothing then.
	Settle(ctx context.Context, cmd Settlement) (AuthRequest, error)
	// ExpireAuthRequests settles up to limit requests whose time is over, each with
	// an event of kind [EventAuthExpired], deletes attempts and nonces past theirs,
	// and returns the requests it settled.
	ExpireAuthRequests(ctx context.Context, limit int) ([]AuthRequest, error)
	// PruneAuthRequests deletes up to limit of the tenant's requests that were settled
	// longer ago than age, with their attempts, the oldest first, and returns how many.
	PruneAuthRequests(ctx context.Context, tenant string, age time.Duration, limit int) (int, error)
}

// A NewAuthRequest is the command of AuthRequestStore.OpenOrJoin.
type NewAuthRequest struct {
	Request AuthRequest // times and status are set by the store
	TTL     time.Duration
	Event   Event
}

// A Settlement is the command of AuthRequestStore.Settle.
type Settlement struct {
	Owner         Owner
	AuthRequestID string
	Status        AuthRequestStatus
	FailureCode   string
	// Connection is the new or renewed connection; nil if none comes of it.
	Connection *SettledConnection
	// Permission is granted with it for PermissionTTL, or until withdrawn if that is
	// 0. An existing one of the same granting owner, agent and connection is widened:
	// scopes are united and the wider release stays; the time is the new one. One that
	// has expired is replaced.
	Permission    *Permission
	PermissionTTL time.Duration
	Events        []Event
}

// A SettledConnection is stored by Settle: as a new row if its Version is 1,
// else in place of the version before. Either way it becomes active and any
// refresh under way is fenced off.
type SettledConnection struct {
	SealedConnection
	ExpiresIn time.Duration // 0: unknown
}

// AttemptStore keeps attempts.
type AttemptStore interface {
	// BeginAttempt stores an attempt of a pending request, and takes its notice away:
	// [ErrConflict] if the request is settled, [ErrExpired] if its time is over.
	BeginAttempt(ctx context.Context, cmd NewAttempt) error
	// AdvanceAttempt moves the attempt with the state hash from one state to the
	// next; of concurrent calls one wins. It returns [ErrStateInvalid] if there is
	// no such attempt in that state, the state does not lead to the next, or its
	// time is over. The tenant is not known
	// before: the hash of 256 random bits is the key.
	AdvanceAttempt(ctx context.Context, stateHash string, from, to AttemptState) (Attempt, error)
	// HandOver makes an attempt in state returned findable by another hash alone,
	// with another private record and at most TTL from now. It returns
	// [ErrStateInvalid] if there is no such attempt or its time is over.
	HandOver(ctx context.Context, cmd AttemptHandOver) error
	// PollAttempt takes a turn to ask the provider about a begun attempt that has an
	// Interval. Turns are at least that far apart, whoever takes them; the first is
	// as far from the beginning. [ErrStateInvalid] as AdvanceAttempt, and for an
	// attempt without an Interval.
	PollAttempt(ctx context.Context, stateHash string) (AttemptTurn, error)
	// SlowAttempt makes the Interval of such an attempt longer. The next turn is the
	// new one from now. [ErrStateInvalid] as PollAttempt.
	SlowAttempt(ctx context.Context, stateHash string, by time.Duration) (Attempt, error)
}

// An AttemptTurn says whether it is the caller's turn to ask the provider.
type AttemptTurn struct {
	Attempt
	Held bool
}

// A NewAttempt is the command of AttemptStore.BeginAttempt.
type NewAttempt struct {
	Attempt Attempt // times and state are set by the store
	TTL     time.Duration
	Event   Event
}

// An AttemptHandOver is the command of AttemptStore.HandOver.
type AttemptHandOver struct {
	StateHash string
	NewHash   string
	Private   SealedRecord
	TTL       time.Duration
}

// PermissionStore keeps permissions. They are granted by AuthRequestStore.Settle
// only.
type PermissionStore interface {
	ListPermissions(ctx context.Context, owner Owner, page Page) ([]Permission, error)
	WithdrawPermission(ctx context.Context, owner Owner, id string, event Event) error
}

// AppStore keeps OAuth apps: at most one per (tenant, organization, provider).
type AppStore interface {
	// PutApp stores the app as a new row if its Version is 1, else in place of the
	// version before: [ErrConflict] if that moved on.
	PutApp(ctx context.Context, app SealedApp, event Event) (App, error)
	GetApp(ctx context.Context, tenant, id string) (SealedApp, error)
	// FindApp returns the organization's app, else the tenant's default.
	FindApp(ctx context.Context, tenant, organizationID, providerID string) (SealedApp, error)
	// ListApps returns the apps of exactly the organization; empty: the tenant's.
	ListApps(ctx context.Context, tenant, organizationID string) ([]App, error)
	DeleteApp(ctx context.Context, tenant, id string, event Event) error
}

// A SealedApp is an app with its sealed client secret.
type SealedApp struct {
	App
	Record SealedRecord // zero for a public client
}

// ProviderStore keeps custom providers. An id is in use either for the whole
// tenant, or by any number of its organizations. A provider is used by apps and by
// connections that are not revoked: those of the whole tenant, or, if it is an
// organization's, the organization's and the tenant's default app.
type ProviderStore interface {
	// PutProvider stores the provider as a new row if its Version is 1, else in
	// place of the version before. It returns [ErrConflict] if that moved on, or the
	// id is in use in the other way, and [ErrInUse] if the provider must be unused
	// and is not.
	PutProvider(ctx context.Context, cmd ProviderPut) (SealedProvider, error)
	// FindProvider returns the organization's provider or the tenant's.
	FindProvider(ctx context.Context, tenant, organizationID, id string) (SealedProvider, error)
	// ListProviders returns the organization's providers and the tenant's, in
	// ascending order of ids.
	ListProviders(ctx context.Context, tenant, organizationID string) ([]SealedProvider, error)
	// DeleteProvider deletes the provider of exactly the organization; empty: the
	// tenant's. It returns [ErrInUse] if the provider is used.
	DeleteProvider(ctx context.Context, cmd ProviderDeletion) error
}

// A SealedProvider is a custom provider with its sealed definition: not that it
// were secret, but nobody without the root key may redirect credentials.
type SealedProvider struct {
	Tenant         string
	OrganizationID string // empty: the whole tenant's
	ID             string
	Version        int64
	CreatedAt      time.Time // set by the store
	UpdatedAt      time.Time // set by the store
	Record         SealedRecord
}

// A ProviderPut is the command of ProviderStore.PutProvider.
type ProviderPut struct {
	Provider SealedProvider
	Unused   bool // the provider must not be used by anything
	Event    Event
}

// A ProviderDeletion is the command of ProviderStore.DeleteProvider.
type ProviderDeletion struct {
	Tenant         string
	OrganizationID string
	ID             string
	Event          Event
}

// APIKeyStore keeps API keys, of which only a keyed hash is stored. Keys are found
// and listed also after they ended.
type APIKeyStore interface {
	// CreateAPIKey stores the key: [ErrConflict] if its id is taken.
	CreateAPIKey(ctx context.Context, key APIKey, event Event) (APIKey, error)
	// GetAPIKey finds a key by its id alone: it is what tells the tenant.
	GetAPIKey(ctx context.Context, id string) (FoundAPIKey, error)
	// ListAPIKeys returns the keys whose owner is in the organization; empty: all
	// of the tenant's.
	ListAPIKeys(ctx context.Context, tenant, organizationID string, page Page) ([]APIKey, error)
	// RotateAPIKey stores the next key and has the one before it end after the
	// overlap, together. It returns [ErrConflict], and stores nothing, if that one
	// ended, is about to end by an earlier rotation, or the next one's id is taken.
	RotateAPIKey(ctx context.Context, cmd APIKeyRotation) (APIKey, error)
	// RevokeAPIKey ends a key now. Revoking a key that was revoked before changes
	// nothing and is no error.
	RevokeAPIKey(ctx context.Context, tenant, id string, event Event) error
	// TouchAPIKeys notes that the keys were used just now. Unknown ids are passed
	// over.
	TouchAPIKeys(ctx context.Context, tenant string, ids []string) error
}

// FoundAPIKey is the answer of APIKeyStore.GetAPIKey.
type FoundAPIKey struct {
	APIKey
	Now time.Time // the store's clock
}

// An APIKeyRotation is the command of APIKeyStore.RotateAPIKey.
type APIKeyRotation struct {
	ID      string // of the key before
	Next    APIKey // of the same tenant; times of creation, revocation and use are set by the store
	Overlap time.Duration
	Events  []Event
}

// AuditStore keeps events. Nothing changes one, and only AuditHeadStore.PruneAudit
// drops any.
//
// Every event, also one that another command writes, is the next entry of a chain
// of its tenant: it has the writer's name, the position after the chain's newest
// entry, and the [Event.ChainHash] of that. A writer is whoever needs nobody else
// to know what comes next: the whole store if the database lets one transaction
// write at a time, else each process under a name of its own. Names are opaque
// and never used for two chains of a tenant. A commit reads the end of a chain at
// most once.
type AuditStore interface {
	// AppendAudit writes the events in one durable commit.
	AppendAudit(ctx context.Context, events []Event) error
	// ListAudit returns the events that the query asks for, in the order they were
	// written.
	ListAudit(ctx context.Context, tenant string, q EventQuery) ([]Event, error)
}

// AuditHeadStore keeps the signed heads of chains. Nothing changes or deletes
// one, but that PruneAudit cuts it.
type AuditHeadStore interface {
	// UnsignedAudit returns the newest entry of each chain of the tenant that has
	// entries after its newest head, as a head without a signature.
	UnsignedAudit(ctx context.Context, tenant string) ([]AuditHead, error)
	// SignAudit stores heads; one that is there already stays. [ErrNotFound] if a
	// head's entry is not there with its hash.
	SignAudit(ctx context.Context, heads []AuditHead) error
	// ListAuditHeads returns heads in the order of their entries. Page.After is the
	// id of an event.
	ListAuditHeads(ctx context.Context, tenant string, page Page) ([]AuditHead, error)
	// PrunableAudit returns, for each chain of the tenant, the newest head that is
	// older than age and at most about limit entries behind the cut before it; the
	// oldest, if that one alone has more.
	PrunableAudit(ctx context.Context, tenant string, age time.Duration, limit int64) ([]AuditHead, error)
	// PruneAudit cuts a chain at a head: it drops the entries up to the head's, and
	// those from before there were chains that were written before it, and returns
	// how many. The head itself, and those before it, stay. [ErrConflict] if there is
	// no such head or it is cut already.
	PruneAudit(ctx context.Context, cmd AuditPruning) (int64, error)
}

// An AuditPruning is the command of AuditHeadStore.PruneAudit.
type AuditPruning struct {
	Head  AuditHead // with its Cut
	Event Event     // written first, so that no chain is ever empty
}

// A Job is background work that follows from a command, written in its
// transaction.
type Job struct {
	ID           string
	Kind         JobKind
	Owner        Owner
	ProviderID   string
	AppID        string
	ConnectionID string
	Record       SealedRecord // what the work needs and nobody may read
	Attempts     int          // turns taken so far, with this one
	CreatedAt    time.Time
}

// A JobKind names a kind of background work.
type JobKind string

// The kinds of background work.
const (
	JobRevokeGrant    JobKind = "revoke_grant"    // ends a grant at the provider after it was revoked here
	JobDeliverWebhook JobKind = "deliver_webhook" // sends the [WebhookDelivery] with the job's id
)

// JobStore hands out background work by lease.
type JobStore interface {
	// ClaimJobs leases up to limit jobs that are due. A job whose lease runs out
	// is handed out again.
	ClaimJobs(ctx context.Context, limit int, lease time.Duration) ([]Job, error)
	// FinishJob ends a turn. It returns [ErrFenced], and changes nothing, if the turn
	// is over or was never begun.
	FinishJob(ctx context.Context, cmd JobResult) error
}

// A JobResult is the command of JobStore.FinishJob. A job that is not done is
// due again after RetryIn, or is kept as dead and never handed out again.
type JobResult struct {
	ID      string
	Attempt int // Job.Attempts of the turn; a later turn makes this one void: [ErrFenced]
	Done    bool
	Dead    bool
	RetryIn time.Duration
	Error   string // a code, never a body
	// Delivery is how the attempt went, of a job that delivers a webhook; nil: there
	// was none in this turn. It goes into the delivery, with Error.
	Delivery *DeliveryResult
	Events   []Event
}

// NonceStore remembers what may be used once.
type NonceStore interface {
	// UseNonce remembers a nonce of the tenant for TTL: [ErrConflict] if it is
	// remembered already. Of concurrent calls one wins.
	UseNonce(ctx context.Context, cmd Nonce) error
	// NonceUsed reports whether the nonce of the tenant with that hash is remembered.
	NonceUsed(ctx context.Context, tenant, hash string) (bool, error)
}

// A Nonce is the command of NonceStore.UseNonce.
type Nonce struct {
	Tenant string
	Hash   string // SHA-256 of what may be used once
	TTL    time.Duration
}
