package pages_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

var attemptPattern = regexp.MustCompile(`name="attempt" value="([^"]+)"`)

// entering is what a browser holds while its user enters a code elsewhere.
type entering struct {
	path   string
	form   url.Values
	cookie *http.Cookie
}

// getCode confirms a request for Screen and returns the page with the code.
func (r *rig) getCode(t *testing.T, id string, more url.Values) (*http.Response, entering) {
	t.Helper()
	res := r.post("/connect/"+id+"/confirm", more)
	if len(res.Cookies()) != 1 || !res.Cookies()[0].HttpOnly || !res.Cookies()[0].Secure || res.Cookies()[0].SameSite != http.SameSiteLaxMode {
		t.Fatalf("status %d, cookies %v", res.StatusCode, res.Cookies())
	}
	page := body(t, res)
	match := attemptPattern.FindStringSubmatch(page)
	if match == nil || strings.Contains(page, "canary") {
		t.Fatalf("page: %s", page)
	}
	res.Body = readAgain(page)
	return res, entering{"/connect/" + id + "/poll", url.Values{"attempt": {match[1]}}, res.Cookies()[0]}
}

func (r *rig) poll(in entering, edit ...func(*http.Request)) *http.Response {
	return r.post(in.path, in.form, append([]func(*http.Request){func(r *http.Request) {
		if in.cookie != nil {
			r.AddCookie(in.cookie)
		}
	}}, edit...)...)
}

func TestGoldenCode(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.askFor(t, "screen", alice, "release bot", tokenvault.ReleaseToken).ID
	checkGolden(t, "code_ask", 200, r.get("/connect/"+id))
	checkGolden(t, "code_new", 200, r.get("/connect/new?providerId=screen"))
	res, in := r.getCode(t, id, nil)
	checkGolden(t, "code", 200, res)

	r.flow.outcome = tokenvault.DevicePending{Slower: true}
	r.now = r.now.Add(5 * time.Second)
	slower := body(t, r.poll(in))
	if !strings.Contains(slower, `data-poll="11"`) || !strings.Contains(slower, "WDJB-MJHT") {
		t.Errorf("page: %s", slower)
	}

	r.flow.outcome = tokenvault.DeviceExpired{}
	r.now = r.now.Add(10 * time.Second)
	over := r.poll(in)
	if want := "/connect/" + id + "?error=code_over"; over.Header.Get("Location") != want {
		t.Errorf("a code that is over leads to %s, want %s", over.Header.Get("Location"), want)
	}
	checkGolden(t, "code_over", 200, r.get(over.Header.Get("Location")))

	r.flow.outcome = tokenvault.DeviceFailed{Err: &tokenvault.ProviderError{ProviderID: "screen", Op: "exchange"}}
	_, in = r.getCode(t, id, nil)
	r.now = r.now.Add(5 * time.Second)
	if res := r.poll(in); res.Header.Get("Location") != "/connect/"+id+"?error=service_error" {
		t.Errorf("a refusal leads to %s", res.Header.Get("Location"))
	}
}

func TestACodeThatIsEnteredConnects(t *testing.T) {
	r := newRig(t, headerAuth{})
	for returnTo, want := range map[string]string{"": "/connect/ID", "/settings": "/settings?authRequestId=ID&status=connected"} {
		id := r.askFor(t, "screen", alice, "bot for "+returnTo, tokenvault.ReleaseInject).ID
		_, in := r.getCode(t, id, url.Values{"returnTo": {returnTo}, "account": {"new"}, "permissionTtl": {"1h"}})
		r.now = r.now.Add(5 * time.Second)
		res := r.poll(in)
		if to := strings.ReplaceAll(res.Header.Get("Location"), id, "ID"); to != want {
			t.Errorf("leads to %d %s, want %s", res.StatusCode, to, want)
		}
		if c := res.Cookies(); len(c) != 1 || c[0].Name != in.cookie.Name || c[0].MaxAge >= 0 {
			t.Errorf("cookies: %v", c)
		}
		if res := r.poll(in); res.Header.Get("Location") != "/connect/"+id {
			t.Errorf("polling again leads to %d %s", res.StatusCode, res.Header.Get("Location"))
		}
	}
	permissions, err := r.Permissions(t.Context(), users["alice"], tokenvault.Page{})
	if err != nil || len(permissions) != 2 || !permissions[0].ExpiresAt.After(r.now) {
		t.Errorf("permissions: %+v, %v", permissions, err)
	}
}

// C23: who waits is told of another account on this way too.
func TestC23ACodeEnteredForAnotherAccount(t *testing.T) {
	r := newRig(t, headerAuth{})
	enter := func(id string) *http.Response {
		_, in := r.getCode(t, id, nil)
		r.now = r.now.Add(5 * time.Second)
		return r.poll(in)
	}
	first := r.askFor(t, "screen", alice, "bot", tokenvault.ReleaseInject).ID
	enter(first)
	connected, err := r.AuthRequest(t.Context(), users["alice"], first)
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.RequestConnect(t.Context(), users["alice"], tokenvault.ConnectRequest{ProviderID: "screen", ConnectionID: connected.ConnectionID})
	if err != nil {
		t.Fatal(err)
	}
	r.flow.account = tokenvault.Account{ID: "2", Label: "hubot"}
	if to := enter(again.ID).Header.Get("Location"); to != "/connect/"+again.ID+"?error=account_mismatch" {
		t.Errorf("leads to %s", to)
	}
	if noted, err := r.AuthRequest(t.Context(), users["alice"], again.ID); err != nil || noted.Notice != tokenvault.NoticeOtherAccount {
		t.Errorf("who waits is told %q, %v", noted.Notice, err)
	}
}

func TestC25OnlyTheBrowserThatBeganPolls(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.askFor(t, "screen", alice, "release bot", tokenvault.ReleaseInject).ID
	_, in := r.getCode(t, id, nil)
	r.now = r.now.Add(5 * time.Second)
	without := in
	without.cookie = nil
	for name, tc := range map[string]struct {
		status int
		res    *http.Response
	}{
		"another user":                   {404, r.poll(in, as("eve"))},
		"a visitor":                      {404, r.poll(in, as("guest"))},
		"an agent":                       {401, r.poll(in, as("agent"))},
		"another site":                   {403, r.poll(in, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })},
		"a GET":                          {405, r.get(in.path + "?" + in.form.Encode())},
		"another browser of the same":    {303, r.poll(without)},
		"an attempt that does not exist": {303, r.post(in.path, url.Values{"attempt": {"canary"}})},
	} {
		if tc.res.StatusCode != tc.status || tc.status == 303 && tc.res.Header.Get("Location") != "/connect/"+id+"?error=code_over" {
			t.Errorf("%s: status %d, leads to %s", name, tc.res.StatusCode, tc.res.Header.Get("Location"))
		}
	}
	if req, err := r.AuthRequest(t.Context(), users["alice"], id); err != nil || req.Status != tokenvault.AuthPending {
		t.Errorf("the request is %s, %v", req.Status, err)
	}
}

func TestACodeLeadsToNoOddURL(t *testing.T) {
	r := newRig(t, headerAuth{})
	id := r.askFor(t, "screen", alice, "release bot", tokenvault.ReleaseInject).ID
	for _, to := range []string{"javascript:alert(1)", "//evil.example/", "/path", "data:text/html,x"} {
		r.flow.verification = to
		if res := r.post("/connect/"+id+"/confirm", nil); res.StatusCode != http.StatusInternalServerError || strings.Contains(body(t, res), to) {
			t.Errorf("%s: status %d", to, res.StatusCode)
		}
	}
}
