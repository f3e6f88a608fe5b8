// Package client is for agents in another process than the vault: it asks a
// tokenvault server for access, and waits while its owner connects.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	requestTimeout = 65 * time.Second // longer than the longest long poll
	pollWait       = "50s"
	maxAnswer      = 1 << 20
	firstPause     = 200 * time.Millisecond
	maxPause       = 10 * time.Second
)

// Options configures a [Client]. The zero Options, like nil, works.
type Options struct {
	// HTTPClient sends the requests. Default: one with a timeout above a minute.
	HTTPClient *http.Client
}

// A Client talks to one server with one API key. It is safe for concurrent use.
type Client struct {
	base string
	key  tokenvault.Secret
	http *http.Client
}

// New returns a client of the server at serverURL, an origin such as
// https://vault.example.com. Plain http is for loopback names only: the key would
// travel in clear.
func New(serverURL string, key tokenvault.Secret, opts *Options) (*Client, error) {
	u, err := url.Parse(serverURL)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, &tokenvault.FieldError{Field: "server", Reason: "must be an origin such as https://vault.example.com"}
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, &tokenvault.FieldError{Field: "server", Reason: "must be https, except on a loopback name"}
	}
	if key.IsZero() {
		return nil, &tokenvault.FieldError{Field: "key", Reason: "must not be empty: make one with 'tokenvault apikey create'"}
	}
	c := &Client{base: u.Scheme + "://" + u.Host, key: key, http: &http.Client{Timeout: requestTimeout}}
	if opts != nil && opts.HTTPClient != nil {
		c.http = opts.HTTPClient
	}
	return c, nil
}

func isLoopback(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "::1" || strings.HasPrefix(host, "127.")
}

// A ResolveRequest asks for access to a provider.
type ResolveRequest struct {
	ProviderID      string             `json:"-"`
	ConnectionID    string             `json:"connectionId,omitempty"`
	Scopes          []string           `json:"scopes,omitempty"`
	Release         tokenvault.Release `json:"release,omitempty"` // default inject
	RunID           string             `json:"runId,omitempty"`
	ThreadID        string             `json:"threadId,omitempty"`
	RejectedVersion int64              `json:"rejectedVersion,omitempty"`
	// Owner is set by back ends only; an agent's owner is its key's.
	Owner *Owner `json:"owner,omitempty"`
}

// An Owner names whom a back end acts for.
type Owner struct {
	UserID         string `json:"userId,omitempty"`
	OrganizationID string `json:"organizationId,omitempty"`
}

// A Token is access to one connection.
type Token struct {
	CredentialID string            `json:"credentialId"`
	Version      int64             `json:"version"` // send it as RejectedVersion after a 401
	Scopes       []string          `json:"scopes"`
	ExpiresAt    time.Time         `json:"expiresAt"` // zero: not known
	TokenType    string            `json:"tokenType"`
	AccessToken  tokenvault.Secret `json:"accessToken"` // with release token only
}

// Resolve asks once. It fails with *[tokenvault.AuthRequiredError] if the owner
// has to act first, and with *[Error] if the server refuses.
func (c *Client) Resolve(ctx context.Context, req ResolveRequest) (*Token, error) {
	var token Token
	err := c.call(ctx, http.MethodPost, "/v1/credentials/"+url.PathEscape(req.ProviderID)+"/resolve", req, &token)
	if err != nil {
		return nil, err
	}
	return &token, nil
}

// Wait waits until the auth request is settled, through restarts of the server
// and broken connections, as long as ctx lasts.
func (c *Client) Wait(ctx context.Context, authRequestID string) (tokenvault.AuthRequest, error) {
	pause := firstPause
	for {
		var payload tokenvault.AuthRequiredPayload
		err := c.call(ctx, http.MethodGet, "/v1/auth-requests/"+url.PathEscape(authRequestID)+"?wait="+pollWait, nil, &payload)
		switch {
		case err == nil && payload.Status.Settled():
			return requestOf(payload), nil
		case err == nil:
			pause = firstPause
			continue
		case !passing(err):
			return tokenvault.AuthRequest{}, err
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, maxPause)
		case <-ctx.Done():
			return tokenvault.AuthRequest{}, ctx.Err()
		}
	}
}

// passing reports whether a failure may be over soon.
func passing(err error) bool {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusTooManyRequests
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// maxPauses bounds how often one call may pause: for a connect, a step-up, and
// once more.
const maxPauses = 3

// ResolveWait resolves; if the owner has to act, it calls notify with the request
// once, waits, and resolves again. A request that ends otherwise than connected
// is an *[tokenvault.AuthRequiredError] with that status.
func (c *Client) ResolveWait(ctx context.Context, req ResolveRequest, notify func(tokenvault.AuthRequest)) (*Token, error) {
	for pauses := 0; ; pauses++ {
		token, err := c.Resolve(ctx, req)
		required, paused := errors.AsType[*tokenvault.AuthRequiredError](err)
		if !paused || pauses == maxPauses {
			return token, err
		}
		if notify != nil {
			notify(required.Request)
		}
		settled, err := c.Wait(ctx, required.Request.ID)
		if err != nil {
			return nil, err
		}
		if settled.Status != tokenvault.AuthConnected {
			return nil, &tokenvault.AuthRequiredError{Request: settled}
		}
	}
}

// Revoke ends a connection. Back ends only: owner is whose it is.
func (c *Client) Revoke(ctx context.Context, owner Owner, credentialID string) error {
	q := url.Values{}
	if owner.UserID != "" {
		q.Set("userId", owner.UserID)
	}
	if owner.OrganizationID != "" {
		q.Set("organizationId", owner.OrganizationID)
	}
	return c.call(ctx, http.MethodDelete, "/v1/connections/"+url.PathEscape(credentialID)+"?"+q.Encode(), nil, &struct{}{})
}

// An Error is the server's refusal (RFC 9457).
type Error struct {
	Status int    `json:"status"`
	Code   string `json:"code"` // "unauthenticated", "denied", "not_found", "invalid", …
	Detail string `json:"detail"`
	Field  string `json:"field"`
}

// Error returns code and detail.
func (e *Error) Error() string { return fmt.Sprintf("tokenvault: %s: %s", e.Code, e.Detail) }

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	r.Header.Set("Accept", "application/json")
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("tokenvault server at %s cannot be reached: %w", c.base, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("tokenvault server: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return refusal(res.StatusCode, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return errors.New("tokenvault server: the answer cannot be read")
	}
	return nil
}

// refusal reads a problem.
func refusal(status int, text []byte) error {
	var p struct {
		Error
		AuthRequest *tokenvault.AuthRequiredPayload `json:"authRequest"`
	}
	if err := json.Unmarshal(text, &p); err != nil || p.Code == "" {
		return &Error{Status: status, Code: "unexpected", Detail: fmt.Sprintf("the server answered with status %d", status)}
	}
	if p.AuthRequest != nil {
		return &tokenvault.AuthRequiredError{Request: requestOf(*p.AuthRequest)}
	}
	p.Status = status
	return &p.Error
}

// requestOf returns the auth request that a payload tells of.
func requestOf(p tokenvault.AuthRequiredPayload) tokenvault.AuthRequest {
	return tokenvault.AuthRequest{
		ID: p.AuthRequestID, ProviderID: p.ProviderID, ProviderName: p.ProviderName, AuthMethod: p.AuthMethod,
		ConnectionID: p.CredentialID, Reason: p.Reason, Scopes: p.RequiredScopes, ThreadID: p.ThreadID,
		Status: p.Status, FailureCode: p.FailureCode, ConnectURL: p.ConnectURL, CreatedAt: p.CreatedAt, ExpiresAt: p.ExpiresAt,
	}
}
