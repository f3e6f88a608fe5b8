package catalog

import (
	"slices"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

// What the server would not ask is named, with the entry that lets it; what browsers
// open is nobody's business here.
func TestUnreachable(t *testing.T) {
	p := tokenvault.Provider{OAuth2: &tokenvault.OAuth2{
		AuthorizationURL: "http://127.0.0.1:1/authorize", TokenURL: "http://127.0.0.1/token", UserInfoURL: "https://LOCALHOST/me",
		JWKSURL: "http://auth.localhost:8080/keys", RevocationURL: "https://auth.example/revoke",
	}, APIKey: &tokenvault.KeyAuth{Probe: tokenvault.KeyProbe{URL: "https://10.0.0.1:8443/{account}"}}}
	refused := func(hostPort string) string {
		return `is not asked by the server, unless its allow-hosts lists "` + hostPort + `"`
	}
	want := []Problem{
		{"oauth2.tokenUrl", refused("127.0.0.1:80")},
		{"oauth2.userInfoUrl", refused("localhost:443")},
		{"oauth2.jwksUrl", refused("auth.localhost:8080")},
		{"apiKey.probe.url", refused("10.0.0.1:8443")},
	}
	if got := Unreachable(p, nil); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Unreachable(p, []string{"127.0.0.1:80", "localhost:443", "auth.localhost:8080"}); !slices.Equal(got, want[3:]) {
		t.Errorf("with allow-hosts: %q", got)
	}
}
