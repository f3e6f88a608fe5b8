package tokenvault

import "time"

// An EventKind names what happened.
type EventKind string

// The events. Names are stable: they are what people search for.
const (
	EventAuthRequested     EventKind = "auth_request.opened"
	EventAuthDeclined      EventKind = "auth_request.declined"
	EventAuthExpired       EventKind = "auth_request.expired"
	EventAuthFailed        EventKind = "auth_request.failed"
	EventConnectStarted    EventKind = "connect.started"
	EventConnectReturned   EventKind = "connect.returned"
	EventConnectRefused    EventKind = "connect.refused"
	EventLoginSeen         EventKind = "login.seen" // the signs of a login are there, or the user said so
	EventLoginCaptured     EventKind = "login.captured"
	EventLoginVerified     EventKind = "login.verified" // the captured state is signed in, in a fresh browser
	EventLoginEnded        EventKind = "login.ended"    // without a credential; detail is the failure code, or account_mismatch
	EventLoginViewed       EventKind = "login.viewed"
	EventSessionDriven     EventKind = "session.driven" // an agent was given the browser of a connection
	EventSessionEnded      EventKind = "session.ended"
	EventConnected         EventKind = "connection.connected"
	EventReauth            EventKind = "connection.needs_reauth"
	EventRevoked           EventKind = "connection.revoked"
	EventShared            EventKind = "connection.shared"
	EventUnshared          EventKind = "connection.unshared"
	EventRenamed           EventKind = "connection.renamed" // the name itself is not told
	EventProviderRevoked   EventKind = "connection.revoked_at_provider"
	EventReleased          EventKind = "credential.released"
	EventChecked           EventKind = "credential.checked" // an agent may have it, and was given nothing
	EventReleaseDenied     EventKind = "credential.denied"
	EventRefreshed         EventKind = "credential.refreshed"
	EventRefreshFailed     EventKind = "credential.refresh_failed"
	EventProbed            EventKind = "credential.probed"
	EventPermissionGranted EventKind = "permission.granted"
	EventPermissionRemoved EventKind = "permission.withdrawn"
	EventAppSet            EventKind = "app.set"
	EventAppDeleted        EventKind = "app.deleted"
	EventProviderSet       EventKind = "provider.set"
	EventProviderDeleted   EventKind = "provider.deleted"
	EventAPIKeyCreated     EventKind = "api_key.created"
	EventAPIKeyRotated     EventKind = "api_key.rotated"
	EventAPIKeyRevoked     EventKind = "api_key.revoked"
	EventDataKeyCreated    EventKind = "data_key.created"
	EventAuditPruned       EventKind = "audit.pruned"
	EventAuditResumed      EventKind = "audit.resumed" // the log could not be written, and can again
	EventDataKeyRewrapped  EventKind = "data_key.rewrapped"
	EventRestored          EventKind = "backup.restored"
	EventOwnerDeleted      EventKind = "owner.deleted"
	EventDataKeyDeleted    EventKind = "data_key.deleted"
	EventJobRetried        EventKind = "job.retried"
	EventWebhookSet        EventKind = "webhook.set"
	EventWebhookRotated    EventKind = "webhook.rotated" // it has a new secret
	EventWebhookDisabled   EventKind = "webhook.disabled"
	EventWebhookDeleted    EventKind = "webhook.deleted"
	EventWebhookTested     EventKind = "webhook.tested"
	EventWebhookResent     EventKind = "webhook.redelivered"
)

// An Event is one audit entry. It names who did what to which object and never
// holds a secret or an account label.
type Event struct {
	ID        string    `json:"id"` // set by the store; ascending in the order of writing
	At        time.Time `json:"at"` // by the store's clock; set by the store
	Kind      EventKind `json:"kind"`
	Tenant    string    `json:"tenant"`
	ActorKind ActorKind `json:"actorKind"`
	ActorID   string    `json:"actorId,omitempty"`
	Owner     Owner     `json:"-"`
	// ForUserID is the user for whom an agent acted, where that is not the owner:
	// whose turn it was to use a shared connection.
	ForUserID     string `json:"forUserId,omitempty"`
	ProviderID    string `json:"providerId,omitempty"`
	ConnectionID  string `json:"credentialId,omitempty"`
	AuthRequestID string `json:"authRequestId,omitempty"`
	RunID         string `json:"runId,omitempty"`
	ThreadID      string `json:"threadId,omitempty"`
	// Detail is a word from a fixed list, such as a reason or a failure code, or the
	// id of what the event is about where no other field holds it: an API key, a job,
	// a webhook, an audit head. It is never text that a caller or a provider chose.
	Detail string `json:"detail,omitempty"`

	// Writer, Position and Hash are the entry's place in its chain: see
	// [Event.ChainHash]. They are set by the store. An entry from before there were
	// chains has none.
	Writer   string `json:"writer,omitempty"`
	Position int64  `json:"position,omitempty"` // from 1
	Hash     string `json:"hash,omitempty"`     // lower-case hexadecimal
}

// An EventQuery asks for one page of a tenant's events. What is empty does not
// restrict.
type EventQuery struct {
	Page // After is the id of an event

	Kind           EventKind
	AgentID        string // written for an agent or back end of this name
	UserID         string // the owner, or for whom an agent acted
	OrganizationID string
	ConnectionID   string
	Since          time.Time
	// Newest asks for the last ones first. Page.After is then the id that they come
	// before.
	Newest bool
}
