package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ai-token-vault/tokenvault"
)

const (
	hotUsers = 1000
	fewRows  = 10_000
	manyRows = 1_000_000
	hungRows = 200
)

func hotUser(i int) string { return fmt.Sprintf("hot-%d", i) }

// slowProviders are two beside github: one will hang, and one will not.
func slowProviders() []tokenvault.Provider {
	provider := func(id string) tokenvault.Provider {
		return tokenvault.Provider{
			ID: id, Name: id, Service: id, AuthMethod: tokenvault.AuthOAuth2, Hosts: []string{id + ".example"},
			OAuth2: &tokenvault.OAuth2{AuthorizationURL: "https://" + id + ".example/authorize", TokenURL: "https://" + id + ".example/token"},
		}
	}
	return []tokenvault.Provider{provider("hung")}
}

// seedHot connects the hot users at github, and some of them at the provider that
// will hang, as many at a time as a server would.
func (p *pgBench) seedHot(ctx context.Context, dsn string) error {
	s, err := p.open(ctx, dsn)
	if err != nil {
		return err
	}
	for _, id := range []string{s.provider, "hung"} {
		if _, err := s.vault.SetApp(ctx, admin(), tokenvault.AppInput{ProviderID: id, ClientID: "bench"}); err != nil {
			return err
		}
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(callers)
	for i := range hotUsers {
		group.Go(func() error {
			agent := agentOf(hotUser(i))
			if err := s.connect(within, agent); err != nil || i >= hungRows {
				return err
			}
			return s.connectTo(within, agent, tokenvault.ResolveRequest{ProviderID: "hung"})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.close(ctx); err != nil {
		return err
	}
	return p.exec(ctx, s.pool.Config().ConnConfig.Database, `
		UPDATE tokenvault.connections SET expires_at = '2001-01-01' WHERE provider_id = 'hung';
		UPDATE tokenvault.connections SET look_at = now() + interval '1 day';`)
}

// copies returns the statement that adds so many connections with all that comes
// with one: its permission, and the auth request that it was made for. Their names
// are spread over the indexes, as those of the vault are.
func copies(n int) string {
	return fmt.Sprintf(`
		CREATE TEMPORARY TABLE template AS SELECT * FROM tokenvault.connections WHERE user_id LIKE 'hot-%%' AND provider_id = 'github' LIMIT 1;
		CREATE TEMPORARY TABLE made AS SELECT substr(md5('c' || i || %[2]d), 1, 26) AS id, md5('u' || i || %[2]d) AS user_id
			FROM generate_series(1, %[1]d) AS i;
		INSERT INTO tokenvault.connections (tenant, id, organization_id, user_id, provider_id, auth_method, app_id, account_id, account_label,
				status, reason, scopes, version, expires_at, obtained_at, created_at, updated_at, shared_by, key_space, key_version, sealed, look_at)
			SELECT tenant, 'cn_' || made.id, organization_id, made.user_id, provider_id, auth_method, app_id, account_id, account_label,
				status, reason, scopes, version, expires_at, obtained_at, created_at, updated_at, shared_by, key_space, key_version, sealed,
				now() + interval '1 day' + random() * interval '1 day'
			FROM template, made;
		INSERT INTO tokenvault.permissions (tenant, id, organization_id, user_id, agent_id, connection_id, scopes, release, granted_at)
			SELECT tenant, 'pm_' || made.id, organization_id, made.user_id, 'bench', 'cn_' || made.id, scopes, 'token', created_at FROM template, made;
		INSERT INTO tokenvault.auth_requests (tenant, id, organization_id, user_id, request_key, agent_id, provider_id, provider_name, auth_method,
				connection_id, reason, scopes, release, status, connect_url, created_at, expires_at, settled_at)
			SELECT tenant, 'ar_' || made.id, organization_id, made.user_id, md5(made.id), 'bench', provider_id, 'GitHub', auth_method,
				'cn_' || made.id, 'missing', scopes, 'token', 'connected', 'http://127.0.0.1:8420/connect/ar_' || made.id, created_at,
				created_at + interval '1 day', created_at
			FROM template, made;`, n, time.Now().UnixNano())
}
