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
	return get(ctx, s, "any data key", scanDataKey, `SELECT `+dataKeyColumns+` FROM data_keys WHERE length(wrapped) > 0 LIMIT 1`)
}
