package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
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
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

const origin = "https://vault.example"

var admin = tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: "default"}}

func owner(user string) tokenvault.Owner { return tokenvault.Owner{Tenant: "default", UserID: user} }

func person(name string) tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorUser, ID: name, Owner: owner(name)}
}

// headerAuth takes the user's name from a header; "root" administers acme, and
// "carol@acme" is a member.
type headerAuth struct{}

func (headerAuth) Authenticate(r *http.Request) (tokenvault.Actor, error) {
	name := r.Header.Get("Test-User")
	switch name {
	case "":
		return tokenvault.Actor{}, fmt.Errorf("nobody: %w", tokenvault.ErrUnauthenticated)
	case "root":
		actor := person(name)
		actor.Owner.OrganizationID, actor.OrgAdmin = "acme", true
		return actor, nil
	}
	name, organization, _ := strings.Cut(name, "@")
	actor := person(name)
	actor.Owner.OrganizationID = organization
	return actor, nil
}

// watched counts what changes anything, by every command that does.
type watched struct {
	*memory.Store
	writes   atomic.Int32
	keyReads atomic.Int32
	slow     atomic.Int64 // how long it takes to read a key, in nanoseconds
}

func (s *watched) GetAPIKey(ctx context.Context, id string) (tokenvault.FoundAPIKey, error) {
	s.keyReads.Add(1)
	if slow := time.Duration(s.slow.Load()); slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return tokenvault.FoundAPIKey{}, ctx.Err()
		}
	}
	return s.Store.GetAPIKey(ctx, id)
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

func (s *watched) AdvanceAttempt(ctx context.Context, hash string, from, to tokenvault.AttemptState) (tokenvault.Attempt, error) {
	s.writes.Add(1)
	return s.Store.AdvanceAttempt(ctx, hash, from, to)
}

func (s *watched) BeginRefresh(ctx context.Context, cmd tokenvault.RefreshClaim) (tokenvault.RefreshTurn, error) {
	s.writes.Add(1)
	return s.Store.BeginRefresh(ctx, cmd)
}

func (s *watched) Revoke(ctx context.Context, cmd tokenvault.Revocation) (tokenvault.Connection, error) {
	s.writes.Add(1)
	return s.Store.Revoke(ctx, cmd)
}

func (s *watched) Transfer(ctx context.Context, cmd tokenvault.Transfer) (tokenvault.Connection, error) {
	s.writes.Add(1)
	return s.Store.Transfer(ctx, cmd)
}

func (s *watched) WithdrawPermission(ctx context.Context, owner tokenvault.Owner, id string, event tokenvault.Event) error {
	s.writes.Add(1)
	return s.Store.WithdrawPermission(ctx, owner, id, event)
}

func (s *watched) AppendAudit(ctx context.Context, events []tokenvault.Event) error {
	s.writes.Add(1)
	return s.Store.AppendAudit(ctx, events)
}

// scriptedFlow stands in for OAuth.
type scriptedFlow struct {
	exchanges atomic.Int32
	account   string // default "1"
	err       error
}

func (*scriptedFlow) Begin(_ context.Context, in tokenvault.BeginInput) (tokenvault.Step, error) {
	q := url.Values{"state": {in.State.Reveal()}, "redirect_uri": {in.RedirectURL}}
	return tokenvault.Step{URL: in.Provider.OAuth2.AuthorizationURL + "?" + q.Encode(), Private: tokenvault.NewSecret("verifier")}, nil
}

func (f *scriptedFlow) Complete(_ context.Context, in tokenvault.CompleteInput) (tokenvault.Completed, error) {
	f.exchanges.Add(1)
	cred := tokenvault.Credential{
		AuthMethod: tokenvault.AuthOAuth2, TokenType: "Bearer",
		AccessToken: tokenvault.NewSecret("access-canary"), RefreshToken: tokenvault.NewSecret("refresh-canary"),
	}
	return tokenvault.Completed{
		Credential: cred, Account: tokenvault.Account{ID: cmp.Or(f.account, "1"), Label: "alice@mail.example"}, Scopes: in.Scopes, ExpiresIn: time.Hour,
	}, f.err
}

// A rig is a vault with both handlers, and who may call them.
type rig struct {
	*tokenvault.Vault
	browser, v1 http.Handler
	store       *watched
	flow        *scriptedFlow
}

func newRig(t testing.TB, change ...func(*tokenvault.Options)) *rig {
	t.Helper()
	r := &rig{store: &watched{Store: memory.New(nil)}, flow: &scriptedFlow{}}
	oauth := func(name string) tokenvault.Provider {
		return tokenvault.Provider{
			ID: name, Name: strings.ToUpper(name), Service: name, AuthMethod: tokenvault.AuthOAuth2, Hosts: []string{"api." + name + ".example"},
			OAuth2: &tokenvault.OAuth2{
				Issuer: "https://auth.example", AuthorizationURL: "https://auth.example/authorize", TokenURL: "https://auth.example/token",
			},
		}
	}
	cat, err := tokenvault.NewCatalog(oauth("mail"), oauth("bare"), deskProvider())
	if err != nil {
		t.Fatal(err)
	}
	vaultOpts := &tokenvault.Options{
		PublicURL: origin, Origins: []string{"https://app.example"}, ReturnURLs: []string{"https://app.example/done"},
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthOAuth2: r.flow, tokenvault.AuthAPIKey: keyFlow{}},
	}
	for _, f := range change {
		f(vaultOpts)
	}
	r.Vault, err = tokenvault.New(r.store, rootKey(t), cat, vaultOpts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if _, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client"}); err != nil {
		t.Fatal(err)
	}
	r.browser, r.v1 = NewHandler(r.Vault, headerAuth{}, nil), NewV1Handler(r.Vault, nil)
	return r
}

func rootKey(t testing.TB) tokenvault.Sealer {
	t.Helper()
	key, err := keyring.FromKey(tokenvault.NewSecret("5cD0qv1F0mJmJ5m0mGQWq3m0bX8h4mFqk3m7eS3c2mM="))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// key returns a new key's text.
func (r *rig) key(t *testing.T, in tokenvault.APIKeyInput) string {
	t.Helper()
	if in.Name == "" {
		in.Name = "assistant"
	}
	_, text, err := r.CreateAPIKey(t.Context(), admin, in)
	if err != nil {
		t.Fatal(err)
	}
	return text.Reveal()
}

func (r *rig) agentKey(t *testing.T, user string) string {
	t.Helper()
	return r.key(t, tokenvault.APIKeyInput{Kind: tokenvault.ActorAgent, Owner: owner(user)})
}

// An answer is a response with its body read.
type answer struct {
	*http.Response
	text string
}

// json returns a field of the body; "a.b" goes into an object.
func (a answer) json(t *testing.T, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(a.text), &v); err != nil {
		t.Fatalf("status %d, not JSON: %s", a.StatusCode, a.text)
	}
	for name := range strings.SplitSeq(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("no %s in %s", path, a.text)
		}
		v = object[name]
	}
	return v
}

func (a answer) want(t *testing.T, status int, code string) {
	t.Helper()
	if a.StatusCode != status || code != "" && a.json(t, "code") != code {
		t.Fatalf("status %d, want %d %s: %s", a.StatusCode, status, code, a.text)
	}
}

// request serves one request.
func request(h http.Handler, method, path, body string, edit ...func(*http.Request)) answer {
	req := httptest.NewRequest(method, origin+path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, e := range edit {
		e(req)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	res := w.Result()
	text, _ := io.ReadAll(res.Body)
	return answer{res, string(text)}
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// as sends what a signed-in person's browser would, to a path below the mount.
func (r *rig) as(user, method, path, body string, edit ...func(*http.Request)) answer {
	edit = append([]func(*http.Request){header("Test-User", user), header("Sec-Fetch-Site", "same-origin")}, edit...)
	return request(r.browser, method, r.Mount()+path, body, edit...)
}

// with sends what the holder of a key would.
func (r *rig) with(key, method, path, body string, edit ...func(*http.Request)) answer {
	return request(r.v1, method, path, body, append([]func(*http.Request){header("Authorization", "Bearer "+key)}, edit...)...)
}

// ask lets a user's agent ask, and returns the auth request.
func (r *rig) ask(t *testing.T, user string, scopes ...string) tokenvault.AuthRequest {
	t.Helper()
	actor := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "assistant", Owner: owner(user)}
	_, err := r.Resolve(t.Context(), actor, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: scopes, Release: tokenvault.ReleaseToken})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("Resolve: %v", err)
	}
	return required.Request
}

// sent is what a user's browser brings back from the provider.
type sent struct {
	state  string
	cookie *http.Cookie
}

func (r *rig) leave(t *testing.T, user, requestID, returnURL string) sent {
	t.Helper()
	to, err := r.StartConnect(t.Context(), person(user), tokenvault.StartConnect{AuthRequestID: requestID, ReturnURL: returnURL})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	return sent{u.Query().Get("state"), &http.Cookie{Name: to.CookieName, Value: to.CookieValue.Reveal()}}
}

// back opens the callback in a user's browser.
func (r *rig) back(user string, s sent, query string) answer {
	path := "/oauth/callback/" + r.AppID("", "mail") + "?state=" + url.QueryEscape(s.state) + "&iss=https://auth.example&" + query
	return r.as(user, "GET", path, "", func(req *http.Request) {
		if s.cookie != nil {
			req.AddCookie(s.cookie)
		}
	})
}

// connect connects a user's account and returns the connection's id.
func (r *rig) connect(t *testing.T, user string) string {
	t.Helper()
	req := r.ask(t, user)
	res := r.back(user, r.leave(t, user, req.ID, ""), "code=code")
	if want := origin + "/connect/" + req.ID; res.Header.Get("Location") != want {
		t.Fatalf("callback led to %s, want %s", res.Header.Get("Location"), want)
	}
	settled, err := r.AuthRequest(t.Context(), person(user), req.ID)
	if err != nil || settled.Status != tokenvault.AuthConnected {
		t.Fatalf("status %s, %v", settled.Status, err)
	}
	return settled.ConnectionID
}
