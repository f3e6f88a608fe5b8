package tokenvault_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func secrets(pairs ...string) map[string]tokenvault.Secret {
	fields := map[string]tokenvault.Secret{}
	for i := 0; i < len(pairs); i += 2 {
		fields[pairs[i]] = tokenvault.NewSecret(pairs[i+1])
	}
	return fields
}

func request(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAKeyGoesWhereItsProviderSays(t *testing.T) {
	key := tokenvault.KeyAuth{Inject: []tokenvault.Injection{
		{Username: "{mail}/token", Password: "{key}"}, {Header: "X-Api-Key", Value: "Key {key}"}, {Query: "api_key", Value: "{key}"},
	}}
	r := request(t, "https://api.acme.example/v1?a=1&api_key=other&API%5FKEY=other&b=x%20y&c=1;api_key=other&%zz=1")
	r.Header.Set("Authorization", "Bearer other")
	r.Header.Set("x-api-key", "other")
	r.Header.Add("X-Api-Key", "other")
	before := r.URL
	if err := key.Authorize(r, secrets("mail", "me@acme.example", "key", "s&cret")); err != nil {
		t.Fatal(err)
	}
	user, password, _ := r.BasicAuth()
	if user != "me@acme.example/token" || password != "s&cret" || len(r.Header.Values("X-Api-Key")) != 1 || r.Header.Get("X-Api-Key") != "Key s&cret" {
		t.Errorf("header: %v", r.Header)
	}
	if want := "a=1&b=x%20y&api_key=s%26cret"; r.URL.RawQuery != want {
		t.Errorf("query = %s, want %s", r.URL.RawQuery, want)
	}
	if strings.Contains(before.String(), "cret") {
		t.Error("the URL that the caller holds was changed")
	}
}

func TestAKeyWithoutItsFieldsGoesNowhere(t *testing.T) {
	key := tokenvault.KeyAuth{Inject: []tokenvault.Injection{{Header: "X-Api-Key", Value: "{key}"}, {Query: "name", Value: "{name}"}}}
	r := request(t, "https://api.acme.example/v1")
	r.Header.Set("Authorization", "Bearer other")
	if err := key.Authorize(r, secrets("key", "x")); !errors.Is(err, tokenvault.ErrUnsealable) {
		t.Errorf("err = %v, want ErrUnsealable", err)
	}
	if r.Header.Get("X-Api-Key") != "" || r.Header.Get("Authorization") == "" || r.URL.RawQuery != "" {
		t.Error("the request was changed")
	}
}

func TestWhatIsEnteredLeadsToNoOtherHost(t *testing.T) {
	key := tokenvault.KeyAuth{Probe: tokenvault.KeyProbe{URL: "https://{place}.acme.example/v1/{name}/me"}}
	u, err := key.ProbeURL(secrets("place", "Shop-1", "name", "a/../b?c#d"))
	if err != nil || u.String() != "https://shop-1.acme.example/v1/a%2F..%2Fb%3Fc%23d/me" {
		t.Errorf("ProbeURL = %s, %v", u, err)
	}
	for _, place := range []string{
		"", "evil.example/", "evil.example#", "a.b", "a@evil", "a:80", "-a", "a-", "[::1]", "a b", "a%2eb", "a\\b", "a?b", "bücher", strings.Repeat("a", 64),
	} {
		if u, err := key.ProbeURL(secrets("place", place, "name", "x")); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("place %q leads to %s", place, u)
		}
	}
	for _, name := range []string{".", ".."} {
		if u, err := key.ProbeURL(secrets("place", "shop", "name", name)); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("name %q leads to %s", name, u)
		}
	}
}

func FuzzProbeURL(f *testing.F) {
	f.Add("shop", "me")
	f.Add("evil.example/", "..")
	f.Add("a", "\x00?#")
	key := tokenvault.KeyAuth{Probe: tokenvault.KeyProbe{URL: "https://{place}.acme.example/v1/{name}"}}
	f.Fuzz(func(t *testing.T, place, name string) {
		u, err := key.ProbeURL(secrets("place", place, "name", name))
		if err != nil {
			return
		}
		if !strings.HasSuffix(u.Host, ".acme.example") || strings.Count(u.Host, ".") != 2 || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasPrefix(u.EscapedPath(), "/v1/") || strings.Count(u.EscapedPath(), "/") != 2 {
			t.Errorf("%q, %q lead to %s", place, name, u)
		}
	})
}
