package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// entries are those of GET /v1/audit.
func (r *rig) entries(t *testing.T, key, query string) (items []map[string]any, next string) {
	t.Helper()
	res := r.with(key, "GET", "/v1/audit?"+query, "")
	res.want(t, http.StatusOK, "")
	var page struct {
		Items []map[string]any `json:"items"`
		Next  string           `json:"next"`
	}
	if err := json.Unmarshal([]byte(res.text), &page); err != nil {
		t.Fatal(err)
	}
	return page.Items, page.Next
}

func TestAuditEntriesAreFilteredAndPaged(t *testing.T) {
	r := newRig(t)
	id := r.connect(t, "alice")
	r.with(r.agentKey(t, "alice"), "POST", "/v1/credentials/mail/resolve", `{"runId":"run-1","threadId":"thread-1"}`).want(t, http.StatusOK, "")
	r.ask(t, "bob")
	key := r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorAdmin})

	all, next := r.entries(t, key, "")
	if next != "" || len(all) < 6 {
		t.Fatalf("%d entries, next %q", len(all), next)
	}
	for i, e := range all {
		hash, _ := e["hash"].(string)
		if e["writer"] != "memory" || e["position"] != float64(i+1) || len(hash) != 64 {
			t.Errorf("entry %d has the place %v, %v, %v", i+1, e["writer"], e["position"], e["hash"])
		}
	}
	var paged []map[string]any
	for after := ""; ; {
		page, next := r.entries(t, key, "limit=2&after="+after)
		paged = append(paged, page...)
		if after = next; next == "" {
			break
		}
	}
	if len(paged) != len(all) {
		t.Errorf("%d entries in pages, want %d", len(paged), len(all))
	}

	released, _ := r.entries(t, key, "kind=credential.released&agentId=assistant&userId=alice&credentialId="+id)
	if len(released) != 1 || released[0]["runId"] != "run-1" || released[0]["threadId"] != "thread-1" || released[0]["userId"] != "alice" {
		t.Errorf("releases: %v", released)
	}
	for query, want := range map[string]int{
		"userId=bob":              1,
		"organizationId=nobody":   0,
		"agentId=operator":        0, // administrators are no agents
		"kind=credential.release": 0,
		"since=" + url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339)):  0,
		"since=" + url.QueryEscape(time.Now().Add(-time.Hour).Format(time.RFC3339)): len(all),
	} {
		if got, _ := r.entries(t, key, query); len(got) != want {
			t.Errorf("%s: %d entries, want %d", query, len(got), want)
		}
	}
	r.with(key, "GET", "/v1/audit?since=yesterday", "").want(t, http.StatusBadRequest, "invalid")
}
