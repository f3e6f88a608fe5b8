package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// maxBody bounds every request body.
const maxBody = 64 << 10

// A route is one line of the table of contents.
type route struct {
	pattern string // method and path; of browser routes, below the mount
	summary string
	in, out reflect.Type        // out is nil where no JSON is answered
	scope   tokenvault.KeyScope // below /v1: what the caller's key must have
	serve   func(*api) http.Handler
}

// none stands for no input or no output.
type none struct{}

// needs makes the route one for keys with the scope.
func (rt route) needs(scope tokenvault.KeyScope) route {
	rt.scope = scope
	return rt
}

// handle makes a route of a function. Decoding, identity, errors and encoding are
// done here, once.
func handle[In, Out any](pattern, summary string, f func(context.Context, *tokenvault.Vault, tokenvault.Actor, In) (Out, error)) route {
	return route{
		pattern: pattern, summary: summary, in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](),
		serve: func(a *api) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				actor, in, err := prepare[In](a, r)
				if err != nil {
					a.fail(w, r, err)
					return
				}
				out, err := f(r.Context(), a.vault, actor, in)
				if err != nil {
					a.fail(w, r, err)
					return
				}
				if h, ok := any(out).(headed); ok {
					h.headers(w.Header(), r)
				}
				writeJSON(w, http.StatusOK, out)
			})
		},
	}
}

// raw makes a route of a handler that answers by itself.
func raw[In, Out any](pattern, summary string, f func(*api, http.ResponseWriter, *http.Request)) route {
	rt := route{
		pattern: pattern, summary: summary, in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](),
		serve: func(a *api) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(a, w, r) })
		},
	}
	return rt
}

// headed is an answer with headers of its own.
type headed interface {
	headers(h http.Header, r *http.Request)
}

// prepare says who calls and reads what was sent. A back end's actor becomes that
// of the owner it names.
func prepare[In any](a *api, r *http.Request) (tokenvault.Actor, In, error) {
	var in In
	actor, err := a.identify(r)
	if err != nil {
		return actor, in, err
	}
	if err := a.form(reflect.TypeFor[In]()).bind(r, &in); err != nil {
		return actor, in, err
	}
	if n, ok := any(in).(ownerNamer); ok && actor.Kind == tokenvault.ActorBackend {
		actor, err = actor.ActFor(n.owner())
	} else if ok && n.owner() != (tokenvault.Owner{}) {
		// An agent's owner is its key's: naming one is a mistake, or an attempt.
		return actor, in, &tokenvault.FieldError{Field: "owner", Reason: "only a back end's key names an owner"}
	}
	return actor, in, err
}

// ownerNamer is input that names the owner a back end acts for.
type ownerNamer interface{ owner() tokenvault.Owner }

// ownerBody names the owner in a body.
type ownerBody struct {
	Owner *ownerJSON `json:"owner,omitempty" jsonschema:"owner that a back end acts for"`
}

type ownerJSON struct {
	UserID         string `json:"userId,omitempty"`
	OrganizationID string `json:"organizationId,omitempty"`
}

func (o ownerBody) owner() tokenvault.Owner {
	if o.Owner == nil {
		return tokenvault.Owner{}
	}
	return tokenvault.Owner{OrganizationID: o.Owner.OrganizationID, UserID: o.Owner.UserID}
}

// ownerQuery names the owner in a query.
type ownerQuery struct {
	UserID         string `json:"-" query:"userId"`
	OrganizationID string `json:"-" query:"organizationId"`
}

func (o ownerQuery) owner() tokenvault.Owner {
	return tokenvault.Owner{OrganizationID: o.OrganizationID, UserID: o.UserID}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// instant returns t in UTC, or nil if it is zero.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
