package sqlite

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

// coveredBy is the condition that a row belongs to what the owner covers: see
// [tokenvault.Owner.Covers]. Its arguments are coveredArgs.
func coveredBy(o tokenvault.Owner) string {
	switch {
	case o.UserID == "":
		return `tenant = ?1 AND organization_id = ?2 AND organization_id <> ?3` // found by an index
	case o.OrganizationID == "":
		return `tenant = ?1 AND ?2 = '' AND user_id = ?3`
	}
	return `tenant = ?1 AND organization_id = ?2 AND user_id = ?3`
}

func coveredArgs(o tokenvault.Owner) []any { return []any{o.Tenant, o.OrganizationID, o.UserID} }

// ListOwned implements [tokenvault.OwnerStore].
func (s *Store) ListOwned(ctx context.Context, owner tokenvault.Owner, page tokenvault.Page) ([]tokenvault.SealedConnection, error) {
	query := `SELECT ` + connectionColumns + ` FROM connections WHERE ` + coveredBy(owner) + ` AND id > ?4 ORDER BY id LIMIT ?5`
	return list(ctx, s, "list owned", scanConnection, query, append(coveredArgs(owner), page.After, limited(page))...)
}

// DeleteOwner implements [tokenvault.OwnerStore].
func (s *Store) DeleteOwner(ctx context.Context, cmd tokenvault.OwnerDeletion) (done bool, err error) {
	err = s.write(ctx, "delete owner", func(t *tx) error {
		for _, owned := range cmd.Connections {
			if err := t.deleteOwned(ctx, cmd.Owner, owned); err != nil {
				return err
			}
		}
		var left int64
		query := `SELECT count(*) FROM (SELECT 1 FROM connections WHERE ` + coveredBy(cmd.Owner) + ` LIMIT 1)`
		if err := t.QueryRowContext(ctx, query, coveredArgs(cmd.Owner)...).Scan(&left); err != nil || left > 0 {
			return err
		}
		done = true
		deleted, err := t.deleteRest(ctx, cmd)
		if err != nil || deleted+int64(len(cmd.Connections)) == 0 {
			return err
		}
		return t.appendEvents(ctx, cmd.Event)
	})
	if err != nil {
		return false, err
	}
	s.emptyLog(ctx)
	return done, nil
}

// deleteOwned deletes a connection, and its permissions with it.
func (t *tx) deleteOwned(ctx context.Context, owner tokenvault.Owner, owned tokenvault.OwnedConnection) error {
	query := `DELETE FROM connections WHERE ` + coveredBy(owner) + ` AND id = ?4 AND version = ?5`
	deleted, err := t.exec(ctx, query, append(coveredArgs(owner), owned.ID, owned.Version)...)
	if err == nil && deleted == 0 {
		return tokenvault.ErrConflict
	}
	if err != nil || owned.Job == nil {
		return err
	}
	return t.insertJob(ctx, *owned.Job)
}

const (
	sqlDestroyKeys = `UPDATE data_keys SET wrapped = x'' WHERE tenant = ?1 AND space = ?2 AND length(wrapped) > 0`
	sqlForgetKeys  = `DELETE FROM data_keys WHERE tenant = ?1 AND space = ?2
		AND version < (SELECT max(version) FROM data_keys WHERE tenant = ?1 AND space = ?2)`
	sqlForgetSharer = `UPDATE connections SET shared_by = '' WHERE tenant = ?1 AND (?2 = '' OR organization_id = ?2) AND shared_by = ?3`
)

// deleteRest deletes what is not a connection, and returns how much that was.
// Attempts go with their requests.
func (t *tx) deleteRest(ctx context.Context, cmd tokenvault.OwnerDeletion) (deleted int64, err error) {
	where := ` WHERE ` + coveredBy(cmd.Owner)
	if _, err := t.exec(ctx, `DELETE FROM jobs WHERE tenant = ?1 AND id IN (SELECT id FROM deliveries`+where+`)`, coveredArgs(cmd.Owner)...); err != nil {
		return 0, err
	}
	queries := []string{
		`DELETE FROM permissions` + where, `DELETE FROM auth_requests` + where, `DELETE FROM api_keys` + where, `DELETE FROM deliveries` + where,
	}
	if cmd.Owner.UserID == "" {
		queries = append(queries, `DELETE FROM apps`+where, `DELETE FROM providers`+where, `DELETE FROM webhooks`+where)
	} else if _, err := t.exec(ctx, sqlForgetSharer, coveredArgs(cmd.Owner)...); err != nil {
		return 0, err
	}
	for _, query := range queries {
		n, err := t.exec(ctx, query, coveredArgs(cmd.Owner)...)
		if err != nil {
			return 0, err
		}
		deleted += n
	}
	if cmd.KeySpace == "" {
		return deleted, nil
	}
	destroyed, err := t.exec(ctx, sqlDestroyKeys, cmd.Owner.Tenant, cmd.KeySpace)
	if err == nil {
		_, err = t.exec(ctx, sqlForgetKeys, cmd.Owner.Tenant, cmd.KeySpace)
	}
	return deleted + destroyed, err
}
