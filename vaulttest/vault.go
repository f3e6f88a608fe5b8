package vaulttest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
	"github.com/ai-token-vault/tokenvault/httpapi"
	"github.com/ai-token-vault/tokenvault/pages"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/signin"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

// ProviderID is the id of the provider that every vault here knows.
const ProviderID = "example"

// UserHeader names the user of a request to the browser-facing API and the pages,
// unless Options.Authenticator says who it is.
const UserHeader = "Vaulttest-User"

// Options configures [New]. The zero Options, like nil, works.
type Options struct {
	// TokenTTL is how long the provider's access tokens live. Default one hour.
	TokenTTL time.Duration
	// Providers are known beside [ProviderID].
	Providers []tokenvault.Provider
	// Authenticator says who a browser's user is. Default: [UserHeader] does.
	Authenticator tokenvault.Authenticator
	// Change changes the vault's options before it is made.
	Change func(*tokenvault.Options)
}

// A Vault is a vault for one test, with what surrounds it. It is safe for
// concurrent use.
type Vault struct {
	*tokenvault.Vault
	// URL is where the vault serves its HTTP APIs and pages.
	URL string
	// Provider is the OAuth provider.
	Provider *Provider

	ahead atomic.Int64 // of the real time, in nanoseconds
}

// New returns a vault that works until the test ends. For the provider
// [ProviderID] an OAuth app is registered.
func New(t testing.TB, opts *Options) *Vault {
	t.Helper()
	var o Options
	if opts != nil {
		o = *opts
	}
	v := &Vault{Provider: newProvider(t, o.TokenTTL)}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	v.URL = server.URL
	v.open(t, o)
	v.serve(mux, o.Authenticator)
	if _, err := v.SetApp(t.Context(), v.Admin(), tokenvault.AppInput{
		ProviderID: ProviderID, ClientID: clientID, ClientSecret: tokenvault.NewSecret(v.Provider.clientSecret),
	}); err != nil {
		t.Fatal(err)
	}
	return v
}

// open makes the vault over a new store and a new root key, and lets it work.
func (v *Vault) open(t testing.TB, o Options) {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: see package crypto/rand
	root, err := keyring.FromKey(tokenvault.NewSecret(base64.StdEncoding.EncodeToString(key)))
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := tokenvault.NewCatalog(append(slices.Clone(o.Providers), v.Provider.definition())...)
	if err != nil {
		t.Fatal(err)
	}
	options := &tokenvault.Options{
		PublicURL: v.URL,
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{
			tokenvault.AuthOAuth2: oauth2flow.New(&oauth2flow.Options{Allow: []string{v.Provider.host()}}),
		},
	}
	if o.Change != nil {
		o.Change(options)
	}
	v.Vault, err = tokenvault.New(memory.New(&memory.Options{Clock: v.now}), root, catalog, options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	worked := make(chan error, 1)
	go func() { worked <- v.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-worked, v.Close(context.WithoutCancel(ctx))); err != nil {
			t.Errorf("vaulttest: closing the vault: %v", err)
		}
	})
}

func (v *Vault) serve(mux *http.ServeMux, auth tokenvault.Authenticator) {
	if auth == nil {
		auth = signin.Func(v.userOf)
	}
	page := pages.NewHandler(v.Vault, auth, nil)
	mux.Handle(v.Mount()+"/", httpapi.NewHandler(v.Vault, auth, nil))
	mux.Handle("/v1/", httpapi.NewV1Handler(v.Vault, nil))
	mux.Handle("/connect/", page)
	mux.Handle("/assets/", page)
}

func (v *Vault) userOf(r *http.Request) (tokenvault.Actor, error) {
	name := r.Header.Get(UserHeader)
	if name == "" {
		return tokenvault.Actor{}, fmt.Errorf("no %s header: %w", UserHeader, tokenvault.ErrUnauthenticated)
	}
	return v.User(name), nil
}

// now is the store's clock.
func (v *Vault) now() time.Time { return time.Now().Add(time.Duration(v.ahead.Load())) }

// Advance moves the time of the store on: tokens, auth requests, leases and keys
// end as if d had passed.
func (v *Vault) Advance(d time.Duration) { v.ahead.Add(int64(d)) }

// User is a person of the vault's tenant.
func (v *Vault) User(id string) tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorUser, ID: id, Owner: tokenvault.Owner{Tenant: v.Tenant(), UserID: id}}
}

// Agent is the agent "agent" of a user.
func (v *Vault) Agent(userID string) tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "agent", Owner: tokenvault.Owner{Tenant: v.Tenant(), UserID: userID}}
}

// Admin is the administrator of the vault's tenant.
func (v *Vault) Admin() tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "admin", Owner: tokenvault.Owner{Tenant: v.Tenant()}}
}

// Client returns a client of the vault's HTTP API with a new key of the actor, an
// agent or a back end.
func (v *Vault) Client(t testing.TB, actor tokenvault.Actor) *client.Client {
	t.Helper()
	in := tokenvault.APIKeyInput{Name: actor.ID, Kind: actor.Kind}
	if actor.Kind == tokenvault.ActorAgent {
		in.AgentID, in.Owner = actor.ID, actor.Owner
	}
	_, key, err := v.CreateAPIKey(t.Context(), v.Admin(), in)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(v.URL, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Ask is a request for a token of [ProviderID].
func Ask(scopes ...string) tokenvault.ResolveRequest {
	return tokenvault.ResolveRequest{ProviderID: ProviderID, Scopes: scopes, Release: tokenvault.ReleaseToken}
}

// Connect connects an account of the agent's owner at [ProviderID], with permission
// for the agent to have its token, and returns the connection. The account has the
// owner's user id. Use [Vault.Fulfil] for everything else.
func (v *Vault) Connect(t testing.TB, agent tokenvault.Actor, scopes ...string) tokenvault.Connection {
	t.Helper()
	access, err := v.Resolve(t.Context(), agent, Ask(scopes...))
	if required, ok := errors.AsType[*tokenvault.AuthRequiredError](err); ok {
		v.Fulfil(t, required.Request, agent.Owner.UserID)
		access, err = v.Resolve(t.Context(), agent, Ask(scopes...))
	}
	if err != nil {
		t.Fatal(err)
	}
	return access.Connection()
}

// Fulfil does what the owner of the request does who opens its ConnectURL: confirms,
// signs in at the provider as account, agrees, and comes back. The request is for
// [ProviderID] and not settled yet; it returns it settled.
func (v *Vault) Fulfil(t testing.TB, req tokenvault.AuthRequest, account string) tokenvault.AuthRequest {
	t.Helper()
	person := v.User(req.Owner.UserID)
	person.Owner = req.Owner
	if req.Reason == tokenvault.ReasonPermissionRequired {
		settled, err := v.Permit(t.Context(), person, tokenvault.Permit{AuthRequestID: req.ID})
		if err != nil {
			t.Fatal(err)
		}
		return settled
	}
	redirect, err := v.StartConnect(t.Context(), person, tokenvault.StartConnect{AuthRequestID: req.ID})
	if err != nil {
		t.Fatal(err)
	}
	back := v.Provider.agree(t, redirect.URL, account)
	done, err := v.FinishConnect(t.Context(), person, tokenvault.Return{
		AppID: back.Path[strings.LastIndex(back.Path, "/")+1:], State: tokenvault.NewSecret(back.Query().Get("state")),
		Code: tokenvault.NewSecret(back.Query().Get("code")), Iss: back.Query().Get("iss"), Browser: redirect.CookieValue,
	})
	if err != nil {
		t.Fatal(err)
	}
	return done.Request
}
