package vaulttest

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const clientID = "vaulttest"

// accountParam names, in an authorization request, the account that agrees.
const accountParam = "vaulttest_account"

// A Provider is an OAuth 2.0 provider on loopback whose users agree to everything:
// authorization code with PKCE, rotating refresh tokens, revocation and userinfo.
// It is safe for concurrent use.
type Provider struct {
	// URL is the provider's origin and issuer. GET URL/userinfo answers 401 to a
	// token that is not valid any more, as any service does.
	URL string

	clientSecret string
	ttl          time.Duration

	mu        sync.Mutex // protects all below
	codes     map[string]code
	grants    map[string]*grant // by current and used refresh tokens
	tokens    map[string]*grant // by access token that is valid
	failures  []int
	refreshes int
	revoked   int
}

// A code is an authorization code that was not exchanged yet.
type code struct {
	challenge, redirectURL, account, scope string
}

// A grant is what an account agreed to.
type grant struct {
	account, scope string
	refreshToken   string // the one that may be used; empty: the grant has ended
}

func newProvider(t testing.TB, ttl time.Duration) *Provider {
	t.Helper()
	if ttl <= 0 {
		ttl = time.Hour
	}
	p := &Provider{
		clientSecret: rand.Text(), ttl: ttl,
		codes: map[string]code{}, grants: map[string]*grant{}, tokens: map[string]*grant{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("POST /revoke", p.revoke)
	mux.HandleFunc("GET /userinfo", p.userInfo)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

func (p *Provider) host() string { return strings.TrimPrefix(p.URL, "http://") }

func (p *Provider) definition() tokenvault.Provider {
	return tokenvault.Provider{
		ID: ProviderID, Name: "Example", Service: ProviderID, Description: "An OAuth provider for tests.",
		AuthMethod: tokenvault.AuthOAuth2, UsageMode: tokenvault.UsageToken, Hosts: []string{p.host()},
		OAuth2: &tokenvault.OAuth2{
			Issuer: p.URL, IssRequired: true, AuthorizationURL: p.URL + "/authorize", TokenURL: p.URL + "/token",
			RevocationURL: p.URL + "/revoke", UserInfoURL: p.URL + "/userinfo",
		},
	}
}

// EndAccessTokens makes every access token that was issued invalid; grants go on. A
// tool that calls the service gets 401 then.
func (p *Provider) EndAccessTokens() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.tokens)
}

// EndGrants ends every grant, as if all users had taken access away at the provider.
func (p *Provider) EndGrants() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.grants {
		g.refreshToken = ""
	}
	clear(p.tokens)
}

// Fail makes the next requests to the token endpoint fail with these HTTP statuses,
// one each.
func (p *Provider) Fail(statuses ...int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = append(p.failures, statuses...)
}

// Refreshes is how many refreshes succeeded.
func (p *Provider) Refreshes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refreshes
}

// Revocations is how many grants were ended by request of the vault.
func (p *Provider) Revocations() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revoked
}

// agree opens an authorization URL as account and returns where that leads.
func (p *Provider) agree(t testing.TB, authorizationURL, account string) *url.URL {
	t.Helper()
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	target := authorizationURL + "&" + url.Values{accountParam: {account}}.Encode()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := stay.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	back, err := res.Location()
	if err != nil {
		t.Fatalf("vaulttest: the provider answers %s to the authorization request: is it for %q?", res.Status, ProviderID)
	}
	return back
}

// authorize agrees at once, as the account that a test names, else as "user".
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || back.Host == "" || q.Get("client_id") != clientID || q.Get("response_type") != "code" ||
		q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 {
		http.Error(w, "invalid_request", http.StatusBadRequest)
		return
	}
	account, issued := q.Get(accountParam), rand.Text()
	if account == "" {
		account = "user"
	}
	p.mu.Lock()
	p.codes[issued] = code{q.Get("code_challenge"), q.Get("redirect_uri"), account, q.Get("scope")}
	p.mu.Unlock()
	back.RawQuery = url.Values{"code": {issued}, "state": {q.Get("state")}, "iss": {p.URL}}.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// token exchanges a code or refreshes (RFC 6749 §4.1.3, §6).
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.failures) > 0 {
		w.WriteHeader(p.failures[0])
		p.failures = p.failures[1:]
		return
	}
	if !p.authenticates(r) {
		fail(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	var g *grant
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		g = p.exchange(r)
	case "refresh_token":
		if g = p.use(r.PostFormValue("refresh_token")); g != nil {
			p.refreshes++
		}
	}
	if g == nil {
		fail(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	at := rand.Text()
	g.refreshToken = rand.Text()
	p.grants[g.refreshToken], p.tokens[at] = g, g
	answer(w, map[string]any{
		"access_token": at, "refresh_token": g.refreshToken, "token_type": "Bearer", "expires_in": int(p.ttl.Seconds()), "scope": g.scope,
	})
}

func (p *Provider) authenticates(r *http.Request) bool {
	id, secret, ok := r.BasicAuth()
	return ok && id == clientID && subtle.ConstantTimeCompare([]byte(secret), []byte(p.clientSecret)) == 1
}

// exchange spends a code and returns its new grant, or nil.
func (p *Provider) exchange(r *http.Request) *grant {
	spent, ok := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || spent.redirectURL != r.PostFormValue("redirect_uri") || spent.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
		return nil
	}
	return &grant{account: spent.account, scope: spent.scope}
}

// use returns the grant of a refresh token, or nil. One that was used before ends
// its grant.
func (p *Provider) use(refreshToken string) *grant {
	g := p.grants[refreshToken]
	if g != nil && refreshToken != "" && g.refreshToken == refreshToken {
		return g
	}
	if g != nil {
		p.end(g)
	}
	return nil
}

func (p *Provider) end(g *grant) {
	g.refreshToken = ""
	for at, of := range p.tokens {
		if of == g {
			delete(p.tokens, at)
		}
	}
}

// revoke ends the grant of a token (RFC 7009).
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.authenticates(r) {
		fail(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	for _, known := range []map[string]*grant{p.grants, p.tokens} {
		if g := known[r.PostFormValue("token")]; g != nil && g.refreshToken != "" {
			p.end(g)
			p.revoked++
		}
	}
}

// userInfo tells whose an access token is (OpenID Connect Core §5.3).
func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if g == nil {
		fail(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	answer(w, map[string]any{"sub": g.account, "email": g.account + "@example.test"})
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code})
}

func answer(w http.ResponseWriter, fields map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(fields)
}
