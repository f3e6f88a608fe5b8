package signin

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	hostTimeout  = 5 * time.Second
	maxHostCache = time.Minute
)

// HostSessionOptions configures a [HostSession].
type HostSessionOptions struct {
	// Tenant is the tenant that the host's users belong to. Default
	// [tokenvault.DefaultTenant].
	Tenant string
	// URL is the host's endpoint that says who is signed in; http or https.
	URL string
	// Cookies names the cookies to forward to it. Nothing else of a request is.
	Cookies []string
	// SignInURL is where a browser signs in at the host. "{returnTo}" in it is
	// replaced by the URL to come back to, escaped for a query. Empty: people are
	// told to go back to the application.
	SignInURL string
	// PublicURL is the origin at which browsers reach the vault. It makes the URL
	// to come back to absolute.
	PublicURL string
	// Client makes the calls. Default: one that uses no proxy. Its redirect policy,
	// cookie jar and timeout are replaced.
	Client *http.Client
	// CacheFor is how long an answer is used again for the same cookies, at most a
	// minute. Somebody who signs out at the host is still signed in here for as
	// long. Default 0: every request asks.
	CacheFor time.Duration
	// Logger receives why the host could not be asked. Default: nothing is logged.
	Logger *slog.Logger
}

// HostSession authenticates users by the session of the application beside which
// the vault runs: it forwards the session cookies of a request and is told whose
// they are. It is safe for concurrent use.
//
// The host answers 200 with {"userId", "organizationId", "orgAdmin"}, of which
// only userId is required. 401, 403, 404, 204, null, and an empty userId mean that
// nobody is signed in. Anything else, a redirect too, means that the host cannot
// tell now.
type HostSession struct {
	tenant    string
	url       string
	cookies   []string
	signInURL string
	publicURL string
	client    *http.Client
	cache     *actorCache
	log       *slog.Logger
}

// NewHostSession returns an authenticator that asks the host. It fails with a
// [tokenvault.FieldError] that names the option which is missing or wrong.
func NewHostSession(opts HostSessionOptions) (*HostSession, error) {
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("host session: %w", err)
	}
	h := &HostSession{
		tenant: opts.Tenant, url: opts.URL, cookies: opts.Cookies, signInURL: opts.SignInURL,
		publicURL: strings.TrimSuffix(opts.PublicURL, "/"), client: hostClient(opts.Client),
		cache: newActorCache(opts.CacheFor), log: opts.Logger,
	}
	if h.tenant == "" {
		h.tenant = tokenvault.DefaultTenant
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h, nil
}

func (opts HostSessionOptions) check() error {
	u, err := url.Parse(opts.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil:
		return &tokenvault.FieldError{Field: "sessionUrl", Reason: "must be an http or https URL without a user"}
	case len(opts.Cookies) == 0:
		return &tokenvault.FieldError{Field: "sessionCookies", Reason: "must name the host's session cookies"}
	case opts.CacheFor < 0 || opts.CacheFor > maxHostCache:
		return &tokenvault.FieldError{Field: "cacheFor", Reason: "must be between 0 and one minute"}
	}
	for _, name := range opts.Cookies {
		if (&http.Cookie{Name: name, Value: "x"}).Valid() != nil {
			return &tokenvault.FieldError{Field: "sessionCookies", Reason: "must be cookie names"}
		}
	}
	return checkSignInURL(opts.SignInURL)
}

// hostClient returns a client that follows no redirect, since the cookies would
// go along, and has no jar, since one user's cookies would meet another's.
func hostClient(given *http.Client) *http.Client {
	var c http.Client
	if given != nil {
		c = *given
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.Proxy = nil
		c.Transport = t
	}
	c.Jar, c.Timeout = nil, hostTimeout
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// SignInURL returns where to sign in at the host; empty if that is not
// configured.
func (h *HostSession) SignInURL(returnTo string) string {
	return hostSignInURL(h.signInURL, h.publicURL, returnTo)
}
