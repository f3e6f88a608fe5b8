package signin

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/testop"
)

func newOIDC(t *testing.T, opts OIDCOptions) *OIDC {
	t.Helper()
	u, err := url.Parse(opts.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	opts.Allow = []string{u.Host}
	o, err := NewOIDC(newVault(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// leave begins, and returns where the browser is sent and what it keeps.
func leave(t *testing.T, o *OIDC, next string) (to *url.URL, kept []*http.Cookie) {
	t.Helper()
	resp := send(o.Handler(), "GET", vaultURL+o.SignInURL(next), nil)
	to, err := resp.Location()
	if err != nil {
		t.Fatalf("status %d", resp.StatusCode)
	}
	return to, resp.Cookies()
}

// back comes back to the callback with what the server answered.
func back(o *OIDC, kept []*http.Cookie, query url.Values) *http.Response {
	return send(o.Handler(), "GET", vaultURL+OIDCCallbackPath+"?"+query.Encode(), nil, withCookies(kept))
}

// session returns the cookie that signs somebody in; empty if there is none.
func session(resp *http.Response) []*http.Cookie {
	for _, c := range resp.Cookies() {
		if strings.HasSuffix(c.Name, "tv_session") {
			return []*http.Cookie{c}
		}
	}
	return nil
}

func TestSignInAtAnIndependentServer(t *testing.T) {
	op := testop.Start(t, testop.Options{Callback: vaultURL + OIDCCallbackPath})
	o := newOIDC(t, OIDCOptions{
		Issuer: op.Issuer, ClientID: "vault-basic", ClientSecret: tokenvault.NewSecret("secret-of-vault-basic-7f3a9c51d2"),
	})
	to, kept := leave(t, o, "/connect/ar_1?x=1")
	second, keptToo := leave(t, o, "/connect/ar_2") // another window, at the same time
	for _, c := range kept {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.HttpOnly || !c.Secure || c.MaxAge != 600 {
			t.Errorf("cookie %+v", c)
		}
	}
	alice := testop.NewPerson(t, "alice")
	returned := alice.Authorize(t, to.String())
	resp := back(o, append(kept, keptToo...), returned.Query())
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/connect/ar_1?x=1" {
		t.Fatalf("status %d, to %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	want := tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "alice", Owner: tokenvault.Owner{Tenant: "default", UserID: "alice"}}
	if actor, err := whose(o, session(resp)); err != nil || actor != want {
		t.Errorf("actor %+v, %v", actor, err)
	}

	// What comes back once is worth nothing to another browser, nor a second time.
	if stolen := back(o, nil, returned.Query()); stolen.StatusCode != http.StatusUnauthorized || session(stolen) != nil {
		t.Errorf("in another browser: %d", stolen.StatusCode)
	}
	if again := back(o, kept, returned.Query()); session(again) != nil {
		t.Errorf("again: %d", again.StatusCode)
	}
	eves := testop.NewPerson(t, "eve").Authorize(t, second.String()).Query()
	if mixed := back(o, kept, eves); mixed.StatusCode != http.StatusUnauthorized || session(mixed) != nil {
		t.Errorf("with another's return: %d", mixed.StatusCode)
	}
	// C11: eve's code in alice's flow.
	third, keptThird := leave(t, o, "/")
	injected := url.Values{"code": {eves.Get("code")}, "state": {third.Query().Get("state")}, "iss": {op.Issuer}}
	if resp := back(o, keptThird, injected); session(resp) != nil {
		t.Errorf("another's code: %d", resp.StatusCode)
	}
}

// A crooked server answers as a test says.
type crooked struct {
	*httptest.Server
	issuer string         // in its metadata; default its own
	claims map[string]any // what differs in the id_token
	nonce  string
	status int
	asked  atomic.Int32 // at the token endpoint
}

func newCrooked(t *testing.T) *crooked {
	t.Helper()
	h, public := newHost(t)
	c := &crooked{status: http.StatusOK}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": c.issuer, "authorization_endpoint": c.URL + "/auth", "token_endpoint": c.URL + "/token", "jwks_uri": c.URL + "/jwks",
			"id_token_signing_alg_values_supported": []string{"ES256"}, "authorization_response_iss_parameter_supported": true,
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, Algorithm: "ES256"}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		c.asked.Add(1)
		all := claims(map[string]any{"iss": c.URL, "aud": "vault", "nonce": c.nonce})
		maps.Copy(all, c.claims)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(c.status)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": "access-canary", "token_type": "Bearer", "id_token": h.sign(t, nil, all), "echo": r.PostFormValue("code"),
		})
	})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	c.issuer = c.URL
	return c
}

// C10: metadata of another issuer is refused before anybody is sent anywhere.
func TestC10MetadataOfAnotherIssuer(t *testing.T) {
	c := newCrooked(t)
	c.issuer = "https://honest.example"
	o := newOIDC(t, OIDCOptions{Issuer: c.URL, ClientID: "vault"})
	if resp := send(o.Handler(), "GET", vaultURL+o.SignInURL("/"), nil); resp.StatusCode != http.StatusServiceUnavailable || len(resp.Cookies()) > 0 {
		t.Errorf("status %d, cookies %v", resp.StatusCode, resp.Cookies())
	}
	c.issuer = c.URL // mended: the next one is served
	leave(t, o, "/")
}

func TestASignInThatDoesNotVerifySignsNobodyIn(t *testing.T) {
	now := time.Now().Unix()
	for name, tc := range map[string]struct {
		opts   OIDCOptions
		claims map[string]any
		query  url.Values // replaces
		status int        // of the token endpoint
		want   int
	}{
		"valid":                    {want: http.StatusSeeOther},
		"another nonce":            {claims: map[string]any{"nonce": "n"}, want: 401},
		"another audience":         {claims: map[string]any{"aud": "other"}, want: 401},
		"another issuer":           {claims: map[string]any{"iss": "https://evil.example"}, want: 401},
		"expired":                  {claims: map[string]any{"exp": now - 1}, want: 401},
		"iss of another server":    {query: url.Values{"iss": {"https://evil.example"}}, want: 401},
		"no iss, though announced": {query: url.Values{"iss": nil}, want: 401},
		"refused":                  {query: url.Values{"code": nil, "error": {"access_denied"}}, want: 401},
		"state twice":              {query: url.Values{"state": {"state-1", "state-2"}}, want: 401},
		"no state":                 {query: url.Values{"state": nil}, want: 401},
		"token endpoint fails":     {status: http.StatusBadRequest, want: 503},
		"claim missing":            {opts: OIDCOptions{UserClaim: "host_id"}, want: 401},
		"claim not text":           {opts: OIDCOptions{UserClaim: "host_id"}, claims: map[string]any{"host_id": 7}, want: 401},
		"email not verified":       {opts: OIDCOptions{UserClaim: "email"}, claims: map[string]any{"email": "a@b.example"}, want: 401},
		"email verified":           {opts: OIDCOptions{UserClaim: "email"}, claims: map[string]any{"email": "a@b.example", "email_verified": true}, want: http.StatusSeeOther},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrooked(t)
			var log strings.Builder
			tc.opts.Issuer, tc.opts.ClientID, tc.opts.Logger = c.URL, "vault", slog.New(slog.NewTextHandler(&log, nil))
			o := newOIDC(t, tc.opts)
			to, kept := leave(t, o, "/")
			c.claims, c.nonce = tc.claims, to.Query().Get("nonce")
			if tc.status != 0 {
				c.status = tc.status
			}
			query := url.Values{"code": {"code-canary"}, "state": {to.Query().Get("state")}, "iss": {c.URL}}
			maps.Copy(query, tc.query)
			resp := back(o, kept, query)
			if resp.StatusCode != tc.want || (session(resp) != nil) != (tc.want == http.StatusSeeOther) {
				t.Errorf("status %d, want %d; session %v", resp.StatusCode, tc.want, session(resp))
			}
			for _, canary := range []string{"access-canary", "code-canary", query.Get("state")} {
				if canary != "" && strings.Contains(log.String(), canary) {
					t.Errorf("the log holds %s:\n%s", canary, &log)
				}
			}
		})
	}
}

func TestOIDCMapsClaims(t *testing.T) {
	o := newOIDC(t, OIDCOptions{Issuer: "http://127.0.0.1:1", ClientID: "vault", UserClaim: "host_id", OrganizationClaim: "org"})
	actor, err := o.userOf(map[string]any{"sub": "x", "host_id": "u1", "org": "acme"})
	if err != nil || actor.Owner != (tokenvault.Owner{Tenant: "default", OrganizationID: "acme", UserID: "u1"}) || actor.OrgAdmin {
		t.Errorf("%+v, %v", actor, err)
	}
}

func TestOIDCOptions(t *testing.T) {
	for field, opts := range map[string]OIDCOptions{
		"oidcIssuer":   {Issuer: "login.example.com", ClientID: "vault"},
		"oidcClientId": {Issuer: "https://login.example.com"},
	} {
		_, err := NewOIDC(newVault(t), opts)
		if wrong, ok := errors.AsType[*tokenvault.FieldError](err); !ok || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
