package pages_test

import (
	"flag"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/ai-token-vault/tokenvault"
)

var (
	update = flag.Bool("update", false, "write testdata/*.html")
	// volatile is what differs from run to run: ids, states and asset hashes.
	volatile = regexp.MustCompile(`(ar_|at_|cn_|pm_)[a-z2-7]{26}\b|(state=|name="attempt" value=")[A-Za-z0-9_-]{43}|(/assets/[a-z]+-)[0-9a-f]{12}`)
)

func checkGolden(t *testing.T, name string, status int, resp *http.Response) {
	t.Helper()
	if resp.StatusCode != status {
		t.Errorf("%s: status %d, want %d", name, resp.StatusCode, status)
	}
	page := body(t, resp)
	checkStructure(t, name, page)
	page = volatile.ReplaceAllString(page, "${1}${2}${3}X")
	path := filepath.Join("testdata", name+".html")
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), page); diff != "" {
		t.Errorf("%s (-want +got; run with -update if it is meant):\n%s", name, diff)
	}
}

// checkStructure holds every page to what assistive technology and the policy
// need.
func checkStructure(t *testing.T, name, page string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	count := map[atom.Atom]int{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.DataAtom]++
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s: inline %s", name, a.Key)
			}
			if n.DataAtom == atom.Html && a.Key == "lang" && a.Val != "en" {
				t.Errorf("%s: lang %s", name, a.Val)
			}
		}
		if n.DataAtom == atom.Script && n.FirstChild != nil || n.DataAtom == atom.Style {
			t.Errorf("%s: inline code", name)
		}
	}
	for _, once := range []atom.Atom{atom.H1, atom.Main, atom.Header, atom.Footer, atom.Title} {
		if count[once] != 1 {
			t.Errorf("%s: %d of %s", name, count[once], once)
		}
	}
	if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "canary") || strings.Contains(page, "&lt;no value&gt;") {
		t.Errorf("%s:\n%s", name, page)
	}
}

func TestGoldenAsk(t *testing.T) {
	r := newRig(t, headerAuth{})
	missing := r.ask(t, alice, "release bot", tokenvault.ReleaseInject, "repo", "admin:public_key")
	checkGolden(t, "ask_missing", 200, r.get("/connect/"+missing.ID))
	checkGolden(t, "ask_after_error", 200, r.get("/connect/"+missing.ID+"?error=account_mismatch&returnTo=/done"))
	token := r.ask(t, alice, "release bot", tokenvault.ReleaseToken)
	checkGolden(t, "ask_token", 200, r.get("/connect/"+token.ID))
	shared := r.ask(t, orgOwner, "release bot", tokenvault.ReleaseInject, "repo")
	checkGolden(t, "ask_organization", 200, r.get("/connect/"+shared.ID))

	r.finish(t, missing.ID)
	more := r.ask(t, alice, "release bot", tokenvault.ReleaseInject, "gist")
	checkGolden(t, "ask_more_scopes", 200, r.get("/connect/"+more.ID))
	permission := r.ask(t, alice, "other bot", tokenvault.ReleaseInject, "repo")
	checkGolden(t, "ask_permission", 200, r.get("/connect/"+permission.ID))
	if _, err := r.Permit(t.Context(), users["alice"], tokenvault.Permit{AuthRequestID: permission.ID}); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "permitted", 200, r.get("/connect/"+permission.ID))
}

func TestGoldenAskOwn(t *testing.T) {
	r := newRig(t, headerAuth{})
	checkGolden(t, "new", 200, r.get("/connect/new?providerId=github&threadId=thread-7&returnTo=https://app.example/done"))
	first := r.connectOwn(t, "1", "octocat", "repo")
	again, err := r.RequestConnect(t.Context(), users["alice"], tokenvault.ConnectRequest{ProviderID: "github", ConnectionID: first.ConnectionID})
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "ask_reconnect", 200, r.get("/connect/"+again.ID))
}

func TestGoldenChoose(t *testing.T) {
	r := newRig(t, headerAuth{})
	for id, label := range map[string]string{"1": "octocat", "2": "octocat", "3": "octocat-at-work", "4": ""} {
		r.connectOwn(t, id, label, "repo")
	}
	choose := r.ask(t, alice, "release bot", tokenvault.ReleaseInject, "repo")
	checkGolden(t, "ask_choose", 200, r.get("/connect/"+choose.ID))
	checkGolden(t, "ask_choose_none", 200, r.get("/connect/"+choose.ID+"?error=choose_one"))
}

func TestGoldenLeave(t *testing.T) {
	r := newRig(t, headerAuth{})
	req := r.ask(t, alice, "release bot", tokenvault.ReleaseInject, "repo")
	checkGolden(t, "leave", 200, r.post("/connect/"+req.ID+"/confirm", nil))
}

func TestGoldenResults(t *testing.T) {
	r := newRig(t, headerAuth{}, "https://app.example", "https://other.example:8443")
	connected := r.ask(t, alice, "release bot", tokenvault.ReleaseInject, "repo")
	r.finish(t, connected.ID)
	checkGolden(t, "connected", 200, r.get("/connect/"+connected.ID))

	own := r.connectOwn(t, "2", "")
	checkGolden(t, "connected_own", 200, r.get("/connect/"+own.ID))

	r.flow.granted = []string{"gist"}
	r.flow.account = tokenvault.Account{ID: "1", Label: "octocat"}
	failed := r.ask(t, alice, "release bot", tokenvault.ReleaseInject, "workflow")
	r.finish(t, failed.ID)
	checkGolden(t, "failed_scope", 200, r.get("/connect/"+failed.ID))

	declined := r.ask(t, orgOwner, "release bot", tokenvault.ReleaseInject, "repo")
	if _, err := r.Decline(t.Context(), users["alice"], declined.ID); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "declined", 200, r.get("/connect/"+declined.ID))

	expired := r.ask(t, orgOwner, "release bot", tokenvault.ReleaseInject, "repo")
	r.now = r.now.Add(25 * time.Hour)
	checkGolden(t, "expired", 200, r.get("/connect/"+expired.ID))
}

func TestGoldenErrors(t *testing.T) {
	r := newRig(t, headerAuth{}, "https://app.example")
	for _, code := range []string{
		"state_invalid", "signed_out", "expired", "conflict", "provider_error", "account_mismatch", "unavailable", "declined", "no_app", "internal",
	} {
		checkGolden(t, "error_"+code, 200, r.get("/connect/error?code="+code, as("")))
	}
	want := body(t, r.get("/connect/error?code=internal"))
	for _, code := range []string{"", "nonsense", "<script>alert(1)</script>", strings.Repeat("x", 5000)} {
		if got := body(t, r.get("/connect/error?code="+url.QueryEscape(code))); got != want {
			t.Errorf("code %q: another page than that of internal", code)
		}
	}
	checkGolden(t, "sign_in", 401, r.get("/connect/ar_1", as("")))
	checkGolden(t, "not_found", 404, r.get("/connect/ar_1"))
	checkGolden(t, "unknown_provider", 404, r.get("/connect/new?providerId=nonsense"))
	checkGolden(t, "invalid", 400, r.get("/connect/new?providerId=github&threadId=%00"))
	checkGolden(t, "cross_site", 403, r.post("/connect/ar_1/decline", nil, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }))
}
