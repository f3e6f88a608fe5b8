package oauth2flow_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
)

// quirky is a server with habits of its own: it reads JSON, refreshes at another
// endpoint than it exchanges at, and tells whose token it is to POST only.
type quirky struct {
	*httptest.Server
	asked []string // method, path, content type and body of each request
}

func newQuirky(t *testing.T) *quirky {
	t.Helper()
	q := &quirky{}
	q.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		q.asked = append(q.asked, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"), body))
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/token":
			_, _ = io.WriteString(w, `{"access_token":"first","refresh_token":"r1","expires_in":60}`)
		case "/refresh":
			_, _ = io.WriteString(w, `{"access_token":"second","expires_in":60}`)
		case "/graphql":
			_, _ = io.WriteString(w, `{"data":{"viewer":{"id":"u-1","email":"alice@example.test"}}}`)
		case "/revoke":
			_, _ = io.WriteString(w, `{}`)
		}
	}))
	t.Cleanup(q.Close)
	return q
}

func (q *quirky) bench() *bench {
	hostPort := strings.TrimPrefix(q.URL, "http://")
	return &bench{
		flow: oauth2flow.New(&oauth2flow.Options{Allow: []string{hostPort}}),
		provider: tokenvault.Provider{ID: "quirky", AuthMethod: tokenvault.AuthOAuth2, OAuth2: &tokenvault.OAuth2{
			AuthorizationURL: q.URL + "/auth", TokenURL: q.URL + "/token", RefreshURL: q.URL + "/refresh", RevocationURL: q.URL + "/revoke",
			RequestFormat: tokenvault.RequestJSON, ClientAuth: tokenvault.ClientSecretPost,
			UserInfoURL: q.URL + "/graphql", UserInfoBody: `{"query":"{ viewer { id email } }"}`,
			AccountID: []string{"data.viewer.id"}, AccountLabel: []string{"data.viewer.email"},
		}},
		client: tokenvault.Client{ID: "client", Secret: tokenvault.NewSecret("client-secret")},
	}
}

func (b *bench) complete(t *testing.T) tokenvault.Completed {
	t.Helper()
	step, err := b.flow.Begin(t.Context(), tokenvault.BeginInput{Provider: b.provider, Client: b.client, State: tokenvault.NewSecret("s")})
	if err != nil {
		t.Fatal(err)
	}
	done, err := b.flow.Complete(t.Context(), tokenvault.CompleteInput{
		Provider: b.provider, Client: b.client, Private: step.Private, Code: tokenvault.NewSecret("code-1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestAServerThatReadsJSONIsSpokenToInJSON(t *testing.T) {
	q := newQuirky(t)
	b := q.bench()
	b.complete(t)
	exchange := q.asked[0]
	head, body, _ := strings.Cut(exchange, "{")
	var sent map[string]string
	if err := json.Unmarshal([]byte("{"+body), &sent); err != nil || head != "POST /token application/json " {
		t.Fatalf("the exchange was %q: %v", exchange, err)
	}
	if sent["code"] != "code-1" || sent["grant_type"] != "authorization_code" || sent["client_secret"] != "client-secret" || sent["code_verifier"] == "" {
		t.Errorf("sent %v", sent)
	}
}

func TestTheAccountIsAskedForByPOST(t *testing.T) {
	q := newQuirky(t)
	if got := q.bench().complete(t).Account; got.ID != "u-1" || got.Label != "alice@example.test" {
		t.Errorf("account = %+v", got)
	}
	if want := `POST /graphql application/json {"query":"{ viewer { id email } }"}`; q.asked[1] != want {
		t.Errorf("asked %q, want %q", q.asked[1], want)
	}
}

func TestARefreshTokenGoesToTheRefreshEndpointItCameWith(t *testing.T) {
	q := newQuirky(t)
	b := q.bench()
	cred := b.complete(t).Credential
	if out, ok := b.refresh(t.Context(), cred).(tokenvault.Rotated); !ok || out.Credential.AccessToken.Reveal() != "second" {
		t.Fatalf("refresh = %#v", out)
	}
	if last := q.asked[len(q.asked)-1]; !strings.HasPrefix(last, "POST /refresh ") {
		t.Errorf("asked %q", last)
	}
	before := len(q.asked)
	b.provider.OAuth2.RefreshURL = q.URL + "/elsewhere"
	if out, ok := b.refresh(t.Context(), cred).(tokenvault.Rejected); !ok || out.Err.Code != "token_endpoint_changed" || len(q.asked) != before {
		t.Errorf("refresh at a changed endpoint = %#v, %d requests", out, len(q.asked)-before)
	}
}

func TestAGrantIsEndedByItsOwnServerOnly(t *testing.T) {
	for name, change := range map[string]func(*tokenvault.OAuth2){
		"token endpoint": func(o *tokenvault.OAuth2) { o.RefreshURL = "" },
		"issuer":         func(o *tokenvault.OAuth2) { o.Issuer = "https://other.example" },
	} {
		t.Run(name, func(t *testing.T) {
			q := newQuirky(t)
			b := q.bench()
			cred := b.complete(t).Credential
			in := tokenvault.RefreshInput{Provider: b.provider, Client: b.client, Credential: cred}
			if err := b.flow.RevokeGrant(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			before := len(q.asked)
			change(b.provider.OAuth2)
			if err := b.flow.RevokeGrant(t.Context(), in); !errors.Is(err, tokenvault.ErrNotFound) || len(q.asked) != before {
				t.Errorf("RevokeGrant = %v, %d requests; want ErrNotFound and none", err, len(q.asked)-before)
			}
			if _, ok := b.refresh(t.Context(), cred).(tokenvault.Rejected); !ok || len(q.asked) != before {
				t.Errorf("the refresh token was sent, or the grant not given up: %d requests", len(q.asked)-before)
			}
		})
	}
}
