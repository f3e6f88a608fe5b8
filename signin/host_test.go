package signin

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
)

// host runs a host's session endpoint and returns an authenticator that asks it.
func host(t *testing.T, answer http.HandlerFunc, edit ...func(*HostSessionOptions)) *HostSession {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	opts := HostSessionOptions{URL: srv.URL + "/session", Cookies: []string{"sid", "sid.sig"}}
	for _, e := range edit {
		e(&opts)
	}
	h, err := NewHostSession(opts)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func withCookie(header string) *http.Request {
	r := httptest.NewRequest("POST", "https://vault.example.com/connect/ar_1/confirm?userId=eve", strings.NewReader("userId=eve"))
	r.Header.Set("Cookie", header)
	r.Header.Set("Authorization", "Bearer of-the-browser")
	r.Header.Set("X-User-Id", "eve")
	return r
}

func TestHostSessionForwardsNamedCookiesOnly(t *testing.T) {
	h := host(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.Header.Get("Cookie") != "sid=abc; sid.sig=def" || r.URL.RawQuery != "" ||
			r.Header.Get("Authorization") != "" || r.Header.Get("X-User-Id") != "" {
			t.Errorf("forwarded %s %s %v", r.Method, r.URL, r.Header)
		}
		_, _ = io.WriteString(w, `{"userId":"ada","organizationId":"acme","orgAdmin":true,"email":"ada@example.com"}`)
	}, func(o *HostSessionOptions) { o.Tenant = "shop" })
	got, err := h.Authenticate(withCookie("other=1; sid=abc; tv_attempt_1=x; sid.sig=def"))
	if err != nil {
		t.Fatal(err)
	}
	want := tokenvault.Actor{
		Kind: tokenvault.ActorUser, ID: "ada", OrgAdmin: true,
		Owner: tokenvault.Owner{Tenant: "shop", OrganizationID: "acme", UserID: "ada"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHostSessionAnswers(t *testing.T) {
	user := func(id string) tokenvault.Actor {
		return tokenvault.Actor{Kind: tokenvault.ActorUser, ID: id, Owner: tokenvault.Owner{Tenant: "default", UserID: id}}
	}
	for name, tc := range map[string]struct {
		status int
		body   string
		actor  tokenvault.Actor
		err    error
	}{
		"user":               {200, `{"userId":"ada"}`, user("ada"), nil},
		"no organization":    {200, `{"userId":"ada","organizationId":null,"orgAdmin":true}`, user("ada"), nil},
		"null":               {200, `null`, tokenvault.Actor{}, tokenvault.ErrUnauthenticated},
		"empty object":       {200, `{}`, tokenvault.Actor{}, tokenvault.ErrUnauthenticated},
		"organization alone": {200, `{"organizationId":"acme"}`, tokenvault.Actor{}, tokenvault.ErrUnauthenticated},
		"unauthorized":       {401, `{"userId":"ada"}`, tokenvault.Actor{}, tokenvault.ErrUnauthenticated},
		"forbidden":          {403, ``, tokenvault.Actor{}, tokenvault.ErrUnauthenticated},
		"no content":         {204, ``, tokenvault.Actor{}, tokenvault.ErrUnauthenticated},
		"not found":          {404, ``, tokenvault.Actor{}, tokenvault.ErrUnauthenticated},
		"created":            {201, `{"userId":"ada"}`, tokenvault.Actor{}, tokenvault.ErrUnavailable},
		"broken":             {500, `{"userId":"ada"}`, tokenvault.Actor{}, tokenvault.ErrUnavailable},
		"too many":           {429, ``, tokenvault.Actor{}, tokenvault.ErrUnavailable},
		"page":               {200, `<!doctype html>`, tokenvault.Actor{}, tokenvault.ErrUnavailable},
		"empty":              {200, ``, tokenvault.Actor{}, tokenvault.ErrUnavailable},
		"number":             {200, `{"userId":7}`, tokenvault.Actor{}, tokenvault.ErrUnavailable},
		"control character":  {200, `{"userId":"a\nb"}`, tokenvault.Actor{}, tokenvault.ErrUnavailable},
		"long id":            {200, `{"userId":"` + strings.Repeat("a", 256) + `"}`, tokenvault.Actor{}, tokenvault.ErrUnavailable},
		"long answer":        {200, `{"userId":"ada","x":"` + strings.Repeat("a", maxAnswer) + `"}`, tokenvault.Actor{}, tokenvault.ErrUnavailable},
		"two values":         {200, `{"userId":"ada"}{"userId":"eve"}`, tokenvault.Actor{}, tokenvault.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			got, err := h.Authenticate(withCookie("sid=abc"))
			if !errors.Is(err, tc.err) {
				t.Errorf("got error %v, want %v", err, tc.err)
			}
			if diff := cmp.Diff(tc.actor, got); diff != "" {
				t.Error(diff)
			}
			if err != nil && (strings.Contains(err.Error(), "http") || strings.Contains(err.Error(), "abc")) {
				t.Errorf("the error tells too much: %v", err)
			}
		})
	}
}

func TestHostSessionFollowsNoRedirectAndKeepsNoJar(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := host(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "sid=abc" {
			t.Errorf("cookies of somebody else: %s", r.Header.Get("Cookie"))
		}
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: "of-the-first-caller"})
		http.Redirect(w, r, thief.URL, http.StatusFound)
	}, func(o *HostSessionOptions) { o.Client = &http.Client{Jar: jar} })
	for range 2 {
		if _, err := h.Authenticate(withCookie("sid=abc")); !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if stolen.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestHostSessionAsksNobodyWithoutItsCookies(t *testing.T) {
	h := host(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	for _, header := range []string{"", "other=1", "sid2=1"} {
		if _, err := h.Authenticate(withCookie(header)); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("%q: %v", header, err)
		}
	}
}

func TestHostSessionThatIsDown(t *testing.T) {
	h := host(t, nil)
	h.url = "http://127.0.0.1:1/session?key=hidden"
	_, err := h.Authenticate(withCookie("sid=abc"))
	if !errors.Is(err, tokenvault.ErrUnavailable) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
}

// hanging is a transport whose host never answers.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestHostSessionGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := NewHostSession(HostSessionOptions{
			URL: "http://host.example/session", Cookies: []string{"sid"}, Client: &http.Client{Transport: hanging{}},
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := h.Authenticate(withCookie("sid=abc")); !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(start); waited != hostTimeout { // the bubble's clock
			t.Errorf("waited %v", waited)
		}
	})
}

// answering is a transport that answers who the sid cookie names, and counts.
type answering struct{ asked atomic.Int32 }

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked.Add(1)
	sid, err := r.Cookie("sid")
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	_, _ = io.WriteString(w, `{"userId":"`+sid.Value+`"}`)
	return w.Result(), nil
}

func TestHostSessionCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for keep, want := range map[time.Duration]int32{0: 4, 10 * time.Second: 3} {
			transport := &answering{}
			h, err := NewHostSession(HostSessionOptions{
				URL: "http://host.example/session", Cookies: []string{"sid"}, CacheFor: keep, Client: &http.Client{Transport: transport},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"ada", "ada", "bob"} {
				if actor, err := h.Authenticate(withCookie("sid=" + id)); err != nil || actor.ID != id {
					t.Errorf("%s: %v, %v", id, actor, err)
				}
			}
			time.Sleep(10 * time.Second)
			if _, err := h.Authenticate(withCookie("sid=ada")); err != nil {
				t.Error(err)
			}
			if got := transport.asked.Load(); got != want {
				t.Errorf("cache for %v: asked %d times, want %d", keep, got, want)
			}
		}
	})
}

func TestHostSessionSignInURL(t *testing.T) {
	for _, tc := range []struct{ template, public, returnTo, want string }{
		{"", "https://v.example", "/connect/ar_1", ""},
		{"https://app.example/login?next={returnTo}", "https://v.example/", "/connect/ar_1?a=b", "https://app.example/login?next=https%3A%2F%2Fv.example%2Fconnect%2Far_1%3Fa%3Db"},
		{"/login?next={returnTo}", "", "/connect/ar_1", "/login?next=%2Fconnect%2Far_1"},
		{"/login?next={returnTo}", "https://v.example", "//evil.example", "/login?next=https%3A%2F%2Fv.example%2F"},
		{"/login", "https://v.example", "/connect/ar_1", "/login"},
	} {
		h := host(t, nil, func(o *HostSessionOptions) { o.SignInURL, o.PublicURL = tc.template, tc.public })
		if got := h.SignInURL(tc.returnTo); got != tc.want {
			t.Errorf("%+v: got %s", tc, got)
		}
	}
}

func TestHostSessionBadOptions(t *testing.T) {
	good := HostSessionOptions{URL: "https://app.example/session", Cookies: []string{"sid"}}
	for field, edit := range map[string]func(*HostSessionOptions){
		"sessionUrl":     func(o *HostSessionOptions) { o.URL = "app.example/session" },
		"sessionCookies": func(o *HostSessionOptions) { o.Cookies = []string{"a b"} },
		"cacheFor":       func(o *HostSessionOptions) { o.CacheFor = time.Hour },
		"signInUrl":      func(o *HostSessionOptions) { o.SignInURL = "javascript:alert(1)" },
	} {
		opts := good
		edit(&opts)
		_, err := NewHostSession(opts)
		wrong, ok := errors.AsType[*tokenvault.FieldError](err)
		if !ok || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestFunc(t *testing.T) {
	want := tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "ada"}
	var auth tokenvault.Authenticator = Func(func(*http.Request) (tokenvault.Actor, error) { return want, nil })
	if got, err := auth.Authenticate(request()); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	var _ tokenvault.Challenger = (*Local)(nil)
	var _ tokenvault.Challenger = (*HostSession)(nil)
}
