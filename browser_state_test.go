package tokenvault

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func cookie(name, domain string, edit ...func(*StateCookie)) StateCookie {
	c := StateCookie{Name: name, Value: StateText(strings.ToUpper(name)), Domain: domain, Path: "/", Expires: -1, SameSite: "Lax"}
	for _, e := range edit {
		e(&c)
	}
	return c
}

func TestTheCookiesOfAURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secure := func(c *StateCookie) { c.Secure = true }
		path := func(p string) func(*StateCookie) { return func(c *StateCookie) { c.Path = p } }
		in := func(d time.Duration) func(*StateCookie) {
			return func(c *StateCookie) { c.Expires = float64(time.Now().Add(d).Unix()) }
		}
		partition := func(site string, across bool) func(*StateCookie) {
			return func(c *StateCookie) { c.PartitionKey, c.HasCrossSiteAncestor = site, across }
		}
		s := StorageState{Cookies: []StateCookie{
			cookie("host", "bank.example.com"), cookie("all", ".example.com"), cookie("other", "www.example.com"), cookie("elsewhere", ".example.org"),
			cookie("deep", "bank.example.com", path("/account")), cookie("secure", ".example.com", secure), cookie("late", ".example.com", in(time.Minute)),
			cookie("gone", ".example.com", in(-time.Minute)), cookie("suffix", ".com"), cookie("never", ".example.com", func(c *StateCookie) { c.Expires = 1e300 }),
			cookie("own", ".example.com", partition("https://example.com", false)), cookie("framed", ".example.com", partition("https://other.example", false)),
			cookie("between", ".example.com", partition("https://example.com", true)),
			cookie("odd", "bank.example.com", func(c *StateCookie) { c.Value = `"quoted, ünd"` }),
			cookie("local", "127.0.0.1", secure), cookie("six", "[::1]"), cookie("name", ".app.localhost"),
		}}
		for text, want := range map[string]string{
			"https://bank.example.com/account/1": `deep=DEEP; host=HOST; all=ALL; secure=SECURE; late=LATE; never=NEVER; own=OWN; odd="quoted, ünd"`,
			"https://BANK.example.com/accounts":  `host=HOST; all=ALL; secure=SECURE; late=LATE; never=NEVER; own=OWN; odd="quoted, ünd"`,
			"http://bank.example.com/":           `host=HOST; all=ALL; late=LATE; never=NEVER; odd="quoted, ünd"`,
			"https://example.com/":               "all=ALL; secure=SECURE; late=LATE; never=NEVER; own=OWN",
			"https://example.com.evil.test/":     "",
			"https://notexample.com/":            "",
			"http://127.0.0.1:8080/":             "local=LOCAL",
			"http://127.0.0.2:8080/":             "",
			"http://[::1]:8080/":                 "six=SIX",
			"http://a.app.localhost:8080/":       "name=NAME",
		} {
			if got := s.CookieHeader(mustURL(t, text)); got != want {
				t.Errorf("%s\n got %s\nwant %s", text, got, want)
			}
		}
		time.Sleep(2 * time.Minute)
		if got := s.CookieHeader(mustURL(t, "https://example.com/")); strings.Contains(got, "LATE") {
			t.Errorf("a cookie outlives its time: %s", got)
		}
	})
}

func TestAStateIsReadAsItWasWritten(t *testing.T) {
	want := StorageState{
		Cookies: []StateCookie{cookie("sid", ".acme.example", func(c *StateCookie) {
			c.HTTPOnly, c.PartitionKey, c.HasCrossSiteAncestor = true, "https://acme.example", true
		})},
		Origins: []StateOrigin{{Origin: "https://acme.example", LocalStorage: []StateItem{{Name: "a", Value: "b"}}, IndexedDB: StateJSON(`[{"name":"db"}]`)}},
		SessionStorage: []StateOrigin{{
			Origin: "https://acme.example", LocalStorage: []StateItem{{Name: "c", Value: "d"}},
		}},
		PartitionedLocalStorage: []StateOrigin{{Origin: "https://w.example/^0https://acme.example", LocalStorage: []StateItem{}}},
	}
	text, err := want.JSON()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseStorageState(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("the state changed")
	}
	empty, err := StorageState{}.JSON()
	if err != nil || empty.Reveal() != `{"cookies":[],"origins":[]}` {
		t.Errorf("an empty state is %s, %v", empty.Reveal(), err)
	}
	large := StorageState{Origins: []StateOrigin{{Origin: "https://acme.example", LocalStorage: []StateItem{{Value: StateText(strings.Repeat("x", MaxStorageState))}}}}}
	if _, err := large.JSON(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a state without bounds: %v", err)
	}
}

func TestAMalformedStateIsRefusedUnquoted(t *testing.T) {
	for _, text := range []string{
		``, `canary`, `[]`, `{"cookies":{"canary":1}}`, `{"cookies":[{"name":"canary","value":"a\r\nX: y","domain":"a.example","path":"/"}]}`,
		`{"cookies":[{"name":"can;ary","value":"x","domain":"a.example","path":"/"}]}`, `{"cookies":[{"name":"canary","value":"x","domain":"","path":"/"}]}`,
		`{"cookies":[{"name":"canary","value":"x","domain":"a.example","path":"x"}]}`, `{"cookies":[{"name":"","value":"","domain":"a.example","path":"/"}]}`,
		`{"cookies":[{"name":"a","value":"x","domain":"a.example","path":"/","sameSite":"canary"}]}`,
		`{"origins":[{"origin":"https://canary.example/path"}]}`, `{"origins":[{"origin":"javascript:canary"}]}`, `{"origins":[{"origin":"https://u:canary@a.example"}]}`,
		strings.Repeat(" ", MaxStorageState) + `{}`,
	} {
		_, err := ParseStorageState(NewSecret(text))
		if !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}

func TestAStateShowsItselfInJSONOnly(t *testing.T) {
	s := StorageState{
		Cookies: []StateCookie{{Name: "sid", Value: "canary"}},
		Origins: []StateOrigin{{LocalStorage: []StateItem{{Value: "canary"}}, IndexedDB: StateJSON(`"canary"`)}},
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", slog.Any("state", s), slog.Any("text", s.Cookies[0].Value), slog.Any("json", s.Origins[0].IndexedDB))
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", slog.Any("state", s), slog.Any("text", s.Cookies[0].Value), slog.Any("json", s.Origins[0].IndexedDB))
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		_, _ = fmt.Fprintf(&log, format+format+format, s, s.Cookies, s.Origins)
	}
	for _, leak := range []string{"canary", fmt.Sprintf("%x", "canary")} {
		if strings.Contains(log.String(), leak) {
			t.Errorf("%s shows in %s", leak, log.String())
		}
	}
}

func TestB4OnlyWhatBelongsToTheLoginIsKept(t *testing.T) {
	login := Login{Domains: []string{"acme.example", "app.localhost:8080"}}
	entry := func(origin string) StateOrigin { return StateOrigin{Origin: origin} }
	of := StorageState{
		Cookies: []StateCookie{
			cookie("a", ".acme.example"), cookie("b", "www.acme.example"), cookie("c", ".idp.example"), cookie("d", ".example"), cookie("e", "app.localhost"),
			cookie("f", ".acme.example", func(c *StateCookie) { c.PartitionKey = "https://idp.example" }),
			cookie("g", ".idp.example", func(c *StateCookie) { c.PartitionKey = "https://acme.example" }),
			cookie("h", ".acme.example", func(c *StateCookie) { c.PartitionKey = "https://acme.example" }),
			cookie("i", "app.localhost", func(c *StateCookie) { c.PartitionKey = "http://app.localhost" }),
		},
		Origins:        []StateOrigin{entry("https://acme.example"), entry("https://idp.example"), entry("http://app.localhost:8080"), entry("http://app.localhost:9000")},
		SessionStorage: []StateOrigin{entry("https://www.acme.example"), entry("https://ads.example")},
		PartitionedLocalStorage: []StateOrigin{
			entry("https://w.acme.example/^0https://acme.example"), entry("https://ads.example/^0https://acme.example"),
			entry("https://acme.example/^0https://ads.example"), entry("http://app.localhost:8080/^0http://app.localhost"), entry("nonsense"),
		},
	}.Of(login)
	var names string
	for _, c := range of.Cookies {
		names += c.Name
	}
	if names != "abehi" {
		t.Errorf("cookies %s", names)
	}
	origins := func(list []StateOrigin) (all []string) {
		for _, o := range list {
			all = append(all, o.Origin)
		}
		return all
	}
	if got := origins(of.Origins); !slices.Equal(got, []string{"https://acme.example", "http://app.localhost:8080"}) {
		t.Errorf("origins %v", got)
	}
	if got := origins(of.SessionStorage); !slices.Equal(got, []string{"https://www.acme.example"}) {
		t.Errorf("session storage of %v", got)
	}
	if got := origins(of.PartitionedLocalStorage); !slices.Equal(got, []string{"https://w.acme.example/^0https://acme.example", "http://app.localhost:8080/^0http://app.localhost"}) {
		t.Errorf("partitioned storage of %v", got)
	}
}

// signedIn returns access to a browser login.
func signedIn(release Release) *Access {
	text, _ := StorageState{Cookies: []StateCookie{cookie("sid", "www.acme.example")}}.JSON()
	return &Access{
		request:    ResolveRequest{Release: release},
		provider:   Provider{ID: "acme-browser", AuthMethod: AuthBrowserLogin, Hosts: []string{"www.acme.example", "api.acme.example"}, Login: &Login{Domains: []string{"acme.example"}}},
		credential: Credential{AuthMethod: AuthBrowserLogin, Browser: BrowserState{StorageState: text, UserAgent: "Browser/1"}},
	}
}

func TestABrowserLoginAuthorizesRequests(t *testing.T) {
	access := signedIn(ReleaseInject)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://www.acme.example/me", nil)
	r.Header.Set("Cookie", "sid=mine")
	r.Header.Set("Authorization", "Bearer mine")
	if err := access.Authorize(r); err != nil {
		t.Fatal(err)
	}
	if got := r.Header; got.Get("Cookie") != "sid=SID" || got.Get("User-Agent") != "Browser/1" || got.Get("Authorization") != "" {
		t.Errorf("the headers are %v", got)
	}
	r.Header.Set("User-Agent", "Mine/1")
	if err := access.Authorize(r); err != nil || r.Header.Get("User-Agent") != "Mine/1" {
		t.Errorf("the caller's User-Agent became %s, %v", r.Header.Get("User-Agent"), err)
	}
	for address, want := range map[string]error{
		"https://evil.example/":     ErrDenied,
		"https://acme.example/":     ErrDenied, // one of the domains, but none of the hosts
		"http://www.acme.example/":  ErrDenied,
		"https://api.acme.example/": ErrInvalid, // no cookie
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		r.Header.Set("Cookie", "own=1")
		if err := access.Authorize(r); !errors.Is(err, want) || r.Header.Get("Cookie") != "own=1" || strings.Contains(err.Error(), "SID") {
			t.Errorf("%s: %v, cookies %s", address, err, r.Header.Get("Cookie"))
		}
	}
}

func TestAStateIsReleasedToWhoMayHaveIt(t *testing.T) {
	u := mustURL(t, "https://www.acme.example/")
	injecting := signedIn(ReleaseInject)
	if _, err := injecting.Browser(); !errors.Is(err, ErrDenied) {
		t.Errorf("Browser = %v", err)
	}
	if _, err := injecting.CookieHeader(u); !errors.Is(err, ErrDenied) {
		t.Errorf("CookieHeader = %v", err)
	}
	access := signedIn(ReleaseToken)
	if state, err := access.Browser(); err != nil || state.IsZero() || state.UserAgent != "Browser/1" {
		t.Errorf("Browser = %v, %v", state, err)
	}
	if header, err := access.CookieHeader(u); err != nil || header.Reveal() != "sid=SID" {
		t.Errorf("CookieHeader = %v", err)
	}
	if _, err := access.CookieHeader(mustURL(t, "https://evil.example/")); !errors.Is(err, ErrDenied) {
		t.Errorf("CookieHeader of a foreign host = %v", err)
	}
	access.credential = Credential{}
	if _, err := access.Browser(); !errors.Is(err, ErrInvalid) {
		t.Errorf("Browser of a token = %v", err)
	}
}

// Whatever a state holds, a header stays one header, and a state that was read can be
// written and read again.
func FuzzStorageState(f *testing.F) {
	f.Add(`{"cookies":[{"name":"a","value":"b","domain":".acme.example","path":"/","expires":-1,"sameSite":"Lax"}],"origins":[]}`, "https://www.acme.example/x")
	f.Add(`{"cookies":[{"name":"","value":"é\"","domain":"[::1]","path":"/","expires":1e308}]}`, "http://[::1]:80/")
	f.Add(`{"origins":[{"origin":"https://a.example","localStorage":null,"indexedDB":null}],"x_partitionedLocalStorage":[{"origin":"https://a/^0https://b^31"}]}`, "https://a.example")
	f.Fuzz(func(t *testing.T, text, address string) {
		s, err := ParseStorageState(NewSecret(text))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if u, err := url.Parse(address); err == nil {
			header := s.CookieHeader(u)
			if strings.ContainsAny(header, "\r\n\x00") {
				t.Fatalf("the header is %q", header)
			}
			s.Of(Login{Domains: []string{u.Hostname()}})
		}
		again, err := s.JSON()
		if err != nil {
			return // larger once it is written: U+FFFD for what is no UTF-8, and escapes
		}
		if _, err := ParseStorageState(again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
