// Package httpapi is the vault over HTTP: the API for browsers, under the vault's
// mount, where a user's session says who calls; and the API for agents and back
// ends, under /v1, where an API key does.
//
// routes.go is the table of contents. Errors are problems (RFC 9457) from the one
// table in problem.go. Nothing that a caller submitted is ever echoed.
package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"

	"github.com/ai-token-vault/tokenvault"
)

// Options configures a handler. The zero Options, like nil, works.
type Options struct {
	// Logger receives unexpected errors. Default: nothing is logged.
	Logger *slog.Logger
	// Limits bounds how often callers may call. Default: no limits.
	Limits Limits
}

// api serves one set of routes.
type api struct {
	vault    *tokenvault.Vault
	identify func(*http.Request) (tokenvault.Actor, error)
	recheck  recheck // proves anew whom identify knew
	log      *slog.Logger
	forms    *sync.Map // of inputs, by their type
	limits   limits
}

// NewHandler returns the browser-facing API of v for the users that auth knows,
// and for those of sessions. Mount it at the vault's mount and a slash. Pages of
// the vault's own origin and of its registered origins may call it.
func NewHandler(v *tokenvault.Vault, auth tokenvault.Authenticator, opts *Options) http.Handler {
	a := newAPI(v, opts)
	a.identify, a.recheck = a.limits.ofUsers(orSession(v, auth)), recheckUser(v, auth)
	mux := http.NewServeMux()
	for _, rt := range browserRoutes() {
		method, path, _ := strings.Cut(rt.pattern, " ")
		mux.Handle(method+" "+v.Mount()+path, rt.serve(a))
	}
	return a.protect(a.fromOrigins(v.Origins(), a.strict(mux)))
}

// NewV1Handler returns the API of v for agents and back ends. Mount it at /v1/.
func NewV1Handler(v *tokenvault.Vault, opts *Options) http.Handler {
	a := newAPI(v, opts)
	a.identify, a.recheck = a.limits.ofKeys(v), recheckKey(v)
	mux := http.NewServeMux()
	for _, rt := range v1Routes() {
		mux.Handle(rt.pattern, rt.serve(a.needing(rt.scope)))
	}
	return a.protect(a.strict(mux))
}

// needing is a for callers whose key has the scope.
func (a *api) needing(scope tokenvault.KeyScope) *api {
	needing := *a
	needing.identify = func(r *http.Request) (tokenvault.Actor, error) {
		actor, err := a.identify(r)
		if err == nil && !actor.Has(scope) {
			err = &tokenvault.ScopeError{Scope: scope}
		}
		return actor, err
	}
	return &needing
}

func newAPI(v *tokenvault.Vault, opts *Options) *api {
	if opts == nil {
		opts = &Options{}
	}
	a := &api{vault: v, forms: &sync.Map{}, log: opts.Logger, limits: newLimits(opts.Limits)}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	return a
}

// Health answers as long as the process lives.
func Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
}

// Ready answers 200 while the store and the audit log can be used, else 503.
func Ready(v *tokenvault.Vault) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := v.Ping(r.Context()); err != nil {
			writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "unavailable"})
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
}

// strict answers unknown paths and methods with problems.
func (a *api) strict(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		probe := &allowProbe{header: http.Header{}}
		mux.ServeHTTP(probe, r)
		if allow := probe.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			writeProblem(w, problem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Detail: "Use one of: " + allow})
			return
		}
		writeProblem(w, problem{Status: http.StatusNotFound, Code: "not_found", Detail: "Not found"})
	})
}

// allowProbe keeps the headers of an answer that is not sent.
type allowProbe struct{ header http.Header }

func (p *allowProbe) Header() http.Header         { return p.header }
func (p *allowProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *allowProbe) WriteHeader(int)             {}

// protect sets the headers of every answer and turns a panic into a problem. The
// panic's value is not logged: it may hold anything.
func (a *api) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		defer func() {
			if recover() != nil {
				a.log.ErrorContext(context.WithoutCancel(r.Context()), "a handler panicked", slog.String("route", r.Pattern), slog.String("stack", callers()))
				writeProblem(w, problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "Internal error"})
			}
		}()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// callers names the functions on the stack, without their arguments.
func callers() string {
	pc := make([]uintptr, 32)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	var names []string
	for {
		frame, more := frames.Next()
		names = append(names, fmt.Sprintf("%s:%d", frame.Function, frame.Line))
		if !more {
			return strings.Join(names, " < ")
		}
	}
}
