package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/httpapi"
	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// C19: every URL that can be opened, as everybody who may open it: nothing in the
// database changes. The exceptions are the row that a health check writes to prove
// that it can, the audit entry of a return whose state is a guess, and what the server
// writes down by the minute: when a key was used, and how the log ends.
func TestC19OpeningChangesNothing(t *testing.T) {
	for name, flags := range map[string]func(t *testing.T, op *testop.OP) []string{
		"session": func(t *testing.T, _ *testop.OP) []string { t.Helper(); return session(t) },
		"local":   func(*testing.T, *testop.OP) []string { return []string{"--mode=local"} },
		"signin": func(_ *testing.T, op *testop.OP) []string {
			return []string{"--mode=signin", "--oidc-issuer=" + op.Issuer, "--oidc-client-id=vault-public"}
		},
		"verifier": func(*testing.T, *testop.OP) []string {
			return []string{"--mode=verifier", "--verify-url=http://127.0.0.1:1/connected"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			op := testop.Start(t, testop.Options{})
			s := newSite(t, op, t.TempDir()+"/data", append(flags(t, op), defineStrict(t, op))...)
			s.crawl(t)
		})
	}
}

func (s *site) crawl(t *testing.T) {
	t.Helper()
	keys := map[string]string{"nobody": ""}
	for _, in := range []tokenvault.APIKeyInput{
		{Name: "agent", Kind: tokenvault.ActorAgent, Owner: tokenvault.Owner{Tenant: "default", UserID: "alice"}},
		{Name: "backend", Kind: tokenvault.ActorBackend},
		{Name: "admin", Kind: tokenvault.ActorAdmin},
	} {
		_, key, err := s.CreateAPIKey(t.Context(), s.admin, in)
		if err != nil {
			t.Fatal(err)
		}
		keys[in.Name] = key.Reveal()
	}
	req := mustAsk(t, s.agent(t, "alice"))
	before, paths := s.dump(t), s.paths(t, req.ID)
	for _, path := range paths {
		for _, key := range keys {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				s.browser(t, "alice").send(t, method, s.url+path, nil, func(r *http.Request) {
					if key != "" {
						r.Header.Set("Authorization", "Bearer "+key)
					}
				})
			}
		}
		if diff := cmp.Diff(before, s.dump(t)); diff != "" {
			t.Fatalf("opening %s (-before +after):\n%s", path, diff)
		}
	}
	if len(paths) < 35 {
		t.Errorf("only %d paths were opened", len(paths))
	}
}

// paths are all that can be opened: what the description of the API says, the
// pages, and where people sign in.
func (s *site) paths(t *testing.T, requestID string) (paths []string) {
	t.Helper()
	var api struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(httpapi.OpenAPI(), &api); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("{id}", requestID, "{providerId}", "idp", "{appId}", s.AppID("", "idp"), "{deliveryId}", "msg_0")
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		path = fill.Replace(path)
		if _, ok := api.Paths[path]; !ok && strings.Contains(path, "{") {
			t.Errorf("%s has a parameter that is not filled in", path)
		}
		// Also those without GET: a HEAD or GET must not slip into another method.
		paths = append(paths, path, path+"?providerId=idp&userId=alice&state=guess&code=guess&wait=1ms")
	}
	page := "/connect/" + requestID
	return append(paths, page, page+"/confirm", page+"/permit", page+"/decline", "/connect/new?providerId=idp", "/connect/error?code=expired",
		"/assets/none.css", "/healthz", "/signin/local", "/signin/local?token=guess", "/signin/oidc", "/signin/oidc?next=/connect/error",
		"/signin/oidc/callback?state=guess&code=guess", "/signin/assertion", "/signin/out", "/")
}

// dump returns every row of the database but those exceptions.
func (s *site) dump(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, table := range s.rows(t, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('health', 'audit', 'audit_heads', 'api_keys')`) {
		all[table] = s.rows(t, `SELECT * FROM "`+table+`"`)
	}
	all["audit"] = s.rows(t, `SELECT * FROM audit WHERE kind <> 'connect.refused'`)
	columns := s.rows(t, `SELECT group_concat(name) FROM pragma_table_info('api_keys') WHERE name <> 'last_used_at'`)
	all["api_keys"] = s.rows(t, `SELECT `+columns[0]+` FROM api_keys`)
	if len(all["auth_requests"]) != 1 || len(all["apps"]) != 1 {
		t.Fatalf("the database is not the site's: %v", all)
	}
	return all
}

func (s *site) rows(t *testing.T, query string) (rows []string) {
	t.Helper()
	found, err := s.db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	columns, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for found.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := found.Scan(into...); err != nil {
			t.Fatal(err)
		}
		if text, ok := values[0].(string); ok && len(values) == 1 {
			rows = append(rows, text)
			continue
		}
		rows = append(rows, fmt.Sprintf("%q", values))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}
