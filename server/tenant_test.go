package server_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/httpapi"
	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// A2: two tenants on one database, with users of one name. Whoever has a key of one,
// of any kind, sees and changes nothing of the other: by id, as a filter, as a
// cursor, on any route and method.
func TestA2NothingOfAnotherTenantIsSeenOrChanged(t *testing.T) {
	s := strict(t, testop.Options{})
	mustAsk(t, s.agent(t, "carol"))
	s.connected(t)
	other := s.otherTenant(t)
	var ids []string
	for _, table := range []string{"connections", "permissions", "auth_requests", "api_keys"} {
		ids = append(ids, s.rows(t, `SELECT id FROM `+table+` WHERE tenant = 'default'`)...)
	}
	if len(ids) < 5 {
		t.Fatalf("the tenant has only %q", ids)
	}
	_, own, err := s.CreateAPIKey(t.Context(), s.admin, tokenvault.APIKeyInput{Name: "n", Kind: tokenvault.ActorAdmin})
	if err != nil {
		t.Fatal(err)
	}
	if _, text := s.call(t, own.Reveal(), "GET", "/v1/keys", ""); !strings.Contains(text, s.rows(t, `SELECT id FROM api_keys WHERE tenant = 'default'`)[0]) {
		t.Fatalf("not even the tenant's own administrator sees its keys: this proves nothing: %s", text)
	}
	s.stop() // what it does behind would change rows too
	before := s.ofTenant(t)
	for name, in := range map[string]tokenvault.APIKeyInput{
		"agent":   {Name: "n", Kind: tokenvault.ActorAgent, Owner: tokenvault.Owner{Tenant: "other", UserID: "alice"}},
		"backend": {Name: "n", Kind: tokenvault.ActorBackend}, "admin": {Name: "n", Kind: tokenvault.ActorAdmin},
	} {
		_, key, err := other.CreateAPIKey(t.Context(), other.admin, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			for _, call := range other.calls(t, id) {
				status, text := other.call(t, key.Reveal(), call.method, call.path, call.body)
				if i := slices.IndexFunc(ids, func(id string) bool { return strings.Contains(text, id) }); i >= 0 {
					t.Errorf("%s %s by %s: %d shows %s", call.method, call.path, name, status, ids[i])
				}
			}
		}
	}
	if diff := cmp.Diff(before, s.ofTenant(t)); diff != "" {
		t.Errorf("the other tenant's rows were changed (-before +after):\n%s", diff)
	}
}

type call struct{ method, path, body string }

// calls are all that the API can be asked with an id of somebody else. The callback
// is left out: it takes no id.
func (s *site) calls(t *testing.T, id string) (calls []call) {
	t.Helper()
	var api struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(httpapi.OpenAPI(), &api); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("{id}", id, "{providerId}", "idp")
	const body = `{"connectionId": "ID", "owner": {"userId": "alice"}, "handle": "ID"}`
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		if !strings.HasPrefix(path, "/v1/") {
			continue
		}
		for _, method := range slices.Sorted(maps.Keys(api.Paths[path])) {
			if (path == "/v1/apps" || path == "/v1/owners" || path == "/v1/keys") && method != "get" {
				continue // these make or delete what is the caller's own
			}
			target := fill.Replace(path)
			if path == "/v1/credentials/{providerId}/resolve" {
				calls = append(calls, call{"POST", target, `{"connectionId": "` + id + `"}`})
			}
			for _, query := range []string{"", "?userId=alice", "?after=" + id, "?userId=alice&after=" + id, "?connectionId=" + id, "?authRequestId=" + id} {
				calls = append(calls, call{strings.ToUpper(method), target + query, strings.ReplaceAll(body, "ID", id)})
			}
		}
	}
	if len(calls) < 50 {
		t.Fatalf("only %d calls", len(calls))
	}
	return calls
}

// ofTenant returns the rows of the tenant "default".
func (s *site) ofTenant(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, table := range []string{"connections", "permissions", "auth_requests", "api_keys", "apps", "jobs", "audit"} {
		all[table] = s.rows(t, `SELECT * FROM `+table+` WHERE tenant = 'default'`)
	}
	return all
}
