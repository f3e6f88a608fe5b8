package signin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

const (
	vaultURL = "https://vault.example"
	appURL   = "https://app.example"
)

// newVault returns a vault whose public URL is vaultURL.
func newVault(t *testing.T) *tokenvault.Vault {
	t.Helper()
	key, err := keyring.FromKey(tokenvault.NewSecret("5cD0qv1F0mJmJ5m0mGQWq3m0bX8h4mFqk3m7eS3c2mM="))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := tokenvault.NewCatalog()
	if err != nil {
		t.Fatal(err)
	}
	v, err := tokenvault.New(memory.New(nil), key, cat, &tokenvault.Options{PublicURL: vaultURL, Origins: []string{appURL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return v
}

// send serves one request of a browser.
func send(h http.Handler, method, target string, form url.Values, edit ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func withHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func withCookies(cookies []*http.Cookie) func(*http.Request) {
	return func(r *http.Request) {
		for _, c := range cookies {
			r.AddCookie(c)
		}
	}
}

// whose returns whom an authenticator takes the bearer of cookies for.
func whose(auth tokenvault.Authenticator, cookies []*http.Cookie) (tokenvault.Actor, error) {
	r := httptest.NewRequest(http.MethodGet, vaultURL+"/connect/x", nil)
	withCookies(cookies)(r)
	return auth.Authenticate(r)
}
