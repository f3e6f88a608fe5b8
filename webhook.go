package tokenvault

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

// A WebhookType names what a webhook tells.
type WebhookType string

// The types. Names are stable: receivers choose by them.
const (
	WebhookAuthCreated       WebhookType = "auth_request.created"
	WebhookAuthConnected     WebhookType = "auth_request.connected"
	WebhookAuthDeclined      WebhookType = "auth_request.declined"
	WebhookAuthExpired       WebhookType = "auth_request.expired"
	WebhookAuthFailed        WebhookType = "auth_request.failed"
	WebhookConnectionCreated WebhookType = "connection.created"
	WebhookConnectionUpdated WebhookType = "connection.updated" // connected again, or it changed hands
	WebhookConnectionReauth  WebhookType = "connection.needs_reauth"
	WebhookConnectionRevoked WebhookType = "connection.revoked"
	// WebhookTest is sent by hand only, to whatever endpoint is named.
	WebhookTest WebhookType = "webhook.test"
)

// WebhookTypes returns the types that an endpoint can ask for.
func WebhookTypes() []WebhookType {
	return []WebhookType{
		WebhookAuthCreated, WebhookAuthConnected, WebhookAuthDeclined, WebhookAuthExpired, WebhookAuthFailed,
		WebhookConnectionCreated, WebhookConnectionUpdated, WebhookConnectionReauth, WebhookConnectionRevoked,
	}
}

// A Webhook is an endpoint of the host that is told of changes.
type Webhook struct {
	ID             string // "wh_…"
	Tenant         string
	OrganizationID string // whose changes it is told of; empty: everybody's in the tenant
	URL            string
	Types          []WebhookType // empty: all, also those to come
	// Enabled is false if nothing is sent: an administrator said so, or the endpoint
	// answered 410.
	Enabled bool
	Version int64
	// OverlapUntil is until when messages are signed with the secret of before too;
	// zero: the secret was never rotated.
	OverlapUntil time.Time
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Wants reports whether the endpoint is to be told m.
func (w Webhook) Wants(m WebhookMessage) bool {
	return w.Enabled && w.Tenant == m.Owner.Tenant && (w.OrganizationID == "" || w.OrganizationID == m.Owner.OrganizationID) &&
		(len(w.Types) == 0 || slices.Contains(w.Types, m.Type))
}

// A WebhookEvent is the body of a webhook, as JSON.
type WebhookEvent struct {
	Type      WebhookType `json:"type"`
	Timestamp time.Time   `json:"timestamp"` // of the change, by the store's clock
	Data      WebhookData `json:"data"`
}

// WebhookData says what changed. It has identifiers and words of the vault only: no
// secret, no account label, no text that a provider chose.
type WebhookData struct {
	Tenant         string `json:"tenant"`
	OrganizationID string `json:"organizationId,omitempty"`
	UserID         string `json:"userId,omitempty"` // empty: the organization's own
	ProviderID     string `json:"providerId,omitempty"`
	CredentialID   string `json:"credentialId,omitempty"` // the connection's id
	// Status is that of the auth request or of the connection, as the type says.
	Status string `json:"status,omitempty"`
	// Reason says why the owner has to act.
	Reason string `json:"reason,omitempty"`

	// Those below are of auth requests only.

	AuthRequestID string `json:"authRequestId,omitempty"`
	AgentID       string `json:"agentId,omitempty"`
	FailureCode   string `json:"failureCode,omitempty"`
	RunID         string `json:"runId,omitempty"`
	ThreadID      string `json:"threadId,omitempty"`
	ConnectURL    string `json:"connectUrl,omitempty"` // while pending
}

// A WebhookMessage is a change that endpoints are told of. Stores make one of each
// change that they commit.
type WebhookMessage struct {
	// ID names the message. It follows from the change, and sorts as changes come. An
	// endpoint gets it with a suffix of its own: see DeliveryID.
	ID           string
	Type         WebhookType
	Owner        Owner
	ProviderID   string
	ConnectionID string
	Body         string // the [WebhookEvent] as JSON
}

// MessageOfRequest returns what is to be told of r as it is now: that it was
// created, or how it was settled.
func MessageOfRequest(r AuthRequest) WebhookMessage {
	kind, at := WebhookAuthCreated, r.CreatedAt
	if r.Status.Settled() {
		kind, at = WebhookType("auth_request."+string(r.Status)), r.SettledAt
	}
	data := webhookData(r.Owner)
	data.ProviderID, data.CredentialID, data.Status, data.Reason = r.ProviderID, r.ConnectionID, string(r.Status), string(r.Reason)
	data.AuthRequestID, data.AgentID, data.FailureCode = r.ID, r.AgentID, r.FailureCode
	data.RunID, data.ThreadID = r.RunID, r.ThreadID
	if r.Status == AuthPending {
		data.ConnectURL = r.ConnectURL
	}
	return newMessage(kind, r.Owner, at, data, r.ID)
}

// MessageOfConnection returns what is to be told of c, which was changed just now.
func MessageOfConnection(kind WebhookType, c Connection) WebhookMessage {
	data := webhookData(c.Owner)
	data.ProviderID, data.CredentialID, data.Status, data.Reason = c.ProviderID, c.ID, string(c.Status), string(c.Reason)
	return newMessage(kind, c.Owner, c.UpdatedAt, data, c.ID, strconv.FormatInt(c.Version, 10))
}

// MessageOf returns what is to be told of c once it is stored, at that time.
func (c SettledConnection) MessageOf(at time.Time) WebhookMessage {
	kind, stored := WebhookConnectionUpdated, c.Connection
	if c.Version == 1 {
		kind = WebhookConnectionCreated
	}
	stored.Status, stored.Reason, stored.UpdatedAt = ConnectionActive, "", at
	return MessageOfConnection(kind, stored)
}

// testMessage returns a message that tells nothing. The nonce makes it like no other.
func testMessage(w Webhook, at time.Time, nonce string) WebhookMessage {
	owner := Owner{Tenant: w.Tenant, OrganizationID: w.OrganizationID}
	return newMessage(WebhookTest, owner, at, webhookData(owner), nonce)
}

func webhookData(o Owner) WebhookData {
	return WebhookData{Tenant: o.Tenant, OrganizationID: o.OrganizationID, UserID: o.UserID}
}

// newMessage returns a message about the thing that key names. The same change has
// the same id, whoever tells it, and another one has another.
func newMessage(kind WebhookType, owner Owner, at time.Time, data WebhookData, key ...string) WebhookMessage {
	at = at.UTC().Truncate(time.Microsecond)
	body, _ := json.Marshal(WebhookEvent{Type: kind, Timestamp: at, Data: data}) // texts and a time can always be marshaled
	sum := sha256.Sum256(envelope.AAD(append([]string{string(kind), owner.Tenant}, key...)...))
	id := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMicro()))
	id = append(id[1:], sum[:9]...)
	return WebhookMessage{
		ID:   "msg_" + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(id)),
		Type: kind, Owner: owner, ProviderID: data.ProviderID, ConnectionID: data.CredentialID, Body: string(body),
	}
}

// DeliveryID returns the id of the message's delivery to an endpoint. It is the
// header webhook-id, and the id of the job that sends it.
func (m WebhookMessage) DeliveryID(webhookID string) string {
	return m.ID + strings.TrimPrefix(webhookID, webhookPrefix)
}

const webhookPrefix = "wh"

// A DeliveryState says what becomes of a delivery.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"   // it is sent, again, when it is due
	DeliveryDelivered DeliveryState = "delivered" // the endpoint answered with success
	DeliveryDead      DeliveryState = "dead"      // given up, until somebody sends it again
)

// A WebhookDelivery is a message on its way to one endpoint, or the record of it.
type WebhookDelivery struct {
	ID          string // "msg_…"; the same for every attempt
	WebhookID   string
	Type        WebhookType
	Owner       Owner // whose change it tells
	Body        string
	State       DeliveryState
	Attempts    int       // requests that were sent, or could not be
	StatusCode  int       // HTTP status of the last answer; 0: there was none
	Error       string    // a code of the last failure; empty: there was none since it was delivered
	CreatedAt   time.Time // when the change was committed
	AttemptedAt time.Time // the last attempt; zero: none yet
	DeliveredAt time.Time // zero: never
	NextTryAt   time.Time // zero unless pending
}
