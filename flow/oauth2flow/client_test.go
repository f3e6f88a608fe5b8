package oauth2flow_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
)

func TestEveryClientAuthenticationConnectsRefreshesAndRevokes(t *testing.T) {
	b := strict(t)
	for auth, client := range map[tokenvault.ClientAuth]tokenvault.Client{
		tokenvault.ClientSecretBasic: {ID: "vault-basic", Secret: tokenvault.NewSecret("secret-of-vault-basic-7f3a9c51d2")},
		tokenvault.ClientSecretPost:  {ID: "vault-post", Secret: tokenvault.NewSecret("secret-of-vault-post-1b8e64f0aa")},
		tokenvault.ClientAuthNone:    {ID: "vault-public"},
	} {
		for _, pushed := range []bool{false, true} {
			t.Run(string(auth)+map[bool]string{true: " pushed"}[pushed], func(t *testing.T) {
				b.provider.OAuth2.ClientAuth, b.client = auth, client
				b.connectRefreshRevoke(t, pushed)
			})
		}
	}
}

// connectRefreshRevoke goes through the whole life of a grant, each step with the
// client's authentication.
func (b *bench) connectRefreshRevoke(t *testing.T, pushed bool) {
	t.Helper()
	b.provider.OAuth2.PushedAuthorizationURL = ""
	if pushed {
		b.provider.OAuth2.PushedAuthorizationURL = b.op.Issuer + "/request"
	}
	before := b.op.Stats(t)["POST /request"]
	done := b.connect(t)
	if n := b.op.Stats(t)["POST /request"] - before; (n == 1) != pushed {
		t.Errorf("%d requests were pushed", n)
	}
	next, ok := b.refresh(t.Context(), done.Credential).(tokenvault.Rotated)
	if !ok {
		t.Fatalf("refresh = %#v", next)
	}
	if err := b.flow.RevokeGrant(t.Context(), tokenvault.RefreshInput{Provider: b.provider, Client: b.client, Credential: next.Credential}); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if out, ok := b.refresh(t.Context(), next.Credential).(tokenvault.Rejected); !ok {
		t.Errorf("refresh of a revoked grant = %#v, want Rejected", out)
	}
}

func TestASignedAssertionAuthenticatesTheClient(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]crypto.Signer{"Ed25519": ed, "RSA": rs, "P-256": newEC(t, elliptic.P256()), "P-384": newEC(t, elliptic.P384())}
	b := strict(t)
	b.provider.OAuth2.ClientAuth = tokenvault.PrivateKeyJWT
	for name, key := range keys {
		for form, text := range map[string]string{"PEM": asPEM(t, key), "JWK": asJWK(t, key)} {
			t.Run(name+" as "+form, func(t *testing.T) {
				b.op.JWKS(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Use: "sig"}}})
				b.client = tokenvault.Client{AppID: "app_1", ID: "vault-jwt", Secret: tokenvault.NewSecret(text)}
				for _, pushed := range []bool{false, true} {
					b.connectRefreshRevoke(t, pushed)
				}
			})
		}
	}
}

func newEC(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func asPEM(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func asJWK(t *testing.T, key crypto.Signer) string {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "k1"})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// C22: a server that names an honest one's token endpoint as its own collects no
// assertion that the honest one would take: the audience is the issuer alone.
func TestC22TheAudienceOfAnAssertionIsTheIssuer(t *testing.T) {
	var sent url.Values
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent, _ = url.ParseQuery(string(body))
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer evil.Close()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := tokenvault.Provider{ID: "p", OAuth2: &tokenvault.OAuth2{
		Issuer: "https://issuer.example", TokenURL: evil.URL, ClientAuth: tokenvault.PrivateKeyJWT,
	}}
	flow := oauth2flow.New(&oauth2flow.Options{Allow: []string{strings.TrimPrefix(evil.URL, "http://")}})
	flow.Refresh(t.Context(), tokenvault.RefreshInput{
		Provider: p, Client: tokenvault.Client{ID: "client", Secret: tokenvault.NewSecret(asPEM(t, key))},
		Credential: tokenvault.Credential{Issuer: "https://issuer.example", TokenURL: evil.URL, RefreshToken: tokenvault.NewSecret("rt")},
	})
	parts := strings.Split(sent.Get("client_assertion"), ".")
	if len(parts) != 3 {
		t.Fatalf("no assertion was sent: %v", sent)
	}
	var claims map[string]any
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(raw, &claims)
	}
	if err != nil || claims["aud"] != "https://issuer.example" || claims["iss"] != "client" || claims["sub"] != "client" {
		t.Errorf("claims = %v, %v", claims, err)
	}
	issued, _ := claims["iat"].(float64)
	if expires, _ := claims["exp"].(float64); expires-issued != 60 || claims["jti"] == "" {
		t.Errorf("claims = %v", claims)
	}
}

func TestAKeyThatCannotSignSendsNothing(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer server.Close()
	flow := oauth2flow.New(&oauth2flow.Options{Allow: []string{strings.TrimPrefix(server.URL, "http://")}})
	for name, secret := range map[string]string{
		"text": "canary-secret", "broken PEM": "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----",
		"weak curve": asPEM(t, newEC(t, elliptic.P224())), "public JWK": `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
	} {
		p := tokenvault.Provider{ID: "p", OAuth2: &tokenvault.OAuth2{
			Issuer: "https://issuer.example", TokenURL: server.URL, ClientAuth: tokenvault.PrivateKeyJWT,
		}}
		out, ok := flow.Refresh(t.Context(), tokenvault.RefreshInput{
			Provider: p, Client: tokenvault.Client{ID: "client", Secret: tokenvault.NewSecret(secret)},
			Credential: tokenvault.Credential{Issuer: "https://issuer.example", TokenURL: server.URL, RefreshToken: tokenvault.NewSecret("rt")},
		}).(tokenvault.Transient)
		if !ok || !strings.Contains(out.Err.Error(), "clientSecret: must be a private key") || strings.Contains(out.Err.Error(), "canary") {
			t.Errorf("%s: %#v", name, out)
		}
	}
	if asked != 0 {
		t.Errorf("%d requests were sent", asked)
	}
}

// Exchange and refresh both ask for JSON, and send the secret as the provider's entry
// says and nowhere else.
func TestEveryTokenRequestAsksForJSON(t *testing.T) {
	for auth, inHeader := range map[tokenvault.ClientAuth]bool{tokenvault.ClientSecretBasic: true, tokenvault.ClientSecretPost: false} {
		var asked []*http.Request
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			asked = append(asked, r)
			_, _ = w.Write([]byte(`{"access_token":"at","refresh_token":"rt"}`))
		}))
		flow := oauth2flow.New(&oauth2flow.Options{Allow: []string{strings.TrimPrefix(server.URL, "http://")}})
		p := tokenvault.Provider{ID: "p", OAuth2: &tokenvault.OAuth2{AuthorizationURL: server.URL + "/authorize", TokenURL: server.URL + "/token", ClientAuth: auth}}
		client := tokenvault.Client{ID: "client", Secret: tokenvault.NewSecret("secret")}
		step, err := flow.Begin(t.Context(), tokenvault.BeginInput{Provider: p, Client: client, State: tokenvault.NewSecret("s")})
		if err != nil {
			t.Fatal(err)
		}
		done, err := flow.Complete(t.Context(), tokenvault.CompleteInput{Provider: p, Client: client, Private: step.Private, Code: tokenvault.NewSecret("code")})
		if err != nil {
			t.Fatal(err)
		}
		flow.Refresh(t.Context(), tokenvault.RefreshInput{Provider: p, Client: client, Credential: done.Credential})
		server.Close()
		if len(asked) != 2 {
			t.Fatalf("%d requests, want an exchange and a refresh", len(asked))
		}
		for _, r := range asked {
			_, password, basic := r.BasicAuth()
			if r.Header.Get("Accept") != "application/json" || basic != inHeader || (r.PostForm.Get("client_secret") == "secret") == inHeader || basic && password != "secret" {
				t.Errorf("%s %s: headers %v, form %v", auth, r.PostForm.Get("grant_type"), r.Header, r.PostForm)
			}
		}
	}
}
