package tokenvault

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// An Access is one release of a credential to one agent. It does not renew
// itself: resolve again for the next call.
type Access struct {
	vault      *Vault
	actor      Actor
	request    ResolveRequest
	provider   Provider
	connection Connection
	credential Credential
	cookies    struct {
		once  sync.Once
		state StorageState
		err   error
	}
}

// Connection returns what is used, without secrets, its name and its last use.
func (a *Access) Connection() Connection { return a.connection }

// Provider returns the provider.
func (a *Access) Provider() Provider { return a.provider }

// Authorize adds the credential to r after checking that r goes to one of the
// provider's hosts by https, or by http to a host that the provider lists as
// host:port on a loopback name. It fails with [ErrDenied], and leaves r as it
// was, if not. Cookies, any Authorization header and whatever else r carries where
// the credential goes are dropped. Of a browser login it adds the cookies that a
// browser would send there, and the browser's User-Agent if r names none; it fails
// with [ErrInvalid] if there is no such cookie.
//
// Some providers take a credential in the query: it shows in r.URL then, which
// package net/http quotes in its errors. [Access.Transport] keeps it out of them.
func (a *Access) Authorize(r *http.Request) error {
	if r.URL == nil || !a.allows(r) {
		return fmt.Errorf("%s: the request goes to a host that is not the provider's: %w", a.provider.ID, ErrDenied)
	}
	if key := a.provider.APIKey; key != nil {
		if err := key.Authorize(r, a.credential.Fields); err != nil {
			return fmt.Errorf("%s: %w", a.provider.ID, err)
		}
		r.Header.Del("Cookie")
		return nil
	}
	if a.provider.Login != nil {
		return a.addCookies(r)
	}
	r.Header.Del("Cookie")
	r.Header.Set("Authorization", "Bearer "+a.credential.AccessToken.Reveal())
	return nil
}

func (a *Access) allows(r *http.Request) bool {
	return (r.Host == "" || strings.EqualFold(r.Host, r.URL.Host)) && a.allowsURL(r.URL)
}

func (a *Access) allowsURL(u *url.URL) bool {
	if u.User != nil {
		return false
	}
	switch u.Scheme {
	case "https":
		return a.provider.AllowsHost(u.Host)
	case "http":
		return u.Port() != "" && isLoopbackName(u.Hostname()) && a.provider.AllowsHost(u.Host)
	}
	return false
}

// Transport returns a round tripper that authorizes each request before base
// sends it; nil means [http.DefaultTransport]. A redirect to a foreign host
// fails rather than taking the credential along.
func (a *Access) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return authorizing{a, base}
}

type authorizing struct {
	access *Access
	base   http.RoundTripper
}

// RoundTrip authorizes a copy of r and sends it.
func (t authorizing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if err := t.access.Authorize(r); err != nil {
		return nil, err
	}
	return t.base.RoundTrip(r)
}

// Reveal returns the credential without its refresh token. It fails with
// [ErrDenied] unless the agent asked for, and is permitted, [ReleaseToken].
func (a *Access) Reveal() (Credential, error) {
	if err := a.revealed(); err != nil {
		return Credential{}, err
	}
	return a.credential.forAgent(), nil
}

func (a *Access) revealed() error {
	if a.request.Release != ReleaseToken {
		return fmt.Errorf("%s: the access was resolved with release %q: %w", a.provider.ID, a.request.Release, ErrDenied)
	}
	return nil
}

// Rejected reports that the service answered 401 to an authorized request. It
// returns renewed access, or *[AuthRequiredError] if this version was renewed for
// the same cause already, or cannot be renewed.
func (a *Access) Rejected(ctx context.Context) (*Access, error) {
	req := a.request
	req.ConnectionID, req.RejectedVersion = a.connection.ID, a.connection.Version
	return a.vault.Resolve(ctx, a.actor, req)
}
