package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

var tokenKey = tokenvault.APIKeyInput{Kind: tokenvault.ActorAdmin}

func TestProvidersAreABareList(t *testing.T) {
	r := newRig(t)
	res := r.as("alice", "GET", "/providers", "")
	res.want(t, http.StatusOK, "")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(res.text), &rows); err != nil || len(rows) != 3 {
		t.Fatalf("%v: %s", err, res.text)
	}
	for _, name := range []string{"id", "name", "description", "iconUrl", "service", "authMethod", "usageMode", "authorizationUrl", "tokenUrl", "defaultScopes"} {
		if _, ok := rows[0][name]; !ok {
			t.Errorf("no %s in %v", name, rows[0])
		}
	}
}

func TestCredentialsAreListedAndDeletedWithoutSecrets(t *testing.T) {
	r := newRig(t)
	id := r.connect(t, "alice")
	res := r.as("alice", "GET", "/credentials", "")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(res.text), &rows); err != nil || len(rows) != 1 || rows[0]["id"] != id {
		t.Fatalf("%v: %s", err, res.text)
	}
	if rows[0]["status"] != "active" || rows[0]["externalAccountLabel"] != "alice@mail.example" || strings.Contains(res.text, "canary") {
		t.Errorf("row: %s", res.text)
	}
	deleted := r.as("alice", "DELETE", "/credentials/"+id, "")
	deleted.want(t, http.StatusOK, "")
	if deleted.json(t, "success") != true {
		t.Errorf("answer: %s", deleted.text)
	}
	if res := r.as("alice", "GET", "/credentials", ""); res.text != "[]\n" {
		t.Errorf("after: %s", res.text)
	}
	r.as("", "GET", "/credentials", "").want(t, http.StatusUnauthorized, "unauthenticated")
}

func TestAnAppsSecretCannotBeRead(t *testing.T) {
	r := newRig(t)
	const body = `{"providerId":"mail","clientId":"acme-client","clientSecret":"` + canary + `","scopes":"a,b c"}`
	r.as("alice", "POST", "/oauth-config", body).want(t, http.StatusForbidden, "denied")
	set := r.as("root", "POST", "/oauth-config", body)
	set.want(t, http.StatusOK, "")
	if set.json(t, "hasSecret") != true || set.json(t, "organizationId") != "acme" {
		t.Errorf("answer: %s", set.text)
	}
	put := r.as("root", "PUT", "/oauth-config/mail", `{"clientId":"acme-client-2"}`)
	put.want(t, http.StatusOK, "")
	if put.json(t, "hasSecret") != true || put.json(t, "id") != set.json(t, "id") {
		t.Errorf("a change of the client id lost the secret or the app: %s", put.text)
	}
	for _, path := range []string{"/oauth-config", "/oauth-config/mail"} {
		res := r.as("root", "GET", path, "")
		if res.StatusCode != http.StatusOK || strings.Contains(res.text, canary) || !strings.Contains(res.text, "acme-client-2") {
			t.Errorf("%s: %d %s", path, res.StatusCode, res.text)
		}
	}
	r.flow.err = &tokenvault.ProviderError{ProviderID: "mail", Op: "exchange", Status: http.StatusUnauthorized, Code: "invalid_client"}
	if res := r.as("root", "POST", "/oauth-config/mail/test", ""); res.json(t, "verdict") != "refused" || res.json(t, "redirectUrl") != set.json(t, "redirectUrl") {
		t.Errorf("a test of the app: %s", res.text)
	}
	r.flow.err = nil
	r.as("carol@acme", "POST", "/oauth-config/mail/test", "").want(t, http.StatusForbidden, "denied")
	r.as("root", "DELETE", "/oauth-config/mail", "").want(t, http.StatusOK, "")
	r.as("root", "GET", "/oauth-config/mail", "").want(t, http.StatusNotFound, "not_found")
}

func TestAUserDeclines(t *testing.T) {
	r := newRig(t)
	req := r.ask(t, "alice")
	for range 2 { // saying it twice is no error
		res := r.as("alice", "POST", "/auth-requests/"+req.ID+"/decline", "")
		res.want(t, http.StatusOK, "")
		if res.json(t, "status") != "declined" {
			t.Errorf("answer: %s", res.text)
		}
	}
}

func TestListsArePages(t *testing.T) {
	r := newRig(t)
	key := r.key(t, tokenKey)
	for range 5 {
		r.agentKey(t, "alice")
	}
	var all []string
	for after := ""; ; {
		res := r.with(key, "GET", "/v1/keys?limit=2&after="+after, "")
		res.want(t, http.StatusOK, "")
		items, _ := res.json(t, "items").([]any)
		for _, item := range items {
			row, _ := item.(map[string]any)
			id, _ := row["id"].(string)
			all = append(all, id)
		}
		if after, _ = res.json(t, "next").(string); after == "" {
			break
		}
	}
	slices.Sort(all)
	if len(all) != 6 || len(slices.Compact(all)) != 6 {
		t.Errorf("keys: %v", all)
	}
}

func TestAKeysTextIsAnsweredOnce(t *testing.T) {
	r := newRig(t)
	admin := r.key(t, tokenKey)
	res := r.with(admin, "POST", "/v1/keys", `{"name":"mail-agent","kind":"agent","userId":"alice"}`)
	res.want(t, http.StatusOK, "")
	text, _ := res.json(t, "key").(string)
	r.with(text, "GET", "/v1/connections", "").want(t, http.StatusOK, "")
	if list := r.with(admin, "GET", "/v1/keys", ""); strings.Contains(list.text, text) {
		t.Error("the list holds a key's text")
	}
	id, _ := res.json(t, "id").(string)
	r.with(admin, "DELETE", "/v1/keys/"+id, "").want(t, http.StatusOK, "")
	r.with(text, "GET", "/v1/connections", "").want(t, http.StatusUnauthorized, "unauthenticated")
	r.with(admin, "POST", "/v1/keys", `{"name":"x","kind":"user"}`).want(t, http.StatusBadRequest, "invalid")
	r.with(admin, "POST", "/v1/keys", `{"name":"x","kind":"agent","userId":"a","ttlSeconds":-1}`).want(t, http.StatusBadRequest, "invalid")
}

func TestBrowserLoginSaysThatItIsNotEnabled(t *testing.T) {
	r := newRig(t)
	r.as("alice", "POST", "/browser-login/start", `{"providerId":"mail"}`).want(t, http.StatusNotImplemented, "not_implemented")
}

func TestAuthorizeLeadsToTheConfirmPage(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct {
		user, query, leads string
		status             int
	}{
		{"alice", "threadId=thread-7", "providerId=mail&threadId=thread-7", 302},
		{"alice", "connectionId=cn_1&returnTo=/done", "connectionId=cn_1&providerId=mail&returnTo=%2Fdone", 302},
		{"root", "organization=true", "organization=true&providerId=mail", 302},
		{"root", "organization=false", "providerId=mail", 302},
		{"root", "organization=1", "", 400},
		{"alice", "organization=true", "", 403},
	} {
		res := r.as(tc.user, "GET", "/oauth/authorize?providerId=mail&"+tc.query, "")
		want := ""
		if tc.leads != "" {
			want = origin + "/connect/new?" + tc.leads
		}
		if got := res.Header.Get("Location"); res.StatusCode != tc.status || got != want {
			t.Errorf("%s, %s: %d to %s, want %d to %s", tc.user, tc.query, res.StatusCode, got, tc.status, want)
		}
	}
}
