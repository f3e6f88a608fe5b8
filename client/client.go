// Package client is for agents in another process than the vault: it asks a
// tokenvault server for access, and waits while its owner connects.
package client

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	requestTimeout = 65 * time.Second // longer than the longest long poll
	longestPoll    = 50 * time.Second
	firstPause     = 200 * time.Millisecond
	maxPause       = 10 * time.Second
	maxRetryAfter  = time.Minute
)

// Options configures a [Client]. The zero Options, like nil, works.
type Options struct {
	// HTTPClient sends the requests. Default: one with a timeout above a minute.
	// Redirects are refused whatever it says: the key is for one server.
	HTTPClient *http.Client
}

// A Client talks to one server with one API key. It is safe for concurrent use.
// No error of it holds the key.
type Client struct {
	base string
	key  tokenvault.Secret
	http *http.Client
	poll time.Duration // how long the server is asked to hold a long poll
}

// New returns a client of the server at serverURL, an origin such as
// https://vault.example.com. Plain http is for loopback names only: the key would
// travel in clear. Bad arguments are a [tokenvault.FieldError].
func New(serverURL string, key tokenvault.Secret, opts *Options) (*Client, error) {
	base, err := origin(serverURL)
	if err != nil {
		return nil, err
	}
	switch {
	case key.IsZero():
		return nil, invalid("key", "must not be empty: make one with 'tokenvault apikey create'")
	case strings.ContainsFunc(key.Reveal(), func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return nil, invalid("key", "must be the key's text alone, without spaces and line breaks")
	}
	h := http.Client{Timeout: requestTimeout}
	if opts != nil && opts.HTTPClient != nil {
		h = *opts.HTTPClient
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &Client{base: base, key: key, http: &h, poll: longestPoll}
	if h.Timeout > 0 && h.Timeout < requestTimeout {
		c.poll = h.Timeout / 2
	}
	return c, nil
}

// origin returns scheme and host of a server's URL that has nothing else.
func origin(serverURL string) (string, error) {
	u, err := url.Parse(serverURL)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", invalid("server", "must be an origin such as https://vault.example.com")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return "", invalid("server", "must be https, except on a loopback name")
	}
	return u.Scheme + "://" + u.Host, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host == "localhost" || strings.HasSuffix(host, ".localhost")
	}
	return addr.IsLoopback()
}

func invalid(field, reason string) error {
	return &tokenvault.FieldError{Field: field, Reason: reason}
}

// A ResolveRequest asks for access to a provider.
type ResolveRequest struct {
	ProviderID   string             `json:"-"`
	ConnectionID string             `json:"connectionId,omitempty"`
	Scopes       []string           `json:"scopes,omitempty"`
	Release      tokenvault.Release `json:"release,omitempty"` // default inject
	RunID        string             `json:"runId,omitempty"`
	ThreadID     string             `json:"threadId,omitempty"`
	// RejectedVersion is the version that the service answered 401 to. It is
	// renewed for this at most once; then the owner has to act.
	RejectedVersion int64 `json:"rejectedVersion,omitempty"`
	// Check asks whether Release would be given now. The token has no secret then; who
	// needs it later resolves again.
	Check bool `json:"check,omitempty"`
	// Format says in which form a browser login is wanted, with release token.
	// Default [FormatStorageState].
	Format StateFormat `json:"format,omitempty"`
	// URL is the address that the cookies are for, with [FormatCookieHeader].
	URL string `json:"url,omitempty"`
	// Owner is set by back ends only; an agent's owner is its key's.
	Owner *Owner `json:"owner,omitempty"`
}

// A StateFormat says in which form a browser login is handed out.
type StateFormat string

// The formats.
const (
	FormatStorageState StateFormat = "storage_state" // as Playwright and others restore it
	FormatCookieHeader StateFormat = "cookie_header" // for requests to one address
	FormatRaw          StateFormat = "raw"           // all that was captured, also what Playwright has no place for
)

// An Owner names whom a back end acts for.
type Owner struct {
	UserID         string `json:"userId,omitempty"`
	OrganizationID string `json:"organizationId,omitempty"`
	// OrgAdmin says that the user administers the organization, for
	// [Client.Complete] and [Client.CreateSession].
	OrgAdmin bool `json:"-"`
}

// query returns the owner as a query, with its question mark.
func (o Owner) query(more url.Values) string {
	if o.UserID != "" {
		more.Set("userId", o.UserID)
	}
	if o.OrganizationID != "" {
		more.Set("organizationId", o.OrganizationID)
	}
	return "?" + more.Encode()
}

// A Token is access to one connection.
type Token struct {
	CredentialID string            `json:"credentialId"`
	Version      int64             `json:"version"` // send it as RejectedVersion after a 401
	Scopes       []string          `json:"scopes"`
	ExpiresAt    time.Time         `json:"expiresAt"` // zero: not known
	TokenType    string            `json:"tokenType"`
	AccessToken  tokenvault.Secret `json:"accessToken"` // with release token only
	// Fields are what the owner entered, by field, if TokenType is
	// [tokenvault.TokenTypeAPIKey]: with release token only, and in place of
	// AccessToken.
	Fields map[string]tokenvault.Secret `json:"fields"`
	// Headers and Query authorize a request to one of the provider's hosts, in place of
	// what it has there, if TokenType is [tokenvault.TokenTypeAPIKey].
	Headers map[string]tokenvault.Secret `json:"headers"`
	Query   map[string]tokenvault.Secret `json:"query"`
	// BrowserState or CookieHeader, as the format says, is a browser login, if
	// TokenType is "browser": with release token only. UserAgent is that of the browser
	// in which the user signed in, and Viewport what its pages saw of it: services may
	// want the same.
	BrowserState tokenvault.StateJSON `json:"browserState"`
	CookieHeader tokenvault.Secret    `json:"cookieHeader"`
	UserAgent    string               `json:"userAgent"`
	Viewport     Viewport             `json:"viewport"`
}

// A Viewport is in CSS pixels; zero if it is not known.
type Viewport struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// released reports whether the credential itself is there.
func (t *Token) released() bool {
	return !t.AccessToken.IsZero() || len(t.Fields) > 0 || len(t.BrowserState) > 0 || !t.CookieHeader.IsZero()
}

// Resolve asks once. It fails with *[tokenvault.AuthRequiredError] if the owner
// has to act first, and with *[Error] if the server refuses.
func (c *Client) Resolve(ctx context.Context, req ResolveRequest) (*Token, error) {
	provider, err := segment("providerId", req.ProviderID)
	if err != nil {
		return nil, err
	}
	var token Token
	if err := c.call(ctx, http.MethodPost, "/v1/credentials/"+provider+"/resolve", req, &token); err != nil {
		return nil, err
	}
	if token.CredentialID == "" || req.Release == tokenvault.ReleaseToken && token.released() == req.Check {
		return nil, unexpected(http.StatusOK)
	}
	return &token, nil
}

// Wait waits until the auth request is settled, through restarts of the server
// and broken connections, as long as ctx lasts.
func (c *Client) Wait(ctx context.Context, authRequestID string) (tokenvault.AuthRequest, error) {
	return c.WaitFor(ctx, Owner{}, authRequestID)
}

// WaitFor is [Client.Wait] for back ends: owner is who was asked.
func (c *Client) WaitFor(ctx context.Context, owner Owner, authRequestID string) (tokenvault.AuthRequest, error) {
	id, err := segment("authRequestId", authRequestID)
	if err != nil {
		return tokenvault.AuthRequest{}, err
	}
	path := "/v1/auth-requests/" + id + owner.query(url.Values{"wait": {c.poll.String()}})
	pause := firstPause
	for {
		var payload tokenvault.AuthRequiredPayload
		err := c.call(ctx, http.MethodGet, path, nil, &payload)
		next := min(2*pause, maxPause)
		switch {
		case err == nil && payload.AuthRequestID != authRequestID:
			return tokenvault.AuthRequest{}, unexpected(http.StatusOK)
		case err == nil && payload.Status.Settled():
			return requestOf(payload), nil
		case err == nil:
			pause, next = firstPause, firstPause
		case !passing(err):
			return tokenvault.AuthRequest{}, err
		}
		select {
		case <-time.After(max(pause, min(retryAfter(err), maxRetryAfter))):
			pause = next
		case <-ctx.Done():
			return tokenvault.AuthRequest{}, ctx.Err()
		}
	}
}

// maxPauses bounds how often one call may pause: for a connect, a step-up, and
// once more.
const maxPauses = 3

// ResolveWait resolves; if the owner has to act, it calls notify, waits, and
// resolves again. notify gets each request once: one, unless the owner has to act
// again after that. A request that ends otherwise than connected is an
// *[tokenvault.AuthRequiredError] with that status.
func (c *Client) ResolveWait(ctx context.Context, req ResolveRequest, notify func(tokenvault.AuthRequest)) (*Token, error) {
	var owner Owner
	if req.Owner != nil {
		owner = *req.Owner
	}
	for pauses := 0; ; pauses++ {
		token, err := c.Resolve(ctx, req)
		required, paused := errors.AsType[*tokenvault.AuthRequiredError](err)
		if !paused || pauses == maxPauses {
			return token, err
		}
		if notify != nil {
			notify(required.Request)
		}
		settled, err := c.WaitFor(ctx, owner, required.Request.ID)
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
	id, err := segment("credentialId", credentialID)
	if err != nil {
		return err
	}
	var done struct {
		Success bool `json:"success"`
	}
	if err := c.call(ctx, http.MethodDelete, "/v1/connections/"+id+owner.query(url.Values{}), nil, &done); err != nil {
		return err
	}
	if !done.Success {
		return unexpected(http.StatusOK)
	}
	return nil
}

// Rename gives a connection a name, of at most [tokenvault.MaxConnectionName]
// characters; an empty one takes it away. Back ends only: owner is whose it is.
func (c *Client) Rename(ctx context.Context, owner Owner, credentialID, name string) error {
	id, err := segment("credentialId", credentialID)
	if err != nil {
		return err
	}
	in := struct {
		Name string `json:"name"`
	}{name}
	var renamed struct {
		ID string `json:"id"`
	}
	if err := c.call(ctx, http.MethodPatch, "/v1/connections/"+id+owner.query(url.Values{}), in, &renamed); err != nil {
		return err
	}
	if renamed.ID != credentialID {
		return unexpected(http.StatusOK)
	}
	return nil
}

// segment returns text as one segment of a path.
func segment(field, text string) (string, error) {
	if text == "" || text == "." || text == ".." {
		return "", invalid(field, "must be an id")
	}
	return url.PathEscape(text), nil
}
