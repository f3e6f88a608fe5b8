package postgres

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

const providerColumns = `tenant, id, organization_id, version, created_at, updated_at, key_space, key_version, sealed`

func scanProvider(from row) (tokenvault.SealedProvider, error) {
	var p tokenvault.SealedProvider
	var keyVersion int64
	err := from.Scan(&p.Tenant, &p.ID, &p.OrganizationID, &p.Version, &p.CreatedAt, &p.UpdatedAt,
		&p.Record.KeySpace, &keyVersion, (*[]byte)(&p.Record.Blob))
	p.CreatedAt, p.UpdatedAt = p.CreatedAt.UTC(), p.UpdatedAt.UTC()
	p.Record.KeyVersion = uint32(keyVersion) //nolint:gosec // written from a uint32
	return p, err
}

const (
	// sqlLockProvider lets one transaction decide at a time in which way an id is in
	// use: there may be no row to lock.
	sqlLockProvider = `SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(1) || $2 || chr(1) || $3, 0))`
	// sqlOtherScope tells whether the id is in use in the other way: by the tenant
	// if an organization wants it, by some organization if the tenant does.
	sqlOtherScope = `SELECT EXISTS (SELECT FROM tv.providers
		WHERE tenant = $1 AND id = $2 AND (organization_id = '') <> ($3 = ''))`
	// sqlProviderUsed tells whether an app or a connection depends on the provider.
	sqlProviderUsed = `SELECT EXISTS (SELECT FROM tv.apps
			WHERE tenant = $1 AND provider_id = $2 AND ($3 = '' OR organization_id IN ('', $3)))
		OR EXISTS (SELECT FROM tv.connections
			WHERE tenant = $1 AND provider_id = $2 AND status <> 'revoked' AND ($3 = '' OR organization_id = $3))`
	sqlInsertProvider = `INSERT INTO tv.providers (` + providerColumns + `)
		VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8) RETURNING ` + providerColumns
	sqlReplaceProvider = `UPDATE tv.providers SET version = $4, updated_at = $5, key_space = $6, key_version = $7, sealed = $8
		WHERE tenant = $1 AND id = $2 AND organization_id = $3 AND version = $4 - 1 RETURNING ` + providerColumns
)

// PutProvider implements [tokenvault.ProviderStore].
func (s *Store) PutProvider(ctx context.Context, cmd tokenvault.ProviderPut) (tokenvault.SealedProvider, error) {
	p := cmd.Provider
	var stored tokenvault.SealedProvider
	err := s.write(ctx, "put provider", p.Tenant, func(t *tx) error {
		if _, err := t.exec(ctx, sqlLockProvider, s.prefix, p.Tenant, p.ID); err != nil {
			return err
		}
		taken, err := t.is(ctx, sqlOtherScope, p.Tenant, p.ID, p.OrganizationID)
		if err != nil {
			return err
		}
		if taken {
			return tokenvault.ErrConflict
		}
		if cmd.Unused {
			if err := t.unused(ctx, p.Tenant, p.OrganizationID, p.ID); err != nil {
				return err
			}
		}
		query := sqlReplaceProvider
		if p.Version == 1 {
			query = sqlInsertProvider
		}
		args := append([]any{p.Tenant, p.ID, p.OrganizationID, p.Version, t.now}, recordArgs(p.Record)...)
		if stored, err = scanProvider(t.row(ctx, query, args...)); err != nil {
			return conflictIfNone(err)
		}
		if err := t.checkKey(ctx, p.Tenant, p.Record); err != nil {
			return err
		}
		t.appendEvents(cmd.Event)
		return nil
	})
	if err != nil {
		return tokenvault.SealedProvider{}, err
	}
	return stored, nil
}

// unused returns [tokenvault.ErrInUse] if something depends on the provider.
func (t *tx) unused(ctx context.Context, tenant, organizationID, id string) error {
	used, err := t.is(ctx, sqlProviderUsed, tenant, id, organizationID)
	if err == nil && used {
		err = tokenvault.ErrInUse
	}
	return err
}

// is answers a question.
func (t *tx) is(ctx context.Context, query string, args ...any) (yes bool, err error) {
	err = t.row(ctx, query, args...).Scan(&yes)
	return yes, err
}

const (
	// sqlFindProvider finds one row at most: an id is not in use in both ways.
	sqlFindProvider = `SELECT ` + providerColumns + ` FROM tv.providers
		WHERE tenant = $1 AND organization_id IN ($2, '') AND id = $3 LIMIT 1`
	sqlListProviders = `SELECT ` + providerColumns + ` FROM tv.providers
		WHERE tenant = $1 AND organization_id IN ($2, '') ORDER BY id`
	sqlDeleteProvider = `DELETE FROM tv.providers WHERE tenant = $1 AND id = $2 AND organization_id = $3`
)

// FindProvider implements [tokenvault.ProviderStore].
func (s *Store) FindProvider(ctx context.Context, tenant, organizationID, id string) (tokenvault.SealedProvider, error) {
	return get(ctx, s, "find provider", tenant, scanProvider, sqlFindProvider, tenant, organizationID, id)
}

// ListProviders implements [tokenvault.ProviderStore].
func (s *Store) ListProviders(ctx context.Context, tenant, organizationID string) ([]tokenvault.SealedProvider, error) {
	return list(ctx, s, "list providers", tenant, scanProvider, sqlListProviders, tenant, organizationID)
}

// DeleteProvider implements [tokenvault.ProviderStore].
func (s *Store) DeleteProvider(ctx context.Context, cmd tokenvault.ProviderDeletion) error {
	return s.write(ctx, "delete provider", cmd.Tenant, func(t *tx) error {
		deleted, err := t.exec(ctx, sqlDeleteProvider, cmd.Tenant, cmd.ID, cmd.OrganizationID)
		if err != nil {
			return err
		}
		if deleted == 0 {
			return tokenvault.ErrNotFound
		}
		if err := t.unused(ctx, cmd.Tenant, cmd.OrganizationID, cmd.ID); err != nil {
			return err
		}
		t.appendEvents(cmd.Event)
		return nil
	})
}
