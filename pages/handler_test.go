package pages_test

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/pages"
)

// paths are all pages that a browser can get of a request.
func paths(id string) []string {
	return []string{
		"/connect/" + id, "/connect/" + id + "?error=provider_error&returnTo=%2Fdone", "/connect/ar_unknown",
		"/connect/new?providerId=github&threadId=t&returnTo=%2Fdone", "/connect/new", "/connect/error?code=expired", "/connect/error",
		"/connect/accounts", "/connect/accounts?error=account_taken",
	}
}

func TestC19GetChangesNothing(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
	before := r.store.writes.Load()
	for _, path := range append(paths(id), "/connect/"+id+"/confirm", "/connect/"+id+"/permit", "/connect/"+id+"/decline") {
		for _, method := range []string{"GET", "HEAD"} {
			if resp := r.do(method, path, nil); len(resp.Cookies()) != 0 {
				t.Errorf("%s %s sets a cookie", method, path)
			}
		}
	}
	if wrote := r.store.writes.Load() - before; wrote != 0 {
		t.Errorf("%d writes", wrote)
	}
	if req, err := r.AuthRequest(t.Context(), users["alice"], id); err != nil || req.Status != tokenvault.AuthPending {
		t.Errorf("request is %s, %v", req.Status, err)
	}
}

func TestC17Headers(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
	responses := map[string]*http.Response{
		"confirm":     r.post("/connect/"+id+"/confirm", nil),
		"signed out":  r.get("/connect/"+id, as("")),
		"cross site":  r.post("/connect/"+id+"/decline", nil, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }),
		"bad method":  r.do("PUT", "/connect/"+id, nil),
		"no page":     r.get("/connect/" + id + "/nonsense"),
		"declined":    r.post("/connect/"+id+"/decline", nil),
		"no asset":    r.get("/assets/nonsense.css"),
		"result page": r.get("/connect/" + id),
	}
	for _, path := range paths(id) {
		responses[path] = r.get(path)
	}
	for name, resp := range responses {
		for header, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Frame-Options":         "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			"Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "", "Access-Control-Allow-Origin": "",
		} {
			if got := resp.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
	}
}

func TestMethods(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
	for _, tc := range []struct{ method, path string }{
		{"POST", "/connect/" + id},
		{"DELETE", "/connect/" + id},
		{"GET", "/connect/" + id + "/confirm"},
		{"GET", "/connect/" + id + "/decline"},
		{"PUT", "/connect/" + id + "/permit"},
		{"PATCH", "/connect/new"},
		{"POST", "/connect/error"},
		{"POST", "/connect/accounts"},
		{"GET", "/connect/accounts/cn_1/share"},
		{"GET", "/connect/accounts/permissions/pm_1/withdraw"},
		{"POST", "/assets/pages.css"},
	} {
		if resp := r.do(tc.method, tc.path, nil); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") == "" {
			t.Errorf("%s %s: status %d, Allow %q", tc.method, tc.path, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
}

func TestC3NoSession(t *testing.T) {
	for name, auth := range map[string]tokenvault.Authenticator{"challenger": signInAuth{}, "no challenger": headerAuth{}} {
		r := newRig(t, auth)
		id := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
		before := r.store.writes.Load()
		form := url.Values{"providerId": {"github"}, "threadId": {"t"}, "returnTo": {"/done"}, "connectionId": {"cn_1"}}
		for path, back := range map[string]string{
			"/connect/" + id: "/connect/" + id + "?returnTo=%2Fdone",
			"/connect/new":   "/connect/new?returnTo=%2Fdone",
		} {
			checkChallenge(t, name+" GET", r.get(back, as("")), back, name == "challenger")
			if path == "/connect/new" {
				back = "/connect/new?connectionId=cn_1&providerId=github&returnTo=%2Fdone&threadId=t"
				checkChallenge(t, name+" POST", r.post(path, form, as("")), back, name == "challenger")
				continue
			}
			for _, action := range []string{"/confirm", "/permit", "/decline"} {
				checkChallenge(t, name+" POST"+action, r.post(path+action, form, as("")), path, name == "challenger")
				checkChallenge(t, name+" agent"+action, r.post(path+action, form, as("agent")), path, name == "challenger")
			}
		}
		if wrote := r.store.writes.Load() - before; wrote != 0 {
			t.Errorf("%s: %d writes", name, wrote)
		}
	}
}

func checkChallenge(t *testing.T, name string, resp *http.Response, back string, challenger bool) {
	t.Helper()
	status, location := http.StatusUnauthorized, ""
	if challenger {
		status, location = http.StatusSeeOther, signInAuth{}.SignInURL(back)
	}
	if resp.StatusCode != status || resp.Header.Get("Location") != location || len(resp.Cookies()) != 0 {
		t.Errorf("%s: status %d, location %q, want %d, %q", name, resp.StatusCode, resp.Header.Get("Location"), status, location)
	}
}

func TestAnotherUserSeesNothing(t *testing.T) {
	r := newRig(t, headerAuth{})
	pending := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
	settled := r.connectOwn(t, "1", "octocat").ID
	before := r.store.writes.Load()
	want := body(t, r.get("/connect/ar_unknown", as("eve")))
	for _, id := range []string{pending, settled, "ar_unknown"} {
		responses := []*http.Response{r.get("/connect/"+id, as("eve"))}
		for _, action := range []string{"/confirm", "/permit", "/decline"} {
			responses = append(responses, r.post("/connect/"+id+action, nil, as("eve")))
		}
		for _, resp := range responses {
			if got := body(t, resp); resp.StatusCode != http.StatusNotFound || got != want {
				t.Errorf("%s: status %d, or another page than for a request that does not exist", id, resp.StatusCode)
			}
		}
	}
	if wrote := r.store.writes.Load() - before; wrote != 0 {
		t.Errorf("%d writes", wrote)
	}
}

func TestConfirmLeadsToTheProvider(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
	resp := r.post("/connect/"+id+"/confirm", url.Values{"returnTo": {"https://app.example/done"}})
	if resp.StatusCode != http.StatusOK || len(resp.Cookies()) != 1 {
		t.Fatalf("status %d, cookies %v", resp.StatusCode, resp.Cookies())
	}
	cookie := resp.Header.Get("Set-Cookie")
	if !regexp.MustCompile(`^__Host-tv_attempt_[0-9a-f]{16}=[A-Za-z0-9_-]{43}; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax$`).MatchString(cookie) {
		t.Errorf("cookie %s", cookie)
	}
	page := body(t, resp)
	links := linksOf(t, page)
	if len(links) != 2 || links[0] != links[1] {
		t.Fatalf("links %v", links)
	}
	u, err := url.Parse(links[0])
	if err != nil || u.Host != "github.example" || u.Query().Get("scope") != "repo" {
		t.Errorf("leads to %s, %v", links[0], err)
	}
	if name := resp.Cookies()[0].Name; name != r.AttemptCookie(u.Query().Get("state")) {
		t.Errorf("cookie %s is not the one of the state", name)
	}
	if strings.Contains(page, resp.Cookies()[0].Value) {
		t.Error("the page shows the cookie's value")
	}
}

// linksOf returns where the refresh and the link of a page lead.
func linksOf(t *testing.T, page string) (links []string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if n.DataAtom == atom.A && a.Key == "href" {
				links = append(links, a.Val)
			}
			if to, ok := strings.CutPrefix(a.Val, "0; url="); ok && n.DataAtom == atom.Meta {
				links = append(links, to)
			}
		}
	}
	return links
}

func TestC21OnlyWebURLs(t *testing.T) {
	for _, bad := range []string{"javascript:alert(1)//", "file:///etc/passwd", "data:text/html,x", "/relative"} {
		r := newRig(t, headerAuth{})
		r.flow.url = bad
		id := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
		resp := r.post("/connect/"+id+"/confirm", nil)
		if page := body(t, resp); resp.StatusCode != http.StatusInternalServerError || strings.Contains(page, bad) || len(resp.Cookies()) != 0 {
			t.Errorf("%s: status %d", bad, resp.StatusCode)
		}
	}
}

func TestReturnURLsAreChecked(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
	for _, bad := range []string{"https://evil.example/done", "//evil.example", "/\\evil.example", "https://app.example/done#x", "https://a@app.example/done"} {
		form := url.Values{"returnTo": {bad}, "providerId": {"github"}}
		for _, path := range []string{"/connect/" + id + "/confirm", "/connect/new"} {
			if resp := r.post(path, form); resp.StatusCode != http.StatusBadRequest || strings.Contains(body(t, resp), "evil") {
				t.Errorf("%s to %q: status %d", path, bad, resp.StatusCode)
			}
		}
	}
	long := url.QueryEscape("/" + strings.Repeat("x", 3000))
	for _, path := range []string{"/connect/" + id + "?returnTo=" + long, "/connect/new?providerId=github&returnTo=" + long} {
		if resp := r.get(path); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("long returnTo: status %d", resp.StatusCode)
		}
	}
}

func TestConnectNew(t *testing.T) {
	r := newRig(t, headerAuth{})
	resp := r.post("/connect/new", url.Values{"providerId": {"github"}, "threadId": {"thread-7"}, "returnTo": {"/done"}})
	if resp.StatusCode != http.StatusOK || len(linksOf(t, body(t, resp))) != 2 || len(resp.Cookies()) != 1 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	req, err := r.RequestConnect(t.Context(), users["alice"], tokenvault.ConnectRequest{ProviderID: "github"})
	if err != nil || req.ThreadID != "thread-7" || req.Owner != alice || req.AgentID != "" {
		t.Errorf("request %+v, %v", req, err)
	}
	for provider, status := range map[string]int{"nonsense": http.StatusNotFound, "": http.StatusNotFound, "bare": http.StatusConflict} {
		if resp := r.post("/connect/new", url.Values{"providerId": {provider}}); resp.StatusCode != status {
			t.Errorf("provider %q: status %d, want %d", provider, resp.StatusCode, status)
		}
	}
}

func TestPermit(t *testing.T) {
	r := newRig(t, headerAuth{})
	own := r.connectOwn(t, "1", "octocat", "repo")
	req := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo")
	if req.Reason != tokenvault.ReasonPermissionRequired {
		t.Fatalf("reason %s", req.Reason)
	}
	resp := r.post("/connect/"+req.ID+"/permit", url.Values{"connectionId": {"cn_of_somebody_else"}})
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/connect/"+req.ID {
		t.Fatalf("status %d to %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	if page := body(t, r.get("/connect/"+req.ID)); !strings.Contains(page, `data-status="connected"`) || !strings.Contains(page, "octocat") {
		t.Errorf("result:\n%s", page)
	}
	got, err := r.AuthRequest(t.Context(), users["alice"], req.ID)
	if err != nil || got.ConnectionID != own.ConnectionID {
		t.Errorf("permitted %s, %v", got.ConnectionID, err)
	}
}

func TestChooseAccount(t *testing.T) {
	r := newRig(t, headerAuth{})
	r.connectOwn(t, "1", "octocat", "repo")
	work := r.connectOwn(t, "2", "octocat-at-work", "repo")
	req := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo")
	path := "/connect/" + req.ID + "/permit"
	if got := r.post(path, nil).Header.Get("Location"); got != "/connect/"+req.ID+"?error=choose_one" {
		t.Errorf("no choice leads to %s", got)
	}
	if resp := r.post(path, url.Values{"connectionId": {"cn_of_somebody_else"}}); resp.StatusCode != http.StatusNotFound {
		t.Errorf("somebody else's: status %d", resp.StatusCode)
	}
	if resp := r.post(path, url.Values{"connectionId": {work.ConnectionID}}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("status %d", resp.StatusCode)
	}
	got, err := r.AuthRequest(t.Context(), users["alice"], req.ID)
	if err != nil || got.Status != tokenvault.AuthConnected || got.ConnectionID != work.ConnectionID {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSettledOnce(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
	for range 2 {
		if resp := r.post("/connect/"+id+"/decline", nil); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/connect/"+id {
			t.Errorf("status %d to %s", resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	for _, action := range []string{"/confirm", "/permit"} {
		resp := r.post("/connect/"+id+action, nil)
		if resp.StatusCode != http.StatusSeeOther || len(resp.Cookies()) != 0 {
			t.Errorf("%s: status %d", action, resp.StatusCode)
		}
	}
	if page := body(t, r.get("/connect/"+id)); !strings.Contains(page, `data-status="declined"`) {
		t.Errorf("result:\n%s", page)
	}
	late := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
	r.now = r.now.Add(25 * time.Hour)
	if resp := r.post("/connect/"+late+"/confirm", nil); resp.StatusCode != http.StatusSeeOther || len(resp.Cookies()) != 0 {
		t.Errorf("late: status %d", resp.StatusCode)
	}
}

func TestCrossOriginPosts(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
	before := r.store.writes.Load()
	for name, edit := range map[string]func(http.Header){
		"cross-site":     func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") },
		"same-site":      func(h http.Header) { h.Set("Sec-Fetch-Site", "same-site") },
		"null origin":    func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "null") },
		"foreign origin": func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "https://evil.example") },
	} {
		for _, path := range []string{"/connect/" + id + "/confirm", "/connect/" + id + "/permit", "/connect/" + id + "/decline", "/connect/new"} {
			resp := r.post(path, url.Values{"providerId": {"github"}}, func(r *http.Request) { edit(r.Header) })
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: status %d", name, path, resp.StatusCode)
			}
		}
	}
	if wrote := r.store.writes.Load() - before; wrote != 0 {
		t.Errorf("%d writes", wrote)
	}
}

func TestUnavailable(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.ask(t, alice, "bot", tokenvault.ReleaseInject, "repo").ID
	r.store.down.Store(true)
	if resp := r.get("/connect/" + id); resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(body(t, resp), "disk") {
		t.Errorf("store: status %d", resp.StatusCode)
	}
	r.handler = pages.NewHandler(r.Vault, headerAuth{down: true}, nil)
	if resp := r.get("/connect/" + id); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("host session: status %d", resp.StatusCode)
	}
}

func TestLargeForm(t *testing.T) {
	r := newRig(t, headerAuth{})
	if resp := r.post("/connect/new", url.Values{"providerId": {strings.Repeat("x", 80<<10)}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestC20HostileValues(t *testing.T) {
	r := newRig(t, headerAuth{}, "https://app.example")
	hostile := `"'></title><script>alert(1)</script><img src=x onerror=alert(1)>&lt;`
	scope := `<script>alert(1)</script>` // RFC 6749 allows no quotes
	req := r.ask(t, alice, hostile, tokenvault.ReleaseInject, scope)
	r.flow.account = tokenvault.Account{ID: hostile, Label: hostile}
	query := url.QueryEscape(hostile)
	responses := map[string]*http.Response{
		"ask":      r.get("/connect/" + req.ID + "?error=" + query + "&returnTo=" + query),
		"new":      r.get("/connect/new?providerId=github&threadId=" + query + "&returnTo=" + query),
		"provider": r.get("/connect/new?providerId=" + query),
		"id":       r.get("/connect/" + url.PathEscape(hostile)),
		"error":    r.get("/connect/error?code=" + query),
		"confirm":  r.post("/connect/"+req.ID+"/confirm", url.Values{"returnTo": {hostile}}),
		"leave":    r.post("/connect/"+req.ID+"/confirm", nil),
	}
	r.finish(t, req.ID)
	responses["connected"] = r.get("/connect/" + req.ID)
	r.connectOwn(t, "2", hostile+"2", scope)
	choose := r.ask(t, alice, "another"+hostile, tokenvault.ReleaseInject, scope)
	responses["choose"] = r.get("/connect/" + choose.ID)
	for name, resp := range responses {
		checkHarmless(t, name, body(t, resp))
	}
}

// checkHarmless parses a page as a browser does and looks for what only an
// injection could have put there.
func checkHarmless(t *testing.T, name, page string) {
	t.Helper()
	checkStructure(t, name, page)
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	scripts, images := 0, 0
	for n := range doc.Descendants() {
		switch n.DataAtom {
		case atom.Script:
			scripts++
		case atom.Img:
			images++
		}
	}
	if scripts != 1 || images != 1 { // our own
		t.Errorf("%s: %d scripts, %d images:\n%s", name, scripts, images, page)
	}
}

func TestC15OpenersAreNamed(t *testing.T) {
	for want, origins := range map[string][]string{
		`data-origins=""`: nil,
		`data-origins="https://app.example https://b.example"`: {"https://app.example", "https://b.example"},
	} {
		r := newRig(t, headerAuth{}, origins...)
		done := r.connectOwn(t, "1", "octocat")
		for _, path := range []string{"/connect/" + done.ID, "/connect/error?code=expired"} {
			if page := body(t, r.get(path)); !strings.Contains(page, want) {
				t.Errorf("%s lacks %s:\n%s", path, want, page)
			}
		}
	}
	r := newRig(t, headerAuth{})
	for path := range strings.SplitSeq(body(t, r.get("/connect/error")), `"`) {
		if !strings.HasPrefix(path, "/assets/") {
			continue
		}
		resp := r.get(path, as(""))
		text := body(t, resp)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: status %d, %s", path, resp.StatusCode, resp.Header.Get("Cache-Control"))
		}
		if strings.Contains(text, `"*"`) || strings.Contains(text, "@import") || strings.Contains(text, "innerHTML") {
			t.Errorf("%s:\n%s", path, text)
		}
	}
}

func TestRevokedSince(t *testing.T) {
	r := newRig(t, headerAuth{})
	done := r.connectOwn(t, "1", "octocat")
	if err := r.Revoke(t.Context(), users["alice"], done.ConnectionID); err != nil && !errors.Is(err, tokenvault.ErrNotFound) {
		t.Fatal(err)
	}
	if page := body(t, r.get("/connect/"+done.ID)); strings.Contains(page, "octocat") {
		t.Errorf("shows an account that is gone:\n%s", page)
	}
}

// A visitor sees what is asked and can go to the provider; nothing personal is
// shown, and nothing is decided.
func TestAVisitorGoesOnAndDecidesNothing(t *testing.T) {
	r := newRig(t, headerAuth{})
	r.connectOwn(t, "1", "octocat")
	req := r.ask(t, alice, "helper", tokenvault.ReleaseToken) // permission_required
	shown := body(t, r.get("/connect/"+req.ID, as("guest")))
	for _, text := range []string{"octocat", "/decline", "/permit"} {
		if strings.Contains(shown, text) {
			t.Errorf("a visitor is shown %s", text)
		}
	}
	if !strings.Contains(shown, "/confirm") || !strings.Contains(shown, "helper") {
		t.Errorf("page:\n%s", shown)
	}
	for _, action := range []string{"/decline", "/permit"} {
		if resp := r.post("/connect/"+req.ID+action, nil, as("guest")); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", action, resp.StatusCode)
		}
	}
	if resp := r.post("/connect/"+req.ID+"/confirm", nil, as("guest")); resp.StatusCode != http.StatusOK || len(resp.Cookies()) != 1 {
		t.Errorf("confirm: status %d", resp.StatusCode)
	}
	settled, err := r.Permit(t.Context(), users["alice"], tokenvault.Permit{AuthRequestID: req.ID})
	if err != nil {
		t.Fatal(err)
	}
	if result := body(t, r.get("/connect/"+settled.ID, as("guest"))); strings.Contains(result, "octocat") {
		t.Error("a visitor is shown the account")
	}
}
