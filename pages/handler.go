package pages

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/ai-token-vault/tokenvault"
)

// maxForm has room for a few fields of 8 KiB, in the form's encoding.
const maxForm = 64 << 10

// Options configures the pages. The zero Options, like nil, works.
type Options struct {
	// Logger receives unexpected errors. Default: nothing is logged.
	Logger *slog.Logger
	// Limits bounds what users may do. Default: no limits.
	Limits Limits
}

// handler serves the pages of one vault.
type handler struct {
	vault *tokenvault.Vault
	auth  tokenvault.Authenticator
	opts  Options
	log   *slog.Logger
	pages *renderer
	limits
}

// NewHandler returns the pages of v for the users that auth knows. Mount it at
// /connect/ and /assets/ of the origin that is the vault's PublicURL.
func NewHandler(v *tokenvault.Vault, auth tokenvault.Authenticator, opts *Options) http.Handler {
	h := &handler{vault: v, auth: auth, pages: newRenderer()}
	if opts != nil {
		h.opts = *opts
	}
	if h.log = h.opts.Logger; h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.limits = newLimits(h.opts.Limits)
	mux := http.NewServeMux()
	mux.Handle("GET /connect/{id}", h.user(h.show))
	mux.Handle("POST /connect/{id}/confirm", h.user(h.starting(h.confirm)))
	mux.Handle("POST /connect/{id}/poll", h.user(h.poll)) // the store hands out the turns
	mux.Handle("POST /connect/{id}/submit", h.user(h.starting(h.submit)))
	mux.Handle("POST /connect/{id}/permit", h.user(h.permit))
	mux.Handle("POST /connect/{id}/decline", h.user(h.decline))
	mux.Handle("GET /connect/{id}/browser", h.user(h.showBrowser))
	mux.Handle("POST /connect/{id}/browser/finish", h.user(h.finishLogin))
	mux.Handle("POST /connect/{id}/browser/cancel", h.user(h.cancelLogin))
	mux.Handle("GET /connect/new", h.user(h.showNew))
	mux.Handle("POST /connect/new", h.user(h.starting(h.connectNew)))
	mux.HandleFunc("GET /connect/error", h.showError)
	mux.Handle("GET "+accountsPath, h.user(h.showAccounts))
	mux.Handle("POST "+accountsPath+"/{id}/rename", h.changing(h.rename))
	mux.Handle("POST "+accountsPath+"/{id}/share", h.changing(h.share))
	mux.Handle("POST "+accountsPath+"/{id}/unshare", h.changing(h.unshare))
	mux.Handle("POST "+accountsPath+"/{id}/disconnect", h.changing(h.disconnect))
	mux.Handle("POST "+accountsPath+"/permissions/{id}/withdraw", h.changing(h.withdraw))
	mux.HandleFunc("GET /assets/{name}", h.pages.asset)
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h.message(w, http.StatusForbidden, codeCrossSite)
	}))
	guarded := csrf.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header())
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		guarded.ServeHTTP(w, r)
	})
}

// policy lets a page load our own style, script and icon, and send its forms to
// us. A browser applies form-action to the redirects that follow a form too, which
// is why the way to a provider is a page of its own.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// livePolicy also lets the page of a live view talk to our own API.
func (h *handler) livePolicy() string {
	socket := strings.Replace(h.vault.PublicURL(), "http", "ws", 1) // not every browser counts it as 'self'
	return policy + "; connect-src 'self' " + socket
}

func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// A page is a handler for a signed-in user. An error that it returns is shown; it
// must not have written then.
type page func(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error

// user calls next for a signed-in user, and shows what went wrong.
func (h *handler) user(next page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			h.message(w, http.StatusBadRequest, codeInvalid)
			return
		}
		actor, err := h.auth.Authenticate(r)
		if err == nil && actor.Kind != tokenvault.ActorUser && actor.Kind != tokenvault.ActorVisitor {
			err = tokenvault.ErrUnauthenticated // programs have no business here
		}
		if err == nil {
			err = h.mayCall(r, actor)
		}
		if err == nil {
			err = next(w, r, actor)
		}
		if err != nil {
			h.fail(w, r, err)
		}
	})
}
