package sqlite

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

// apiKeyColumns is for scanAPIKey.
const apiKeyColumns = `tenant, id, organization_id, user_id, name, kind, agent_id, scopes, mac, key_version,
	created_at, expires_at, revoked_at, last_used_at`

func scanAPIKey(from row) (tokenvault.APIKey, error) {
	var k tokenvault.APIKey
	var version, created, expires, revoked, used int64
	err := from.Scan(&k.Owner.Tenant, &k.ID, &k.Owner.OrganizationID, &k.Owner.UserID, &k.Name, (*string)(&k.Kind), &k.AgentID,
		(*string)(&k.Scopes), &k.MAC, &version, &created, &expires, &revoked, &used)
	if err != nil {
		return tokenvault.APIKey{}, err
	}
	k.MACVersion = uint32(version) //nolint:gosec // written from a uint32
	k.CreatedAt, k.ExpiresAt, k.RevokedAt, k.LastUsedAt = timeOf(created), timeOf(expires), timeOf(revoked), timeOf(used)
	return k, nil
}

const sqlInsertAPIKey = `INSERT INTO api_keys (` + apiKeyColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)
	RETURNING ` + apiKeyColumns

func (t *tx) insertAPIKey(ctx context.Context, key tokenvault.APIKey) (tokenvault.APIKey, error) {
	return scanAPIKey(t.QueryRowContext(ctx, sqlInsertAPIKey,
		key.Owner.Tenant, key.ID, key.Owner.OrganizationID, key.Owner.UserID, key.Name, string(key.Kind), key.AgentID,
		string(key.Scopes), key.MAC, int64(key.MACVersion), t.now, microsOf(key.ExpiresAt)))
}

// CreateAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) CreateAPIKey(ctx context.Context, key tokenvault.APIKey, event tokenvault.Event) (tokenvault.APIKey, error) {
	var stored tokenvault.APIKey
	err := s.write(ctx, "create api key", func(t *tx) (err error) {
		if stored, err = t.insertAPIKey(ctx, key); err != nil {
			return err
		}
		return t.appendEvents(ctx, event)
	})
	if err != nil {
		return tokenvault.APIKey{}, err
	}
	return stored, nil
}

const sqlGetAPIKey = `SELECT ` + sqlNow + `, ` + apiKeyColumns + ` FROM api_keys WHERE id = ?2`

// clocked is a row before whose columns the clock stands.
type clocked struct {
	row
	now *int64
}

// Scan reads the clock, and the columns into dest.
func (c clocked) Scan(dest ...any) error { return c.row.Scan(append([]any{c.now}, dest...)...) }

// GetAPIKey implements [tokenvault.APIKeyStore]. Many a call of an agent begins
// with it, so its statement is kept.
func (s *Store) GetAPIKey(ctx context.Context, id string) (tokenvault.FoundAPIKey, error) {
	var now int64
	key, err := scanAPIKey(clocked{s.reader.QueryRowContext(ctx, sqlGetAPIKey, s.boundNow(), id), &now})
	return tokenvault.FoundAPIKey{APIKey: key, Now: timeOf(now)}, s.wrap("get api key", err)
}

const sqlListAPIKeys = `SELECT ` + apiKeyColumns + ` FROM api_keys
	WHERE tenant = ?1 AND id > ?2 AND (?3 = '' OR organization_id = ?3) ORDER BY id LIMIT ?4`

// ListAPIKeys implements [tokenvault.APIKeyStore].
func (s *Store) ListAPIKeys(ctx context.Context, tenant, organizationID string, page tokenvault.Page) ([]tokenvault.APIKey, error) {
	return list(ctx, s, "list api keys", scanAPIKey, sqlListAPIKeys, tenant, page.After, organizationID, limited(page))
}

const (
	sqlFindAPIKey  = `SELECT ` + apiKeyColumns + ` FROM api_keys WHERE tenant = ? AND id = ?`
	sqlEndAPIKey   = `UPDATE api_keys SET revoked_at = ?1 WHERE tenant = ?2 AND id = ?3`
	sqlTouchAPIKey = `UPDATE api_keys SET last_used_at = ?1 WHERE tenant = ?2 AND id = ?3`
)

// RotateAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) RotateAPIKey(ctx context.Context, cmd tokenvault.APIKeyRotation) (tokenvault.APIKey, error) {
	var next tokenvault.APIKey
	err := s.write(ctx, "rotate api key", func(t *tx) error {
		tenant := cmd.Next.Owner.Tenant
		old, err := scanAPIKey(t.QueryRowContext(ctx, sqlFindAPIKey, tenant, cmd.ID))
		if err != nil {
			return err
		}
		if !old.RevokedAt.IsZero() || old.State(timeOf(t.now)) != tokenvault.KeyActive {
			return tokenvault.ErrConflict
		}
		if next, err = t.insertAPIKey(ctx, cmd.Next); err != nil {
			return err
		}
		if _, err := t.exec(ctx, sqlEndAPIKey, t.after(cmd.Overlap), tenant, cmd.ID); err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Events...)
	})
	if err != nil {
		return tokenvault.APIKey{}, err
	}
	return next, nil
}

// RevokeAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) RevokeAPIKey(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	return s.write(ctx, "revoke api key", func(t *tx) error {
		key, err := scanAPIKey(t.QueryRowContext(ctx, sqlFindAPIKey, tenant, id))
		if err != nil || !key.RevokedAt.IsZero() && microsOf(key.RevokedAt) <= t.now {
			return err
		}
		if _, err := t.exec(ctx, sqlEndAPIKey, t.now, tenant, id); err != nil {
			return err
		}
		return t.appendEvents(ctx, event)
	})
}

// TouchAPIKeys implements [tokenvault.APIKeyStore].
func (s *Store) TouchAPIKeys(ctx context.Context, tenant string, ids []string) error {
	return s.write(ctx, "touch api keys", func(t *tx) error {
		for _, id := range ids {
			if _, err := t.exec(ctx, sqlTouchAPIKey, t.now, tenant, id); err != nil {
				return err
			}
		}
		return nil
	})
}
