package httpapi

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// A problem is an error answer (RFC 9457). Error repeats Detail for clients that
// read one string.
type problem struct {
	Type        string                          `json:"type"`
	Title       string                          `json:"title"`
	Status      int                             `json:"status"`
	Detail      string                          `json:"detail"`
	Code        string                          `json:"code"`
	Error       string                          `json:"error"`
	Field       string                          `json:"field,omitempty"`
	Instance    string                          `json:"instance,omitempty"`
	AuthRequest *tokenvault.AuthRequiredPayload `json:"authRequest,omitempty"`
}

// codeLeftAlone is the code of what the vault has logged once for all.
const codeLeftAlone = "provider_unavailable"

// mapping is the one table from errors to answers. Texts are fixed: an error's own
// text stays in the log.
type mapping struct {
	err    error
	status int
	code   string
	detail string
}

func mappings() []mapping {
	return []mapping{
		{tokenvault.ErrUnknownOwner, http.StatusBadRequest, "unknown_owner", "The host application has no such user or organization"},
		{tokenvault.ErrInvalid, http.StatusBadRequest, "invalid", "The request is not valid"},
		{tokenvault.ErrUnauthenticated, http.StatusUnauthorized, "unauthenticated", "Sign in, or send a valid API key"},
		{tokenvault.ErrDenied, http.StatusForbidden, "denied", "This is not allowed to the caller"},
		{tokenvault.ErrNotFound, http.StatusNotFound, "not_found", "Not found"},
		{tokenvault.ErrAccountTaken, http.StatusConflict, "account_taken", "There is a connection to this account already where this one would go: revoke that one first"},
		{tokenvault.ErrConflict, http.StatusConflict, "conflict", "The state has changed: read it again"},
		{tokenvault.ErrInUse, http.StatusConflict, "in_use", "Apps or connections use it: delete and revoke them first, or choose another id"},
		{tokenvault.ErrExpired, http.StatusGone, "expired", "Its time is over: ask again for a new one"},
		{tokenvault.ErrFenced, http.StatusConflict, "conflict", "The state has changed: read it again"},
		{tokenvault.ErrNoApp, http.StatusBadRequest, "no_app", "No OAuth app is registered for this provider: an administrator registers one with 'tokenvault app set' or POST oauth-config"},
		{tokenvault.ErrStateInvalid, http.StatusBadRequest, "state_invalid", "This answer of the provider does not belong to an open attempt: connect again"},
		{tokenvault.ErrAccountMismatch, http.StatusConflict, "account_mismatch", "Another account was connected before: sign in to that one, or disconnect it first"},
		{tokenvault.ErrCredentialRejected, http.StatusBadGateway, "credential_rejected", "The service rejected the credential"},
		{tokenvault.ErrRateLimited, http.StatusTooManyRequests, "rate_limited", "Too many requests: wait as long as Retry-After says, then try again"},
		{tokenvault.ErrUnavailable, http.StatusServiceUnavailable, "unavailable", "Temporarily unavailable: try again"},
		{tokenvault.ErrProviderUnavailable, http.StatusServiceUnavailable, codeLeftAlone, "The provider keeps failing and is not asked for now: wait as long as Retry-After says, then try again"},
		{tokenvault.ErrClosed, http.StatusServiceUnavailable, "unavailable", "The server is stopping: try again"},
		{errNothingToResolve, http.StatusNotFound, "not_found", "There is no such provider, or no such connection: GET /v1/providers lists the providers"},
		{errNotSignedIn, http.StatusConflict, "not_signed_in", "Nobody is signed in yet: go on in the browser, then try again"},
		{errNodeGone, http.StatusServiceUnavailable, "unavailable", "The server that runs the browser cannot be reached: try again, or start again"},
		{errNotEnabled, http.StatusNotImplemented, "not_implemented", "Browser login is not enabled on this server"},
		{tokenvault.ErrUnsealable, http.StatusInternalServerError, "internal", "Internal error"},
	}
}

// problemOf returns the answer to an error. Of an error that is in no row, nothing
// is told.
func problemOf(err error) problem {
	if required, ok := errors.AsType[*tokenvault.AuthRequiredError](err); ok {
		payload := required.Request.Payload()
		return problem{Status: http.StatusPreconditionRequired, Code: "auth_required", Detail: payload.Message, AuthRequest: &payload}
	}
	if field, ok := errors.AsType[*tokenvault.FieldError](err); ok {
		return problem{Status: http.StatusBadRequest, Code: "invalid", Field: field.Field, Detail: field.Field + ": " + field.Reason}
	}
	if failed, ok := errors.AsType[*tokenvault.ProviderError](err); ok && !errors.Is(err, tokenvault.ErrProviderUnavailable) {
		p := problem{Status: http.StatusBadGateway, Code: "provider_error", Detail: "The provider failed"}
		if failed.Transient {
			p.Status, p.Detail = http.StatusServiceUnavailable, "The provider fails for now: try again"
		}
		return p
	}
	if missing, ok := errors.AsType[*tokenvault.ScopeError](err); ok {
		return problem{Status: http.StatusForbidden, Code: "denied", Detail: "The API key needs the scope " + string(missing.Scope)}
	}
	if wider, ok := errors.AsType[*tokenvault.ReleaseError](err); ok {
		return problem{Status: http.StatusForbidden, Code: "denied", Detail: `The owner permits this agent less than release "` + string(wider.Release) +
			`": once they have withdrawn that permission, the next call asks them for it`}
	}
	for _, m := range mappings() {
		if errors.Is(err, m.err) {
			return problem{Status: m.status, Code: m.code, Detail: m.detail}
		}
	}
	return problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "Internal error"}
}

// fail answers with the problem of err, and logs what the caller is not told.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	gone := r.Context().Err() != nil && errors.Is(err, r.Context().Err())
	if gone {
		err = tokenvault.ErrClosed // the caller is gone, or the server is going
	}
	p := problemOf(err)
	switch {
	case p.Status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="tokenvault"`)
	case p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(retrySeconds(err)))
	case p.Status >= http.StatusInternalServerError:
		p.Instance = "urn:tokenvault:error:" + strings.ToLower(rand.Text())
	}
	if p.Status >= http.StatusInternalServerError && !gone && p.Code != codeLeftAlone {
		a.log.ErrorContext(r.Context(), "request failed", slog.String("route", r.Pattern), slog.Int("status", p.Status),
			slog.String("instance", p.Instance), slog.Any("error", err))
	}
	writeProblem(w, p)
}

func retrySeconds(err error) int {
	wait := time.Second
	if failed, ok := errors.AsType[*tokenvault.ProviderError](err); ok && failed.RetryAfter > wait {
		wait = failed.RetryAfter
	}
	if limited, ok := errors.AsType[*tokenvault.RateLimitError](err); ok && limited.RetryAfter > wait {
		wait = limited.RetryAfter
	}
	return int(math.Ceil(wait.Seconds()))
}

func writeProblem(w http.ResponseWriter, p problem) {
	p.Type, p.Title, p.Error = "about:blank", http.StatusText(p.Status), p.Detail
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
