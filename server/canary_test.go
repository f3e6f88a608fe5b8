package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/testop"
	"github.com/ai-token-vault/tokenvault/store/storetest"
)

// secrets are what must be nowhere, and what may only be answered to whom it is
// for.
type secrets struct {
	never    []string
	answered []string // states, handles, sessions and keys
}

// K6: canaries go through every flow of every mode, at log level debug, and are
// looked for in the log, in what was answered, in metrics and traces, in the audit
// log, and in every file of the data directory but the root key's.
func TestK6NoSecretIsAnywhere(t *testing.T) {
	traces := &journal{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(traces, r.Body) }))
	t.Cleanup(collector.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	for mode, run := range map[string]func(*testing.T) (*site, *secrets){
		"session": throughSession, "verifier": throughVerifier, "assertion": throughAssertion, "signin": throughSignIn,
		"device": throughDevice,
	} {
		t.Run(mode, func(t *testing.T) {
			s, found := run(t)
			found.never = append(found.never, s.op.Issued(t)...)
			if len(found.never) < 8 {
				t.Fatalf("only %d secrets went through", len(found.never))
			}
			s.search(t, found)
			s.exec(t, `DROP TRIGGER IF EXISTS full`)
			s.stop() // and once more after the drain
			for _, secret := range append(found.never, found.answered...) {
				storetest.CheckNoPlaintext(t, secret, append(s.files(t), write(t, "log", s.log.String()), write(t, "traces", traces.String()))...)
			}
		})
	}
	if !strings.Contains(traces.String(), "resolve") {
		t.Error("no traces were delivered: nothing is proven about them")
	}
}

func (s *site) search(t *testing.T, found *secrets) {
	t.Helper()
	_, key, err := s.CreateAPIKey(t.Context(), s.admin, tokenvault.APIKeyInput{Name: "auditor", Kind: tokenvault.ActorAdmin})
	if err != nil {
		t.Fatal(err)
	}
	found.answered = append(found.answered, key.Reveal())
	status, audit := s.call(t, key.Reveal(), http.MethodGet, "/v1/audit?limit=1000", "")
	if status != http.StatusOK || !strings.Contains(audit, "connected") {
		t.Fatalf("the audit log answers %d: %s", status, audit)
	}
	quiet := append(s.files(t), write(t, "log", s.log.String()), write(t, "audit", audit))
	for _, secret := range found.never {
		storetest.CheckNoPlaintext(t, secret, append(quiet, write(t, "answers", s.shown.String()))...)
	}
	for _, secret := range found.answered {
		storetest.CheckNoPlaintext(t, secret, quiet...)
	}
}

// files returns copies of all files of the data directory but the root key's.
func (s *site) files(t *testing.T) (copies []string) {
	t.Helper()
	err := filepath.WalkDir(s.cfg.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == s.cfg.KeyPath() {
			return err
		}
		text, err := os.ReadFile(path)
		copies = append(copies, write(t, d.Name(), string(text)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return copies
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// call sends a request with a key; what is answered is kept unless it is for the
// caller alone.
func (s *site) call(t *testing.T, key, method, path, body string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode >= 400 || method == http.MethodGet {
		_, _ = s.shown.Write(answer)
	}
	return res.StatusCode, string(answer)
}

// throughSession: connects of both kinds, refreshes and their failures, reconnect,
// revocation, keys, sessions, and what callers send by mistake or malice.
func throughSession(t *testing.T) (*site, *secrets) {
	t.Helper()
	found, apiKey := &secrets{}, rand.Text()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != apiKey {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = fmt.Fprintf(w, `{"id": "acc-1", "echo": %q}`, r.Header.Get("X-Api-Key"))
	}))
	t.Cleanup(service.Close)
	keyed := filepath.Join(t.TempDir(), "keyed.yaml")
	text := fmt.Sprintf(`{id: keyed, name: Keyed, service: keyed, description: A service with keys., authMethod: api_key, hosts: ["%[1]s"], verified: unverified,
apiKey: {fields: [{name: key, label: Key, secret: true}], inject: [{header: X-Api-Key, value: "{key}"}], probe: {url: "http://%[1]s/me", accountId: [id]}}}`,
		strings.TrimPrefix(service.URL, "http://"))
	if err := os.WriteFile(keyed, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := strict(t, testop.Options{}, "--provider-files="+keyed, "--allow-hosts="+strings.TrimPrefix(service.URL, "http://"),
		"--origins=https://app.example", "--metrics-listen=127.0.0.1:0")
	agent := s.connected(t)
	for _, fault := range []string{"status:503", "status:429", "html200", "truncated"} {
		s.expire(t)
		s.op.Fault(t, "/token", fault, 1)
		_, _ = agent.Resolve(t.Context(), ask())
	}
	if end := s.browser(t, "alice").connect(t, mustAsk(t, agent), "alice"); end.status != http.StatusOK {
		t.Errorf("reconnecting: status %d", end.status)
	}
	s.expire(t)
	mustResolve(t, agent)
	found.submitKey(t, s, apiKey)
	found.blunder(t, s)
	found.keysAndSessions(t, s)
	s.spoolOne(t)
	status, _ := s.call(t, found.answered[0], http.MethodDelete, "/v1/connections/"+s.connectionsOf(t, "alice")[0].ID+"?userId=alice", "")
	if status != http.StatusOK {
		t.Errorf("revoking: status %d", status)
	}
	return s, found
}

// submitKey connects by an API key, after one that is refused.
func (found *secrets) submitKey(t *testing.T, s *site, apiKey string) {
	t.Helper()
	alice, wrong := s.browser(t, "alice"), rand.Text()
	req, err := s.RequestConnect(t.Context(), s.person("alice"), tokenvault.ConnectRequest{ProviderID: "keyed"})
	if err != nil {
		t.Fatal(err)
	}
	alice.post(t, req.ConnectURL+"/submit", url.Values{"field.key": {wrong}})
	if end := alice.post(t, req.ConnectURL+"/submit", url.Values{"field.key": {apiKey}}); !strings.Contains(end.text, `data-status="connected"`) {
		t.Errorf("submitting a key: status %d: %s", end.status, end.text)
	}
	found.never = append(found.never, apiKey, wrong)
}

// blunder sends secrets to where they do not belong.
func (found *secrets) blunder(t *testing.T, s *site) {
	t.Helper()
	canary := rand.Text()
	found.never = append(found.never, canary)
	alice, key := s.browser(t, "alice"), found.key(t, s, tokenvault.APIKeyInput{Name: "blunderer", Kind: tokenvault.ActorBackend})
	req := mustAsk(t, s.agent(t, "carol"))
	for _, path := range []string{
		"/oauth/callback/" + canary + "?state=" + canary + "&code=" + canary + "&iss=" + canary + "&error=" + canary,
		"/oauth/authorize?providerId=" + canary + "&returnTo=" + canary, "/auth-requests/" + canary + "?wait=" + canary, "/" + canary,
	} {
		alice.open(t, s.url+s.Mount()+path)
	}
	alice.open(t, s.url+"/connect/"+canary+"?error="+canary)
	alice.open(t, s.url+"/connect/error?code="+canary)
	alice.post(t, req.ConnectURL+"/confirm", url.Values{"returnTo": {"https://" + canary + ".example"}})
	s.browser(t, "").open(t, req.ConnectURL, func(r *http.Request) { r.Header.Set("Cookie", "other="+canary+"; __Host-tv="+canary) })
	for _, body := range []string{`{"release": "` + canary + `"}`, `{"` + canary + `": 1}`, `{"scopes": ["` + canary + ` x"]}`, `"` + canary, `{"connectionId": "` + canary + `"}`} {
		s.call(t, key, http.MethodPost, "/v1/credentials/idp/resolve", body)
		s.call(t, canary, http.MethodPost, "/v1/credentials/"+canary+"/resolve", body)
	}
	s.call(t, key[:len(key)-8]+"00000000", http.MethodGet, "/v1/connections?after="+canary, "")
	s.call(t, key, http.MethodPost, "/v1/auth-requests/"+req.ID+"/complete", `{"owner": {"userId": "carol"}, "handle": "`+canary+`"}`)
}

func (found *secrets) key(t *testing.T, s *site, in tokenvault.APIKeyInput) string {
	t.Helper()
	_, key, err := s.CreateAPIKey(t.Context(), s.admin, in)
	if err != nil {
		t.Fatal(err)
	}
	found.answered = append(found.answered, key.Reveal())
	return key.Reveal()
}

// keysAndSessions creates a key, a session and an app over HTTP.
func (found *secrets) keysAndSessions(t *testing.T, s *site) {
	t.Helper()
	admin := found.key(t, s, tokenvault.APIKeyInput{Name: "admin", Kind: tokenvault.ActorAdmin})
	secret := rand.Text()
	found.never = append(found.never, secret)
	s.call(t, admin, http.MethodPost, "/v1/apps", `{"providerId": "github", "clientId": "id", "clientSecret": "`+secret+`"}`)
	s.call(t, admin, http.MethodGet, "/v1/apps", "")
	found.take(t, "key")(s.call(t, admin, http.MethodPost, "/v1/keys", `{"name": "n", "kind": "backend"}`))
	s.call(t, admin, http.MethodGet, "/v1/keys", "")
	found.take(t, "token")(s.call(t, found.answered[0], http.MethodPost, "/v1/sessions", `{"owner": {"userId": "alice"}, "origin": "https://app.example"}`))
}

// take keeps a field of an answer as a secret.
func (found *secrets) take(t *testing.T, field string) func(status int, text string) {
	return func(status int, text string) {
		t.Helper()
		var answer map[string]any
		_ = json.Unmarshal([]byte(text), &answer)
		secret, _ := answer[field].(string)
		if len(secret) < 16 {
			t.Fatalf("status %d, no %s in %s", status, field, text)
		}
		found.answered = append(found.answered, secret)
	}
}

// spoolOne leaves a refreshed credential in the spool.
func (s *site) spoolOne(t *testing.T) {
	t.Helper()
	agent := s.agent(t, "dora")
	s.browser(t, "dora").connect(t, mustAsk(t, agent), "dora")
	s.exec(t, `CREATE TRIGGER full BEFORE UPDATE OF sealed ON connections WHEN OLD.user_id = 'dora' BEGIN SELECT RAISE(ABORT, 'full'); END`)
	s.exec(t, `UPDATE connections SET expires_at = 1 WHERE user_id = 'dora'`)
	go func() { _, _ = agent.Resolve(t.Context(), ask()) }()
	for len(s.spooled(t)) == 0 {
		<-time.After(10 * time.Millisecond)
	}
}

// throughVerifier: a browser that nobody knows, and the host's word.
func throughVerifier(t *testing.T) (*site, *secrets) {
	t.Helper()
	op, found := testop.Start(t, testop.Options{}), &secrets{}
	host := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(host.Close)
	s := newSite(t, op, filepath.Join(t.TempDir(), "data"), "--mode=verifier", "--verify-url="+host.URL+"/connected", defineStrict(t, op))
	backend := found.key(t, s, tokenvault.APIKeyInput{Name: "host", Kind: tokenvault.ActorBackend})
	for _, user := range []string{"mallory", "alice"} {
		req := mustAsk(t, s.agent(t, "alice"))
		end, err := url.Parse(s.browser(t, "").connect(t, req, "alice").url)
		if err != nil {
			t.Fatal(err)
		}
		handle := end.Query().Get("handle")
		found.answered = append(found.answered, handle)
		status, text := s.call(t, backend, http.MethodPost, "/v1/auth-requests/"+req.ID+"/complete", `{"owner": {"userId": "`+user+`"}, "handle": "`+handle+`"}`)
		if (status == http.StatusOK) != (user == "alice") {
			t.Errorf("complete for %s: status %d: %s", user, status, text)
		}
	}
	return s, found
}

// throughAssertion: what the host signs, brought by a browser and as a bearer.
func throughAssertion(t *testing.T) (*site, *secrets) {
	t.Helper()
	op, found := testop.Start(t, testop.Options{}), &secrets{}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	keys := write(t, "keys.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	const host = "https://app.example"
	s := newSite(t, op, filepath.Join(t.TempDir(), "data"), "--mode=assertion", "--assertion-issuer="+host, "--assertion-keys="+keys,
		"--origins="+host, defineStrict(t, op))
	sign := func(audience string) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("tokenvault-assertion+jwt"))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now().Unix()
		signed, err := signer.Sign(fmt.Appendf(nil, `{"iss":%q,"aud":%q,"sub":"alice","iat":%d,"exp":%d,"jti":%q}`, host, audience, now, now+60, rand.Text()))
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		found.never = append(found.never, text)
		return text
	}
	alice := s.browser(t, "")
	for _, assertion := range []string{sign("https://elsewhere.example"), sign(s.url)} {
		alice.send(t, http.MethodPost, s.url+"/signin/assertion", url.Values{"assertion": {assertion}, "next": {"/connect/error"}}, func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", host)
		})
		s.call(t, assertion, http.MethodGet, s.Mount()+"/credentials", "") // one is foreign, the other used
	}
	s.call(t, sign(s.url), http.MethodGet, s.Mount()+"/credentials", "")
	if end := alice.connect(t, mustAsk(t, s.agent(t, "alice")), "alice"); !strings.Contains(end.text, `data-status="connected"`) {
		t.Errorf("connecting: status %d: %s", end.status, end.text)
	}
	return s, found
}

// throughSignIn: an OpenID Connect server says who it is.
func throughSignIn(t *testing.T) (*site, *secrets) {
	t.Helper()
	op, login, found := testop.Start(t, testop.Options{}), testop.Start(t, testop.Options{}), &secrets{}
	secret := write(t, "secret", clientSecret)
	s := newSite(t, op, filepath.Join(t.TempDir(), "data"), "--mode=signin", "--oidc-issuer="+login.Issuer, "--oidc-client-id="+clientID,
		"--oidc-client-secret-file="+secret, "--allow-hosts="+strings.TrimPrefix(login.Issuer, "http://"), defineStrict(t, op))
	login.Callbacks(t, s.url+"/signin/oidc/callback")
	alice := s.browser(t, "")
	away := testop.NewPerson(t, "alice").Authorize(t, alice.away(t, s.url+"/signin/oidc?next=/connect/error"))
	alice.open(t, away.String())
	if end := alice.connect(t, mustAsk(t, s.agent(t, "alice")), "alice"); !strings.Contains(end.text, `data-status="connected"`) {
		t.Errorf("connecting: status %d: %s", end.status, end.text)
	}
	found.never = append(found.never, login.Issued(t)...)
	return s, found
}

// throughDevice: the owner enters a code at the provider.
func throughDevice(t *testing.T) (*site, *secrets) {
	t.Helper()
	op, found := testop.Start(t, testop.Options{}), &secrets{}
	s := newSite(t, op, filepath.Join(t.TempDir(), "data"), append(session(t), "--device-authorization=idp", define(t, op, fmt.Sprintf(
		`authorizationUrl: "%[1]s/auth", tokenUrl: "%[1]s/token", deviceAuthorizationUrl: "%[1]s/device/auth", userInfoUrl: "%[1]s/me", jwksUrl: "%[1]s/jwks",
alwaysScopes: [openid, offline_access]`, op.Issuer)))...)
	_, err := s.SetApp(t.Context(), s.admin, tokenvault.AppInput{
		ProviderID: "idp", ClientID: "vault-device", ClientSecret: tokenvault.NewSecret("secret-of-vault-device-5a1f8b6c20"),
	})
	if err != nil {
		t.Fatal(err)
	}
	agent := s.agent(t, "alice")
	req := mustAsk(t, agent)
	code, err := s.StartDevice(t.Context(), s.person("alice"), tokenvault.StartConnect{AuthRequestID: req.ID})
	if err != nil {
		t.Fatal(err)
	}
	found.answered = append(found.answered, code.CookieValue.Reveal())
	testop.NewPerson(t, "alice").EnterCode(t, code.VerificationURL, code.UserCode, true)
	for status := req.Status; status == tokenvault.AuthPending; {
		<-time.After(code.Interval)
		polled, err := s.PollDevice(t.Context(), s.person("alice"), tokenvault.PollDevice{AuthRequestID: req.ID, Attempt: code.Attempt, Browser: code.CookieValue})
		if err != nil {
			t.Fatal(err)
		}
		status = polled.Request.Status
	}
	s.expire(t)
	mustResolve(t, agent)
	return s, found
}

// away returns where a page of ours sends the browser, without going there.
func (b *browser) away(t *testing.T, target string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	stay := *b.Client
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := stay.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	to, err := res.Location()
	if err != nil {
		t.Fatalf("status %d: %v", res.StatusCode, err)
	}
	return to.String()
}
