package signin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

const (
	// OIDCPath is where, and below which, [OIDC.Handler] must be mounted.
	OIDCPath = "/signin/oidc"
	// OIDCCallbackPath is the path of the redirect URL to register at the sign-in
	// server.
	OIDCCallbackPath = OIDCPath + "/callback"
)

// OIDCOptions configures an [OIDC].
type OIDCOptions struct {
	// Issuer is the sign-in server, exactly as its metadata names itself.
	Issuer string
	// ClientID and ClientSecret are the vault's registration there. Without a
	// secret it is a public client.
	ClientID     string
	ClientSecret tokenvault.Secret
	// Scopes are asked for beside "openid".
	Scopes []string
	// UserClaim names the claim of the ID token that is the host's id of the user.
	// Default "sub". "email" is taken only if it is verified.
	UserClaim string
	// OrganizationClaim names the claim that is the user's organization. Empty: no
	// organizations.
	OrganizationClaim string
	// Allow lists exact host:port pairs that may be reached although their address
	// is private, also by http.
	Allow []string
	// SessionTTL is how long a browser stays signed in, at most a day. Default 1 h.
	SessionTTL time.Duration
	// Logger is told why somebody could not be signed in. Default: nothing is
	// logged.
	Logger *slog.Logger
}

// OIDC authenticates users by signing them in at an OpenID Connect server, by the
// authorization code flow (OpenID Connect Core §3.1) with PKCE, a nonce, and a
// state that is bound to the browser:
//
//	begin     state, nonce and PKCE verifier into a sealed cookie, named after the state
//	   │      the browser goes to the server and comes back
//	finish    cookie and state compared → iss (RFC 9207) → code exchanged
//	   │      → id_token verified, nonce compared → claims mapped
//	signed in session in a cookie, sealed
//
// The server's metadata is read when the first user signs in; a server that names
// itself otherwise than configured is refused. OIDC is safe for concurrent use.
type OIDC struct {
	vault  *tokenvault.Vault
	opts   OIDCOptions
	http   *http.Client
	cookie sessionCookie
	log    *slog.Logger
	page   *page

	mu     sync.Mutex
	server *oidcServer // nil until its metadata was read
}

// NewOIDC returns an authenticator for a vault. It fails with a
// [tokenvault.FieldError] that names the option which is missing or wrong.
func NewOIDC(v *tokenvault.Vault, opts OIDCOptions) (*OIDC, error) {
	u, err := url.Parse(opts.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "":
		return nil, &tokenvault.FieldError{Field: "oidcIssuer", Reason: "must be the URL of the sign-in server, such as https://login.example.com"}
	case opts.ClientID == "":
		return nil, &tokenvault.FieldError{Field: "oidcClientId", Reason: "must be the vault's client id at the sign-in server"}
	}
	if opts.UserClaim == "" {
		opts.UserClaim = "sub"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &OIDC{
		vault: v, opts: opts, http: netguard.NewClient(netguard.Options{Allow: opts.Allow}),
		cookie: newSessionCookie(v, opts.SessionTTL), log: opts.Logger, page: newPage(),
	}, nil
}

// RedirectURL is what to register at the sign-in server.
func (o *OIDC) RedirectURL() string { return o.vault.PublicURL() + OIDCCallbackPath }

// Authenticate returns the user that the browser is signed in as, or an error
// wrapping [tokenvault.ErrUnauthenticated].
func (o *OIDC) Authenticate(r *http.Request) (tokenvault.Actor, error) {
	return o.cookie.authenticate(r)
}

// Recheck implements [tokenvault.Rechecker].
func (o *OIDC) Recheck(r *http.Request) (tokenvault.Actor, time.Time, error) {
	return o.cookie.recheck(r)
}

// SignInURL returns the path at which signing in begins.
func (o *OIDC) SignInURL(returnTo string) string {
	return OIDCPath + "?" + url.Values{"next": {returnTo}}.Encode()
}

// Handler signs browsers in and out:
//
//	GET  /signin/oidc?next=…    goes to the sign-in server; stores nothing
//	GET  /signin/oidc/callback  comes back, sets the cookie, and goes to next, a path
//	POST /signin/out            deletes the cookie
func (o *OIDC) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+OIDCPath, o.begin)
	mux.HandleFunc("GET "+OIDCCallbackPath, o.finish)
	mux.Handle("POST "+SignOutPath, o.cookie.signOut(o.page))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.page.setHeaders(w.Header())
		mux.ServeHTTP(w, r)
	})
}

// An oidcServer is what the metadata of the sign-in server says.
type oidcServer struct {
	provider   *oidc.Provider
	client     oauth2.Config
	returnsIss bool
}

// discover returns the sign-in server, reading its metadata once (OpenID Connect
// Discovery §4). It fails if the metadata is of another issuer.
func (o *OIDC) discover(ctx context.Context) (*oidcServer, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.server != nil {
		return o.server, nil
	}
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), o.http), o.opts.Issuer)
	if err != nil {
		return nil, metadataError(err)
	}
	var metadata struct {
		ReturnsIss  bool     `json:"authorization_response_iss_parameter_supported"`
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return nil, metadataError(err)
	}
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if o.opts.ClientSecret.IsZero() || len(metadata.AuthMethods) > 0 && !slices.Contains(metadata.AuthMethods, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	o.server = &oidcServer{
		provider: provider, returnsIss: metadata.ReturnsIss,
		client: oauth2.Config{
			ClientID: o.opts.ClientID, ClientSecret: o.opts.ClientSecret.Reveal(), Endpoint: endpoint,
			RedirectURL: o.RedirectURL(), Scopes: append([]string{oidc.ScopeOpenID}, o.opts.Scopes...),
		},
	}
	return o.server, nil
}

// metadataError keeps of an error what an operator can act on, and nothing of the
// answer's body.
func metadataError(err error) error {
	reason := errors.New("it is not readable")
	if _, mismatch := errors.AsType[*oidc.IssuerMismatchError](err); mismatch {
		reason = errors.New("it names another issuer than is configured")
	} else if failed, ok := errors.AsType[*url.Error](err); ok {
		reason = failed.Err
	}
	return fmt.Errorf("the sign-in server's metadata: %w: %w", reason, errSignInServer)
}
