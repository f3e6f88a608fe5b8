package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/signin"
)

// visit goes to the provider and back as a visitor, and returns where the browser
// is sent with which handle.
func visit(t *testing.T, r *rig, requestID string) (location *url.URL, handle string) {
	t.Helper()
	visitor, err := signin.Visitor{}.Authenticate(nil)
	if err != nil {
		t.Fatal(err)
	}
	to, err := r.StartConnect(t.Context(), visitor, tokenvault.StartConnect{AuthRequestID: requestID})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodGet, origin+r.Mount()+"/oauth/callback/"+r.AppID("", "mail")+
		"?code=code&iss=https://auth.example&state="+url.QueryEscape(u.Query().Get("state")), nil)
	req.AddCookie(&http.Cookie{Name: to.CookieName, Value: to.CookieValue.Reveal()})
	w := httptest.NewRecorder()
	NewHandler(r.Vault, signin.Visitor{}, nil).ServeHTTP(w, req)
	location, err = w.Result().Location()
	if err != nil {
		t.Fatalf("status %d: %v", w.Code, err)
	}
	return location, location.Query().Get("handle")
}

func TestTheHostCompletesAVisitorsConnect(t *testing.T) {
	r := newRig(t, func(o *tokenvault.Options) { o.VerifyURL = "https://app.example/connected" })
	req := r.ask(t, "alice")
	backend := r.key(t, tokenvault.APIKeyInput{Name: "assistant", Kind: tokenvault.ActorBackend})
	complete := func(user, handle string) answer {
		return r.with(backend, "POST", "/v1/auth-requests/"+req.ID+"/complete", `{"owner":{"userId":"`+user+`"},"handle":"`+handle+`"}`)
	}

	location, handle := visit(t, r, req.ID)
	if location.Host != "app.example" || location.Query().Get("authRequestId") != req.ID {
		t.Errorf("the browser is sent to %s", location)
	}
	complete("eve", handle).want(t, http.StatusBadRequest, "state_invalid")
	complete("alice", handle).want(t, http.StatusBadRequest, "state_invalid") // eve's try ended the attempt
	if r.flow.exchanges.Load() != 0 {
		t.Fatal("a code was exchanged for somebody else")
	}

	_, handle = visit(t, r, req.ID)
	r.with(r.agentKey(t, "alice"), "POST", "/v1/auth-requests/"+req.ID+"/complete", `{"handle":"`+handle+`"}`).want(t, http.StatusForbidden, "denied")
	done := complete("alice", handle)
	done.want(t, http.StatusOK, "")
	if done.json(t, "authRequest.status") != "connected" || done.json(t, "nextUrl") != origin+"/connect/"+req.ID {
		t.Errorf("answer: %s", done.text)
	}
	again := complete("alice", handle)
	again.want(t, http.StatusBadRequest, "state_invalid")
	if strings.Contains(again.text, handle) {
		t.Error("the handle is echoed")
	}
}
