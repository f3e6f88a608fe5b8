package tokenvault_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

var (
	alice      = tokenvault.Owner{Tenant: "default", UserID: "alice"}
	bob        = tokenvault.Owner{Tenant: "default", UserID: "bob"}
	aliceUser  = tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "alice", Owner: alice}
	bobUser    = tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "bob", Owner: bob}
	aliceAgent = tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "helper", Owner: alice}
	admin      = tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: "default"}}
)

// a rig is a vault over a memory store, with a flow whose provider does as it is
// told.
type rig struct {
	*tokenvault.Vault
	store *memory.Store
	flow  *scriptedFlow
	clock *clock
	key   tokenvault.Sealer
}

// clock is the store's clock. It moves when told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// scriptedFlow stands in for OAuth: the tests here are about the vault.
type scriptedFlow struct {
	mu        sync.Mutex
	completed tokenvault.Completed
	outcome   func(n int, in tokenvault.RefreshInput) tokenvault.RefreshOutcome
	refreshes int
	exchanges int
	begun     []tokenvault.BeginInput
	revoked   []string
	onRevoke  func(tokenvault.RefreshInput)
}

func (f *scriptedFlow) Begin(_ context.Context, in tokenvault.BeginInput) (tokenvault.Step, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = append(f.begun, in)
	q := url.Values{"state": {in.State.Reveal()}, "redirect_uri": {in.RedirectURL}}
	return tokenvault.Step{URL: in.Provider.OAuth2.AuthorizationURL + "?" + q.Encode(), Private: tokenvault.NewSecret("verifier")}, nil
}

func (f *scriptedFlow) Complete(_ context.Context, in tokenvault.CompleteInput) (tokenvault.Completed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exchanges++
	if in.Private.Reveal() != "verifier" || in.Code.Reveal() == "" {
		return tokenvault.Completed{}, &tokenvault.ProviderError{ProviderID: in.Provider.ID, Op: "exchange", Code: "invalid_grant"}
	}
	done := f.completed
	done.Credential.TokenURL = in.Provider.OAuth2.TokenURL
	if done.Scopes == nil {
		done.Scopes = in.Scopes
	}
	return done, nil
}

func (f *scriptedFlow) Refresh(_ context.Context, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
	f.mu.Lock()
	f.refreshes++
	n, outcome := f.refreshes, f.outcome
	f.mu.Unlock()
	if outcome != nil {
		return outcome(n, in)
	}
	return rotated(n)
}

func (f *scriptedFlow) RevokeGrant(_ context.Context, in tokenvault.RefreshInput) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revoked = append(f.revoked, in.Credential.AccessToken.Reveal())
	if f.onRevoke != nil {
		f.onRevoke(in)
	}
	return nil
}

func (f *scriptedFlow) counts() (exchanges, refreshes int, revoked []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.exchanges, f.refreshes, append([]string{}, f.revoked...)
}

func rotated(n int) tokenvault.Rotated {
	return tokenvault.Rotated{Credential: credential("at-"+strconv.Itoa(n), "rt-"+strconv.Itoa(n)), ExpiresIn: time.Hour}
}

func credential(at, rt string) tokenvault.Credential {
	return tokenvault.Credential{
		AuthMethod: tokenvault.AuthOAuth2, TokenType: "Bearer", TokenURL: "https://auth.mail.example/token",
		AccessToken: tokenvault.NewSecret(at), RefreshToken: tokenvault.NewSecret(rt),
	}
}

func mailProvider() tokenvault.Provider {
	return tokenvault.Provider{
		ID: "mail", Name: "Mail", Service: "mail", AuthMethod: tokenvault.AuthOAuth2, Hosts: []string{"api.mail.example"},
		OAuth2: &tokenvault.OAuth2{
			Issuer: "https://auth.mail.example", AuthorizationURL: "https://auth.mail.example/authorize",
			TokenURL: "https://auth.mail.example/token", RevocationURL: "https://auth.mail.example/revoke",
		},
	}
}

func rootKey(t testing.TB) *keyring.Keyring {
	t.Helper()
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	kr, err := keyring.FromKey(tokenvault.NewSecret(base64.StdEncoding.EncodeToString(b)))
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

func newRig(t testing.TB, change ...func(*tokenvault.Options)) *rig {
	t.Helper()
	c := &clock{now: time.Now()}
	r := &rig{clock: c, key: rootKey(t), store: memory.New(&memory.Options{Clock: c.Now}), flow: &scriptedFlow{}}
	r.flow.completed = tokenvault.Completed{
		Credential: credential("at-0", "rt-0"), Account: tokenvault.Account{ID: "acc-1", Label: "alice@mail.example"}, ExpiresIn: time.Hour,
	}
	r.Vault = newVault(t, r.store, r.key, r.flow, change...)
	_, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client", ClientSecret: tokenvault.NewSecret("client-secret")})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newVault(t testing.TB, store tokenvault.Store, key tokenvault.Sealer, flow tokenvault.Flow, change ...func(*tokenvault.Options)) *tokenvault.Vault {
	t.Helper()
	cat, err := tokenvault.NewCatalog(mailProvider())
	if err != nil {
		t.Fatal(err)
	}
	opts := &tokenvault.Options{
		PublicURL: "https://vault.example", ReturnURLs: []string{"https://app.example/done"},
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthOAuth2: flow},
	}
	for _, f := range change {
		f(opts)
	}
	v, err := tokenvault.New(store, key, cat, opts)
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

// resolve asks for access as alice's agent.
func (r *rig) resolve(t testing.TB, scopes ...string) (*tokenvault.Access, error) {
	t.Helper()
	return r.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: scopes, Release: tokenvault.ReleaseToken})
}

// mustAsk resolves and returns the auth request that the call pauses on.
func (r *rig) mustAsk(t testing.TB, scopes ...string) tokenvault.AuthRequest {
	t.Helper()
	_, err := r.resolve(t, scopes...)
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("Resolve: err = %v, want an AuthRequiredError", err)
	}
	return required.Request
}

// token resolves and returns the access token.
func (r *rig) token(t testing.TB, scopes ...string) string {
	t.Helper()
	access, err := r.resolve(t, scopes...)
	if err != nil {
		t.Fatal(err)
	}
	cred, err := access.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	if !cred.RefreshToken.IsZero() {
		t.Error("an agent was given a refresh token")
	}
	return cred.AccessToken.Reveal()
}

// start confirms the request as alice and returns what comes back to the
// callback.
func (r *rig) start(t testing.TB, requestID string) tokenvault.Return {
	t.Helper()
	return r.startAs(t, aliceUser, requestID)
}

func (r *rig) startAs(t testing.TB, person tokenvault.Actor, requestID string) tokenvault.Return {
	t.Helper()
	return r.startWith(t, person, tokenvault.StartConnect{AuthRequestID: requestID})
}

func (r *rig) startWith(t testing.TB, person tokenvault.Actor, in tokenvault.StartConnect) tokenvault.Return {
	t.Helper()
	redirect, err := r.StartConnect(t.Context(), person, in)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(redirect.URL)
	if err != nil {
		t.Fatal(err)
	}
	return tokenvault.Return{
		AppID: r.AppID("", "mail"), State: tokenvault.NewSecret(u.Query().Get("state")),
		Code: tokenvault.NewSecret("code"), Iss: "https://auth.mail.example", Browser: redirect.CookieValue,
	}
}

// connect connects alice's account for her agent.
func (r *rig) connect(t testing.TB, scopes ...string) tokenvault.AuthRequest {
	t.Helper()
	done, err := r.FinishConnect(t.Context(), aliceUser, r.start(t, r.mustAsk(t, scopes...).ID))
	if err != nil {
		t.Fatal(err)
	}
	if done.Request.Status != tokenvault.AuthConnected {
		t.Fatalf("status = %s, want connected", done.Request.Status)
	}
	return done.Request
}

// connectOwn connects an account of alice's own accord, for no agent.
func (r *rig) connectOwn(t testing.TB, account string) tokenvault.AuthRequest {
	t.Helper()
	r.flow.completed.Account = tokenvault.Account{ID: account, Label: account + "@mail.example"}
	req, err := r.RequestConnect(t.Context(), aliceUser, tokenvault.ConnectRequest{ProviderID: "mail", Scopes: []string{"read"}})
	if err != nil {
		t.Fatal(err)
	}
	done, err := r.FinishConnect(t.Context(), aliceUser, r.start(t, req.ID))
	if err != nil {
		t.Fatal(err)
	}
	return done.Request
}

func (r *rig) connections(t testing.TB) []tokenvault.Connection {
	t.Helper()
	list, err := r.Connections(t.Context(), aliceUser, tokenvault.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (r *rig) events(t testing.TB, kind tokenvault.EventKind) (matching []tokenvault.Event) {
	t.Helper()
	all, err := r.Events(t.Context(), admin, tokenvault.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Kind == kind {
			matching = append(matching, e)
		}
	}
	return matching
}
