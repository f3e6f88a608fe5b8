package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/postgres"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
)

// seedOptions says what to seed.
type seedOptions struct {
	dir      string
	driver   string               // of database/sql; default the store's
	pg       *pool                // default: SQLite
	audit    tokenvault.AuditMode // default sync
	provider *tokenvault.Provider // default github
	others   []tokenvault.Provider
	flow     tokenvault.Refresher // default none
}

// keyCount is how many keys send the requests in turn, so that none comes near its
// limit.
const keyCount = 256

// seeded is a data directory with one connection and the keys of its agent.
type seeded struct {
	store    tokenvault.Store
	pool     *pool // of PostgreSQL; nil: SQLite
	sealer   tokenvault.Sealer
	catalog  *tokenvault.Catalog
	flow     *seedFlow
	vault    *tokenvault.Vault
	provider string
	path     string // of the SQLite database
	keys     []tokenvault.Secret
	sent     atomic.Int64 // requests so far
	agent    tokenvault.Actor
}

// seedFlow connects without a provider: what is measured comes after the connect.
type seedFlow struct {
	refresher tokenvault.Refresher
	refreshes atomic.Int64
}

func (*seedFlow) Begin(_ context.Context, in tokenvault.BeginInput) (tokenvault.Step, error) {
	return tokenvault.Step{URL: "https://provider.invalid/?state=" + url.QueryEscape(in.State.Reveal())}, nil
}

func (*seedFlow) Complete(_ context.Context, in tokenvault.CompleteInput) (tokenvault.Completed, error) { //nolint:unparam // implements tokenvault.Redirecting
	return tokenvault.Completed{
		Credential: tokenvault.Credential{
			AuthMethod: tokenvault.AuthOAuth2, TokenType: "Bearer", TokenURL: in.Provider.OAuth2.TokenURL, Issuer: in.Provider.OAuth2.Issuer,
			AccessToken:  tokenvault.NewSecret("gho_0123456789012345678901234567890123456789"),
			RefreshToken: tokenvault.NewSecret("ghr_0123456789012345678901234567890123456789"),
		},
		Account: tokenvault.Account{ID: "1", Label: "bench"}, Scopes: in.Scopes,
	}, nil
}

func (f *seedFlow) Refresh(ctx context.Context, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
	f.refreshes.Add(1)
	return f.refresher.Refresh(ctx, in)
}

func seed(ctx context.Context, opts seedOptions) (*seeded, error) {
	s, err := open(ctx, opts)
	if err != nil {
		return nil, err
	}
	if _, err := s.vault.SetApp(ctx, admin(), tokenvault.AppInput{ProviderID: s.provider, ClientID: "bench"}); err != nil {
		return nil, err
	}
	s.agent = agentOf("local")
	if err := s.connect(ctx, s.agent); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return s, s.makeKeys(ctx)
}

func (s *seeded) makeKeys(ctx context.Context) error {
	for range keyCount {
		_, key, err := s.vault.CreateAPIKey(ctx, admin(), tokenvault.APIKeyInput{Name: "bench", Kind: tokenvault.ActorAgent, Owner: s.agent.Owner})
		if err != nil {
			return err
		}
		s.keys = append(s.keys, key)
	}
	return nil
}

// nextKey returns the key whose turn it is.
func (s *seeded) nextKey() tokenvault.Secret { return s.keys[s.sent.Add(1)%keyCount] }

func admin() tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "bench", Owner: tokenvault.Owner{Tenant: tokenvault.DefaultTenant}}
}

// agentOf returns an agent of the user.
func agentOf(user string) tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "bench", Owner: tokenvault.Owner{Tenant: tokenvault.DefaultTenant, UserID: user}}
}

func userOf(agent tokenvault.Actor) tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorUser, ID: agent.Owner.UserID, Owner: agent.Owner}
}

// open opens the data directory, creating it if need be.
func open(ctx context.Context, opts seedOptions) (*seeded, error) {
	if err := os.MkdirAll(opts.dir, 0o700); err != nil {
		return nil, err
	}
	s := &seeded{pool: opts.pg, flow: &seedFlow{refresher: opts.flow}, provider: "github", path: filepath.Join(opts.dir, "tokenvault.db")}
	github := catalog.GitHub()
	if opts.provider == nil {
		opts.provider = &github
	}
	s.provider = opts.provider.ID
	var err error
	if s.catalog, err = tokenvault.NewCatalog(append(opts.others, *opts.provider)...); err != nil {
		return nil, err
	}
	if s.store, err = openStore(ctx, s.path, opts); err != nil {
		return nil, err
	}
	_, err = s.store.AnyDataKey(ctx)
	if s.sealer, _, err = keyring.Load(filepath.Join(opts.dir, "root-key.json"), tokenvault.Secret{}, tokenvault.Secret{}, err == nil); err != nil {
		return nil, err
	}
	s.vault, err = s.newVault(opts.audit)
	return s, err
}

func openStore(ctx context.Context, path string, opts seedOptions) (tokenvault.Store, error) {
	if opts.pg != nil {
		return postgres.New(ctx, opts.pg.Pool, nil)
	}
	return sqlite.Open(ctx, path, &sqlite.Options{Driver: opts.driver})
}

func (s *seeded) newVault(audit tokenvault.AuditMode) (*tokenvault.Vault, error) {
	return tokenvault.New(s.store, s.sealer, s.catalog, &tokenvault.Options{
		PublicURL: "http://127.0.0.1:8420", Audit: audit,
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthOAuth2: s.flow},
	})
}

// connect takes the way that the agent's user takes.
func (s *seeded) connect(ctx context.Context, agent tokenvault.Actor) error {
	return s.connectTo(ctx, agent, s.request())
}

func (s *seeded) connectTo(ctx context.Context, agent tokenvault.Actor, req tokenvault.ResolveRequest) error {
	user := userOf(agent)
	_, err := s.vault.Resolve(ctx, agent, req)
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		return cmp.Or(err, errors.New("no auth request"))
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
		AppID: s.vault.AppID("", req.ProviderID), State: tokenvault.NewSecret(u.Query().Get("state")),
		Code: tokenvault.NewSecret("code"), Browser: redirect.CookieValue,
	})
	return err
}

func (s *seeded) request() tokenvault.ResolveRequest {
	return tokenvault.ResolveRequest{ProviderID: s.provider, Scopes: []string{"repo"}, Release: tokenvault.ReleaseToken}
}

func (s *seeded) resolve(ctx context.Context, v *tokenvault.Vault) error {
	_, err := v.Resolve(ctx, s.agent, s.request())
	return err
}

func (s *seeded) close(ctx context.Context) error {
	err := errors.Join(s.vault.Close(ctx), s.store.Close())
	if s.pool != nil {
		s.pool.Close()
	}
	return err
}
