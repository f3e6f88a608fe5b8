package signin

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

// AssertionPath is where [Assertion.Handler] must be mounted.
const AssertionPath = "/signin/assertion"

const maxAssertionForm = 16 << 10

// AssertionOptions configures an [Assertion].
type AssertionOptions struct {
	// Issuer is the "iss" of the host's assertions.
	Issuer string
	// Keys are the host's public keys: RSA, ECDSA or Ed25519. See [ParseKeys].
	Keys []crypto.PublicKey
	// KeysURL is where the host publishes them instead, as a JWK Set (RFC 7517).
	KeysURL string
	// Allow lists exact host:port pairs that may be asked for keys although their
	// address is private, also by http.
	Allow []string
	// SignInURL is the host's page that posts an assertion for who is signed in.
	// "{returnTo}" in it is replaced by the URL to come back to, escaped for a
	// query. Empty: people are told to go back to the application.
	SignInURL string
	// SessionTTL is how long a browser stays signed in, at most a day. Default 1 h.
	SessionTTL time.Duration
	// Logger is told why an assertion was refused. Default: nothing is logged.
	Logger *slog.Logger
}

// Assertion authenticates users by what the host application says of them, in a
// signed statement (RFC 7519) of its own:
//
//	header  {"typ": "tokenvault-assertion+jwt", "alg": "ES256", "kid": "…"}
//	claims  {"iss": the host, "aud": the vault's public URL, "sub": the user's id,
//	         "iat", "exp": at most 60 seconds later, "jti": used once,
//	         "org_id": optional, "org_admin": optional}
//
// A browser brings it as the field "assertion" of a form that a page of a
// registered origin posts to [AssertionPath], and is signed in from then on. The
// host's server sends it as "Authorization: Bearer", one for each request. It is
// never part of a URL.
//
// A header with any other member is refused, so that no statement can bring its
// own key along. Assertion is safe for concurrent use.
type Assertion struct {
	vault     *tokenvault.Vault
	verifier  *oidc.IDTokenVerifier
	signInURL string
	cookie    sessionCookie
	log       *slog.Logger
	page      *page
}

// NewAssertion returns an authenticator for a vault. It fails with a
// [tokenvault.FieldError] that names the option which is missing or wrong.
func NewAssertion(v *tokenvault.Vault, opts AssertionOptions) (*Assertion, error) {
	keysURL, err := url.Parse(opts.KeysURL)
	switch {
	case opts.Issuer == "":
		return nil, &tokenvault.FieldError{Field: "assertionIssuer", Reason: "must be the issuer of the host's assertions"}
	case (len(opts.Keys) == 0) == (opts.KeysURL == ""):
		return nil, &tokenvault.FieldError{Field: "assertionKeys", Reason: "must be the host's public keys, or the URL where it publishes them, not both"}
	case opts.KeysURL != "" && (err != nil || keysURL.Host == ""):
		return nil, &tokenvault.FieldError{Field: "assertionKeysUrl", Reason: "must be a URL such as https://app.example.com/.well-known/jwks.json"}
	}
	if err := checkSignInURL(opts.SignInURL); err != nil {
		return nil, err
	}
	var keys oidc.KeySet = &oidc.StaticKeySet{PublicKeys: opts.Keys}
	if opts.KeysURL != "" {
		client := netguard.NewClient(netguard.Options{Allow: opts.Allow, MaxBody: maxKeys})
		keys = oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), client), opts.KeysURL)
	}
	a := &Assertion{
		vault: v, signInURL: opts.SignInURL, cookie: newSessionCookie(v, opts.SessionTTL), log: opts.Logger, page: newPage(),
		verifier: oidc.NewVerifier(opts.Issuer, keys, &oidc.Config{ClientID: v.PublicURL(), SupportedSigningAlgs: assertionAlgs()}),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	return a, nil
}

// Authenticate returns the user of a request: by the assertion in its header, else
// by the session of the browser. It fails with an error wrapping
// [tokenvault.ErrUnauthenticated], or [tokenvault.ErrUnavailable].
func (a *Assertion) Authenticate(r *http.Request) (tokenvault.Actor, error) {
	if assertion, ok := bearer(r); ok {
		return a.accept(r.Context(), assertion)
	}
	return a.cookie.authenticate(r)
}

// Recheck implements [tokenvault.Rechecker]. An assertion counts, for the one request
// that brought it, until its exp.
func (a *Assertion) Recheck(r *http.Request) (tokenvault.Actor, time.Time, error) {
	assertion, ok := bearer(r)
	if !ok {
		return a.cookie.recheck(r)
	}
	said, err := a.verify(r.Context(), assertion)
	if err != nil {
		return tokenvault.Actor{}, time.Time{}, errRefused()
	}
	return said.user, said.until, nil
}

// bearer returns the token of the Authorization header (RFC 6750 §2.1).
func bearer(r *http.Request) (tokenvault.Secret, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return tokenvault.NewSecret(strings.TrimSpace(token)), strings.EqualFold(scheme, "Bearer")
}

// SignInURL returns where to sign in at the host; empty if that is not
// configured.
func (a *Assertion) SignInURL(returnTo string) string {
	return hostSignInURL(a.signInURL, a.vault.PublicURL(), returnTo)
}

// Handler signs browsers in and out:
//
//	POST /signin/assertion  assertion, next: sets the cookie and goes to next, a path
//	POST /signin/out        deletes the cookie
func (a *Assertion) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+AssertionPath, a.signIn)
	mux.Handle("POST "+SignOutPath, a.cookie.signOut(a.page))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.page.setHeaders(w.Header())
		r.Body = http.MaxBytesReader(w, r.Body, maxAssertionForm)
		mux.ServeHTTP(w, r)
	})
}

// signIn takes an assertion from a page of the host and from nowhere else:
// otherwise anybody could sign others in as themselves and wait for what they
// connect.
func (a *Assertion) signIn(w http.ResponseWriter, r *http.Request) {
	if !slices.Contains(a.vault.Origins(), r.Header.Get("Origin")) {
		a.log.InfoContext(r.Context(), "an assertion was refused",
			slog.String("reason", "it was posted from a page whose origin is not one of origins"), slog.String("origin", shortOrigin(r)))
		a.page.answer(http.StatusForbidden, textElsewhere()).ServeHTTP(w, r)
		return
	}
	user, err := a.accept(r.Context(), tokenvault.NewSecret(r.PostFormValue("assertion")))
	if err == nil {
		err = a.cookie.signIn(w, r, user, r.PostFormValue("next"))
	}
	switch {
	case err == nil:
	case errors.Is(err, tokenvault.ErrUnauthenticated):
		a.page.answer(http.StatusUnauthorized, textRefused()).ServeHTTP(w, r)
	default:
		a.log.ErrorContext(r.Context(), "a user could not be signed in", slog.Any("error", err))
		a.page.answer(http.StatusServiceUnavailable, textNoServer()).ServeHTTP(w, r)
	}
}

// shortOrigin returns what a request says of its origin, as much as a log is to hold.
func shortOrigin(r *http.Request) string {
	origin := r.Header.Get("Origin")
	return origin[:min(len(origin), 128)]
}

// accept verifies an assertion and spends it.
func (a *Assertion) accept(ctx context.Context, assertion tokenvault.Secret) (tokenvault.Actor, error) {
	said, err := a.verify(ctx, assertion)
	if err == nil {
		err = a.vault.UseOnce(ctx, "assertion", said.id, 2*maxAssertionAge)
		if errors.Is(err, tokenvault.ErrConflict) {
			err = errors.New("it was used before")
		} else if err != nil {
			return tokenvault.Actor{}, err
		}
	}
	if err != nil {
		a.log.InfoContext(ctx, "an assertion was refused", slog.Any("reason", err))
		return tokenvault.Actor{}, errRefused()
	}
	return said.user, nil
}

func errRefused() error { return fmt.Errorf("assertion: %w", tokenvault.ErrUnauthenticated) }
