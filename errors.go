package tokenvault

import (
	"errors"
	"fmt"
	"time"
)

// The sentinels below are the only errors that cross a room's border; everything
// else is internal. Compare with [errors.Is]. The HTTP status of each stands in
// one table, httpapi/problem.go.
var (
	// ErrInvalid reports bad input; errors.AsType[*FieldError] names the field.
	ErrInvalid = errors.New("invalid input")
	// ErrUnknownOwner reports an owner who is not in the host's own tables, where the
	// store has keys to them. It is an [ErrInvalid].
	ErrUnknownOwner = fmt.Errorf("the host's tables have no such user or organization: %w", ErrInvalid)
	// ErrUnauthenticated reports a missing, wrong, expired or revoked caller credential.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrDenied reports a caller that is known and not allowed.
	ErrDenied = errors.New("not allowed")
	// ErrNotFound reports an object that does not exist, or that belongs to
	// another tenant or owner: the two cannot be told apart.
	ErrNotFound = errors.New("not found")
	// ErrConflict reports a state that changed under the caller. Reading again
	// and retrying is safe.
	ErrConflict = errors.New("conflict")
	// ErrAccountTaken reports a connection that would change hands where its new
	// owner has one to the same account. It is an [ErrConflict]; retrying is no use
	// before that one is revoked.
	ErrAccountTaken = fmt.Errorf("the new owner has a connection to this account already: %w", ErrConflict)
	// ErrExpired reports an auth request or attempt whose time is over.
	ErrExpired = errors.New("expired")
	// ErrFenced reports a refresh result that came after its lease was taken over.
	// Nothing was stored.
	ErrFenced = errors.New("lease was taken over")
	// ErrUnsealable reports sealed data that was altered, was sealed for another
	// place, or was sealed by a key that is not held.
	ErrUnsealable = errors.New("sealed data cannot be opened")
	// ErrNoApp reports a provider for which no OAuth app is registered.
	ErrNoApp = errors.New("no OAuth app is registered")
	// ErrStateInvalid reports an authorization response whose state is unknown,
	// used, expired, or bound to another user, browser, app or issuer. The cases
	// cannot be told apart from outside; the audit entry says which it was.
	ErrStateInvalid = errors.New("the authorization response does not belong to an open attempt")
	// ErrInUse reports a custom provider that apps or connections depend on: they go
	// first.
	ErrInUse = errors.New("in use")
	// ErrAccountMismatch reports a reconnect with another account than before. The
	// old credential was kept and the auth request is still open.
	ErrAccountMismatch = errors.New("another account was connected before")
	// ErrCredentialRejected is what a tool returns, wrapped, when the service
	// answered 401 to an authorized request.
	ErrCredentialRejected = errors.New("the service rejected the credential")
	// ErrRateLimited reports a caller that does something too often;
	// errors.AsType[*RateLimitError] says when to come back.
	ErrRateLimited = errors.New("too many requests")
	// ErrUnavailable reports a store or audit log that cannot be reached. Nothing
	// was released and nothing was changed.
	ErrUnavailable = errors.New("temporarily unavailable")
	// ErrProviderUnavailable reports a provider that was not asked, since its token
	// endpoint kept failing. It comes as a *[ProviderError], which says when to come
	// back. No grant was touched.
	ErrProviderUnavailable = errors.New("its token endpoint keeps failing and is left alone for now")
	// ErrClosed reports a call on a Vault after Close.
	ErrClosed = errors.New("vault is closed")
)

// A FieldError says which input field is wrong and what to do about it. It wraps
// [ErrInvalid] and never holds the submitted value.
type FieldError struct {
	Field  string // JSON name of the field, such as "scopes"
	Reason string // what is expected, such as "must not be empty"
}

// Error returns the field and the reason.
func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// Unwrap returns [ErrInvalid].
func (e *FieldError) Unwrap() error { return ErrInvalid }

func invalid(field, reason string) error { return &FieldError{Field: field, Reason: reason} }

// A ScopeError says which scope the caller's API key lacks. It wraps [ErrDenied].
type ScopeError struct {
	Scope KeyScope
}

// Error names the scope.
func (e *ScopeError) Error() string { return "the API key needs the scope " + string(e.Scope) }

// Unwrap returns [ErrDenied].
func (e *ScopeError) Unwrap() error { return ErrDenied }

// A ReleaseError says that the owner permits the agent less than the release it
// asked for. It wraps [ErrDenied].
type ReleaseError struct {
	Release Release // what was asked for
}

// Error names the release.
func (e *ReleaseError) Error() string {
	return "the permission does not cover release " + string(e.Release)
}

// Unwrap returns [ErrDenied].
func (e *ReleaseError) Unwrap() error { return ErrDenied }

// A RateLimitError says when a caller that was too fast may try again. It wraps
// [ErrRateLimited].
type RateLimitError struct {
	RetryAfter time.Duration
}

// Error says that there were too many requests.
func (e *RateLimitError) Error() string { return ErrRateLimited.Error() }

// Unwrap returns [ErrRateLimited].
func (e *RateLimitError) Unwrap() error { return ErrRateLimited }

// An AuthRequiredError says that the call must pause until a person acts. The
// request is durable: wait for it with [Vault.Wait], then resolve again.
type AuthRequiredError struct {
	Request AuthRequest
}

// Error names the provider and what is needed. It holds no secret.
func (e *AuthRequiredError) Error() string {
	return fmt.Sprintf("%s: authorization required (%s): open %s", e.Request.ProviderID, e.Request.Reason, e.Request.ConnectURL)
}

// A ProviderError says that an outside service failed. It never holds a body, a
// URL query or a credential that was sent.
type ProviderError struct {
	ProviderID string
	Op         string        // "exchange", "refresh", "revoke", "userinfo"
	Status     int           // HTTP status; 0 if there was no answer
	Code       string        // the RFC 6749 §5.2 error code, if it is a known one
	RetryAfter time.Duration // 0 if the provider did not say
	Transient  bool          // the same call may succeed later
	Err        error         // a transport error's class, never a body
}

// Error names the provider, the operation and the outcome.
func (e *ProviderError) Error() string {
	s := fmt.Sprintf("provider %s: %s failed", e.ProviderID, e.Op)
	if e.Status != 0 {
		s += fmt.Sprintf(" with HTTP status %d", e.Status)
	}
	if e.Code != "" {
		s += " (" + e.Code + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the transport error's class.
func (e *ProviderError) Unwrap() error { return e.Err }
