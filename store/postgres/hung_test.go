package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
)

// hangingFlow connects anybody; the refreshes at one provider hang until told.
type hangingFlow struct {
	hung    chan struct{}
	entered chan struct{}
}

func (*hangingFlow) Begin(_ context.Context, in tokenvault.BeginInput) (tokenvault.Step, error) {
	return tokenvault.Step{URL: "https://provider.invalid/?state=" + url.QueryEscape(in.State.Reveal())}, nil
}

func (*hangingFlow) Complete(_ context.Context, in tokenvault.CompleteInput) (tokenvault.Completed, error) {
	return tokenvault.Completed{
		Credential: hangingToken(in.Provider), Account: tokenvault.Account{ID: "1"}, ExpiresIn: 1, // expired at once
	}, nil
}

func hangingToken(p tokenvault.Provider) tokenvault.Credential {
	return tokenvault.Credential{
		AuthMethod: tokenvault.AuthOAuth2, TokenType: "Bearer", TokenURL: p.OAuth2.TokenURL,
		AccessToken: tokenvault.NewSecret("at"), RefreshToken: tokenvault.NewSecret("rt"),
	}
}

func (f *hangingFlow) Refresh(_ context.Context, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
	if in.Provider.ID == "hung" {
		f.entered <- struct{}{}
		<-f.hung
	}
	return tokenvault.Rotated{Credential: hangingToken(in.Provider), ExpiresIn: 1}
}

// R15: 200 refreshes at a provider that hangs hold no connection of a pool of four:
// others refresh and resolve meanwhile.
func TestR15AHungProviderHoldsNoConnection(t *testing.T) {
	const hung = 200
	s := openAt(t, newTemplate(t).dsn, &Options{MaxConns: 4})
	flow := &hangingFlow{hung: make(chan struct{}), entered: make(chan struct{}, hung)}
	v := hangingVault(t, s, flow)
	resolve := func(user, provider string) error {
		_, err := v.Resolve(t.Context(), hangingAgent(user), tokenvault.ResolveRequest{ProviderID: provider})
		return err
	}
	for _, provider := range []string{"hung", "works"} {
		for i := range hung {
			connectAt(t, v, fmt.Sprint("user-", i), provider)
			if provider == "works" && i == 9 {
				break
			}
		}
	}
	var group sync.WaitGroup
	for i := range hung {
		group.Go(func() {
			if err := resolve(fmt.Sprint("user-", i), "hung"); err != nil {
				t.Error(err)
			}
		})
	}
	for range hung {
		<-flow.entered
	}
	if stat := s.pool.Stat(); stat.AcquiredConns() != 0 {
		t.Errorf("%d connections are held while %d refreshes hang", stat.AcquiredConns(), hung)
	}
	waited := s.pool.Stat().CanceledAcquireCount()
	for i := range 100 {
		if err := resolve(fmt.Sprint("user-", i%10), "works"); err != nil { // each refreshes
			t.Fatal(err)
		}
	}
	if n := s.pool.Stat().CanceledAcquireCount() - waited; n != 0 {
		t.Errorf("%d calls got no connection", n)
	}
	close(flow.hung)
	group.Wait()
}

func hangingAgent(user string) tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "agent", Owner: tokenvault.Owner{Tenant: tokenvault.DefaultTenant, UserID: user}}
}

func hangingVault(t *testing.T, s *Store, flow tokenvault.Flow) *tokenvault.Vault {
	t.Helper()
	provider := func(id string) tokenvault.Provider {
		return tokenvault.Provider{
			ID: id, Name: id, Service: id, AuthMethod: tokenvault.AuthOAuth2, Hosts: []string{id + ".example"},
			OAuth2: &tokenvault.OAuth2{AuthorizationURL: "https://" + id + ".example/authorize", TokenURL: "https://" + id + ".example/token"},
		}
	}
	catalog, err := tokenvault.NewCatalog(provider("hung"), provider("works"))
	if err != nil {
		t.Fatal(err)
	}
	sealer, _, err := keyring.Load(filepath.Join(t.TempDir(), "root-key.json"), tokenvault.Secret{}, tokenvault.Secret{}, false)
	if err != nil {
		t.Fatal(err)
	}
	v, err := tokenvault.New(s, sealer, catalog, &tokenvault.Options{
		PublicURL: "https://vault.example", Flows: map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthOAuth2: flow},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close(context.Background()) })
	for _, id := range []string{"hung", "works"} {
		if _, err := v.SetApp(t.Context(), faultAdmin, tokenvault.AppInput{ProviderID: id, ClientID: "client"}); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// connectAt connects the user's account for their agent.
func connectAt(t *testing.T, v *tokenvault.Vault, user, provider string) {
	t.Helper()
	agent := hangingAgent(user)
	person := tokenvault.Actor{Kind: tokenvault.ActorUser, ID: user, Owner: agent.Owner}
	_, err := v.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: provider})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("err = %v, want an auth request", err)
	}
	to, err := v.StartConnect(t.Context(), person, tokenvault.StartConnect{AuthRequestID: required.Request.ID})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.FinishConnect(t.Context(), person, tokenvault.Return{
		AppID: v.AppID("", provider), State: tokenvault.NewSecret(u.Query().Get("state")), Code: tokenvault.NewSecret("code"), Browser: to.CookieValue,
	})
	if err != nil {
		t.Fatal(err)
	}
}
