package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	maxAnswer = 16 << 20 // the state of a browser login is the largest
	maxDetail = 1 << 10
)

// An Error is the server's refusal (RFC 9457), or, with code "unexpected", an
// answer that no tokenvault server gives; of that one nothing is quoted.
// [errors.Is] finds the vault's sentinel, such as [tokenvault.ErrUnauthenticated].
type Error struct {
	Status int    `json:"status"`
	Code   string `json:"code"` // "unauthenticated", "denied", "not_found", "invalid", …
	Detail string `json:"detail"`
	Field  string `json:"field"`
	// RetryAfter is how long the server asks to wait; 0 if it does not say.
	RetryAfter time.Duration `json:"-"`
}

// Error returns code and detail.
func (e *Error) Error() string { return fmt.Sprintf("tokenvault: %s: %s", e.Code, e.Detail) }

// Unwrap returns the sentinel that the code stands for, or nil.
func (e *Error) Unwrap() error {
	switch e.Code {
	case "invalid":
		return tokenvault.ErrInvalid
	case "unauthenticated":
		return tokenvault.ErrUnauthenticated
	case "denied":
		return tokenvault.ErrDenied
	case "not_found":
		return tokenvault.ErrNotFound
	case "conflict":
		return tokenvault.ErrConflict
	case "expired":
		return tokenvault.ErrExpired
	case "state_invalid":
		return tokenvault.ErrStateInvalid
	case "no_app":
		return tokenvault.ErrNoApp
	case "account_mismatch":
		return tokenvault.ErrAccountMismatch
	case "rate_limited":
		return tokenvault.ErrRateLimited
	case "unavailable":
		return tokenvault.ErrUnavailable
	}
	return nil
}

func unexpected(status int) *Error {
	return &Error{
		Status: status, Code: "unexpected",
		Detail: fmt.Sprintf("the answer, with status %d, is not that of a tokenvault server: check the server's URL", status),
	}
}

// An unreachableError says that there was no full answer.
type unreachableError struct {
	base string
	err  error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("tokenvault server at %s cannot be reached: %v", e.base, e.err)
}

func (e *unreachableError) Unwrap() error { return e.err }

// passing reports whether a failure may be over soon.
func passing(err error) bool {
	if refused, ok := errors.AsType[*Error](err); ok {
		switch refused.Status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests:
			return true
		case http.StatusNotImplemented:
			return false
		}
		return refused.Status >= http.StatusInternalServerError
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return false
	}
	_, unreachable := errors.AsType[*unreachableError](err)
	return unreachable
}

func retryAfter(err error) time.Duration {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.RetryAfter
	}
	return 0
}

// call sends in and reads the answer into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	r, err := c.request(ctx, method, path, in)
	if err != nil {
		return err
	}
	res, err := c.http.Do(r)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return c.unreachable(ctx, err)
	case c.shows(string(text)):
		return unexpected(res.StatusCode)
	case res.StatusCode != http.StatusOK:
		return refusal(res, text)
	case json.Unmarshal(text, out) != nil:
		return unexpected(res.StatusCode)
	}
	return nil
}

func (c *Client) request(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	r.Header.Set("Accept", "application/json")
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// shows reports whether text has the key in it: something echoes requests.
func (c *Client) shows(text string) bool { return strings.Contains(text, c.key.Reveal()) }

// unreachable returns the context's error if it has ended. Package net/http
// quotes what it cannot read.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c.shows(err.Error()) {
		err = errors.New("the answer is not HTTP")
	}
	return &unreachableError{c.base, err}
}

// refusal reads a problem.
func refusal(res *http.Response, text []byte) error {
	var p struct {
		Error
		AuthRequest *tokenvault.AuthRequiredPayload `json:"authRequest"`
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	refused := &p.Error
	if kind != "application/problem+json" || json.Unmarshal(text, &p) != nil || p.Code == "" || len(p.Detail) > maxDetail {
		refused = unexpected(res.StatusCode)
	} else if p.AuthRequest != nil && p.AuthRequest.AuthRequestID != "" {
		return &tokenvault.AuthRequiredError{Request: requestOf(*p.AuthRequest)}
	}
	refused.Status = res.StatusCode
	if seconds, err := strconv.ParseUint(res.Header.Get("Retry-After"), 10, 31); err == nil {
		refused.RetryAfter = time.Duration(seconds) * time.Second
	}
	return refused
}

// requestOf returns the auth request that a payload tells of.
func requestOf(p tokenvault.AuthRequiredPayload) tokenvault.AuthRequest {
	req := tokenvault.AuthRequest{
		ID: p.AuthRequestID, Owner: tokenvault.Owner{OrganizationID: p.OrganizationID}, ProviderID: p.ProviderID, ProviderName: p.ProviderName, AuthMethod: p.AuthMethod,
		ConnectionID: p.CredentialID, Reason: p.Reason, Scopes: p.RequiredScopes, ThreadID: p.ThreadID,
		Status: p.Status, FailureCode: p.FailureCode, Notice: p.Notice, ConnectURL: p.ConnectURL, CreatedAt: p.CreatedAt, ExpiresAt: p.ExpiresAt,
	}
	if p.NoticedAt != nil {
		req.NoticedAt = *p.NoticedAt
	}
	return req
}
