package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

const (
	sqlListDataKeys = `SELECT ` + dataKeyColumns + ` FROM tv.data_keys
		WHERE tenant = $1 AND (space, version) > ($2, $3::bigint) AND length(wrapped) > 0
		ORDER BY space, version LIMIT $4`
	sqlTenantsWithKeys = `SELECT tv.tenants_with_data_keys($1)`
	sqlRewrapDataKey   = `UPDATE tv.data_keys SET wrapped = $5
		WHERE tenant = $1 AND space = $2 AND version = $3 AND wrapped = $4 AND length(wrapped) > 0`
)

// ListDataKeys implements [tokenvault.DataKeyStore].
func (s *Store) ListDataKeys(ctx context.Context, tenant string, after tokenvault.DataKey, limit int) ([]tokenvault.DataKey, error) {
	tenants := []string{tenant}
	if tenant == "" {
		var err error
		if tenants, err = s.tenants(ctx, "list data keys", sqlTenantsWithKeys, after.Tenant); err != nil {
			return nil, err
		}
	}
	most := limited(tokenvault.Page{Limit: limit})
	var all []tokenvault.DataKey
	for _, of := range tenants {
		if of < after.Tenant || len(all) == most {
			continue
		}
		from := tokenvault.DataKey{}
		if of == after.Tenant {
			from = after
		}
		keys, err := list(ctx, s, "list data keys", of, scanDataKey, sqlListDataKeys, of, from.Space, int64(from.Version), most-len(all))
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}

// RewrapDataKey implements [tokenvault.DataKeyStore].
func (s *Store) RewrapDataKey(ctx context.Context, key tokenvault.DataKey, wrapped tokenvault.Sealed, event tokenvault.Event) error {
	return s.write(ctx, "rewrap data key", key.Tenant, func(t *tx) error {
		changed, err := t.exec(ctx, sqlRewrapDataKey, key.Tenant, key.Space, int64(key.Version), []byte(key.Wrapped), []byte(wrapped))
		if err == nil && changed == 0 {
			return tokenvault.ErrConflict
		}
		if err != nil {
			return err
		}
		t.appendEvents(event)
		return nil
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
		return sealed{"tv.connections", "id", "version", ownerColumns}, nil
	case tokenvault.SealedApps:
		return sealed{"tv.apps", "id", "version", "organization_id, ''"}, nil
	case tokenvault.SealedAttempts:
		return sealed{"tv.attempts", "id", "1::bigint", ownerColumns}, nil
	case tokenvault.SealedWebhooks:
		return sealed{"tv.webhooks", "id", "version", "organization_id, ''"}, nil
	case tokenvault.SealedJobs:
		return sealed{"tv.jobs", "id", "1::bigint", ownerColumns}, nil
	case tokenvault.SealedProviders:
		return sealed{"tv.providers", "organization_id || '/' || id", "version", "organization_id, ''"}, nil
	}
	return sealed{}, fmt.Errorf("no table of sealed records is called that: %w", tokenvault.ErrInvalid)
}

const (
	sqlNewerDataKey  = `SELECT count(*) FROM tv.data_keys WHERE tenant = $1 AND space = $2 AND version > $3`
	sqlDeleteDataKey = `DELETE FROM tv.data_keys WHERE tenant = $1 AND space = $2 AND version = $3`
	sqlKeyUses       = ` WHERE tenant = $1 AND key_space = $2 AND key_version = $3 AND sealed IS NOT NULL`
	// sqlHoldDataKey keeps the key from being deleted or destroyed before the record is stored.
	sqlHoldDataKey = `SELECT 1 FROM tv.data_keys WHERE tenant = $1 AND space = $2 AND version = $3 AND length(wrapped) > 0 FOR SHARE`
)

// DeleteDataKey implements [tokenvault.DataKeyStore]. Deleting waits for those who
// hold the key, and then sees what they stored.
func (s *Store) DeleteDataKey(ctx context.Context, key tokenvault.DataKey, event tokenvault.Event) error {
	return s.write(ctx, "delete data key", key.Tenant, func(t *tx) error {
		id := []any{key.Tenant, key.Space, int64(key.Version)}
		deleted, err := t.exec(ctx, sqlDeleteDataKey, id...)
		if err != nil || deleted == 0 {
			return err
		}
		var newer int
		if err := t.row(ctx, sqlNewerDataKey, id...).Scan(&newer); err != nil {
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
			if err := t.row(ctx, `SELECT count(*) FROM `+in.table+sqlKeyUses, id...).Scan(&uses); err != nil {
				return err
			}
			if uses > 0 {
				return tokenvault.ErrConflict
			}
		}
		t.appendEvents(event)
		return nil
	})
}

// checkKey refuses a record whose data key is not there. It is asked after the
// record was written, so that other refusals come first.
func (t *tx) checkKey(ctx context.Context, tenant string, r tokenvault.SealedRecord) error {
	if len(r.Blob) == 0 {
		return nil
	}
	var has int
	err := t.row(ctx, sqlHoldDataKey, tenant, r.KeySpace, int64(r.KeyVersion)).Scan(&has)
	if errors.Is(err, pgx.ErrNoRows) {
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
	query := `SELECT ` + in.id + `, ` + in.version + `, ` + in.owner + `, key_space, key_version, sealed FROM ` + in.table + `
		WHERE tenant = $1 AND ` + in.id + ` > $2 AND ($3 = '' OR key_space = $3) AND sealed IS NOT NULL ORDER BY 1 LIMIT $4`
	return list(ctx, s, "list sealed", q.Tenant, scan, query, q.Tenant, q.Page.After, q.KeySpace, limited(q.Page))
}

// Reseal implements [tokenvault.SealedStore].
func (s *Store) Reseal(ctx context.Context, rows []tokenvault.Resealed) (int, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	resealed := 0
	err := s.write(ctx, "reseal", rows[0].Owner.Tenant, func(t *tx) error {
		resealed = 0
		for _, r := range rows {
			changed, err := t.reseal(ctx, r)
			if err != nil {
				return err
			}
			resealed += int(changed)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return resealed, nil
}

func (t *tx) reseal(ctx context.Context, r tokenvault.Resealed) (changed int64, err error) {
	in, err := sealedIn(r.Table)
	if err != nil {
		return 0, err
	}
	err = t.as(ctx, r.Owner.Tenant, func() error {
		args := append([]any{r.Owner.Tenant, r.ID, []byte(r.Record.Blob)}, recordArgs(r.New)...)
		changed, err = t.exec(ctx, `UPDATE `+in.table+` SET key_space = $4, key_version = $5, sealed = $6
			WHERE tenant = $1 AND `+in.id+` = $2 AND sealed = $3`, args...)
		if err != nil {
			return err
		}
		return t.checkKey(ctx, r.Owner.Tenant, r.New)
	})
	return changed, err
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
		query := `SELECT key_space, key_version, count(*) FROM ` + in.table + ` WHERE tenant = $1 AND sealed IS NOT NULL
			GROUP BY key_space, key_version ORDER BY key_space, key_version`
		counts, err := list(ctx, s, "count sealed", tenant, scan, query, tenant)
		if err != nil {
			return nil, err
		}
		all = append(all, counts...)
	}
	return all, nil
}
