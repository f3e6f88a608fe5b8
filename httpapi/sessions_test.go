package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

const app = "https://app.example"

// session opens a session of a user by a back end's key.
func (r *rig) session(t *testing.T, user string) string {
	t.Helper()
	backend := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend})
	res := r.with(backend, "POST", "/v1/sessions", `{"owner":{"userId":"`+user+`"},"origin":"`+app+`"}`)
	res.want(t, http.StatusOK, "")
	token, _ := res.json(t, "token").(string)
	return token
}

func TestAPageOfARegisteredOriginCallsWithASession(t *testing.T) {
	r := newRig(t)
	id := r.connect(t, "alice")
	send := func(method, path, token string, edit ...func(*http.Request)) answer {
		edit = append([]func(*http.Request){header("Authorization", "Bearer "+token), header("Origin", app), header("Sec-Fetch-Site", "cross-site")}, edit...)
		return request(r.browser, method, r.Mount()+path, "", edit...)
	}
	token := r.session(t, "alice")
	list := send("GET", "/credentials", token)
	list.want(t, http.StatusOK, "")
	if got := list.Header.Get("Access-Control-Allow-Origin"); got != app {
		t.Errorf("Access-Control-Allow-Origin: %q", got)
	}
	if list.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("cookies are let through")
	}

	eve := r.session(t, "eve")
	send("DELETE", "/credentials/"+id, eve).want(t, http.StatusNotFound, "not_found")
	signedIn := header("Test-User", "alice") // what the cookie says does not matter beside a session
	send("DELETE", "/credentials/"+id, eve, signedIn).want(t, http.StatusNotFound, "not_found")
	send("GET", "/credentials", token, header("Origin", "https://evil.example"), signedIn).want(t, http.StatusUnauthorized, "unauthenticated")
	send("GET", "/credentials", token[:len(token)-1], signedIn).want(t, http.StatusUnauthorized, "unauthenticated")
	send("DELETE", "/credentials/"+id, token, header("Origin", "https://evil.example")).want(t, http.StatusForbidden, "denied")
	r.with(token, "GET", "/v1/connections", "").want(t, http.StatusUnauthorized, "unauthenticated")
	send("DELETE", "/credentials/"+id, token).want(t, http.StatusOK, "")
}

func TestPreflightsAreAnsweredToRegisteredOrigins(t *testing.T) {
	r := newRig(t)
	ask := func(origin string) answer {
		return request(r.browser, "OPTIONS", r.Mount()+"/credentials/cn_1", "", header("Origin", origin), header("Access-Control-Request-Method", "DELETE"))
	}
	if res := ask(app); res.StatusCode != http.StatusNoContent || !strings.Contains(res.Header.Get("Access-Control-Allow-Methods"), "PATCH") ||
		res.Header.Get("Access-Control-Allow-Origin") != app || res.Header.Get("Vary") != "Origin" {
		t.Errorf("registered: %d %v", res.StatusCode, res.Header)
	}
	for _, origin := range []string{"https://evil.example", "null", "https://app.example.evil.example", "http://app.example"} {
		if res := ask(origin); res.Header.Get("Access-Control-Allow-Origin") != "" || res.StatusCode < 400 {
			t.Errorf("%s: %d %v", origin, res.StatusCode, res.Header)
		}
	}
}

func TestWhoMayOpenSessions(t *testing.T) {
	r := newRig(t)
	backend := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend})
	const alice = `{"owner":{"userId":"alice"},"origin":"` + app + `"`
	for _, tc := range []struct {
		key, body string
		status    int
		code      string
	}{
		{r.agentKey(t, "alice"), `{"origin":"` + app + `"}`, http.StatusForbidden, "denied"},
		{r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorAdmin}), `{"origin":"` + app + `"}`, http.StatusForbidden, "denied"},
		{backend, `{"owner":{"userId":"alice"},"origin":"https://evil.example"}`, http.StatusBadRequest, "invalid"},
		{backend, `{"owner":{"organizationId":"acme"},"origin":"` + app + `"}`, http.StatusForbidden, "denied"},
		{backend, `{"origin":"` + app + `"}`, http.StatusBadRequest, "invalid"},
		{backend, alice + `,"ttlSeconds":901}`, http.StatusBadRequest, "invalid"},
		{backend, alice + `,"orgAdmin":true}`, http.StatusBadRequest, "invalid"},
	} {
		r.with(tc.key, "POST", "/v1/sessions", tc.body).want(t, tc.status, tc.code)
	}
}
