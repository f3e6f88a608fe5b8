package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

// allow lets alice permit an agent what it asks for.
func (r *rig) allow(t *testing.T, agent string, scopes ...string) {
	t.Helper()
	req := r.ask(t, alice, agent, tokenvault.ReleaseInject, scopes...)
	if _, err := r.Permit(t.Context(), users["alice"], tokenvault.Permit{AuthRequestID: req.ID}); err != nil {
		t.Fatal(err)
	}
}

func TestGoldenAccounts(t *testing.T) {
	r := newRig(t, headerAuth{})
	checkGolden(t, "accounts_none", 200, r.get("/connect/accounts"))
	own := r.connectOwn(t, "1", "octocat", "repo")
	r.allow(t, "release bot", "repo")
	checkGolden(t, "accounts", 200, r.get("/connect/accounts"))
	r.rename(t, own.ConnectionID, "Work")
	if err := r.store.TouchConnections(t.Context(), "default", []tokenvault.ConnectionUse{{ID: own.ConnectionID, AgentID: "release bot"}}, 0); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "accounts_named", 200, r.get("/connect/accounts?error=name"))
	if _, err := r.Share(t.Context(), users["alice"], own.ConnectionID); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "accounts_shared", 200, r.get("/connect/accounts?error=account_taken", as("carol")))
}

// What each person may do is what the page offers, and what it offers works.
func TestAccountsAreChangedByWhoMay(t *testing.T) {
	r := newRig(t, headerAuth{})
	r.connectOwn(t, "1", "octocat", "repo")
	r.allow(t, "bot", "repo")
	id := r.only(t).ConnectionID
	path := "/connect/accounts/" + id

	r.change(t, "alice", "/connect/accounts/permissions/"+r.only(t).ID+"/withdraw", http.StatusSeeOther)
	if page := body(t, r.get("/connect/accounts")); !strings.Contains(page, "not allowed any agent") {
		t.Errorf("page after withdrawing:\n%s", page)
	}
	r.change(t, "carol", path+"/rename", http.StatusNotFound)
	r.change(t, "carol", path+"/share", http.StatusNotFound)
	r.change(t, "alice", path+"/share", http.StatusSeeOther)
	if page := body(t, r.get("/connect/accounts", as("carol"))); !strings.Contains(page, "octocat") || strings.Contains(page, "<form") {
		t.Errorf("a member's page:\n%s", page)
	}
	r.change(t, "carol", path+"/rename", http.StatusNotFound)
	r.change(t, "carol", path+"/unshare", http.StatusNotFound)
	r.change(t, "carol", path+"/disconnect", http.StatusNotFound)
	for _, action := range []string{"/unshare", "/disconnect"} {
		if page := body(t, r.get("/connect/accounts")); !strings.Contains(page, `action="`+path+action+`"`) {
			t.Errorf("%s is not offered to who may:\n%s", action, page)
		}
		r.change(t, "alice", path+action, http.StatusSeeOther)
	}
	if page := body(t, r.get("/connect/accounts")); strings.Contains(page, "octocat") {
		t.Errorf("page after disconnecting:\n%s", page)
	}
}

// change posts as somebody.
func (r *rig) change(t *testing.T, user, path string, status int) {
	t.Helper()
	resp := r.post(path, nil, as(user))
	if location := resp.Header.Get("Location"); resp.StatusCode != status || status == http.StatusSeeOther && location != "/connect/accounts" {
		t.Errorf("%s to %s: status %d to %q, want %d", user, path, resp.StatusCode, location, status)
	}
}

func TestAccountsAreForProvenUsers(t *testing.T) {
	r := newRig(t, signInAuth{})
	r.connectOwn(t, "1", "octocat", "repo")
	before := r.store.writes.Load()
	for _, user := range []string{"", "guest", "agent"} {
		checkChallenge(t, user, r.get("/connect/accounts", as(user)), "/connect/accounts", true)
		for _, action := range []string{"/cn_1/rename", "/cn_1/share", "/cn_1/unshare", "/cn_1/disconnect", "/permissions/pm_1/withdraw"} {
			checkChallenge(t, user+action, r.post("/connect/accounts"+action, nil, as(user)), "/connect/accounts", true)
		}
	}
	if wrote := r.store.writes.Load() - before; wrote != 0 {
		t.Errorf("%d writes", wrote)
	}
	cross := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	if resp := r.post("/connect/accounts/cn_1/disconnect", nil, cross); resp.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: status %d", resp.StatusCode)
	}
}

func TestAnAccountThatIsTakenIsTold(t *testing.T) {
	r := newRig(t, headerAuth{})
	first := r.connectOwn(t, "1", "octocat")
	if _, err := r.Share(t.Context(), users["alice"], first.ConnectionID); err != nil {
		t.Fatal(err)
	}
	second := r.connectOwn(t, "1", "octocat")
	resp := r.post("/connect/accounts/"+second.ConnectionID+"/share", nil)
	if got := resp.Header.Get("Location"); got != "/connect/accounts?error=account_taken" {
		t.Errorf("status %d to %q", resp.StatusCode, got)
	}
}

// rename names a connection of alice's by the form.
func (r *rig) rename(t *testing.T, id, name string) {
	t.Helper()
	resp := r.post("/connect/accounts/"+id+"/rename", url.Values{"name": {name}})
	if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || got != "/connect/accounts" {
		t.Errorf("naming it %q: status %d to %q", name, resp.StatusCode, got)
	}
}

func TestAnAccountIsNamed(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.connectOwn(t, "1", "octocat").ConnectionID
	r.rename(t, id, " <b>Work</b> ")
	page := body(t, r.get("/connect/accounts"))
	if !strings.Contains(page, `<bdi>&lt;b&gt;Work&lt;/b&gt;</bdi> <bdi class="note">octocat</bdi>`) || !strings.Contains(page, `value="&lt;b&gt;Work&lt;/b&gt;"`) {
		t.Errorf("page:\n%s", page)
	}
	for _, name := range []string{strings.Repeat("x", 81), "a\x00b"} {
		resp := r.post("/connect/accounts/"+id+"/rename", url.Values{"name": {name}})
		if got := resp.Header.Get("Location"); got != "/connect/accounts?error=name" {
			t.Errorf("%q: status %d to %q", name, resp.StatusCode, got)
		}
	}
	cross := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	if resp := r.post("/connect/accounts/"+id+"/rename", url.Values{"name": {"Mine"}}, cross); resp.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: status %d", resp.StatusCode)
	}
	if page := body(t, r.get("/connect/accounts?error=name")); !strings.Contains(page, "Work") || !strings.Contains(page, "cannot be called that") {
		t.Errorf("page after names that are refused:\n%s", page)
	}
	r.rename(t, id, "")
	if page := body(t, r.get("/connect/accounts")); strings.Contains(page, "Work") {
		t.Errorf("page after the name is taken away:\n%s", page)
	}
}

// Where an account is chosen, names are shown, each with what the provider says.
func TestNamesAreShownWhereAnAccountIsChosen(t *testing.T) {
	r := newRig(t, headerAuth{})
	for id, label := range map[string]string{"1": "octocat", "2": "octocat", "3": "octocat-at-work", "4": "octocat"} {
		connection := r.connectOwn(t, id, label, "repo").ConnectionID
		if name := map[string]string{"1": "Home", "2": "Work", "3": "Work", "4": "Work"}[id]; name != "" {
			r.rename(t, connection, name)
		}
	}
	page := body(t, r.get("/connect/"+r.ask(t, alice, "release bot", tokenvault.ReleaseInject, "repo").ID))
	at := 0
	for _, want := range []string{
		`<bdi>Home</bdi> <bdi class="note">octocat</bdi>`, `<bdi>Work</bdi> <bdi class="note">octocat 2</bdi>`,
		`<bdi>Work</bdi> <bdi class="note">octocat 4</bdi>`, `<bdi>Work</bdi> <bdi class="note">octocat-at-work</bdi>`,
	} {
		i := strings.Index(page[at:], want)
		if i < 0 {
			t.Fatalf("%s is missing, or in another place:\n%s", want, page)
		}
		at += i
	}
}
