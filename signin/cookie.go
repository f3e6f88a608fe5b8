package signin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// SignOutPath is where a POST ends the session of a browser, in the modes that
	// keep one in a cookie.
	SignOutPath = "/signin/out"

	defaultSessionTTL = time.Hour
)

// A sessionCookie keeps in the browser, sealed, whose it is: nothing is stored
// here but that a session was ended.
type sessionCookie struct {
	vault *tokenvault.Vault
	ttl   time.Duration
}

func newSessionCookie(v *tokenvault.Vault, ttl time.Duration) sessionCookie {
	if ttl <= 0 {
		ttl = defaultSessionTTL
	}
	return sessionCookie{v, ttl}
}

func (c sessionCookie) secure() bool { return strings.HasPrefix(c.vault.PublicURL(), "https://") }

func (c sessionCookie) name() string { return cookieName("tv_session", c.secure()) }

// cookieName gives a cookie the prefix that keeps other hosts from setting it,
// where browsers allow that (RFC 6265bis §4.1.3.2).
func cookieName(name string, secure bool) string {
	if secure {
		return "__Host-" + name
	}
	return name
}

// signIn sets the cookie for the user and sends the browser on to next, a path.
func (c sessionCookie) signIn(w http.ResponseWriter, r *http.Request, user tokenvault.Actor, next string) error {
	session, err := c.vault.SignIn(r.Context(), user, c.ttl)
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{
		Name: c.name(), Value: session.Token.Reveal(), Path: "/", MaxAge: int(c.ttl / time.Second),
		HttpOnly: true, Secure: c.secure(), SameSite: http.SameSiteLaxMode,
	})
	if !safePath(next) {
		next = "/"
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// authenticate returns whose cookie a request carries.
func (c sessionCookie) authenticate(r *http.Request) (tokenvault.Actor, error) {
	actor, _, err := c.recheck(r)
	return actor, err
}

// recheck returns whose cookie a request carries, and until when that counts.
func (c sessionCookie) recheck(r *http.Request) (tokenvault.Actor, time.Time, error) {
	for _, cookie := range r.CookiesNamed(c.name()) {
		actor, until, err := c.vault.RecheckSession(r.Context(), tokenvault.NewSecret(cookie.Value), c.vault.PublicURL())
		if err == nil || !errors.Is(err, tokenvault.ErrUnauthenticated) {
			return actor, until, err
		}
	}
	return tokenvault.Actor{}, time.Time{}, fmt.Errorf("no session: %w", tokenvault.ErrUnauthenticated)
}

// signOut ends the session and deletes the cookie.
func (c sessionCookie) signOut(p *page) http.Handler {
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(p.answer(http.StatusForbidden, textElsewhere()))
	return csrf.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, cookie := range r.CookiesNamed(c.name()) {
			if err := c.vault.SignOut(r.Context(), tokenvault.NewSecret(cookie.Value)); err != nil {
				p.answer(http.StatusServiceUnavailable, textNotSignedOut()).ServeHTTP(w, r)
				return
			}
		}
		http.SetCookie(w, &http.Cookie{
			Name: c.name(), Path: "/", MaxAge: -1, HttpOnly: true, Secure: c.secure(), SameSite: http.SameSiteLaxMode,
		})
		p.answer(http.StatusOK, textSignedOut()).ServeHTTP(w, r)
	}))
}

// hostSignInURL fills the URL to come back to into a host's sign-in address.
func hostSignInURL(address, publicURL, returnTo string) string {
	if !safePath(returnTo) {
		returnTo = "/"
	}
	return strings.ReplaceAll(address, "{returnTo}", url.QueryEscape(publicURL+returnTo))
}

// checkSignInURL checks a host's sign-in address.
func checkSignInURL(address string) error {
	if u, err := url.Parse(address); err != nil || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return &tokenvault.FieldError{Field: "signInUrl", Reason: "must be an http or https URL, or a path"}
	}
	return nil
}
