package tokenvault

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

// An AuthRequestStatus is where an auth request stands. It leaves pending
// exactly once.
type AuthRequestStatus string

// The states of an auth request.
const (
	AuthPending   AuthRequestStatus = "pending"
	AuthConnected AuthRequestStatus = "connected"
	AuthDeclined  AuthRequestStatus = "declined"
	AuthExpired   AuthRequestStatus = "expired"
	AuthFailed    AuthRequestStatus = "failed"
)

// Settled reports whether the state is final.
func (s AuthRequestStatus) Settled() bool { return s != AuthPending }

// A Reason says why an owner has to act.
type Reason string

// The reasons of an auth request.
const (
	ReasonMissing            Reason = "missing"
	ReasonExpired            Reason = "expired"
	ReasonRevoked            Reason = "revoked"
	ReasonInsufficientScope  Reason = "insufficient_scope"
	ReasonPermissionRequired Reason = "permission_required"
	ReasonChooseAccount      Reason = "choose_account"
)

// needsProvider reports whether the owner has to go to the provider; otherwise a
// decision is enough.
func (r Reason) needsProvider() bool {
	return r != ReasonPermissionRequired && r != ReasonChooseAccount
}

// Codes of a failed auth request.
const (
	FailScopeNotGranted = "scope_not_granted" // the user connected and withheld a needed scope
	FailProvider        = "provider_error"    // the provider refused for good

	FailLoginIdle        = "login_idle"        // nobody did anything in the browser for too long
	FailLoginTimeout     = "login_timeout"     // nobody was signed in when the browser's time was over
	FailLoginInterrupted = "login_interrupted" // the process that ran the browser ended
	FailBrowserCrashed   = "browser_crashed"   // the browser died
	FailBrowserFailed    = "browser_failed"    // the browser could not be started
)

// An AuthNotice tells of a pending auth request what its latest attempt came to.
type AuthNotice string

// NoticeOtherAccount says that the owner signed in with another account than was
// connected before ([ErrAccountMismatch]). They may sign in with the earlier one, or
// connect the other one beside it.
const NoticeOtherAccount AuthNotice = "account_mismatch"

// An AuthRequest is one durable request that an owner connect. Its id grants
// nothing: every look at it needs its owner, or the agent it was opened for.
type AuthRequest struct {
	ID           string
	Owner        Owner
	AgentID      string // empty: the owner connects without an agent
	ProviderID   string
	ProviderName string
	AuthMethod   AuthMethod
	// ConnectionID is the connection to heal, step up or permit; after the
	// request connected, the one it ended with.
	ConnectionID string
	Reason       Reason
	Scopes       []string // the union of what is granted and what is needed
	Release      Release  // what the agent asks for
	RunID        string
	ThreadID     string
	Status       AuthRequestStatus
	FailureCode  string // set with failed
	// Notice is there while pending, until the next attempt begins. NoticedAt tells one
	// from the next.
	Notice     AuthNotice
	NoticedAt  time.Time
	ConnectURL string // {PublicURL}/connect/{id}
	CreatedAt  time.Time
	ExpiresAt  time.Time
	SettledAt  time.Time // zero while pending; of one that nobody settled in time, ExpiresAt until a sweep
}

// Message is one sentence for the person who has to act. If that is an
// administrator of the organization, it says so.
func (r AuthRequest) Message() string {
	verb, what := "Connect", r.ProviderName
	switch r.Reason {
	case ReasonExpired, ReasonRevoked:
		verb = "Reconnect"
	case ReasonInsufficientScope:
		verb, what = "Allow", "more access to "+what
	case ReasonPermissionRequired:
		verb, what = "Allow", "the use of "+what
	case ReasonChooseAccount:
		verb, what = "Choose", "a "+what+" account"
	case ReasonMissing:
	}
	if _, ok := r.Owner.Organization(); ok && r.Owner.UserID == "" {
		verb = "An administrator of your organization has to " + strings.ToLower(verb)
	}
	return verb + " " + what + " to continue"
}

// renewsShared reports whether r asks an administrator to renew a connection of
// the organization, for whoever uses it: its members may see how that stands.
func (r AuthRequest) renewsShared() bool {
	return r.Owner.UserID == "" && r.AgentID == "" && r.ConnectionID != ""
}

// MarshalJSON writes the auth_required payload, which is the same on every
// surface. It has no secret and no personal data.
func (r AuthRequest) MarshalJSON() ([]byte, error) { return json.Marshal(r.Payload()) }

// An AuthRequiredPayload is the JSON form of an [AuthRequest].
type AuthRequiredPayload struct {
	Type           string            `json:"type"` // always "auth_required"
	AuthRequestID  string            `json:"authRequestId"`
	Status         AuthRequestStatus `json:"status"`
	ProviderID     string            `json:"providerId"`
	ProviderName   string            `json:"providerName"`
	AuthMethod     AuthMethod        `json:"authMethod"`
	Reason         Reason            `json:"reason"`
	RequiredScopes []string          `json:"requiredScopes"`
	ConnectURL     string            `json:"connectUrl"`
	Message        string            `json:"message"`
	CredentialID   string            `json:"credentialId,omitempty"` // once connected
	FailureCode    string            `json:"failureCode,omitempty"`  // once failed
	Notice         AuthNotice        `json:"notice,omitempty"`       // while pending: what the latest attempt came to
	NoticedAt      *time.Time        `json:"noticedAt,omitempty"`    // with a notice: tells one from the next
	ThreadID       string            `json:"threadId,omitempty"`
	OrganizationID string            `json:"organizationId,omitempty"` // whose administrator has to act; absent: the user has to
	CreatedAt      time.Time         `json:"createdAt"`
	ExpiresAt      time.Time         `json:"expiresAt"`
}

// Payload returns the JSON form of r.
func (r AuthRequest) Payload() AuthRequiredPayload {
	p := AuthRequiredPayload{
		Type: "auth_required", AuthRequestID: r.ID, Status: r.Status,
		ProviderID: r.ProviderID, ProviderName: r.ProviderName, AuthMethod: r.AuthMethod,
		Reason: r.Reason, RequiredScopes: append([]string{}, r.Scopes...),
		ConnectURL: r.ConnectURL, Message: r.Message(),
		FailureCode: r.FailureCode, ThreadID: r.ThreadID,
		CreatedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
	}
	if r.Owner.UserID == "" {
		p.OrganizationID = r.Owner.OrganizationID
	}
	if r.Status == AuthConnected {
		p.CredentialID = r.ConnectionID
	}
	if r.Status == AuthPending && r.Notice != "" {
		at := r.NoticedAt.UTC()
		p.Notice, p.NoticedAt = r.Notice, &at
	}
	return p
}

// Key identifies what r asks for: requests with equal keys are the same request
// while it is pending, so that parallel calls and retries join it.
func (r AuthRequest) Key() string {
	scopes := slices.Sorted(slices.Values(r.Scopes))
	sum := sha256.Sum256(envelope.AAD(r.Owner.Tenant, r.Owner.OrganizationID, r.Owner.UserID, r.AgentID,
		r.ProviderID, r.ConnectionID, string(r.Release), strings.Join(slices.Compact(scopes), " ")))
	return hex.EncodeToString(sum[:])
}

// An AttemptState is where an attempt stands.
type AttemptState string

// The states of an attempt. An attempt moves forward only, and each move has one
// winner.
const (
	AttemptBegun    AttemptState = "begun"    // the browser was sent to the provider
	AttemptReturned AttemptState = "returned" // a code arrived and waits, sealed, for proof of the user
	AttemptConsumed AttemptState = "consumed" // the return was taken, whatever came of it
)

// Leads reports whether an attempt may move from s to the state to. It may skip
// one, and never go back.
func (s AttemptState) Leads(to AttemptState) bool {
	switch s {
	case AttemptBegun:
		return to == AttemptReturned || to == AttemptConsumed
	case AttemptReturned:
		return to == AttemptConsumed
	case AttemptConsumed:
	}
	return false
}

// An Attempt is one short-lived try at fulfilling an auth request. It binds what
// comes back to who was sent out.
type Attempt struct {
	ID            string
	AuthRequestID string
	Owner         Owner
	ProviderID    string
	AppID         string
	// StateHash is the SHA-256 of the OAuth state parameter, which itself is
	// stored nowhere. Of a browser login it is one of random bits: nothing returns.
	StateHash string
	// BrowserHash is the SHA-256 of the secret in the cookie of the browser that
	// confirmed.
	BrowserHash string
	// Issuer is the authorization server that the browser was sent to.
	Issuer    string
	ReturnURL string // where the host wants the browser afterwards; checked against the allow-list
	Scopes    []string
	// PermissionTTL is how long the owner permits what the agent asks for; 0: until
	// withdrawn.
	PermissionTTL time.Duration
	// NewAccount is true if the owner wants another account than the request names.
	NewAccount bool
	// Interval is how far apart questions to the provider have to be, of an attempt
	// at which it is asked rather than returns; else 0. PollAt is when the next one
	// may be.
	Interval  time.Duration
	PollAt    time.Time
	State     AttemptState
	Private   SealedRecord // the flow's private state, such as the PKCE verifier
	CreatedAt time.Time
	ExpiresAt time.Time
}
