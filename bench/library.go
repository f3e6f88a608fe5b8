package main

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
)

const (
	rounds      = 4000
	resolveGoal = 1.5
)

// seeded is a data directory with one connection and one key.
type seeded struct {
	store *sqlite.Store
	vault *tokenvault.Vault
	key   tokenvault.Secret
	agent tokenvault.Actor
}

// seedFlow connects without a provider: what is measured comes after the connect.
type seedFlow struct{}

func (seedFlow) Begin(_ context.Context, in tokenvault.BeginInput) (tokenvault.Step, error) {
	return tokenvault.Step{URL: "https://provider.invalid/?state=" + url.QueryEscape(in.State.Reveal())}, nil
}

func (seedFlow) Complete(_ context.Context, in tokenvault.CompleteInput) (tokenvault.Completed, error) { //nolint:unparam // implements tokenvault.Redirecting
	return tokenvault.Completed{
		Credential: tokenvault.Credential{
			AuthMethod: tokenvault.AuthOAuth2, TokenType: "Bearer", TokenURL: in.Provider.OAuth2.TokenURL,
			AccessToken: tokenvault.NewSecret("gho_0123456789012345678901234567890123456789"),
		},
		Account: tokenvault.Account{ID: "1", Label: "bench"}, Scopes: in.Scopes,
	}, nil
}

func seedStore(ctx context.Context, dir string) (*seeded, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	cat, err := catalog.Load()
	if err != nil {
		return nil, err
	}
	store, err := sqlite.Open(ctx, filepath.Join(dir, "tokenvault.db"), nil)
	if err != nil {
		return nil, err
	}
	sealer, _, err := keyring.Load(filepath.Join(dir, "root-key.json"), tokenvault.Secret{}, tokenvault.Secret{}, false)
	if err != nil {
		return nil, err
	}
	v, err := tokenvault.New(store, sealer, cat, &tokenvault.Options{
		PublicURL: "http://127.0.0.1:8420", Audit: tokenvault.AuditOff,
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthOAuth2: seedFlow{}},
	})
	if err != nil {
		return nil, err
	}
	s := &seeded{store: store, vault: v}
	return s, s.connect(ctx)
}

// connect takes the way that a user takes.
func (s *seeded) connect(ctx context.Context) error {
	owner := tokenvault.Owner{Tenant: s.vault.Tenant(), UserID: "local"}
	admin := tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "bench", Owner: tokenvault.Owner{Tenant: owner.Tenant}}
	user := tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "local", Owner: owner}
	s.agent = tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "bench", Owner: owner}
	if _, err := s.vault.SetApp(ctx, admin, tokenvault.AppInput{ProviderID: "github", ClientID: "bench"}); err != nil {
		return err
	}
	_, err := s.vault.Resolve(ctx, s.agent, resolveRequest())
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		return fmt.Errorf("no auth request: %w", err)
	}
	redirect, err := s.vault.StartConnect(ctx, user, tokenvault.StartConnect{AuthRequestID: required.Request.ID})
	if err != nil {
		return err
	}
	u, err := url.Parse(redirect.URL)
	if err != nil {
		return err
	}
	_, err = s.vault.FinishConnect(ctx, user, tokenvault.Return{
		AppID: s.vault.AppID("", "github"), State: tokenvault.NewSecret(u.Query().Get("state")),
		Code: tokenvault.NewSecret("code"), Browser: redirect.CookieValue,
	})
	if err != nil {
		return err
	}
	_, s.key, err = s.vault.CreateAPIKey(ctx, admin, tokenvault.APIKeyInput{Name: "bench", Kind: tokenvault.ActorAgent, Owner: owner})
	return err
}

func resolveRequest() tokenvault.ResolveRequest {
	return tokenvault.ResolveRequest{ProviderID: "github", Scopes: []string{"repo"}, Release: tokenvault.ReleaseToken}
}

func (s *seeded) close(ctx context.Context) error {
	return errors.Join(s.vault.Close(ctx), s.store.Close())
}

// resolveRatio compares a warm resolve without audit with the same query and one
// AES-GCM open of a credential's size, call by call in turn.
func (s *seeded) resolveRatio(ctx context.Context) (result, error) {
	aead, err := envelope.NewAEAD(make([]byte, envelope.KeySize))
	if err != nil {
		return result{}, err
	}
	blob := envelope.Seal(aead, 1, make([]byte, 200), nil)
	var floor, ours []time.Duration
	for range rounds {
		begun := time.Now()
		if err := s.floor(ctx, aead, blob); err != nil {
			return result{}, err
		}
		between := time.Now()
		if _, err := s.vault.Resolve(ctx, s.agent, resolveRequest()); err != nil {
			return result{}, err
		}
		floor, ours = append(floor, between.Sub(begun)), append(ours, time.Since(between))
	}
	f, o := median(floor), median(ours)
	return result{
		name: "library_resolve_p50", ratio: float64(o) / float64(f), goal: resolveGoal,
		detail: fmt.Sprintf("resolve %s, query and open %s", o, f),
	}, nil
}

func (s *seeded) floor(ctx context.Context, aead cipher.AEAD, blob []byte) error {
	_, err := s.store.FindUsable(ctx, tokenvault.FindQuery{Owner: s.agent.Owner, AgentID: s.agent.ID, ProviderID: "github"})
	if err != nil {
		return err
	}
	_, err = envelope.Open(aead, blob, nil)
	return err
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
