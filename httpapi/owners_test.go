package httpapi

import (
	"net/http"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func TestOwnersAreDeletedByAdministrators(t *testing.T) {
	r := newRig(t)
	r.connect(t, "alice")
	r.connect(t, "bob")
	root := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorAdmin})
	agent := r.agentKey(t, "alice")
	r.with(agent, "DELETE", "/v1/owners?userId=alice", "").want(t, http.StatusForbidden, "denied")
	r.with(root, "DELETE", "/v1/owners", "").want(t, http.StatusBadRequest, "invalid")
	confined := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorAdmin, Owner: tokenvault.Owner{OrganizationID: "acme"}})
	for range 2 { // twice is no error
		for _, key := range []string{confined, root} { // the first deletes alice in acme, where nothing is
			if res := r.with(key, "DELETE", "/v1/owners?userId=alice", ""); res.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", res.StatusCode, res.text)
			}
		}
	}
	r.with(agent, "GET", "/v1/connections", "").want(t, http.StatusUnauthorized, "unauthenticated")
	for user, want := range map[string]int{"alice": 0, "bob": 1} {
		if list, err := r.Connections(t.Context(), person(user), tokenvault.Page{}); err != nil || len(list) != want {
			t.Errorf("%s has %d connections, %v; want %d", user, len(list), err, want)
		}
	}
}
