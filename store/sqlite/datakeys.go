package sqlite

import (
	"context"
	"fmt"

	"github.com/ai-token-vault/tokenvault"
)

const sqlListDataKeys = `SELECT ` + dataKeyColumns + ` FROM data_keys
	WHERE (?1 = '' OR tenant = ?1) AND (tenant, space, version) > (?2, ?3, ?4) AND length(wrapped) > 0
	ORDER BY tenant, space, version LIMIT ?5`

// ListDataKeys implements [tokenvault.DataKeyStore].
func (s *Store) ListDataKeys(ctx context.Context, tenant string, after tokenvault.DataKey, limit int) ([]tokenvault.DataKey, error) {
	return list(ctx, s, "list data keys", scanDataKey, sqlListDataKeys,
		tenant, after.Tenant, after.Space, int64(after.Version), limited(tokenvault.Page{Limit: limit}))
}

const sqlRewrapDataKey = `UPDATE data_keys SET wrapped = ? WHERE tenant = ? AND space = ? AND version = ? AND wrapped = ? AND length(wrapped) > 0`

// RewrapDataKey implements [tokenvault.DataKeyStore].
func (s *Store) RewrapDataKey(ctx context.Context, key tokenvault.DataKey, wrapped tokenvault.Sealed, event tokenvault.Event) error {
	return s.write(ctx, "rewrap data key", func(t *tx) error {
		changed, err := t.exec(ctx, sqlRewrapDataKey, []byte(wrapped), key.Tenant, key.Space, int64(key.Version), []byte(key.Wrapped))
		if err == nil && changed == 0 {
			return tokenvault.ErrConflict
		}
		if err != nil {
			return err
		}
		return t.appendEvents(ctx, event)
	})
}

// sealed is where a table's sealed records are. version is the expression of the
// version that a record was sealed for.
type sealed struct{ table, id, version, owner string }

const ownerColumns = `organization_id, user_id`

// sealedIn has a row for every table with a column named sealed.
func sealedIn(table tokenvault.SealedTable) (sealed, error) {
	switch table {
	case tokenvault.SealedConnections:
		return sealed{"connections", "id", "version", ownerColumns}, nil
	case tokenvault.SealedApps:
		return sealed{"apps", "id", "version", "organization_id, ''"}, nil
	case tokenvault.SealedAttempts:
		return sealed{"attempts", "id", "1", ownerColumns}, nil
	case tokenvault.SealedWebhooks:
		return sealed{"webhooks", "id", "version", "organization_id, ''"}, nil
	case tokenvault.SealedJobs:
		return sealed{"jobs", "id", "1", ownerColumns}, nil
	case tokenvault.SealedProviders:
		return sealed{"providers", "organization_id || '/' || id", "version", "organization_id, ''"}, nil
	}
	return sealed{}, fmt.Errorf("no table of sealed records is called that: %w", tokenvault.ErrInvalid)
}

const (
	sqlNewerDataKey  = `SELECT count(*) FROM data_keys WHERE tenant = ? AND space = ? AND version > ?`
	sqlDeleteDataKey = `DELETE FROM data_keys WHERE tenant = ? AND space = ? AND version = ?`
)

// DeleteDataKey implements [tokenvault.DataKeyStore].
func (s *Store) DeleteDataKey(ctx context.Context, key tokenvault.DataKey, event tokenvault.Event) error {
	return s.write(ctx, "delete data key", func(t *tx) error {
		id := []any{key.Tenant, key.Space, int64(key.Version)}
		deleted, err := t.exec(ctx, sqlDeleteDataKey, id...)
		if err != nil || deleted == 0 {
			return err
		}
		var newer int
		if err := t.QueryRowContext(ctx, sqlNewerDataKey, id...).Scan(&newer); err != nil {
			return err
		}
		if newer == 0 {
			return tokenvault.ErrConflict
		}
		for _, table := range tokenvault.SealedTables() {
			in, err := sealedIn(table)
			if err != nil {
				return err
			}
			var uses int
			query := `SELECT count(*) FROM ` + in.table + ` WHERE tenant = ? AND key_space = ? AND key_version = ? AND sealed IS NOT NULL`
			if err := t.QueryRowContext(ctx, query, id...).Scan(&uses); err != nil {
				return err
			}
			if uses > 0 {
				return tokenvault.ErrConflict
			}
		}
		return t.appendEvents(ctx, event)
	})
}

const sqlHasDataKey = `SELECT count(*) FROM data_keys WHERE tenant = ? AND space = ? AND version = ? AND length(wrapped) > 0`

// checkKey refuses a record whose data key is not there. It is asked after the
// record was written, so that other refusals come first.
func (t *tx) checkKey(ctx context.Context, tenant string, r tokenvault.SealedRecord) error {
	if len(r.Blob) == 0 {
		return nil
	}
	var has int
	err := t.QueryRowContext(ctx, sqlHasDataKey, tenant, r.KeySpace, int64(r.KeyVersion)).Scan(&has)
	if err == nil && has == 0 {
		return tokenvault.ErrConflict
	}
	return err
}

// ListSealed implements [tokenvault.SealedStore].
func (s *Store) ListSealed(ctx context.Context, q tokenvault.SealedQuery) ([]tokenvault.SealedRow, error) {
	in, err := sealedIn(q.Table)
	if err != nil {
		return nil, s.wrap("list sealed", err)
	}
	scan := func(from row) (tokenvault.SealedRow, error) {
		r := tokenvault.SealedRow{Table: q.Table, Owner: tokenvault.Owner{Tenant: q.Tenant}}
		var keyVersion int64
		err := from.Scan(&r.ID, &r.Version, &r.Owner.OrganizationID, &r.Owner.UserID, &r.Record.KeySpace, &keyVersion, (*[]byte)(&r.Record.Blob))
		r.Record.KeyVersion = uint32(keyVersion) //nolint:gosec // written from a uint32
		return r, err
	}
	query := `SELECT ` + in.id + ` AS row_id, ` + in.version + `, ` + in.owner + `, key_space, key_version, sealed FROM ` + in.table + `
		WHERE tenant = ?1 AND ` + in.id + ` > ?2 AND (?3 = '' OR key_space = ?3) AND sealed IS NOT NULL ORDER BY row_id LIMIT ?4`
	return list(ctx, s, "list sealed", scan, query, q.Tenant, q.Page.After, q.KeySpace, limited(q.Page))
}

// Reseal implements [tokenvault.SealedStore].
func (s *Store) Reseal(ctx context.Context, rows []tokenvault.Resealed) (int, error) {
	resealed := 0
	err := s.write(ctx, "reseal", func(t *tx) error {
		for _, r := range rows {
			in, err := sealedIn(r.Table)
			if err != nil {
				return err
			}
			query := `UPDATE ` + in.table + ` SET key_space = ?, key_version = ?, sealed = ? WHERE tenant = ? AND ` + in.id + ` = ? AND sealed = ?`
			changed, err := t.exec(ctx, query, append(recordArgs(r.New), r.Owner.Tenant, r.ID, []byte(r.Record.Blob))...)
			if err != nil {
				return err
			}
			resealed += int(changed)
			if err := t.checkKey(ctx, r.Owner.Tenant, r.New); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return resealed, nil
}

// CountSealed implements [tokenvault.SealedStore].
func (s *Store) CountSealed(ctx context.Context, tenant string) ([]tokenvault.SealedCount, error) {
	var all []tokenvault.SealedCount
	for _, table := range tokenvault.SealedTables() {
		in, err := sealedIn(table)
		if err != nil {
			return nil, s.wrap("count sealed", err)
		}
		scan := func(from row) (tokenvault.SealedCount, error) {
			c := tokenvault.SealedCount{Table: table}
			var keyVersion int64
			err := from.Scan(&c.KeySpace, &keyVersion, &c.Records)
			c.KeyVersion = uint32(keyVersion) //nolint:gosec // written from a uint32
			return c, err
		}
		query := `SELECT key_space, key_version, count(*) FROM ` + in.table + ` WHERE tenant = ? AND sealed IS NOT NULL
			GROUP BY key_space, key_version ORDER BY key_space, key_version`
		counts, err := list(ctx, s, "count sealed", scan, query, tenant)
		if err != nil {
			return nil, err
		}
		all = append(all, counts...)
	}
	return all, nil
}
