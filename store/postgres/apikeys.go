package postgres

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// apiKeyColumns is for scanAPIKey.
const apiKeyColumns = `tenant, id, organization_id, user_id, name, kind, agent_id, scopes, mac, key_version,
	created_at, expires_at, revoked_at, last_used_at`

func scanAPIKey(from row) (tokenvault.APIKey, error) {
	var k tokenvault.APIKey
	var version int64
	var expires, revoked, used *time.Time
	err := from.Scan(&k.Owner.Tenant, &k.ID, &k.Owner.OrganizationID, &k.Owner.UserID, &k.Name, (*string)(&k.Kind), &k.AgentID,
		(*string)(&k.Scopes), &k.MAC, &version, &k.CreatedAt, &expires, &revoked, &used)
	if err != nil {
		return tokenvault.APIKey{}, err
	}
	k.MACVersion = uint32(version) //nolint:gosec // written from a uint32
	k.CreatedAt, k.ExpiresAt, k.RevokedAt, k.LastUsedAt = k.CreatedAt.UTC(), timeOf(expires), timeOf(revoked), timeOf(used)
	return k, nil
}

const (
	sqlInsertAPIKey = `INSERT INTO tv.api_keys (` + apiKeyColumns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, NULL, NULL)
		RETURNING ` + apiKeyColumns
	sqlTenantOfAPIKey = `SELECT tv.tenant_of_api_key($1)`
	sqlGetAPIKey      = `SELECT ` + apiKeyColumns + ` FROM tv.api_keys WHERE tenant = $1 AND id = $2`
	sqlLockAPIKey     = sqlGetAPIKey + ` FOR NO KEY UPDATE`
	sqlListAPIKeys    = `SELECT ` + apiKeyColumns + ` FROM tv.api_keys
		WHERE tenant = $1 AND id > $2 AND ($3 = '' OR organization_id = $3) ORDER BY id LIMIT $4`
	sqlEndAPIKey    = `UPDATE tv.api_keys SET revoked_at = $3 WHERE tenant = $1 AND id = $2`
	sqlTouchAPIKeys = `UPDATE tv.api_keys SET last_used_at = $3 WHERE tenant = $1 AND id = ANY ($2)`
)

func (t *tx) insertAPIKey(ctx context.Context, key tokenvault.APIKey) (tokenvault.APIKey, error) {
	return scanAPIKey(t.row(ctx, sqlInsertAPIKey,
		key.Owner.Tenant, key.ID, key.Owner.OrganizationID, key.Owner.UserID, key.Name, string(key.Kind), key.AgentID,
		string(key.Scopes), key.MAC, int64(key.MACVersion), t.now, columnOf(key.ExpiresAt)))
}

// CreateAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) CreateAPIKey(ctx context.Context, key tokenvault.APIKey, event tokenvault.Event) (tokenvault.APIKey, error) {
	var stored tokenvault.APIKey
	err := s.write(ctx, "create api key", key.Owner.Tenant, func(t *tx) (err error) {
		if stored, err = t.insertAPIKey(ctx, key); err != nil {
			return err
		}
		t.appendEvents(event)
		return nil
	})
	if err != nil {
		return tokenvault.APIKey{}, err
	}
	return stored, nil
}

// GetAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) GetAPIKey(ctx context.Context, id string) (tokenvault.FoundAPIKey, error) {
	tenants, err := s.tenants(ctx, "get api key", sqlTenantOfAPIKey, id)
	if err != nil {
		return tokenvault.FoundAPIKey{}, err
	}
	if len(tenants) == 0 {
		return tokenvault.FoundAPIKey{}, s.wrap("get api key", tokenvault.ErrNotFound)
	}
	var found tokenvault.FoundAPIKey
	err = s.read(ctx, "get api key", tenants[0], func(t *tx) error {
		var err error
		found.Now = t.now
		found.APIKey, err = scanAPIKey(t.row(ctx, sqlGetAPIKey, tenants[0], id))
		return err
	})
	if err != nil {
		return tokenvault.FoundAPIKey{}, err
	}
	return found, nil
}

// ListAPIKeys implements [tokenvault.APIKeyStore].
func (s *Store) ListAPIKeys(ctx context.Context, tenant, organizationID string, page tokenvault.Page) ([]tokenvault.APIKey, error) {
	return list(ctx, s, "list api keys", tenant, scanAPIKey, sqlListAPIKeys, tenant, page.After, organizationID, limited(page))
}

// RotateAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) RotateAPIKey(ctx context.Context, cmd tokenvault.APIKeyRotation) (tokenvault.APIKey, error) {
	var next tokenvault.APIKey
	tenant := cmd.Next.Owner.Tenant
	err := s.write(ctx, "rotate api key", tenant, func(t *tx) error {
		old, err := scanAPIKey(t.row(ctx, sqlLockAPIKey, tenant, cmd.ID))
		if err != nil {
			return err
		}
		if !old.RevokedAt.IsZero() || old.State(t.now) != tokenvault.KeyActive {
			return tokenvault.ErrConflict
		}
		if next, err = t.insertAPIKey(ctx, cmd.Next); err != nil {
			return err
		}
		if _, err := t.exec(ctx, sqlEndAPIKey, tenant, cmd.ID, t.after(cmd.Overlap)); err != nil {
			return err
		}
		t.appendEvents(cmd.Events...)
		return nil
	})
	if err != nil {
		return tokenvault.APIKey{}, err
	}
	return next, nil
}

// RevokeAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) RevokeAPIKey(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	return s.write(ctx, "revoke api key", tenant, func(t *tx) error {
		key, err := scanAPIKey(t.row(ctx, sqlLockAPIKey, tenant, id))
		if err != nil || !key.RevokedAt.IsZero() && !key.RevokedAt.After(t.now) {
			return err
		}
		if _, err := t.exec(ctx, sqlEndAPIKey, tenant, id, t.now); err != nil {
			return err
		}
		t.appendEvents(event)
		return nil
	})
}

// TouchAPIKeys implements [tokenvault.APIKeyStore].
func (s *Store) TouchAPIKeys(ctx context.Context, tenant string, ids []string) error {
	return s.write(ctx, "touch api keys", tenant, func(t *tx) error {
		_, err := t.exec(ctx, sqlTouchAPIKeys, tenant, ids, t.now)
		return err
	})
}
