// Package oauth2flow connects accounts by OAuth 2.0: the authorization code grant
// with PKCE (RFC 6749 §4.1, RFC 7636), refresh (RFC 6749 §6) and revocation
// (RFC 7009).
//
//	Begin     authorization URL: state, PKCE S256 always, redirect URL from configuration;
//	   │      pushed to the provider first where it takes that (RFC 9126)
//	   │      the browser goes to the provider and comes back; the vault proves who came
//	Complete  iss compared (RFC 9207) → POST code + verifier → account from id_token or userinfo
//	Refresh   POST refresh token, once → Rotated | Rejected | Transient | Uncertain
//	Revoke    POST token to the revocation endpoint
//
// In place of Begin and Complete, BeginDevice asks for a code that the owner enters at
// the provider, and PollDevice whether they did (RFC 8628).
//
// Where the app itself is the account, Grant and Refresh ask with the app's own
// credentials (RFC 6749 §4.4), and nobody is sent anywhere.
//
// The client proves itself by secret (in the header or the form), by a signed
// assertion (RFC 7523), or, if it is public, not at all.
//
// The token-endpoint client is our own, since what it must never do (print a
// body, retry a refresh, follow a redirect with a secret) matters more here than
// what it can do. Requests go through a guarded client that reaches public
// addresses only.
package oauth2flow

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/limit"
	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

// requestTimeout bounds one request to a provider. It is shorter than the lease
// of a refresh.
const requestTimeout = 20 * time.Second

// Options configures a [Flow]. The zero Options, like nil, works for public
// providers.
type Options struct {
	// Allow lists exact host:port pairs that may be reached although their address
	// is private, also by http.
	Allow []string
	// HTTPClient replaces the guarded client. It must not follow redirects.
	HTTPClient *http.Client
	// PerHost is how many requests a second may go to the token endpoints of one
	// host, twice as many at once; with it come 64 at a time, a queue, and pauses that
	// the host asks for by Retry-After. The limit holds within this process. Default:
	// no limit.
	PerHost float64
	// Logger is told what a flow decides to live with. Default: nothing is logged.
	Logger *slog.Logger
}

// A Flow is the OAuth 2.0 flow. It is safe for concurrent use, and keeps no state
// but how much goes to which host.
type Flow struct {
	http *http.Client
	gate *limit.Gate
	log  *slog.Logger
}

var (
	_ tokenvault.Flow        = (*Flow)(nil)
	_ tokenvault.Redirecting = (*Flow)(nil)
	_ tokenvault.Granting    = (*Flow)(nil)
	_ tokenvault.DeviceFlow  = (*Flow)(nil)
	_ tokenvault.Refresher   = (*Flow)(nil)
	_ tokenvault.Revoker     = (*Flow)(nil)
)

// New returns a flow.
func New(opts *Options) *Flow {
	var o Options
	if opts != nil {
		o = *opts
	}
	f := &Flow{http: o.HTTPClient, gate: limit.NewGate(o.PerHost), log: o.Logger}
	if f.http == nil {
		f.http = netguard.NewClient(netguard.Options{Allow: o.Allow, Timeout: requestTimeout})
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	return f
}

// Begin returns the authorization URL. It contacts the provider only to push the
// request there, where the provider takes pushed requests.
func (f *Flow) Begin(ctx context.Context, in tokenvault.BeginInput) (tokenvault.Step, error) {
	p := in.Provider.OAuth2
	if p == nil {
		return tokenvault.Step{}, fmt.Errorf("provider %s has no OAuth 2.0 endpoints: %w", in.Provider.ID, tokenvault.ErrInvalid)
	}
	u, err := url.Parse(p.AuthorizationURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Opaque != "" {
		return tokenvault.Step{}, fmt.Errorf("provider %s: authorizationUrl must be an http(s) URL: %w", in.Provider.ID, tokenvault.ErrInvalid)
	}
	secret := private{verifier: random(), nonce: random()}
	scopes := withAlways(in.Scopes, p.AlwaysScopes)
	q := u.Query()
	for name, value := range p.AuthorizationParams {
		q.Set(name, value)
	}
	q.Set("response_type", "code")
	q.Set("client_id", in.Client.ID)
	q.Set("redirect_uri", in.RedirectURL)
	q.Set("state", in.State.Reveal())
	q.Set("code_challenge", challenge(secret.verifier))
	q.Set("code_challenge_method", "S256")
	if len(scopes) > 0 {
		q.Set(orDefault(p.ScopeParam, "scope"), strings.Join(scopes, orDefault(p.ScopeSeparator, " ")))
	}
	if slices.Contains(scopes, "openid") {
		q.Set("nonce", secret.nonce)
	}
	if in.LoginHint != "" {
		q.Set("login_hint", in.LoginHint)
	}
	if p.PushedAuthorizationURL != "" {
		if q, err = f.push(ctx, in, q); err != nil {
			return tokenvault.Step{}, err
		}
	}
	u.RawQuery = q.Encode()
	return tokenvault.Step{URL: u.String(), Private: secret.seal()}, nil
}

// withAlways returns scopes with those that every request carries.
func withAlways(scopes, always []string) []string {
	out := slices.Clone(scopes)
	for _, s := range always {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

// random returns 256 random bits as text: a PKCE verifier (RFC 7636 §4.1) or a
// nonce.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: see package crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

// challenge is the S256 code challenge of a verifier (RFC 7636 §4.2).
func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
