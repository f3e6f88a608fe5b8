package postgres

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

const (
	appFields = `tenant, id, organization_id, provider_id, client_id, has_secret, scopes, legacy_callback, version,
		created_at, updated_at`
	// appColumns is for scanApp; appColumnsBare reads no sealed data.
	appColumns     = appFields + `, key_space, key_version, sealed`
	appColumnsBare = appFields + `, '', 0::bigint, NULL::bytea`
)

func scanApp(from row) (tokenvault.SealedApp, error) {
	var a tokenvault.SealedApp
	var keyVersion int64
	err := from.Scan(&a.Tenant, &a.ID, &a.OrganizationID, &a.ProviderID, &a.ClientID, &a.HasSecret, &a.Scopes, &a.LegacyCallback,
		&a.Version, &a.CreatedAt, &a.UpdatedAt, &a.Record.KeySpace, &keyVersion, (*[]byte)(&a.Record.Blob))
	if err != nil {
		return tokenvault.SealedApp{}, err
	}
	a.CreatedAt, a.UpdatedAt = a.CreatedAt.UTC(), a.UpdatedAt.UTC()
	a.Record.KeyVersion = uint32(keyVersion) //nolint:gosec // written from a uint32
	return a, nil
}

func scanBareApp(from row) (tokenvault.App, error) {
	a, err := scanApp(from)
	return a.App, err
}

const (
	sqlInsertApp = `INSERT INTO tv.apps (` + appColumns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12, $13)
		RETURNING ` + appColumnsBare
	sqlReplaceApp = `UPDATE tv.apps SET client_id = $5, has_secret = $6, scopes = $7, legacy_callback = $8, version = $9,
			updated_at = $10, key_space = $11, key_version = $12, sealed = $13
		WHERE tenant = $1 AND id = $2 AND organization_id = $3 AND provider_id = $4 AND version = $9 - 1
		RETURNING ` + appColumnsBare
)

// PutApp implements [tokenvault.AppStore].
func (s *Store) PutApp(ctx context.Context, app tokenvault.SealedApp, event tokenvault.Event) (tokenvault.App, error) {
	var stored tokenvault.App
	err := s.write(ctx, "put app", app.Tenant, func(t *tx) error {
		query := sqlReplaceApp
		if app.Version == 1 {
			query = sqlInsertApp
		}
		args := append([]any{
			app.Tenant, app.ID, app.OrganizationID, app.ProviderID, app.ClientID, app.HasSecret, scopesColumn(app.Scopes),
			app.LegacyCallback, app.Version, t.now,
		}, recordArgs(app.Record)...)
		var err error
		stored, err = scanBareApp(t.row(ctx, query, args...))
		if err != nil {
			return conflictIfNone(err)
		}
		if err := t.checkKey(ctx, app.Tenant, app.Record); err != nil {
			return err
		}
		t.appendEvents(event)
		return nil
	})
	if err != nil {
		return tokenvault.App{}, err
	}
	return stored, nil
}

const (
	sqlGetApp = `SELECT ` + appColumns + ` FROM tv.apps WHERE tenant = $1 AND id = $2`
	// sqlFindApp finds the tenant's default last: its organization is empty.
	sqlFindApp = `SELECT ` + appColumns + ` FROM tv.apps
		WHERE tenant = $1 AND organization_id IN ($2, '') AND provider_id = $3 ORDER BY organization_id DESC LIMIT 1`
	sqlListApps  = `SELECT ` + appColumnsBare + ` FROM tv.apps WHERE tenant = $1 AND organization_id = $2 ORDER BY id`
	sqlDeleteApp = `DELETE FROM tv.apps WHERE tenant = $1 AND id = $2`
)

// GetApp implements [tokenvault.AppStore].
func (s *Store) GetApp(ctx context.Context, tenant, id string) (tokenvault.SealedApp, error) {
	return get(ctx, s, "get app", tenant, scanApp, sqlGetApp, tenant, id)
}

// FindApp implements [tokenvault.AppStore].
func (s *Store) FindApp(ctx context.Context, tenant, organizationID, providerID string) (tokenvault.SealedApp, error) {
	return get(ctx, s, "find app", tenant, scanApp, sqlFindApp, tenant, organizationID, providerID)
}

// ListApps implements [tokenvault.AppStore].
func (s *Store) ListApps(ctx context.Context, tenant, organizationID string) ([]tokenvault.App, error) {
	return list(ctx, s, "list apps", tenant, scanBareApp, sqlListApps, tenant, organizationID)
}

// DeleteApp implements [tokenvault.AppStore].
func (s *Store) DeleteApp(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	return s.write(ctx, "delete app", tenant, func(t *tx) error {
		deleted, err := t.exec(ctx, sqlDeleteApp, tenant, id)
		if err != nil {
			return err
		}
		if deleted == 0 {
			return tokenvault.ErrNotFound
		}
		t.appendEvents(event)
		return nil
	})
}
