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
	EventConnected         EventKind = "connection.connected"
	EventReauth            EventKind = "connection.needs_reauth"
	EventRevoked           EventKind = "connection.revoked"
	EventProviderRevoked   EventKind = "connection.revoked_at_provider"
	EventReleased          EventKind = "credential.released"
	EventReleaseDenied     EventKind = "credential.denied"
	EventRefreshed         EventKind = "credential.refreshed"
	EventRefreshFailed     EventKind = "credential.refresh_failed"
	EventPermissionGranted EventKind = "permission.granted"
	EventPermissionRemoved EventKind = "permission.withdrawn"
	EventAppSet            EventKind = "app.set"
	EventAppDeleted        EventKind = "app.deleted"
	EventAPIKeyCreated     EventKind = "api_key.created"
	EventAPIKeyRotated     EventKind = "api_key.rotated"
	EventAPIKeyRevoked     EventKind = "api_key.revoked"
	EventDataKeyCreated    EventKind = "data_key.created"
)

// An Event is one audit entry. It names who did what to which object and never
// holds a secret or an account label.
type Event struct {
	ID            string    `json:"id"` // set by the store; ascending in the order of writing
	At            time.Time `json:"at"` // by the store's clock; set by the store
	Kind          EventKind `json:"kind"`
	Tenant        string    `json:"tenant"`
	ActorKind     ActorKind `json:"actorKind"`
	ActorID       string    `json:"actorId,omitempty"`
	Owner         Owner     `json:"-"`
	ProviderID    string    `json:"providerId,omitempty"`
	ConnectionID  string    `json:"credentialId,omitempty"`
	AuthRequestID string    `json:"authRequestId,omitempty"`
	RunID         string    `json:"runId,omitempty"`
	ThreadID      string    `json:"threadId,omitempty"`
	// Detail is a word from a fixed list, such as a reason or a failure code.
	Detail string `json:"detail,omitempty"`
}
