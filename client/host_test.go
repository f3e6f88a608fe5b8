package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/httpapi"
	"github.com/ai-token-vault/tokenvault/signin"
)

// visit goes to the provider and back as nobody in particular, and returns the
// handle that arrives at the host.
func (r *rig) visit(t *testing.T, requestID string) tokenvault.Secret {
	t.Helper()
	visitor := tokenvault.Actor{Kind: tokenvault.ActorVisitor, ID: "visitor", Owner: tokenvault.Owner{Tenant: tokenvault.DefaultTenant}}
	to, err := r.StartConnect(t.Context(), visitor, tokenvault.StartConnect{AuthRequestID: requestID})
	if err != nil {
		t.Fatal(err)
	}
	u := must(url.Parse(to.URL))
	req := httptest.NewRequest(http.MethodGet, "https://vault.example"+r.Mount()+"/oauth/callback/"+r.AppID("", "mail")+
		"?code=code&state="+url.QueryEscape(u.Query().Get("state")), nil)
	req.AddCookie(&http.Cookie{Name: to.CookieName, Value: to.CookieValue.Reveal()})
	w := httptest.NewRecorder()
	httpapi.NewHandler(r.Vault, signin.Visitor{}, nil).ServeHTTP(w, req)
	arrived, err := w.Result().Location()
	if err != nil {
		t.Fatalf("status %d: %v", w.Code, err)
	}
	return tokenvault.NewSecret(arrived.Query().Get("handle"))
}

func TestCompleteForWhoIsSignedIn(t *testing.T) {
	r := newRig(t)
	host := newClient(t, r.backendKey, r)
	asked := mustAsk(t, r.client(t), readMail())
	_, err := host.Complete(t.Context(), client.Owner{UserID: "eve"}, asked.ID, r.visit(t, asked.ID))
	if !errors.Is(err, tokenvault.ErrStateInvalid) {
		t.Errorf("for eve: %v", err)
	}
	next, err := host.Complete(t.Context(), client.Owner{UserID: "alice"}, asked.ID, r.visit(t, asked.ID))
	if err != nil || next != "https://vault.example/connect/"+asked.ID {
		t.Errorf("next %q, %v", next, err)
	}
	if _, err := r.client(t).Resolve(t.Context(), readMail()); err != nil {
		t.Errorf("resolve after it: %v", err)
	}
	if _, err := host.Complete(t.Context(), client.Owner{UserID: "alice"}, "..", tokenvault.NewSecret("x")); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("an id that is a path: %v", err)
	}
}

func TestCreateSessionForAPage(t *testing.T) {
	r := newRig(t)
	host := newClient(t, r.backendKey, r)
	session, err := host.CreateSession(t.Context(), client.Owner{UserID: "alice"}, "https://app.example")
	if err != nil || session.ExpiresAt.IsZero() {
		t.Fatalf("%+v, %v", session, err)
	}
	if actor, err := r.AuthenticateSession(t.Context(), session.Token, "https://app.example"); err != nil || actor.Owner.UserID != "alice" {
		t.Errorf("%+v, %v", actor, err)
	}
	if _, err := host.CreateSession(t.Context(), client.Owner{UserID: "alice"}, "https://evil.example"); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("an origin that is not registered: %v", err)
	}
	if _, err := r.client(t).CreateSession(t.Context(), client.Owner{}, "https://app.example"); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("an agent's key: %v", err)
	}
}
