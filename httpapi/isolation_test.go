package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

// A1: another user's objects look exactly like objects that do not exist, on every
// route that takes an id.
func TestA1AnotherOwnersObjectsDoNotExist(t *testing.T) {
	r := newRig(t)
	connection, request := r.connect(t, "alice"), r.ask(t, "alice", "more")
	permissions, err := r.Permissions(t.Context(), person("alice"), tokenvault.Page{})
	if err != nil || len(permissions) != 1 {
		t.Fatalf("permissions: %v, %v", permissions, err)
	}
	ids := map[string]string{"connection": connection, "request": request.ID, "permission": permissions[0].ID}
	agent := r.agentKey(t, "eve")
	backend := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend})
	callers := map[string]func(method, path, body string) answer{
		"user":    func(m, p, b string) answer { return r.as("eve", m, p, b) },
		"agent":   func(m, p, b string) answer { return r.with(agent, m, p, b) },
		"backend": func(m, p, b string) answer { return r.with(backend, m, p+"?userId=eve", b) },
	}
	cases := []struct{ caller, method, path, id, body string }{
		{"user", "DELETE", "/credentials/{id}", "connection", ""},
		{"user", "PATCH", "/credentials/{id}", "connection", `{"name":"Mine"}`},
		{"user", "POST", "/credentials/{id}/share", "connection", ""},
		{"user", "DELETE", "/credentials/{id}/share", "connection", ""},
		{"user", "DELETE", "/permissions/{id}", "permission", ""},
		{"user", "POST", "/auth-requests", "connection", `{"providerId":"mail","credentialId":"{id}"}`},
		{"user", "GET", "/auth-requests/{id}", "request", ""},
		{"user", "POST", "/auth-requests/{id}/decline", "request", ""},
		{"agent", "GET", "/v1/auth-requests/{id}", "request", ""},
		{"agent", "POST", "/v1/credentials/mail/resolve", "connection", `{"connectionId":"{id}","release":"token"}`},
		{"backend", "DELETE", "/v1/connections/{id}", "connection", ""},
		{"backend", "PATCH", "/v1/connections/{id}", "connection", `{"name":"Mine"}`},
		{"backend", "POST", "/v1/connections/{id}/share", "connection", ""},
		{"backend", "DELETE", "/v1/connections/{id}/share", "connection", ""},
		{"backend", "DELETE", "/v1/permissions/{id}", "permission", ""},
		{"backend", "GET", "/v1/auth-requests/{id}", "request", ""},
	}
	tried := map[string]bool{
		// Administrators name these, and the handle that a host completes with grants.
		"DELETE /v1/keys/{id}": true, "POST /v1/keys/{id}/rotate": true, "POST /v1/auth-requests/{id}/complete": true,
		"POST /v1/jobs/{id}/retry": true,
		// See TestA1AnotherOwnersLoginsDoNotExist, TestB1ALiveViewTakesATicketOnce and
		// TestASessionIsDrivenOverAWebSocket.
		"POST /auth-requests/{id}/browser-login": true, "GET /auth-requests/{id}/browser-login": true,
		"GET /browser-login/{id}": true, "POST /browser-login/{id}/finish": true, "POST /browser-login/{id}/cancel": true,
		"POST /browser-login/{id}/ticket": true, "GET /browser-login/{id}/view": true, "GET /v1/browser-sessions/{id}/cdp": true,
		// See TestA1AnotherOrganizationsWebhooksDoNotExist.
		"GET /v1/webhooks/{id}": true, "PUT /v1/webhooks/{id}": true, "DELETE /v1/webhooks/{id}": true, "POST /v1/webhooks/{id}/rotate": true,
		"POST /v1/webhooks/{id}/test": true, "GET /v1/webhooks/{id}/deliveries": true,
		"POST /v1/webhooks/{id}/deliveries/{deliveryId}/redeliver": true,
		// See TestA1AnotherOrganizationsProvidersDoNotExist.
		"GET /v1/providers/{id}": true, "PUT /v1/providers/{id}": true, "DELETE /v1/providers/{id}": true,
	}
	for _, tc := range cases {
		tried[tc.method+" "+tc.path] = true
		var answers []answer
		for _, id := range []string{ids[tc.id], "zz_00000000000000000000000000"} {
			answers = append(answers, callers[tc.caller](tc.method, strings.ReplaceAll(tc.path, "{id}", id), strings.ReplaceAll(tc.body, "{id}", id)))
		}
		if answers[0].StatusCode != http.StatusNotFound || answers[0].text != answers[1].text || answers[1].StatusCode != http.StatusNotFound {
			t.Errorf("%s %s: %d %s, and for an id that never was: %d %s", tc.method, tc.path,
				answers[0].StatusCode, answers[0].text, answers[1].StatusCode, answers[1].text)
		}
	}
	for _, rt := range append(browserRoutes(), v1Routes()...) {
		if strings.Contains(rt.pattern, "{id}") && !tried[rt.pattern] {
			t.Errorf("%s is not tried", rt.pattern)
		}
	}
	if got, err := r.AuthRequest(t.Context(), person("alice"), request.ID); err != nil || got.Status != tokenvault.AuthPending {
		t.Errorf("the request is %s, %v", got.Status, err)
	}
	for name, res := range map[string]answer{
		"credentials": r.as("eve", "GET", "/credentials", ""), "connections": r.with(agent, "GET", "/v1/connections", ""),
		"permissions": r.with(agent, "GET", "/v1/permissions", ""), "own permissions": r.as("eve", "GET", "/permissions", ""),
		"own permissions after": r.as("eve", "GET", "/permissions?after=pm_0", ""), "after": r.with(agent, "GET", "/v1/connections?after="+connection, ""),
	} {
		if res.StatusCode != http.StatusOK || strings.Contains(res.text, connection) || strings.Contains(res.text, "alice") {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
		}
	}
}

// A2: a key of one tenant means nothing to the vault of another, on the same store.
func TestA2AKeyOfAnotherTenantAuthenticatesNobody(t *testing.T) {
	r := newRig(t)
	connection := r.connect(t, "alice")
	other, err := tokenvault.New(r.store, rootKey(t), r.Catalog(), &tokenvault.Options{Tenant: "other", PublicURL: origin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close(t.Context()) })
	theirAdmin := tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: "other"}}
	_, key, err := other.CreateAPIKey(t.Context(), theirAdmin, tokenvault.APIKeyInput{Name: "evil", Kind: tokenvault.ActorAdmin})
	if err != nil {
		t.Fatal(err)
	}
	r.with(key.Reveal(), "GET", "/v1/audit", "").want(t, http.StatusUnauthorized, "unauthenticated")
	theirs := NewV1Handler(other, nil)
	for _, path := range []string{"/v1/audit", "/v1/keys", "/v1/apps", "/v1/audit?after=0"} {
		res := request(theirs, "GET", path, "", header("Authorization", "Bearer "+key.Reveal()))
		if res.StatusCode != http.StatusOK || strings.Contains(res.text, connection) || strings.Contains(res.text, `"default"`) || strings.Contains(res.text, "client") {
			t.Errorf("%s: %d %s", path, res.StatusCode, res.text)
		}
	}
	permissions, err := r.Permissions(t.Context(), person("alice"), tokenvault.Page{})
	if err != nil || len(permissions) != 1 {
		t.Fatalf("permissions: %v, %v", permissions, err)
	}
	// A user of the same name there sees nothing of the user here.
	_, backend, err := other.CreateAPIKey(t.Context(), theirAdmin, tokenvault.APIKeyInput{Name: "host", Kind: tokenvault.ActorBackend})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ method, path string }{
		{"DELETE", "/v1/connections/" + connection},
		{"POST", "/v1/connections/" + connection + "/share"},
		{"DELETE", "/v1/connections/" + connection + "/share"},
		{"DELETE", "/v1/permissions/" + permissions[0].ID},
		{"GET", "/v1/auth-requests/" + r.ask(t, "alice", "more").ID},
	} {
		res := request(theirs, tc.method, tc.path+"?userId=alice", "", header("Authorization", "Bearer "+backend.Reveal()))
		res.want(t, http.StatusNotFound, "not_found")
	}
	for _, path := range []string{"/v1/connections", "/v1/permissions", "/v1/connections?after=cn_0", "/v1/permissions?after=pm_0"} {
		name, query, _ := strings.Cut(path, "?")
		res := request(theirs, "GET", name+"?userId=alice&"+query, "", header("Authorization", "Bearer "+backend.Reveal()))
		if items, ok := res.json(t, "items").([]any); !ok || len(items) != 0 {
			t.Errorf("%s: %d %s", path, res.StatusCode, res.text)
		}
	}
}

// C19: opening a link changes nothing. The callback is the one exception; a state
// and a cookie guard it.
func TestC19NoGetChangesAnything(t *testing.T) {
	r := newRig(t)
	connection, request := r.connect(t, "alice"), r.ask(t, "alice", "more")
	key := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorAdmin})
	agent := r.agentKey(t, "alice")
	fill := strings.NewReplacer("{id}", request.ID, "{providerId}", "mail", "{appId}", r.AppID("", "mail"))
	tried := 0
	for i, table := range [][]route{browserRoutes(), v1Routes()} {
		for _, rt := range table {
			method, path, _ := strings.Cut(rt.pattern, " ")
			if method != http.MethodGet || strings.HasPrefix(path, "/oauth/callback") {
				continue
			}
			before := r.store.writes.Load()
			tried++
			if i == 0 {
				r.as("alice", method, fill.Replace(path)+"?providerId=mail", "")
			} else {
				r.with(key, method, fill.Replace(path), "")
				r.with(agent, method, fill.Replace(path), "")
			}
			if now := r.store.writes.Load(); now != before {
				t.Errorf("%s wrote %d times", rt.pattern, now-before)
			}
		}
	}
	if tried < 12 {
		t.Errorf("only %d routes were tried", tried)
	}
	_ = connection
}
