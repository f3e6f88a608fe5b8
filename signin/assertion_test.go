package signin

import (
	"context"
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
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
)

// A signer is a host that signs assertions.
type signer struct {
	alg jose.SignatureAlgorithm
	key any
}

func newHost(t *testing.T) (signer, crypto.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{jose.ES256, key}, key.Public()
}

// claims returns what the host says of alice; nil values in change take a claim out.
func claims(change map[string]any) map[string]any {
	now := time.Now().Unix()
	all := map[string]any{"iss": appURL, "aud": vaultURL, "sub": "alice", "iat": now, "exp": now + 60, "jti": rand.Text()}
	maps.Copy(all, change)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// sign returns an assertion with the headers.
func (h signer) sign(t *testing.T, headers, claims map[string]any) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	opts.WithType(assertionType)
	for name, value := range headers {
		opts.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: h.alg, Key: h.key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newAssertion(t *testing.T, opts AssertionOptions) *Assertion {
	t.Helper()
	opts.Issuer = appURL
	opts.SignInURL = appURL + "/vault?back={returnTo}"
	a, err := NewAssertion(newVault(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// bring authenticates a request of the host's server.
func (a *Assertion) bring(assertion string) (tokenvault.Actor, error) {
	r := httptest.NewRequest(http.MethodGet, vaultURL+"/api/token-vault/credentials", nil)
	r.Header.Set("Authorization", "Bearer "+assertion)
	return a.Authenticate(r)
}

func TestAnAssertionNamesTheUser(t *testing.T) {
	h, public := newHost(t)
	a := newAssertion(t, AssertionOptions{Keys: []crypto.PublicKey{public}})
	got, err := a.bring(h.sign(t, map[string]any{"kid": "1"}, claims(map[string]any{"org_id": "acme", "org_admin": true})))
	want := tokenvault.Actor{
		Kind: tokenvault.ActorUser, ID: "alice", OrgAdmin: true,
		Owner: tokenvault.Owner{Tenant: "default", OrganizationID: "acme", UserID: "alice"},
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("actor %+v, %v", got, err)
	}
	got, err = a.bring(h.sign(t, nil, claims(map[string]any{"org_admin": true})))
	if err != nil || got.OrgAdmin {
		t.Errorf("an administrator of no organization: %+v, %v", got, err)
	}
}

// A4: what is not exactly an assertion of the registered key for this vault, now,
// authenticates nobody.
func TestA4ForgedAssertions(t *testing.T) {
	h, public := newHost(t)
	stranger, strangerKey := newHost(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(rsaKey.Public()))})
	var log strings.Builder
	a := newAssertion(t, AssertionOptions{
		Keys: []crypto.PublicKey{public, rsaKey.Public()}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	now := time.Now().Unix()
	with := func(change map[string]any) string { return h.sign(t, nil, claims(change)) }
	valid := with(nil)
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"`+assertionType+`"}`)) + "." + strings.Split(valid, ".")[1] + "."
	jwk := jose.JSONWebKey{Key: strangerKey, KeyID: "1"}
	for name, assertion := range map[string]string{
		"alg none":                     none,
		"HS256 with the RSA key's PEM": signer{jose.HS256, rsaPEM}.sign(t, nil, claims(nil)),
		"another key":                  stranger.sign(t, nil, claims(nil)),
		"jwk header":                   stranger.sign(t, map[string]any{"jwk": jwk}, claims(nil)),
		"jku header":                   h.sign(t, map[string]any{"jku": "https://evil.example/jwks"}, claims(nil)),
		"x5u header":                   h.sign(t, map[string]any{"x5u": "https://evil.example/cert"}, claims(nil)),
		"kid traversal, another key":   stranger.sign(t, map[string]any{"kid": "../../../dev/null"}, claims(nil)),
		"kid not text":                 h.sign(t, map[string]any{"kid": 1}, claims(nil)),
		"typ JWT":                      h.sign(t, map[string]any{"typ": "JWT"}, claims(nil)),
		"another issuer":               with(map[string]any{"iss": "https://evil.example"}),
		"no issuer":                    with(map[string]any{"iss": nil}),
		"another audience":             with(map[string]any{"aud": "https://other.example"}),
		"two audiences":                with(map[string]any{"aud": []string{vaultURL, "https://other.example"}}),
		"no audience":                  with(map[string]any{"aud": nil}),
		"expired":                      with(map[string]any{"iat": now - 61, "exp": now - 1}),
		"no exp":                       with(map[string]any{"exp": nil}),
		"no iat":                       with(map[string]any{"iat": nil}),
		"from the future":              with(map[string]any{"iat": now + 60, "exp": now + 120}),
		"longer than a minute":         with(map[string]any{"exp": now + 61}),
		"no jti":                       with(map[string]any{"jti": nil}),
		"jti not text":                 with(map[string]any{"jti": 7}),
		"no sub":                       with(map[string]any{"sub": nil}),
		"sub with a control character": with(map[string]any{"sub": "alice\n"}),
		"org_id too long":              with(map[string]any{"org_id": strings.Repeat("o", 256)}),
		"org_admin not a boolean":      with(map[string]any{"org_id": "acme", "org_admin": "false"}),
		"cut":                          valid[:len(valid)-4],
		"empty":                        "",
		"garbage":                      "a.b.c",
	} {
		if actor, err := a.bring(assertion); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("%s: %+v, %v", name, actor, err)
		}
	}
	if strings.Contains(log.String(), strings.Split(valid, ".")[2]) || strings.Contains(log.String(), "alice") {
		t.Errorf("the log holds what was sent:\n%s", &log)
	}
	if _, err := a.bring(valid); err != nil {
		t.Errorf("the valid one: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestAnAssertionIsUsedOnce(t *testing.T) {
	h, public := newHost(t)
	a := newAssertion(t, AssertionOptions{Keys: []crypto.PublicKey{public}})
	assertion := h.sign(t, nil, claims(nil))
	if _, err := a.bring(assertion); err != nil {
		t.Fatal(err)
	}
	if _, err := a.bring(assertion); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("again: %v", err)
	}
	again := send(a.Handler(), "POST", vaultURL+AssertionPath, url.Values{"assertion": {assertion}}, withHeader("Origin", appURL))
	if again.StatusCode != http.StatusUnauthorized || len(again.Cookies()) > 0 {
		t.Errorf("again, by a browser: status %d, cookies %v", again.StatusCode, again.Cookies())
	}
}

// What an assertion opened goes on until its exp, although it is spent.
func TestAnAssertionIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := newHost(t)
		a := newAssertion(t, AssertionOptions{Keys: []crypto.PublicKey{key}})
		exp := time.Now().Add(30 * time.Second)
		r := httptest.NewRequest(http.MethodGet, vaultURL+"/api", nil)
		r.Header.Set("Authorization", "Bearer "+host.sign(t, nil, claims(map[string]any{"exp": exp.Unix()})))
		said, err := a.Authenticate(r)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			<-time.After(10 * time.Second)
			if actor, until, err := a.Recheck(r); err != nil || actor != said || !until.Equal(exp) {
				t.Errorf("Recheck = %+v until %s, %v", actor, until, err)
			}
		}
		<-time.After(11 * time.Second)
		if _, _, err := a.Recheck(r); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("after its exp: %v", err)
		}
	})
}

func TestABrowserBringsAnAssertionFromARegisteredOrigin(t *testing.T) {
	h, public := newHost(t)
	a := newAssertion(t, AssertionOptions{Keys: []crypto.PublicKey{public}})
	form := func() url.Values {
		return url.Values{"assertion": {h.sign(t, nil, claims(nil))}, "next": {"/connect/ar_1?x=1"}}
	}
	for _, origin := range []string{"", "null", "https://evil.example", vaultURL, appURL + ".evil.example"} {
		resp := send(a.Handler(), "POST", vaultURL+AssertionPath, form(), withHeader("Origin", origin))
		if resp.StatusCode != http.StatusForbidden || len(resp.Cookies()) > 0 {
			t.Errorf("from %q: status %d, cookies %v", origin, resp.StatusCode, resp.Cookies())
		}
	}
	get := send(a.Handler(), "GET", vaultURL+AssertionPath+"?"+form().Encode(), nil, withHeader("Origin", appURL))
	if get.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("in a URL: status %d", get.StatusCode)
	}

	resp := send(a.Handler(), "POST", vaultURL+AssertionPath, form(), withHeader("Origin", appURL))
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/connect/ar_1?x=1" {
		t.Fatalf("status %d, to %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	cookie := resp.Cookies()[0]
	if cookie.Name != "__Host-tv_session" || !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" {
		t.Errorf("cookie %+v", cookie)
	}
	if actor, err := whose(a, resp.Cookies()); err != nil || actor.Owner.UserID != "alice" {
		t.Errorf("%+v, %v", actor, err)
	}
	if _, err := whose(a, nil); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("without the cookie: %v", err)
	}
	for _, next := range []string{"https://evil.example", "//evil.example", `/\evil.example`, "javascript:alert(1)"} {
		away := url.Values{"assertion": {h.sign(t, nil, claims(nil))}, "next": {next}}
		resp := send(a.Handler(), "POST", vaultURL+AssertionPath, away, withHeader("Origin", appURL))
		if resp.Header.Get("Location") != "/" {
			t.Errorf("next %q leads to %s", next, resp.Header.Get("Location"))
		}
	}
}

func TestSignOut(t *testing.T) {
	_, public := newHost(t)
	a := newAssertion(t, AssertionOptions{Keys: []crypto.PublicKey{public}})
	cross := send(a.Handler(), "POST", vaultURL+SignOutPath, nil, withHeader("Sec-Fetch-Site", "cross-site"))
	if cross.StatusCode != http.StatusForbidden || len(cross.Cookies()) > 0 {
		t.Errorf("from another site: %d %v", cross.StatusCode, cross.Cookies())
	}
	resp := send(a.Handler(), "POST", vaultURL+SignOutPath, nil, withHeader("Sec-Fetch-Site", "same-origin"))
	if resp.StatusCode != http.StatusOK || resp.Cookies()[0].MaxAge >= 0 {
		t.Errorf("%d %v", resp.StatusCode, resp.Cookies())
	}
}

// Who has copied the cookie of a browser that signed out is nobody either.
func TestSignOutEndsTheSession(t *testing.T) {
	host, public := newHost(t)
	a := newAssertion(t, AssertionOptions{Keys: []crypto.PublicKey{public}})
	session := func() []*http.Cookie {
		form := url.Values{"assertion": {host.sign(t, nil, claims(nil))}}
		return send(a.Handler(), "POST", vaultURL+AssertionPath, form, withHeader("Origin", appURL)).Cookies()
	}
	mine, other := session(), session()
	out := func() int {
		return send(a.Handler(), "POST", vaultURL+SignOutPath, nil, withHeader("Sec-Fetch-Site", "same-origin"), withCookies(mine)).StatusCode
	}
	for range 2 {
		if status := out(); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
		if actor, err := whose(a, mine); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("the ended session is %+v's, %v", actor, err)
		}
	}
	if actor, err := whose(a, other); err != nil || actor.ID != "alice" {
		t.Errorf("the session of another browser: %+v, %v", actor, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	mine = other
	unable := send(a.Handler(), "POST", vaultURL+SignOutPath, nil, withHeader("Sec-Fetch-Site", "same-origin"), withCookies(mine),
		func(r *http.Request) { *r = *r.WithContext(gone) })
	if unable.StatusCode != http.StatusServiceUnavailable || len(unable.Cookies()) > 0 {
		t.Errorf("without the store: status %d, %v", unable.StatusCode, unable.Cookies())
	}
}

// The text of a cookie is written in one way: else a copy that is written otherwise, and
// says the same, would outlive its session.
func TestSignOutEndsTheSessionHoweverItIsWritten(t *testing.T) {
	host, public := newHost(t)
	a := newAssertion(t, AssertionOptions{Keys: []crypto.PublicKey{public}})
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, user := range []string{"a", "al", "ali"} { // each fills the last character with other bits
		form := url.Values{"assertion": {host.sign(t, nil, claims(map[string]any{"sub": user}))}}
		cookies := send(a.Handler(), "POST", vaultURL+AssertionPath, form, withHeader("Origin", appURL)).Cookies()
		text := cookies[0].Value
		if _, err := whose(a, cookies); err != nil {
			t.Fatal(err)
		}
		send(a.Handler(), "POST", vaultURL+SignOutPath, nil, withHeader("Sec-Fetch-Site", "same-origin"), withCookies(cookies))
		for _, last := range alphabet {
			cookies[0].Value = text[:len(text)-1] + string(last)
			if actor, err := whose(a, cookies); !errors.Is(err, tokenvault.ErrUnauthenticated) {
				t.Errorf("the ended session is %q's again, %v", actor.ID, err)
			}
		}
	}
}

func TestKeysFromTheHostsURL(t *testing.T) {
	h, public := newHost(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
	}))
	defer srv.Close()
	allow := []string{strings.TrimPrefix(srv.URL, "http://")}
	a := newAssertion(t, AssertionOptions{KeysURL: srv.URL, Allow: allow})
	if _, err := a.bring(h.sign(t, map[string]any{"kid": "1"}, claims(nil))); err != nil {
		t.Error(err)
	}
	if _, err := a.bring(h.sign(t, map[string]any{"kid": "2"}, claims(nil))); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("an unknown kid: %v", err)
	}
	guarded := newAssertion(t, AssertionOptions{KeysURL: srv.URL})
	if _, err := guarded.bring(h.sign(t, map[string]any{"kid": "1"}, claims(nil))); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("keys from a private address that is not allowed: %v", err)
	}
}

func TestParseKeys(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	set := func(keys ...jose.JSONWebKey) string {
		return string(must(json.Marshal(jose.JSONWebKeySet{Keys: keys})))
	}
	ecPEM, edPEM := block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(ec.Public()))), block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(edPublic)))
	for name, tc := range map[string]struct {
		text string
		keys int
	}{
		"one PEM": {ecPEM, 1}, "two PEMs": {ecPEM + edPEM, 2},
		"JWK Set":     {set(jose.JSONWebKey{Key: ec.Public(), KeyID: "1"}, jose.JSONWebKey{Key: edPublic}), 2},
		"private JWK": {set(jose.JSONWebKey{Key: ec}), 0}, "symmetric JWK": {set(jose.JSONWebKey{Key: []byte("secret")}), 0},
		"private PEM": {block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(edPrivate))), 0},
		"empty set":   {`{"keys":[]}`, 0}, "no key": {"", 0}, "not JSON": {"{", 0}, "broken PEM": {block("PUBLIC KEY", []byte("x")), 0},
	} {
		keys, err := ParseKeys([]byte(tc.text))
		if len(keys) != tc.keys || (err == nil) != (tc.keys > 0) || err != nil && !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
}

func TestAssertionOptions(t *testing.T) {
	_, public := newHost(t)
	keys := []crypto.PublicKey{public}
	for field, opts := range map[string]AssertionOptions{
		"assertionIssuer":  {Keys: keys},
		"assertionKeys":    {Issuer: appURL, Keys: keys, KeysURL: appURL},
		"assertionKeysUrl": {Issuer: appURL, KeysURL: "keys"},
		"signInUrl":        {Issuer: appURL, Keys: keys, SignInURL: "javascript:alert(1)"},
	} {
		_, err := NewAssertion(newVault(t), opts)
		if wrong, ok := errors.AsType[*tokenvault.FieldError](err); !ok || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Whoever sets an application up reads in the log which setting to look at.
func TestARefusedAssertionIsToldByTheSetting(t *testing.T) {
	h, public := newHost(t)
	stranger, _ := newHost(t)
	for name, assertion := range map[string]string{
		"issuer":   h.sign(t, nil, claims(map[string]any{"iss": "https://other.example"})),
		"audience": h.sign(t, nil, claims(map[string]any{"aud": "https://other.example"})),
		"key":      stranger.sign(t, nil, claims(nil)),
	} {
		var log strings.Builder
		a := newAssertion(t, AssertionOptions{Keys: []crypto.PublicKey{public}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if _, err := a.bring(assertion); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("another %s: %v", name, err)
		}
		if !strings.Contains(log.String(), "it has to match assertion-issuer, public-url and assertion-keys") {
			t.Errorf("another %s: the log does not say what to compare:\n%s", name, &log)
		}
	}

	var log strings.Builder
	a := newAssertion(t, AssertionOptions{Keys: []crypto.PublicKey{public}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, vaultURL+AssertionPath, nil)
	r.Header.Set("Origin", "https://unlisted.example")
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || !strings.Contains(log.String(), "https://unlisted.example") {
		t.Errorf("an origin that is not listed: %d, log:\n%s", w.Code, &log)
	}
	log.Reset()
	r.Header.Set("Origin", strings.Repeat("x", 1<<16))
	a.Handler().ServeHTTP(httptest.NewRecorder(), r)
	if log.Len() > 1000 {
		t.Errorf("a long origin makes a log line of %d bytes", log.Len())
	}
}
