package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/httpapi"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

// provider is an OAuth provider that grants everything and numbers its tokens.
type provider struct {
	mu     sync.Mutex
	issued int
}

func (p *provider) Begin(_ context.Context, in tokenvault.BeginInput) (tokenvault.Step, error) {
	q := url.Values{"state": {in.State.Reveal()}}
	return tokenvault.Step{URL: in.Provider.OAuth2.AuthorizationURL + "?" + q.Encode(), Private: tokenvault.NewSecret("verifier")}, nil
}

func (p *provider) Complete(_ context.Context, in tokenvault.CompleteInput) (tokenvault.Completed, error) {
	return tokenvault.Completed{
		Credential: p.issue(), Account: tokenvault.Account{ID: "1", Label: "alice@mail.example"}, Scopes: in.Scopes, ExpiresIn: time.Hour,
	}, nil
}

func (p *provider) Refresh(context.Context, tokenvault.RefreshInput) tokenvault.RefreshOutcome {
	return tokenvault.Rotated{Credential: p.issue(), ExpiresIn: time.Hour}
}

func (p *provider) issue() tokenvault.Credential {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issued++
	n := strconv.Itoa(p.issued)
	return tokenvault.Credential{
		AuthMethod: tokenvault.AuthOAuth2, TokenType: "Bearer", TokenURL: "https://auth.mail.example/token",
		AccessToken: tokenvault.NewSecret("token-" + n), RefreshToken: tokenvault.NewSecret("refresh-" + n),
	}
}

// a rig is a vault that knows one provider, "mail", and serves agents. Alice is
// its user.
type rig struct {
	*tokenvault.Vault
	http.Handler
	agentKey, backendKey tokenvault.Secret
}

func userOf(id string) tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorUser, ID: id, Owner: tokenvault.Owner{Tenant: tokenvault.DefaultTenant, UserID: id}}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func startVault() *rig {
	catalog := must(tokenvault.NewCatalog(tokenvault.Provider{
		ID: "mail", Name: "Mail", Service: "mail", AuthMethod: tokenvault.AuthOAuth2, Hosts: []string{"api.mail.example"},
		OAuth2: &tokenvault.OAuth2{
			Issuer: "https://auth.mail.example", AuthorizationURL: "https://auth.mail.example/authorize", TokenURL: "https://auth.mail.example/token",
		},
	}))
	root := must(keyring.FromKey(tokenvault.NewSecret("5cD0qv1F0mJmJ5m0mGQWq3m0bX8h4mFqk3m7eS3c2mM=")))
	vault := must(tokenvault.New(memory.New(nil), root, catalog, &tokenvault.Options{
		PublicURL: "https://vault.example", AuthRequestTTL: 5 * time.Minute,
		Origins: []string{"https://app.example"}, VerifyURL: "https://app.example/connected",
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthOAuth2: &provider{}},
	}))
	r := &rig{Vault: vault, Handler: httpapi.NewV1Handler(vault, nil)}
	admin := tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: tokenvault.DefaultTenant}}
	ctx := context.Background()
	must(vault.SetApp(ctx, admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client"}))
	r.agentKey = r.newKey(ctx, admin, tokenvault.APIKeyInput{Name: "assistant", Kind: tokenvault.ActorAgent, Owner: userOf("alice").Owner})
	r.backendKey = r.newKey(ctx, admin, tokenvault.APIKeyInput{Name: "shop", Kind: tokenvault.ActorBackend})
	return r
}

func (r *rig) stop() { must(r, r.Close(context.Background())) }

func (r *rig) newKey(ctx context.Context, admin tokenvault.Actor, in tokenvault.APIKeyInput) tokenvault.Secret {
	_, text, err := r.CreateAPIKey(ctx, admin, in)
	return must(text, err)
}

// connect is what a person does who opens a connect URL: sign in, confirm, consent
// at the provider, and come back.
func (r *rig) connect(userID, connectURL string) {
	ctx, user := context.Background(), userOf(userID)
	redirect := must(r.StartConnect(ctx, user, tokenvault.StartConnect{AuthRequestID: path.Base(connectURL)}))
	u := must(url.Parse(redirect.URL))
	must(r.FinishConnect(ctx, user, tokenvault.Return{
		AppID: r.AppID("", "mail"), State: tokenvault.NewSecret(u.Query().Get("state")),
		Code: tokenvault.NewSecret("code"), Browser: redirect.CookieValue,
	}))
}

// RoundTrip serves a request without a network, so that a test can do without
// real time.
func (r *rig) RoundTrip(req *http.Request) (*http.Response, error) {
	served := httptest.NewRecorder()
	r.ServeHTTP(served, req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return served.Result(), nil
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := startVault()
	t.Cleanup(r.stop)
	return r
}

// client returns a client with alice's agent's key that needs no network.
func (r *rig) client(t *testing.T) *client.Client { return newClient(t, r.agentKey, r) }

func newClient(t *testing.T, key tokenvault.Secret, over http.RoundTripper) *client.Client {
	t.Helper()
	c, err := client.New("https://vault.example", key, &client.Options{HTTPClient: &http.Client{Transport: over}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mustAsk resolves and returns the request that the call pauses on.
func mustAsk(t *testing.T, c *client.Client, req client.ResolveRequest) tokenvault.AuthRequest {
	t.Helper()
	_, err := c.Resolve(t.Context(), req)
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("Resolve: err = %v, want an AuthRequiredError", err)
	}
	return required.Request
}

// readMail asks for a token that can read mail.
func readMail() client.ResolveRequest {
	return client.ResolveRequest{ProviderID: "mail", Scopes: []string{"mail.read"}, Release: tokenvault.ReleaseToken}
}

// network answers a client's requests.
type network func(*http.Request) (*http.Response, error)

// RoundTrip answers req.
func (n network) RoundTrip(req *http.Request) (*http.Response, error) { return n(req) }

const problemJSON = "application/problem+json"

func answer(status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// readInbox stands in for a tool that calls the provider's API.
func readInbox(token *client.Token) string {
	if token.TokenType+" "+token.AccessToken.Reveal() != "Bearer token-1" {
		return "401 Unauthorized"
	}
	return "3 new messages"
}
