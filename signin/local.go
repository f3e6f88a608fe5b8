package signin

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/limit"
)

const (
	// LocalPath is where [Local.Handler] must be mounted.
	LocalPath = "/signin/local"

	linkTTL    = 15 * time.Minute
	sessionTTL = 30 * 24 * time.Hour
)

// LocalOptions configures a [Local]. The zero LocalOptions works.
type LocalOptions struct {
	// Tenant is the tenant that the user belongs to. Default
	// [tokenvault.DefaultTenant].
	Tenant string
	// UserID is who the one user is. Default "local".
	UserID string
	// Dir is a directory in which to keep who is signed in across restarts, as
	// hashes, in a file of mode 0600. Empty: in memory only.
	Dir string
	// Secure marks the cookie Secure and gives it the __Host- prefix. Set it if
	// browsers reach the vault by https.
	Secure bool
	// Failures is how many links that are none a client's address may try a minute;
	// its further tries are refused unseen. An address is the request's RemoteAddr,
	// of IPv6 the /64. Default: no limit.
	Failures float64
	// Logger receives what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
}

// Local authenticates one user on one machine. A browser is recognised by a
// cookie that it received for a one-time link of [Local.SignInLink]; without the
// cookie it is nobody. Requests that do not name a loopback host are refused, so
// that a web page cannot reach the vault through a name it controls (DNS
// rebinding).
//
// Browsers send a cookie of a loopback host to every port of it: another server
// that the user runs on the same host name can read it. Give such servers another
// name (any.localhost) if they are not trusted.
//
// It is safe for concurrent use.
type Local struct {
	actor    tokenvault.Actor
	secure   bool
	log      *slog.Logger
	sessions *localSessions
	badLinks *limit.Keyed
	page     *page
}

// NewLocal returns an authenticator of one local user. It fails with a
// [tokenvault.FieldError] on a bad tenant or user id, and if the file in Dir
// cannot be read or may be read by others.
func NewLocal(opts LocalOptions) (*Local, error) {
	if opts.Tenant == "" {
		opts.Tenant = tokenvault.DefaultTenant
	}
	if opts.UserID == "" {
		opts.UserID = "local"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	owner := tokenvault.Owner{Tenant: opts.Tenant, UserID: opts.UserID}
	if err := owner.Validate(); err != nil {
		return nil, fmt.Errorf("local sign-in: %w", err)
	}
	sessions, err := openLocalSessions(opts.Dir, owner)
	if err != nil {
		return nil, err
	}
	return &Local{
		actor:  tokenvault.Actor{Kind: tokenvault.ActorUser, ID: opts.UserID, Owner: owner},
		secure: opts.Secure, log: opts.Logger, sessions: sessions, page: newPage(),
		badLinks: limit.New(opts.Failures/60, int(opts.Failures)),
	}, nil
}

// Authenticate returns the local user if the request comes from a browser that
// is signed in, else an error wrapping [tokenvault.ErrUnauthenticated].
func (l *Local) Authenticate(r *http.Request) (tokenvault.Actor, error) {
	actor, _, err := l.Recheck(r)
	return actor, err
}

// Recheck implements [tokenvault.Rechecker].
func (l *Local) Recheck(r *http.Request) (tokenvault.Actor, time.Time, error) {
	if !isLoopbackHost(r.Host) {
		return tokenvault.Actor{}, time.Time{}, fmt.Errorf("local sign-in serves loopback names only: %w", tokenvault.ErrUnauthenticated)
	}
	// Servers on other ports of the host can set a cookie of this name too; theirs
	// must not hide ours.
	for _, cookie := range r.CookiesNamed(l.cookieName()) {
		if until := l.sessions.until(cookie.Value, time.Now()); !until.IsZero() {
			return l.actor, until, nil
		}
	}
	return tokenvault.Actor{}, time.Time{}, fmt.Errorf("local sign-in: %w", tokenvault.ErrUnauthenticated)
}

// SignInURL returns where a browser that is not signed in is told what to do.
func (l *Local) SignInURL(returnTo string) string {
	if !safePath(returnTo) {
		return LocalPath
	}
	return LocalPath + "?" + url.Values{"next": {returnTo}}.Encode()
}

// SignInLink returns a link that signs one browser in, once, within 15 minutes.
// Whoever has it can: show it on the user's own terminal and nowhere else.
// publicURL is the origin at which browsers reach the vault; its host must be a
// loopback name.
//
// The link carries its token in the query, although a query reaches logs and
// referrers more easily than a fragment does: a fragment would need JavaScript.
// What makes up for it: the token works once and shortly, opening the link spends
// nothing (a scanner that prefetches it must not), the page is never cached, its
// policy sends no referrer and loads nothing, and the address is left at once.
func (l *Local) SignInLink(publicURL string) (string, error) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !isLoopbackHost(u.Host) {
		return "", fmt.Errorf("local sign-in: %w", &tokenvault.FieldError{
			Field: "publicUrl", Reason: "must be http or https on a loopback name such as 127.0.0.1 or localhost",
		})
	}
	token := random256()
	l.sessions.addLink(token, time.Now().Add(linkTTL))
	return u.Scheme + "://" + u.Host + LocalPath + "?" + url.Values{"token": {token}}.Encode(), nil
}

func (l *Local) cookieName() string {
	return cookieName("tv_local", l.secure)
}

func (l *Local) cookie(value string) *http.Cookie {
	return &http.Cookie{
		Name: l.cookieName(), Value: value, Path: "/", MaxAge: int(sessionTTL / time.Second),
		HttpOnly: true, Secure: l.secure, SameSite: http.SameSiteLaxMode,
	}
}

// errLink reports a link that is unknown, used or too old: which one is not told.
var errLink = errors.New("the sign-in link is not valid")

// isLoopbackHost reports whether a Host header names this machine.
func isLoopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// safePath reports whether text is a path that no browser reads as another
// origin.
func safePath(text string) bool {
	return strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") &&
		!strings.ContainsFunc(text, func(r rune) bool { return r == '\\' || r < 0x20 || r == 0x7f })
}

// random256 returns 256 random bits as text.
func random256() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: see package crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}
