package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func TestAUserNamesAConnection(t *testing.T) {
	r := newRig(t)
	id := r.own(t, acme("carol"), "1", "").ConnectionID
	path := "/credentials/" + id
	if row := r.rows(t, "carol@acme")[id]; row["name"] != nil {
		t.Errorf("row = %v", row)
	}
	res := r.as("carol@acme", "PATCH", path, `{"name":" Work "}`)
	res.want(t, http.StatusOK, "")
	for _, row := range []map[string]any{{"name": res.json(t, "name"), "externalAccountLabel": res.json(t, "externalAccountLabel")}, r.rows(t, "carol@acme")[id]} {
		if row["name"] != "Work" || row["externalAccountLabel"] != "alice@mail.example" {
			t.Errorf("row = %v", row)
		}
	}
	for _, body := range []string{`{}`, `{"name":null}`, `{"name":1}`, `{"name":"a\u0000b"}`, `{"name":"` + strings.Repeat("x", 81) + `"}`, `{"name":"Work","id":"x"}`, `{"name":"Work","userId":"dave"}`} {
		r.as("carol@acme", "PATCH", path, body).want(t, http.StatusBadRequest, "invalid")
	}
	r.as("", "PATCH", path, `{"name":"x"}`).want(t, http.StatusUnauthorized, "unauthenticated")
	r.as("carol@acme", "PATCH", path, `{"name":"x"}`, header("Sec-Fetch-Site", "cross-site")).want(t, http.StatusForbidden, "denied")
	r.as("dave@acme", "PATCH", path, `{"name":"x"}`).want(t, http.StatusNotFound, "not_found")
	r.as("carol@acme", "POST", path+"/share", "").want(t, http.StatusOK, "")
	r.as("dave@acme", "PATCH", path, `{"name":"x"}`).want(t, http.StatusForbidden, "denied")
	if row := r.rows(t, "dave@acme")[id]; row["name"] != "Work" {
		t.Errorf("row = %v", row)
	}
	r.as("root", "PATCH", path, `{"name":""}`).want(t, http.StatusOK, "") // an administrator of the organization
	if row := r.rows(t, "dave@acme")[id]; row["name"] != nil {
		t.Errorf("row = %v", row)
	}
}

func TestABackEndNamesAConnection(t *testing.T) {
	r := newRig(t)
	id := r.own(t, acme("carol"), "1", "").ConnectionID
	path := "/v1/connections/" + id
	backend := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend})
	agent := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorAgent, Owner: acme("carol").Owner})
	narrow := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend, Scopes: []tokenvault.KeyScope{tokenvault.ScopePermissions}})
	const owner, body = "?userId=carol&organizationId=acme", `{"name":"Work"}`
	r.with(backend, "PATCH", path, `{"name":"Work","userId":"carol","organizationId":"acme"}`).want(t, http.StatusBadRequest, "invalid")
	r.with(agent, "PATCH", path, body).want(t, http.StatusForbidden, "denied")
	r.with(narrow, "PATCH", path+owner, body).want(t, http.StatusForbidden, "denied")
	r.with(backend, "PATCH", path+"?userId=dave&organizationId=acme", body).want(t, http.StatusNotFound, "not_found")
	res := r.with(backend, "PATCH", path+owner, body)
	res.want(t, http.StatusOK, "")
	if res.json(t, "name") != "Work" {
		t.Errorf("answer: %s", res.text)
	}
}

// People are told which agent used a connection last; an agent is told of itself.
func TestTheLastUseIsListed(t *testing.T) {
	r := newRig(t)
	id := r.connect(t, "alice")
	if row := r.rows(t, "alice")[id]; row["lastUsedBy"] != nil {
		t.Errorf("row = %v", row)
	}
	mine := r.agentKey(t, "alice")
	r.with(mine, "POST", "/v1/credentials/mail/resolve", `{"release":"token"}`).want(t, http.StatusOK, "")
	if err := r.Close(t.Context()); err != nil { // what was used is noted
		t.Fatal(err)
	}
	row := r.rows(t, "alice")[id]
	if text, _ := row["lastUsedAt"].(string); !strings.HasSuffix(text, "Z") || row["lastUsedBy"] != "assistant" {
		t.Errorf("row = %v", row)
	}
	other := r.key(t, tokenvault.APIKeyInput{Name: "other", Kind: tokenvault.ActorAgent, Owner: person("alice").Owner})
	backend := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend})
	for _, tc := range []struct {
		key, path string
		told      bool
	}{{mine, "/v1/connections", true}, {other, "/v1/connections", false}, {backend, "/v1/connections?userId=alice", true}} {
		res := r.with(tc.key, "GET", tc.path, "")
		if !strings.Contains(res.text, id) || strings.Contains(res.text, `"lastUsedBy":"assistant"`) != tc.told || !strings.Contains(res.text, `"lastUsedAt":"2`) {
			t.Errorf("%s: %s", tc.path, res.text)
		}
	}
}
