package pages_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/apikeyflow"
	"github.com/ai-token-vault/tokenvault/pages"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

const origin = "https://vault.example"

var (
	alice    = tokenvault.Owner{Tenant: "default", OrganizationID: "acme", UserID: "alice"}
	orgOwner = tokenvault.Owner{Tenant: "default", OrganizationID: "acme"}
	users    = map[string]tokenvault.Actor{
		"alice": {Kind: tokenvault.ActorUser, ID: "alice", Owner: alice, OrgAdmin: true},
		"carol": {Kind: tokenvault.ActorUser, ID: "carol", Owner: carol},
		"eve":   {Kind: tokenvault.ActorUser, ID: "eve", Owner: tokenvault.Owner{Tenant: "default", UserID: "eve"}},
		"guest": {Kind: tokenvault.ActorVisitor, ID: "visitor", Owner: tokenvault.Owner{Tenant: "default"}},
		"agent": {Kind: tokenvault.ActorAgent, ID: "helper", Owner: alice},
	}
)

// headerAuth is an authenticator that tests choose the user of. down makes it
// fail.
type headerAuth struct{ down bool }

func (a headerAuth) Authenticate(r *http.Request) (tokenvault.Actor, error) {
	if a.down {
		return tokenvault.Actor{}, fmt.Errorf("host: %w", tokenvault.ErrUnavailable)
	}
	actor, ok := users[r.Header.Get("Test-User")]
	if !ok {
		return tokenvault.Actor{}, fmt.Errorf("nobody: %w", tokenvault.ErrUnauthenticated)
	}
	return actor, nil
}

// signInAuth also knows where to sign in.
type signInAuth struct{ headerAuth }

func (signInAuth) SignInURL(returnTo string) string {
	return "https://app.example/login?next=" + url.QueryEscape(returnTo)
}

// watched counts the commands that change something.
type watched struct {
	tokenvault.Store
	writes atomic.Int32
	down   atomic.Bool
}

func (s *watched) OpenOrJoin(ctx context.Context, cmd tokenvault.NewAuthRequest) (tokenvault.AuthRequest, bool, error) {
	s.writes.Add(1)
	return s.Store.OpenOrJoin(ctx, cmd)
}

func (s *watched) Settle(ctx context.Context, cmd tokenvault.Settlement) (tokenvault.AuthRequest, error) {
	s.writes.Add(1)
	return s.Store.Settle(ctx, cmd)
}

func (s *watched) BeginAttempt(ctx context.Context, cmd tokenvault.NewAttempt) error {
	s.writes.Add(1)
	return s.Store.BeginAttempt(ctx, cmd)
}

func (s *watched) AppendAudit(ctx context.Context, events []tokenvault.Event) error {
	s.writes.Add(1)
	return s.Store.AppendAudit(ctx, events)
}

func (s *watched) GetAuthRequest(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.AuthRequest, error) {
	if s.down.Load() {
		return tokenvault.AuthRequest{}, fmt.Errorf("disk: %w", tokenvault.ErrUnavailable)
	}
	return s.Store.GetAuthRequest(ctx, owner, id)
}

// scriptedFlow stands in for OAuth.
type scriptedFlow struct {
	account tokenvault.Account
	granted []string // nil: what was requested
	url     string   // replaces the authorization URL
	refused error    // of a grant for the app itself

	verification string                   // where a code is entered
	outcome      tokenvault.DeviceOutcome // nil: granted

	expiresIn time.Duration
}

func (f *scriptedFlow) Begin(_ context.Context, in tokenvault.BeginInput) (tokenvault.Step, error) {
	to := in.Provider.OAuth2.AuthorizationURL
	if f.url != "" {
		to = f.url
	}
	q := url.Values{"state": {in.State.Reveal()}, "scope": {strings.Join(in.Scopes, " ")}}
	return tokenvault.Step{URL: to + "?" + q.Encode(), Private: tokenvault.NewSecret("verifier")}, nil
}

func (f *scriptedFlow) Complete(_ context.Context, in tokenvault.CompleteInput) (tokenvault.Completed, error) {
	scopes := in.Scopes
	if f.granted != nil {
		scopes = f.granted
	}
	cred := tokenvault.Credential{AuthMethod: tokenvault.AuthOAuth2, TokenType: "Bearer", AccessToken: tokenvault.NewSecret("access-canary")}
	return tokenvault.Completed{Credential: cred, Account: f.account, Scopes: scopes, ExpiresIn: f.expiresIn}, nil
}

func (f *scriptedFlow) Grant(_ context.Context, in tokenvault.GrantInput) (tokenvault.Completed, error) {
	if f.refused != nil {
		return tokenvault.Completed{}, f.refused
	}
	cred := tokenvault.Credential{AuthMethod: tokenvault.AuthOAuth2, TokenType: "Bearer", AccessToken: tokenvault.NewSecret("access-canary")}
	return tokenvault.Completed{Credential: cred, Account: tokenvault.Account{ID: in.Client.AppID, Label: in.Client.ID}, Scopes: in.Scopes}, nil
}

func (f *scriptedFlow) BeginDevice(context.Context, tokenvault.GrantInput) (tokenvault.DeviceCode, error) {
	return tokenvault.DeviceCode{
		UserCode: "WDJB-MJHT", VerificationURL: f.verification, Private: tokenvault.NewSecret("device-canary"),
		Interval: 5 * time.Second, ExpiresIn: time.Hour,
	}, nil
}

func (f *scriptedFlow) PollDevice(_ context.Context, in tokenvault.DevicePoll) tokenvault.DeviceOutcome {
	if f.outcome != nil {
		return f.outcome
	}
	done, _ := f.Complete(context.Background(), tokenvault.CompleteInput{Scopes: in.Scopes})
	return tokenvault.DeviceGranted{Completed: done}
}

func providers() []tokenvault.Provider {
	oauth := func(host string) *tokenvault.OAuth2 {
		return &tokenvault.OAuth2{
			AuthorizationURL: "https://" + host + "/login/oauth/authorize", TokenURL: "https://" + host + "/token",
			DefaultScopes: []string{"read:user"}, AlwaysScopes: []string{"offline_access"},
		}
	}
	return []tokenvault.Provider{
		{
			ID: "github", Name: "GitHub", Service: "github", Description: "Code hosting: repositories, issues and pull requests.",
			AuthMethod: tokenvault.AuthOAuth2, OAuth2: oauth("github.example"), Hosts: []string{"api.github.example"},
		},
		{
			ID: "machine", Name: "Machine", Service: "machine", AuthMethod: tokenvault.AuthOAuth2, Hosts: []string{"machine.example"},
			OAuth2: &tokenvault.OAuth2{Grant: tokenvault.GrantClientCredentials, TokenURL: "https://machine.example/token", DefaultScopes: []string{"read"}},
		},
		{
			ID: "screen", Name: "Screen", Service: "screen", AuthMethod: tokenvault.AuthOAuth2, Hosts: []string{"screen.example"},
			OAuth2: &tokenvault.OAuth2{
				AuthorizationURL: "https://screen.example/authorize", TokenURL: "https://screen.example/token",
				DeviceAuthorizationURL: "https://screen.example/device", DefaultScopes: []string{"read"},
			},
		},
		{
			ID: "bank", Name: "Bank", Service: "bank", AuthMethod: tokenvault.AuthBrowserLogin, Hosts: []string{"bank.example"},
			Login: &tokenvault.Login{
				URL: "https://bank.example/login", Domains: []string{"bank.example"},
				Signs: []tokenvault.LoginSign{{Strategy: tokenvault.SignCookie, Pattern: "sid"}},
			},
		},
		{ID: "bare", Name: "Bare", Service: "bare", AuthMethod: tokenvault.AuthOAuth2, OAuth2: oauth("bare.example"), Hosts: []string{"bare.example"}},
	}
}

type rig struct {
	*tokenvault.Vault
	handler http.Handler
	store   *watched
	flow    *scriptedFlow
	desk    *desk
	now     time.Time

	browsers *browsers
}

func newRig(t *testing.T, auth tokenvault.Authenticator, origins ...string) *rig {
	t.Helper()
	r := &rig{now: time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC), flow: &scriptedFlow{
		account: tokenvault.Account{ID: "1", Label: "octocat"}, verification: "https://screen.example/enter?x=1&y=2",
	}}
	r.desk, r.browsers = newDesk(t), &browsers{account: tokenvault.Account{ID: "1", Label: "alice"}}
	r.store = &watched{Store: memory.New(&memory.Options{Clock: func() time.Time { return r.now }})}
	key, err := keyring.FromKey(tokenvault.NewSecret("5cD0qv1F0mJmJ5m0mGQWq3m0bX8h4mFqk3m7eS3c2mM="))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := tokenvault.NewCatalog(append(providers(), r.desk.provider())...)
	if err != nil {
		t.Fatal(err)
	}
	r.Vault, err = tokenvault.New(r.store, key, cat, &tokenvault.Options{
		PublicURL: origin, Origins: origins, ReturnURLs: []string{"https://app.example/done"}, VerifyURL: "https://app.example/verify",
		DeviceAuthorization: []string{"screen"},
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{
			tokenvault.AuthOAuth2: r.flow, tokenvault.AuthBrowserLogin: r.browsers,
			tokenvault.AuthAPIKey: apikeyflow.New(&apikeyflow.Options{Allow: []string{r.desk.host()}}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	admin := tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: "default"}}
	if _, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "github", ClientID: "client"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"machine", "screen"} {
		if _, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: id, ClientID: id + "-client"}); err != nil {
			t.Fatal(err)
		}
	}
	r.handler = pages.NewHandler(r.Vault, auth, nil)
	return r
}

// ask lets an agent of the owner ask for GitHub, and returns the auth request.
func (r *rig) ask(t *testing.T, owner tokenvault.Owner, agent string, release tokenvault.Release, scopes ...string) tokenvault.AuthRequest {
	t.Helper()
	return r.askFor(t, "github", owner, agent, release, scopes...)
}

func (r *rig) askFor(t *testing.T, provider string, owner tokenvault.Owner, agent string, release tokenvault.Release, scopes ...string) tokenvault.AuthRequest {
	t.Helper()
	actor := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: agent, Owner: owner}
	_, err := r.Resolve(t.Context(), actor, tokenvault.ResolveRequest{ProviderID: provider, Scopes: scopes, Release: release})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("Resolve: %v", err)
	}
	return required.Request
}

// finish goes the rest of the way for alice: to the provider and back.
func (r *rig) finish(t *testing.T, id string) tokenvault.AuthRequest {
	t.Helper()
	to, err := r.StartConnect(t.Context(), users["alice"], tokenvault.StartConnect{AuthRequestID: id})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	done, err := r.FinishConnect(t.Context(), users["alice"], tokenvault.Return{
		AppID: r.AppID("", "github"), State: tokenvault.NewSecret(u.Query().Get("state")),
		Code: tokenvault.NewSecret("code"), Browser: to.CookieValue,
	})
	if err != nil {
		t.Fatal(err)
	}
	return done.Request
}

// connectOwn connects an account of alice's own accord.
func (r *rig) connectOwn(t *testing.T, id, label string, scopes ...string) tokenvault.AuthRequest {
	t.Helper()
	r.flow.account = tokenvault.Account{ID: id, Label: label}
	req, err := r.RequestConnect(t.Context(), users["alice"], tokenvault.ConnectRequest{ProviderID: "github", Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return r.finish(t, req.ID)
}

// get and post send what alice's browser would.
func (r *rig) get(path string, edit ...func(*http.Request)) *http.Response {
	return r.do("GET", path, nil, edit...)
}

func (r *rig) post(path string, form url.Values, edit ...func(*http.Request)) *http.Response {
	return r.do("POST", path, form, edit...)
}

func (r *rig) do(method, path string, form url.Values, edit ...func(*http.Request)) *http.Response {
	req := httptest.NewRequest(method, origin+path, strings.NewReader(form.Encode()))
	req.Header.Set("Test-User", "alice")
	if method == "POST" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		req.Header.Set("Origin", origin)
	}
	for _, e := range edit {
		e(req)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w.Result()
}

func as(user string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Test-User", user) }
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// readAgain makes a body that was read readable once more.
func readAgain(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }
