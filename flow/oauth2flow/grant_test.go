package oauth2flow_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
	"github.com/ai-token-vault/tokenvault/internal/testop"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/memory"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
)

var (
	alice      = tokenvault.Owner{Tenant: "default", UserID: "alice"}
	aliceUser  = tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "alice", Owner: alice}
	bobUser    = tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "bob", Owner: tokenvault.Owner{Tenant: "default", UserID: "bob"}}
	aliceAgent = tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "helper", Owner: alice}
	admin      = tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: "default"}}
	visitor    = tokenvault.Actor{Kind: tokenvault.ActorVisitor, ID: "visitor", Owner: tokenvault.Owner{Tenant: "default"}}
)

// A vault at one running provider, with its app registered.
type vault struct {
	*tokenvault.Vault
	op       *testop.OP
	provider string
}

func stores(t *testing.T) map[string]tokenvault.Store {
	t.Helper()
	file, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "vault.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return map[string]tokenvault.Store{"memory": memory.New(nil), "sqlite": file}
}

func (b *bench) vault(t *testing.T, store tokenvault.Store, change ...func(*tokenvault.Options)) *vault {
	t.Helper()
	key, err := keyring.FromKey(tokenvault.NewSecret("5cD0qv1F0mJmJ5m0mGQWq3m0bX8h4mFqk3m7eS3c2mM="))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := tokenvault.NewCatalog(b.provider)
	if err != nil {
		t.Fatal(err)
	}
	opts := &tokenvault.Options{
		PublicURL: "https://vault.example", VerifyURL: "https://app.example/verify",
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{
			tokenvault.AuthOAuth2: oauth2flow.New(&oauth2flow.Options{Allow: []string{strings.TrimPrefix(b.op.Issuer, "http://")}}),
		},
	}
	for _, f := range change {
		f(opts)
	}
	v := &vault{op: b.op, provider: b.provider.ID}
	if v.Vault, err = tokenvault.New(store, key, cat, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close(context.Background()) })
	if _, err := v.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: v.provider, ClientID: b.client.ID, ClientSecret: b.client.Secret}); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *vault) resolve(t *testing.T, scopes ...string) (*tokenvault.Access, error) {
	t.Helper()
	return v.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{ProviderID: v.provider, Scopes: scopes, Release: tokenvault.ReleaseToken})
}

// ask resolves and returns what the call pauses on.
func (v *vault) ask(t *testing.T, scopes ...string) tokenvault.AuthRequest {
	t.Helper()
	_, err := v.resolve(t, scopes...)
	paused, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("err = %v, want an AuthRequiredError", err)
	}
	return paused.Request
}

func token(t *testing.T, access *tokenvault.Access, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	cred, err := access.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	return cred.AccessToken.Reveal()
}

func machine(t *testing.T) *bench {
	t.Helper()
	op := testop.Start(t, testop.Options{AccessTTL: "3600"})
	return benchOf(op, tokenvault.OAuth2{
		Grant: tokenvault.GrantClientCredentials, TokenURL: op.Issuer + "/token", RevocationURL: op.Issuer + "/token/revocation",
	}, "vault-machine", "secret-of-vault-machine-90c2d7e3b4")
}

func TestTheAppItselfIsConnected(t *testing.T) {
	b := machine(t)
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			v := b.vault(t, store)
			asked := v.ask(t, "email")
			plan, err := v.PlanConnect(t.Context(), aliceUser, asked.ID)
			if err != nil || plan.Way != tokenvault.WayConfirm {
				t.Fatalf("way %s, %v", plan.Way, err)
			}
			settled, err := v.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: asked.ID})
			if err != nil || settled.Status != tokenvault.AuthConnected {
				t.Fatalf("SubmitConnect: %s, %v", settled.Status, err)
			}
			access, err := v.resolve(t, "email")
			first := token(t, access, err)
			if account := access.Connection().Account; account.ID != v.AppID("", "test") || account.Label != "vault-machine" {
				t.Errorf("account: %+v", account)
			}

			// A 401 brings another token, without the owner, and only once.
			access, err = access.Rejected(t.Context())
			if second := token(t, access, err); second == first || access.Connection().Version != 2 {
				t.Errorf("version %d, the same token: %t", access.Connection().Version, second == first)
			}
			if _, err := access.Rejected(t.Context()); err == nil {
				t.Error("a token that was just renewed was renewed again")
			}
			if c := v.connection(t); c.Status != tokenvault.ConnectionNeedsReauth || c.Reason != tokenvault.ReauthUpstream {
				t.Errorf("%s, %s", c.Status, c.Reason)
			}

			// Confirming again heals the same connection.
			healed, err := v.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: v.ask(t, "email").ID})
			if err != nil || healed.ConnectionID != settled.ConnectionID {
				t.Errorf("healed %s, %v, want %s", healed.ConnectionID, err, settled.ConnectionID)
			}
			access, err = v.resolve(t, "email")
			token(t, access, err)
		})
	}
}

// What expired is asked for again, without anybody's doing.
func TestATokenOfTheAppIsRenewedWhenItExpires(t *testing.T) {
	var ahead atomic.Int64
	store := memory.New(&memory.Options{Clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	v := machine(t).vault(t, store)
	if _, err := v.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: v.ask(t, "email").ID}); err != nil {
		t.Fatal(err)
	}
	access, err := v.resolve(t, "email")
	first := token(t, access, err)
	ahead.Store(int64(2 * time.Hour))
	access, err = v.resolve(t, "email")
	if token(t, access, err) == first || access.Connection().Version != 2 {
		t.Errorf("version %d", access.Connection().Version)
	}
}

func (v *vault) connection(t *testing.T) tokenvault.Connection {
	t.Helper()
	list, err := v.Connections(t.Context(), aliceUser, tokenvault.Page{})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d connections, %v", len(list), err)
	}
	return list[0]
}

func TestOnlyTheProvenUserConnectsTheApp(t *testing.T) {
	v := machine(t).vault(t, memory.New(nil))
	in := tokenvault.SubmitConnect{AuthRequestID: v.ask(t).ID}
	for actor, want := range map[*tokenvault.Actor]error{&bobUser: tokenvault.ErrNotFound, &visitor: tokenvault.ErrDenied, &aliceAgent: tokenvault.ErrDenied} {
		if _, err := v.SubmitConnect(t.Context(), *actor, in); !errors.Is(err, want) {
			t.Errorf("%s: err = %v, want %v", actor.Kind, err, want)
		}
	}
	if _, err := v.PlanConnect(t.Context(), visitor, in.AuthRequestID); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("a visitor's plan: %v, want ErrUnauthenticated", err)
	}
	if _, err := v.StartConnect(t.Context(), aliceUser, tokenvault.StartConnect{AuthRequestID: in.AuthRequestID}); !errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("StartConnect: %v, want ErrConflict", err)
	}
	if n := v.op.Stats(t)["POST /token"]; n != 0 {
		t.Errorf("%d requests reached the token endpoint", n)
	}
}

func TestAnAppThatIsRefusedIsNotConnected(t *testing.T) {
	b := machine(t)
	b.client.Secret = tokenvault.NewSecret("wrong-canary")
	v := b.vault(t, memory.New(nil))
	_, err := v.SubmitConnect(t.Context(), aliceUser, tokenvault.SubmitConnect{AuthRequestID: v.ask(t).ID})
	failed, ok := errors.AsType[*tokenvault.ProviderError](err)
	if !ok || failed.Code != "invalid_client" || strings.Contains(err.Error(), "canary") {
		t.Errorf("err = %v, want invalid_client", err)
	}
	if list, err := v.Connections(t.Context(), aliceUser, tokenvault.Page{}); err != nil || len(list) != 0 {
		t.Errorf("%d connections, %v", len(list), err)
	}
}

// Nothing is spent by asking once more: no outcome is uncertain.
func TestFailuresOfAskingAgainAreTransient(t *testing.T) {
	b := machine(t)
	done, err := b.flow.Grant(t.Context(), tokenvault.GrantInput{Provider: b.provider, Client: b.client, Scopes: []string{"email"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"drop_after_commit", "truncated", "status:503", "html200"} {
		b.op.Fault(t, "/token", mode, 1)
		if out, ok := b.refresh(t.Context(), done.Credential).(tokenvault.Transient); !ok || !out.Err.Transient {
			t.Errorf("%s: %#v, want Transient", mode, out)
		}
	}
	if _, ok := b.refresh(t.Context(), done.Credential).(tokenvault.Rotated); !ok {
		t.Error("the provider is well again, and no token came")
	}
}
