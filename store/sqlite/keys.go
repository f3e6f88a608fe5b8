package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ai-token-vault/tokenvault"
)

// dataKeyColumns is for scanDataKey.
const dataKeyColumns = `tenant, space, version, wrapped, created_at`

func scanDataKey(from row) (tokenvault.DataKey, error) {
	var k tokenvault.DataKey
	var version, created int64
	if err := from.Scan(&k.Tenant, &k.Space, &version, (*[]byte)(&k.Wrapped), &created); err != nil {
		return tokenvault.DataKey{}, err
	}
	k.Version, k.CreatedAt = uint32(version), timeOf(created) //nolint:gosec // written from a uint32
	return k, nil
}

const sqlGetDataKey = `SELECT ` + dataKeyColumns + ` FROM data_keys
	WHERE tenant = ?1 AND space = ?2 AND (?3 = 0 OR version = ?3) ORDER BY version DESC LIMIT 1`

// GetDataKey implements [tokenvault.DataKeyStore].
func (s *Store) GetDataKey(ctx context.Context, tenant, space string, version uint32) (tokenvault.DataKey, error) {
	return get(ctx, s, "get data key", scanDataKey, sqlGetDataKey, tenant, space, int64(version))
}

const sqlInsertDataKey = `INSERT INTO data_keys (` + dataKeyColumns + `) VALUES (?, ?, ?, ?, ?)
	ON CONFLICT (tenant, space, version) DO NOTHING RETURNING ` + dataKeyColumns

// CreateDataKey implements [tokenvault.DataKeyStore]. The event is written only
// if the key was stored.
func (s *Store) CreateDataKey(ctx context.Context, key tokenvault.DataKey, event tokenvault.Event) (tokenvault.DataKey, error) {
	var stored tokenvault.DataKey
	err := s.write(ctx, "create data key", func(t *tx) error {
		var err error
		stored, err = scanDataKey(t.QueryRowContext(ctx, sqlInsertDataKey,
			key.Tenant, key.Space, int64(key.Version), []byte(key.Wrapped), t.now))
		if err == nil {
			return t.appendEvents(ctx, event)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		stored, err = scanDataKey(t.QueryRowContext(ctx, sqlGetDataKey, key.Tenant, key.Space, int64(key.Version)))
		return err
	})
	if err != nil {
		return tokenvault.DataKey{}, err
	}
	return stored, nil
}

// AnyDataKey implements [tokenvault.DataKeyStore].
func (s *Store) AnyDataKey(ctx context.Context) (tokenvault.DataKey, error) {
	return get(ctx, s, "any data key", scanDataKey, `SELECT `+dataKeyColumns+` FROM data_keys LIMIT 1`)
}

// apiKeyColumns is for scanAPIKey.
const apiKeyColumns = `tenant, id, organization_id, user_id, name, kind, agent_id, mac, created_at, expires_at, revoked_at`

func scanAPIKey(from row) (tokenvault.APIKey, error) {
	var k tokenvault.APIKey
	var created, expires, revoked int64
	err := from.Scan(&k.Owner.Tenant, &k.ID, &k.Owner.OrganizationID, &k.Owner.UserID, &k.Name, (*string)(&k.Kind), &k.AgentID,
		&k.MAC, &created, &expires, &revoked)
	if err != nil {
		return tokenvault.APIKey{}, err
	}
	k.CreatedAt, k.ExpiresAt, k.RevokedAt = timeOf(created), timeOf(expires), timeOf(revoked)
	return k, nil
}

const sqlInsertAPIKey = `INSERT INTO api_keys (` + apiKeyColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
	RETURNING ` + apiKeyColumns

// CreateAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) CreateAPIKey(ctx context.Context, key tokenvault.APIKey, event tokenvault.Event) (tokenvault.APIKey, error) {
	var stored tokenvault.APIKey
	err := s.write(ctx, "create api key", func(t *tx) error {
		var err error
		stored, err = scanAPIKey(t.QueryRowContext(ctx, sqlInsertAPIKey,
			key.Owner.Tenant, key.ID, key.Owner.OrganizationID, key.Owner.UserID, key.Name, string(key.Kind), key.AgentID,
			key.MAC, t.now, microsOf(key.ExpiresAt)))
		if err != nil {
			return err
		}
		return t.appendEvents(ctx, event)
	})
	if err != nil {
		return tokenvault.APIKey{}, err
	}
	return stored, nil
}

const sqlGetAPIKey = `SELECT ` + apiKeyColumns + ` FROM api_keys WHERE id = ?`

// GetAPIKey implements [tokenvault.APIKeyStore]. Every call of an agent begins
// with it, so its statement is kept.
func (s *Store) GetAPIKey(ctx context.Context, id string) (tokenvault.APIKey, error) {
	key, err := scanAPIKey(s.getAPIKey.QueryRowContext(ctx, id))
	return key, s.wrap("get api key", err)
}

const sqlListAPIKeys = `SELECT ` + apiKeyColumns + ` FROM api_keys WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?`

// ListAPIKeys implements [tokenvault.APIKeyStore].
func (s *Store) ListAPIKeys(ctx context.Context, tenant string, page tokenvault.Page) ([]tokenvault.APIKey, error) {
	return list(ctx, s, "list api keys", scanAPIKey, sqlListAPIKeys, tenant, page.After, limited(page))
}

const (
	sqlFindAPIKey   = `SELECT ` + apiKeyColumns + ` FROM api_keys WHERE tenant = ? AND id = ?`
	sqlRevokeAPIKey = `UPDATE api_keys SET revoked_at = ? WHERE tenant = ? AND id = ? AND revoked_at = 0`
)

// RevokeAPIKey implements [tokenvault.APIKeyStore]. Revoking a revoked key
// changes nothing and is no error.
func (s *Store) RevokeAPIKey(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	return s.write(ctx, "revoke api key", func(t *tx) error {
		key, err := scanAPIKey(t.QueryRowContext(ctx, sqlFindAPIKey, tenant, id))
		if err != nil || !key.RevokedAt.IsZero() {
			return err
		}
		if _, err := t.exec(ctx, sqlRevokeAPIKey, t.now, tenant, id); err != nil {
			return err
		}
		return t.appendEvents(ctx, event)
	})
}
