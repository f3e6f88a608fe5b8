package tokenvault

import (
	"context"
	"time"
)

// A Flow knows one auth method: how a connect begins and, by the optional
// abilities below, how it ends and what can be done with its credentials. Flows
// keep no state of their own and must be safe for concurrent use.
type Flow interface {
	// Begin prepares one attempt. If the attempt is never used, nothing that Begin
	// left at the provider may outlive it for long.
	Begin(ctx context.Context, in BeginInput) (Step, error)
}

// A Client is an OAuth client registration with its secret, in memory only.
type Client struct {
	AppID  string
	ID     string
	Secret Secret
}

// BeginInput is what a flow needs to begin an attempt.
type BeginInput struct {
	Provider    Provider
	Client      Client
	RedirectURL string // the callback, from configuration
	State       Secret // the OAuth state parameter, 256 bits
	Scopes      []string
	Reconnect   bool   // the owner connected this account before
	LoginHint   string // account id to preselect; empty if unknown
}

// A Step is where to send the browser next. An empty URL means nowhere: the owner
// acts on a page of ours.
type Step struct {
	URL string
	// Private is what Complete needs and nobody else may know, such as the PKCE
	// verifier. The vault seals it with the attempt.
	Private Secret
}

// A Redirecting flow ends with a return to the callback URL.
type Redirecting interface {
	// Complete exchanges what returned for a credential. The vault has proven
	// before that the same user and browser came back, and that state and app
	// belong to the attempt. It fails with [ErrStateInvalid] on a wrong issuer
	// and with *[ProviderError] when the provider refuses.
	Complete(ctx context.Context, in CompleteInput) (Completed, error)
}

// CompleteInput is what a flow needs to complete an attempt.
type CompleteInput struct {
	Provider    Provider
	Client      Client
	RedirectURL string
	Private     Secret
	Code        Secret
	Iss         string // RFC 9207; empty if absent
	Scopes      []string
}

// Completed is a fresh credential and whose account it is for.
type Completed struct {
	Credential Credential
	Account    Account
	Scopes     []string      // as granted; what was requested if the provider did not say
	ExpiresIn  time.Duration // 0: the provider did not say

	connectionID string // what a new connection is called; empty: it gets a new id
}

// A Granting flow obtains a credential with the app's own registration: nobody
// consents, and nobody is sent anywhere.
type Granting interface {
	// Grant asks for a credential. It fails with *[ProviderError] when the provider
	// refuses.
	Grant(ctx context.Context, in GrantInput) (Completed, error)
}

// GrantInput is what a flow needs to obtain a credential for the app itself.
type GrantInput struct {
	Provider Provider
	Client   Client
	Scopes   []string
}

// A DeviceFlow shows the owner a code, which they enter at the provider in a browser
// of their own (RFC 8628). Nothing returns: the provider is asked.
type DeviceFlow interface {
	// BeginDevice asks the provider for a code. It fails with *[ProviderError].
	BeginDevice(ctx context.Context, in GrantInput) (DeviceCode, error)
	// PollDevice asks once whether the owner has consented. It never fails: what
	// the provider says is the outcome.
	PollDevice(ctx context.Context, in DevicePoll) DeviceOutcome
}

// A DeviceCode is what the owner enters, and where.
type DeviceCode struct {
	UserCode        string
	VerificationURL string
	// Private is what PollDevice needs and nobody else may know.
	Private   Secret
	Interval  time.Duration // between two questions
	ExpiresIn time.Duration
}

// DevicePoll is what a flow needs to ask about a code.
type DevicePoll struct {
	GrantInput
	Private Secret
}

// A DeviceOutcome is what a provider says about a code: [DeviceGranted],
// [DevicePending], [DeviceDeclined], [DeviceExpired] or [DeviceFailed].
type DeviceOutcome interface{ deviceOutcome() }

// DeviceGranted means that the owner consented.
type DeviceGranted struct{ Completed }

// DevicePending means that the owner has not decided yet.
type DevicePending struct {
	Slower bool           // the provider wants to be asked less often, or did not answer
	Err    *ProviderError // why it did not answer; nil: it did
}

// DeviceDeclined means that the owner refused.
type DeviceDeclined struct{}

// DeviceExpired means that the code was not entered in time.
type DeviceExpired struct{}

// DeviceFailed means that the provider refuses for good.
type DeviceFailed struct{ Err error }

func (DeviceGranted) deviceOutcome()  {}
func (DevicePending) deviceOutcome()  {}
func (DeviceDeclined) deviceOutcome() {}
func (DeviceExpired) deviceOutcome()  {}
func (DeviceFailed) deviceOutcome()   {}

// A Submitting flow ends with a form of ours: the owner enters what the service
// issued elsewhere, and nobody is sent anywhere.
type Submitting interface {
	// Submit asks the service whether the values work and whose they are. It fails
	// with a [FieldError] if the service refuses them and with *[ProviderError] if
	// it cannot be asked. What it answers is not kept unless it succeeds.
	Submit(ctx context.Context, in SubmitInput) (Completed, error)
}

// SubmitInput is what a flow needs to take what an owner entered.
type SubmitInput struct {
	Provider Provider
	Values   map[string]Secret // by field name; checked against the provider's fields
}

// A Watching flow ends when a login is seen in a browser; nothing returns. Its
// credentials are checked by [Refresher]: the state is restored in a fresh browser,
// and comes back as [Rotated] with what the service renewed meanwhile, is [Rejected]
// if nobody is signed in, or [Transient] if that could not be told.
type Watching interface {
	// Open starts the browser of an attempt. Errors as [Browser.Open].
	Open(ctx context.Context, req BrowserRequest) (BrowserSession, error)
	// Attach returns a session of this process. Errors as [Browser.Attach].
	Attach(ctx context.Context, id string) (BrowserSession, error)
	// Capture reads the state of the provider's domains and proves in a fresh browser
	// that it is signed in, and as whom. It fails with an error wrapping [ErrDenied]
	// if it is not, and the session goes on.
	Capture(ctx context.Context, session BrowserSession, provider Provider) (Completed, error)
}

// A Refresher is a flow whose credentials can be renewed without the owner.
type Refresher interface {
	// Refresh sends the refresh token at most once, or, where the app itself is the
	// account, asks for another credential. It never fails: what happened is the
	// outcome.
	Refresh(ctx context.Context, in RefreshInput) RefreshOutcome
}

// RefreshInput is what a flow needs to refresh.
type RefreshInput struct {
	Provider   Provider
	Client     Client
	Credential Credential
	Scopes     []string // granted so far
}

// A RefreshOutcome is what became of a refresh: [Rotated], [Rejected],
// [Transient] or [Uncertain].
type RefreshOutcome interface{ refreshOutcome() }

// Rotated means that the provider issued a new access token and, perhaps, a new
// refresh token; an absent one keeps the old.
type Rotated struct {
	Credential Credential
	Scopes     []string
	ExpiresIn  time.Duration // 0: the provider did not say
}

// Rejected means that the provider says that the grant is dead.
type Rejected struct{ Err *ProviderError }

// Transient means that the refresh token was not spent: the provider answered
// with a passing error, or nothing was sent.
type Transient struct{ Err *ProviderError }

// Uncertain means that the request was sent and no full answer came back: the
// refresh token may have been spent.
type Uncertain struct{ Err *ProviderError }

func (Rotated) refreshOutcome()   {}
func (Rejected) refreshOutcome()  {}
func (Transient) refreshOutcome() {}
func (Uncertain) refreshOutcome() {}

// A Revoker is a flow that can end a grant at the provider (RFC 7009, or the
// provider's own way).
type Revoker interface {
	// RevokeGrant is idempotent: a grant that is already gone is no error.
	RevokeGrant(ctx context.Context, in RefreshInput) error
}

// A Prober is a flow that can tell whether a credential still works.
type Prober interface {
	// Probe returns nil if it works and an error wrapping [ErrDenied] if the
	// provider refuses it.
	Probe(ctx context.Context, in RefreshInput) error
}
