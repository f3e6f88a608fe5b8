package httpapi

import (
	"context"
	"errors"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

// deskProvider is connected by what its owner enters.
func deskProvider() tokenvault.Provider {
	return tokenvault.Provider{
		ID: "desk-apikey", Name: "Desk", Service: "desk", AuthMethod: tokenvault.AuthAPIKey, Hosts: []string{"{place}.desk.example"},
		APIKey: &tokenvault.KeyAuth{
			Fields: []tokenvault.KeyField{{Name: "place", Label: "Place"}, {Name: "apiKey", Label: "API key", Secret: true}},
			Inject: []tokenvault.Injection{{Header: "X-Api-Key", Value: "{apiKey}"}},
			Probe:  tokenvault.KeyProbe{URL: "https://{place}.desk.example/me"},
		},
	}
}

// keyFlow takes every key.
type keyFlow struct{}

func (keyFlow) Begin(context.Context, tokenvault.BeginInput) (tokenvault.Step, error) {
	return tokenvault.Step{}, nil
}

func (keyFlow) Submit(_ context.Context, in tokenvault.SubmitInput) (tokenvault.Completed, error) {
	cred := tokenvault.Credential{AuthMethod: tokenvault.AuthAPIKey, TokenType: tokenvault.TokenTypeAPIKey, Fields: in.Values}
	return tokenvault.Completed{Credential: cred, Account: tokenvault.Account{ID: "1"}}, nil
}

func (r *rig) submit(t *testing.T, user, requestID string) {
	t.Helper()
	_, err := r.SubmitConnect(t.Context(), person(user), tokenvault.SubmitConnect{AuthRequestID: requestID, Values: map[string]tokenvault.Secret{
		"place": tokenvault.NewSecret("shop"), "apiKey": tokenvault.NewSecret("key-canary"),
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReleaseInjectKeepsWhatTheOwnerEntered(t *testing.T) {
	r := newRig(t)
	key := r.agentKey(t, "alice")
	server := httptest.NewServer(r.v1)
	defer server.Close()
	c, err := client.New(server.URL, tokenvault.NewSecret(key), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Resolve(t.Context(), client.ResolveRequest{ProviderID: "desk-apikey"})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("Resolve: %v", err)
	}
	r.submit(t, "alice", required.Request.ID)
	res := r.with(key, "POST", "/v1/credentials/desk-apikey/resolve", `{}`)
	res.want(t, 200, "")
	if res.json(t, "tokenType") != "api_key" || strings.Contains(res.text, "canary") || strings.Contains(res.text, "fields") {
		t.Errorf("release inject: %s", res.text)
	}
	r.with(key, "POST", "/v1/credentials/desk-apikey/resolve", `{"release":"token"}`).want(t, 403, "denied")
	r.with(key, "POST", "/v1/credentials/desk-apikey/resolve", `{"scopes":["mail.send"]}`).want(t, 400, "invalid")
}

func TestResolveReleasesWhatTheOwnerEntered(t *testing.T) {
	r := newRig(t)
	key := r.agentKey(t, "alice")
	server := httptest.NewServer(r.v1)
	defer server.Close()
	c, err := client.New(server.URL, tokenvault.NewSecret(key), nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.ResolveWait(t.Context(), client.ResolveRequest{ProviderID: "desk-apikey", Release: tokenvault.ReleaseToken}, func(req tokenvault.AuthRequest) {
		r.submit(t, "alice", req.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(token.Headers) != 1 || token.Headers["X-Api-Key"].Reveal() != "key-canary" || len(token.Query) != 0 {
		t.Errorf("what a request carries: %+v", token)
	}
	if token.TokenType != tokenvault.TokenTypeAPIKey || token.Fields["apiKey"].Reveal() != "key-canary" || token.Fields["place"].Reveal() != "shop" || !token.AccessToken.IsZero() {
		t.Errorf("token: %+v", token)
	}
	checked := r.with(key, "POST", "/v1/credentials/desk-apikey/resolve", `{"release":"token","check":true}`)
	if checked.want(t, 200, ""); strings.Contains(checked.text, "canary") || strings.Contains(checked.text, "fields") || !strings.Contains(checked.text, `"hosts":["shop.desk.example"]`) {
		t.Errorf("a check: %s", checked.text)
	}
	list := r.with(key, "GET", "/v1/connections", "")
	if list.want(t, 200, ""); strings.Contains(list.text, "canary") || !strings.Contains(list.text, `"authMethod":"api_key"`) {
		t.Errorf("connections: %s", list.text)
	}
}

func TestAKeyIsPlacedAsItsProviderSays(t *testing.T) {
	fields := map[string]tokenvault.Secret{"id": tokenvault.NewSecret("a&b"), "key": tokenvault.NewSecret("k\u00e9y")}
	for _, c := range []struct {
		in             tokenvault.Injection
		headers, query map[string]string
	}{
		{tokenvault.Injection{Header: "Authorization", Value: "Key {key}"}, map[string]string{"Authorization": "Key k\u00e9y"}, map[string]string{}},
		{tokenvault.Injection{Query: "id", Value: "{id}"}, map[string]string{}, map[string]string{"id": "a&b"}},
		{tokenvault.Injection{Username: "{id}", Password: "{key}"}, map[string]string{"Authorization": "Basic YSZiOmvDqXk="}, map[string]string{}},
	} {
		got, err := enteredOf(tokenvault.KeyAuth{Inject: []tokenvault.Injection{c.in}}, fields)
		if err != nil || !maps.Equal(got.Headers, c.headers) || !maps.Equal(got.Query, c.query) || got.Fields["id"] != "a&b" {
			t.Errorf("%+v: %+v, %v", c.in, got, err)
		}
	}
	if _, err := enteredOf(tokenvault.KeyAuth{Inject: []tokenvault.Injection{{Header: "X", Value: "{gone}"}}}, fields); !errors.Is(err, tokenvault.ErrUnsealable) {
		t.Errorf("a field that is missing: %v, want ErrUnsealable", err)
	}
}
