package signin

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
)

const loopback = "http://127.0.0.1:8420"

func newLocal(t *testing.T, opts LocalOptions) *Local {
	t.Helper()
	l, err := NewLocal(opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newLink(t *testing.T, l *Local) *url.URL {
	t.Helper()
	link, err := l.SignInLink(loopback)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// do sends one request to the handler.
func do(l *Local, method, target string, form url.Values, edit ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	l.Handler().ServeHTTP(w, r)
	return w.Result()
}

// signIn redeems a fresh link and returns the cookie.
func signIn(t *testing.T, l *Local) *http.Cookie {
	t.Helper()
	resp := do(l, "POST", loopback+LocalPath, newLink(t, l).Query())
	if resp.StatusCode != http.StatusSeeOther || len(resp.Cookies()) != 1 {
		t.Fatalf("sign in: status %d, cookies %v", resp.StatusCode, resp.Cookies())
	}
	return resp.Cookies()[0]
}

func request(cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest("GET", loopback+"/connect/ar_1", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLocalSignsInOneBrowser(t *testing.T) {
	l := newLocal(t, LocalOptions{UserID: "ada", Tenant: "acme"})
	cookie := signIn(t, l)
	got, err := l.Authenticate(request(cookie))
	if err != nil {
		t.Fatal(err)
	}
	want := tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "ada", Owner: tokenvault.Owner{Tenant: "acme", UserID: "ada"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, r := range []*http.Request{
		request(),
		request(&http.Cookie{Name: "tv_local", Value: ""}),
		request(&http.Cookie{Name: "tv_local", Value: "guess"}),
		request(&http.Cookie{Name: "__Host-tv_local", Value: cookie.Value}),
		request(signIn(t, newLocal(t, LocalOptions{UserID: "ada", Tenant: "acme"}))), // of another secret
	} {
		if _, err := l.Authenticate(r); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("cookie %q: got %v", r.Header.Get("Cookie"), err)
		}
	}
}

func TestLocalFindsItsCookieAmongOthers(t *testing.T) {
	l := newLocal(t, LocalOptions{})
	if _, err := l.Authenticate(request(&http.Cookie{Name: "tv_local", Value: "planted"}, signIn(t, l))); err != nil {
		t.Error(err)
	}
}

func TestLocalCookieAttributes(t *testing.T) {
	for _, tc := range []struct {
		secure bool
		want   string
	}{
		{false, "tv_local=V; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"},
		{true, "__Host-tv_local=V; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax"},
	} {
		l := newLocal(t, LocalOptions{Secure: tc.secure})
		resp := do(l, "POST", loopback+LocalPath, newLink(t, l).Query())
		got := strings.Replace(resp.Header.Get("Set-Cookie"), resp.Cookies()[0].Value, "V", 1)
		if got != tc.want {
			t.Errorf("secure %v: got %s, want %s", tc.secure, got, tc.want)
		}
	}
}

func TestLocalGetSpendsNothing(t *testing.T) {
	l := newLocal(t, LocalOptions{})
	link := newLink(t, l)
	for range 3 {
		resp := do(l, "GET", link.String(), nil)
		if resp.StatusCode != http.StatusOK || len(resp.Cookies()) != 0 {
			t.Fatalf("status %d, cookies %v", resp.StatusCode, resp.Cookies())
		}
		if page := body(t, resp); !strings.Contains(page, `value="`+link.Query().Get("token")+`"`) {
			t.Fatalf("the form lacks the token:\n%s", page)
		}
	}
	if resp := do(l, "POST", loopback+LocalPath, link.Query()); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestLocalLinkWorksOnceAndShortly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t, LocalOptions{})
		used, old := newLink(t, l), newLink(t, l)
		first := do(l, "POST", loopback+LocalPath, used.Query())
		if first.StatusCode != http.StatusSeeOther {
			t.Fatalf("status %d", first.StatusCode)
		}
		time.Sleep(linkTTL)
		for name, token := range map[string]string{
			"used": used.Query().Get("token"), "expired": old.Query().Get("token"), "unknown": "guess", "empty": "",
		} {
			resp := do(l, "POST", loopback+LocalPath, url.Values{"token": {token}})
			if resp.StatusCode != http.StatusForbidden || len(resp.Cookies()) != 0 {
				t.Errorf("%s: status %d, cookies %v", name, resp.StatusCode, resp.Cookies())
			}
		}
		if resp := do(l, "GET", used.String(), nil); resp.StatusCode != http.StatusForbidden {
			t.Errorf("used link shown: status %d", resp.StatusCode)
		}
	})
}

func TestLocalSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t, LocalOptions{})
		cookie, end := signIn(t, l), time.Now().Add(sessionTTL)
		if actor, until, err := l.Recheck(request(cookie)); err != nil || actor.ID != "local" || !until.Equal(end) {
			t.Errorf("Recheck = %+v until %s, %v; want %s", actor, until, err, end)
		}
		time.Sleep(sessionTTL - time.Second)
		if _, err := l.Authenticate(request(cookie)); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if _, err := l.Authenticate(request(cookie)); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("after 30 days: %v", err)
		}
	})
}

// The browser that signed in first gives way to one too many.
func TestLocalSessionGivesWay(t *testing.T) {
	l := newLocal(t, LocalOptions{})
	first := signIn(t, l)
	for range maxSessions {
		signIn(t, l)
	}
	if _, _, err := l.Recheck(request(first)); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("Recheck: %v", err)
	}
}

func TestLocalRefusesOtherHosts(t *testing.T) {
	l := newLocal(t, LocalOptions{})
	cookie := signIn(t, l)
	for host, ok := range map[string]bool{
		"127.0.0.1:8420": true, "127.8.9.10": true, "[::1]:8420": true, "localhost": true,
		"LocalHost:1": true, "vault.localhost:8420": true,
		"evil.example:8420": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false,
		"notlocalhost": false, "0.0.0.0:8420": false, "192.168.1.2:8420": false, "": false, "[::2]:1": false,
	} {
		r := request(cookie)
		r.Host = host
		if _, err := l.Authenticate(r); (err == nil) != ok {
			t.Errorf("authenticate at %q: %v", host, err)
		}
		atHost := func(r *http.Request) { r.Host = host }
		link := newLink(t, l)
		get := do(l, "GET", link.String(), nil, atHost)
		post := do(l, "POST", loopback+LocalPath, link.Query(), atHost)
		if (get.StatusCode != http.StatusMisdirectedRequest) != ok || (post.StatusCode != http.StatusMisdirectedRequest) != ok {
			t.Errorf("sign in at %q: GET %d, POST %d", host, get.StatusCode, post.StatusCode)
		}
	}
}

func TestLocalRefusesCrossSitePosts(t *testing.T) {
	l := newLocal(t, LocalOptions{})
	link := newLink(t, l)
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		resp := do(l, "POST", loopback+LocalPath, link.Query(), func(r *http.Request) { r.Header.Set(name, value) })
		if resp.StatusCode != http.StatusForbidden || len(resp.Cookies()) != 0 {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
	}
	if !l.sessions.linkValid(link.Query().Get("token"), time.Now()) {
		t.Error("a refused request spent the link")
	}
}

func TestLocalNextStaysHere(t *testing.T) {
	l := newLocal(t, LocalOptions{})
	for next, want := range map[string]string{
		"/connect/ar_1":             "/connect/ar_1",
		"/connect/new?p=a&q=%2F%2F": "/connect/new?p=a&q=%2F%2F",
		"":                          LocalPath,
		"//evil.example":            LocalPath,
		"/\\evil.example":           LocalPath,
		"/\t/evil.example":          LocalPath,
		"https://evil.example":      LocalPath,
		"javascript:alert(1)":       LocalPath,
	} {
		form := newLink(t, l).Query()
		form.Set("next", next)
		if got := do(l, "POST", loopback+LocalPath, form).Header.Get("Location"); got != want {
			t.Errorf("next %q: got %q, want %q", next, got, want)
		}
	}
	if got, want := l.SignInURL("/connect/new?a=b&c"), "/signin/local?next=%2Fconnect%2Fnew%3Fa%3Db%26c"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := l.SignInURL("//evil.example"); got != LocalPath {
		t.Errorf("got %s", got)
	}
}

func TestLocalPagesAreGuarded(t *testing.T) {
	l := newLocal(t, LocalOptions{})
	cookie := signIn(t, l)
	hostile := `"><script>alert(1)</script>`
	for name, resp := range map[string]*http.Response{
		"form":      do(l, "GET", newLink(t, l).String()+"&next="+url.QueryEscape("/"+hostile), nil),
		"no link":   do(l, "GET", loopback+LocalPath, nil),
		"bad link":  do(l, "GET", loopback+LocalPath+"?token="+url.QueryEscape(hostile), nil),
		"signed in": do(l, "GET", loopback+LocalPath+"?next=/"+url.QueryEscape(hostile), nil, func(r *http.Request) { r.AddCookie(cookie) }),
		"bad host":  do(l, "GET", "http://evil.example"+LocalPath, nil),
	} {
		page := body(t, resp)
		if strings.Contains(page, "<script") || strings.Count(page, "<h1>") != 1 {
			t.Errorf("%s:\n%s", name, page)
		}
		for header, want := range map[string]string{
			"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := resp.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		policy := resp.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %s", name, policy)
		}
	}
	if resp := do(l, "PUT", loopback+LocalPath, url.Values{}); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("PUT: status %d", resp.StatusCode)
	}
}

func TestLocalKeepsHashesOnly(t *testing.T) {
	dir := t.TempDir()
	opts := LocalOptions{Dir: dir, UserID: "ada"}
	cookie := signIn(t, newLocal(t, opts))
	path := filepath.Join(dir, sessionsFile)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), cookie.Value) {
		t.Error("the file holds the secret")
	}
	if _, err := newLocal(t, opts).Authenticate(request(cookie)); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	for _, other := range []LocalOptions{{Dir: dir, UserID: "eve"}, {Dir: dir, UserID: "ada", Tenant: "other"}} {
		if _, err := newLocal(t, other).Authenticate(request(cookie)); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("%+v: %v", other, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

func TestLocalRefusesAnOpenOrDamagedFile(t *testing.T) {
	for name, tc := range map[string]struct {
		mode os.FileMode
		text string
	}{"readable by others": {0o644, "[]"}, "damaged": {0o600, "{"}} {
		dir := t.TempDir()
		path := filepath.Join(dir, sessionsFile)
		if err := os.WriteFile(path, []byte(tc.text), tc.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := NewLocal(LocalOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLocalThatCannotBeKeptSpendsNothing(t *testing.T) {
	dir := t.TempDir()
	l := newLocal(t, LocalOptions{Dir: filepath.Join(dir, "later")})
	link := newLink(t, l)
	if resp := do(l, "POST", loopback+LocalPath, link.Query()); resp.StatusCode != http.StatusServiceUnavailable || len(resp.Cookies()) != 0 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	if err := os.Mkdir(filepath.Join(dir, "later"), 0o700); err != nil {
		t.Fatal(err)
	}
	if resp := do(l, "POST", loopback+LocalPath, link.Query()); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestLocalBadOptions(t *testing.T) {
	if _, err := NewLocal(LocalOptions{UserID: "a\nb"}); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("user id: %v", err)
	}
	l := newLocal(t, LocalOptions{})
	for _, bad := range []string{"", "vault.example.com", "https://vault.example.com", "ftp://localhost", "http://localhost.evil.example"} {
		if link, err := l.SignInLink(bad); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("%q: %q, %v", bad, link, err)
		}
	}
}

// A7: who tries links that are none has to wait; another address has not, and a
// page of another site cannot use the tries up.
func TestA7SignInLinkGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t, LocalOptions{Failures: 20})
		guess := url.Values{"token": {"guess"}}
		show := func(edit ...func(*http.Request)) *http.Response {
			return do(l, "GET", loopback+LocalPath+"?"+guess.Encode(), nil, edit...)
		}
		wantStatus := func(resp *http.Response, status int) {
			t.Helper()
			if resp.StatusCode != status {
				t.Fatalf("status %d, want %d", resp.StatusCode, status)
			}
		}
		for range 40 {
			wantStatus(show(func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }), http.StatusForbidden)
		}
		for range 10 {
			wantStatus(show(), http.StatusForbidden)
			wantStatus(do(l, "POST", loopback+LocalPath, guess), http.StatusForbidden)
		}
		wantStatus(show(), http.StatusTooManyRequests)
		link := newLink(t, l)
		refused := do(l, "POST", loopback+LocalPath, link.Query())
		wantStatus(refused, http.StatusTooManyRequests)
		if refused.Header.Get("Retry-After") != "3" {
			t.Errorf("Retry-After: %s", refused.Header.Get("Retry-After"))
		}
		wantStatus(show(func(r *http.Request) { r.RemoteAddr = "192.0.2.99:1" }), http.StatusForbidden)
		<-time.After(3 * time.Second)
		wantStatus(do(l, "POST", loopback+LocalPath, link.Query()), http.StatusSeeOther)
	})
}
