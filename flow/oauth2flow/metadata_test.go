package oauth2flow_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
)

func TestAnEntryThatFitsItsServerHasNoDifferences(t *testing.T) {
	b := strict(t)
	m, err := b.flow.Discover(t.Context(), b.op.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	if all := m.Differences(*b.provider.OAuth2); len(all) > 0 {
		t.Errorf("differences %q", all)
	}
	if s256, said := m.PKCE(); !s256 || !said {
		t.Errorf("PKCE = %t, %t", s256, said)
	}
	o := *b.provider.OAuth2
	o.TokenURL, o.IssRequired, o.ClientAuth = b.op.Issuer+"/other", false, "tls_client_auth"
	want := []string{"tokenUrl should be " + b.op.Issuer + "/token", "issRequired should be true"}
	if all := m.Differences(o); len(all) != 3 || !slices.Equal(all[:2], want) || !strings.HasPrefix(all[2], "clientAuth should be one of ") {
		t.Errorf("differences %q", all)
	}
}

// describes serves a document at a path; %s stands for the issuer.
func describes(t *testing.T, path, document string) *httptest.Server {
	t.Helper()
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprint(w, strings.ReplaceAll(document, "%s", s.URL))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestC10MetadataOfAnotherIssuerIsRefused(t *testing.T) {
	const path = "/.well-known/openid-configuration"
	for name, c := range map[string]struct {
		document string
		want     error
	}{
		"its own":                       {`{"issuer":"%s","token_endpoint":"%s/token"}`, nil},
		"another":                       {`{"issuer":"https://evil.example","token_endpoint":"%s/token"}`, tokenvault.ErrInvalid},
		"with a slash":                  {`{"issuer":"%s/","token_endpoint":"%s/token"}`, tokenvault.ErrInvalid},
		"none":                          {`{"token_endpoint":"%s/token"}`, tokenvault.ErrInvalid},
		"no JSON":                       {`<html>`, tokenvault.ErrInvalid},
		"C21 script for a page":         {`{"issuer":"%s","authorization_endpoint":"javascript:alert(1)"}`, tokenvault.ErrInvalid},
		"C21 file for a token endpoint": {`{"issuer":"%s","token_endpoint":"file:///etc/passwd"}`, tokenvault.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s := describes(t, path, c.document)
			f := oauth2flow.New(&oauth2flow.Options{Allow: []string{strings.TrimPrefix(s.URL, "http://")}})
			if _, err := f.Discover(t.Context(), s.URL); !errors.Is(err, c.want) {
				t.Errorf("Discover = %v, want %v", err, c.want)
			}
		})
	}
}

func TestMetadataIsFoundInBothPlaces(t *testing.T) {
	for _, path := range []string{"/tenant/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/tenant"} {
		s := describes(t, path, `{"issuer":"%s/tenant"}`)
		f := oauth2flow.New(&oauth2flow.Options{Allow: []string{strings.TrimPrefix(s.URL, "http://")}})
		if _, err := f.Discover(t.Context(), s.URL+"/tenant"); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := f.Discover(t.Context(), s.URL); !errors.Is(err, tokenvault.ErrNotFound) {
			t.Errorf("without a document: %v, want ErrNotFound", err)
		}
		if _, err := oauth2flow.New(nil).Discover(t.Context(), s.URL+"/tenant"); err == nil || errors.Is(err, tokenvault.ErrNotFound) {
			t.Errorf("at a private address: %v", err)
		}
		if err := f.Reach(t.Context(), s.URL+"/nothing"); err != nil {
			t.Errorf("Reach = %v", err)
		}
	}
}
