package postgres

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

const dataKeyColumns = `tenant, space, version, wrapped, created_at`

func scanDataKey(from row) (tokenvault.DataKey, error) {
	var k tokenvault.DataKey
	var version int64
	if err := from.Scan(&k.Tenant, &k.Space, &version, (*[]byte)(&k.Wrapped), &k.CreatedAt); err != nil {
		return tokenvault.DataKey{}, err
	}
	k.Version = uint32(version) //nolint:gosec // written from a uint32
	k.CreatedAt = k.CreatedAt.UTC()
	return k, nil
}

const (
	// sqlGetDataKey takes version 0 for the newest.
	sqlGetDataKey = `SELECT ` + dataKeyColumns + ` FROM tv.data_keys
		WHERE tenant = $1 AND space = $2 AND ($3::bigint = 0 OR version = $3) ORDER BY version DESC LIMIT 1`
	sqlInsertDataKey = `INSERT INTO tv.data_keys (` + dataKeyColumns + `) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT DO NOTHING RETURNING ` + dataKeyColumns
	sqlAnyTenant  = `SELECT tv.any_tenant_with_data_key()`
	sqlAnyDataKey = `SELECT ` + dataKeyColumns + ` FROM tv.data_keys WHERE tenant = $1 LIMIT 1`
)

// GetDataKey implements [tokenvault.DataKeyStore].
func (s *Store) GetDataKey(ctx context.Context, tenant, space string, version uint32) (tokenvault.DataKey, error) {
	return get(ctx, s, "get data key", tenant, scanDataKey, sqlGetDataKey, tenant, space, int64(version))
}

// CreateDataKey implements [tokenvault.DataKeyStore].
func (s *Store) CreateDataKey(ctx context.Context, key tokenvault.DataKey, event tokenvault.Event) (tokenvault.DataKey, error) {
	var stored tokenvault.DataKey
	err := s.write(ctx, "create data key", key.Tenant, func(t *tx) error {
		created, err := rows(ctx, t, scanDataKey, sqlInsertDataKey, key.Tenant, key.Space, int64(key.Version), []byte(key.Wrapped), t.now)
		if err != nil {
			return err
		}
		if len(created) == 0 {
			stored, err = scanDataKey(t.row(ctx, sqlGetDataKey, key.Tenant, key.Space, int64(key.Version)))
			return err
		}
		stored = created[0]
		t.appendEvents(event)
		return nil
	})
	if err != nil {
		return tokenvault.DataKey{}, err
	}
	return stored, nil
}

// AnyDataKey implements [tokenvault.DataKeyStore].
func (s *Store) AnyDataKey(ctx context.Context) (tokenvault.DataKey, error) {
	tenants, err := s.tenants(ctx, "any data key", sqlAnyTenant)
	if err != nil {
		return tokenvault.DataKey{}, err
	}
	if len(tenants) == 0 {
		return tokenvault.DataKey{}, s.wrap("any data key", tokenvault.ErrNotFound)
	}
	return get(ctx, s, "any data key", tenants[0], scanDataKey, sqlAnyDataKey, tenants[0])
}
