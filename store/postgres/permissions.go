package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

// permissionColumns is for scanPermission.
const permissionColumns = `tenant, id, organization_id, user_id, agent_id, connection_id, scopes, release, granted_at, expires_at`

func scanPermission(from row) (tokenvault.Permission, error) {
	var p tokenvault.Permission
	var expires *time.Time
	err := from.Scan(&p.Owner.Tenant, &p.ID, &p.Owner.OrganizationID, &p.Owner.UserID, &p.AgentID, &p.ConnectionID,
		&p.Scopes, (*string)(&p.Release), &p.GrantedAt, &expires)
	if err != nil {
		return tokenvault.Permission{}, err
	}
	p.GrantedAt, p.ExpiresAt = p.GrantedAt.UTC(), timeOf(expires)
	return p, nil
}

const sqlListPermissions = `SELECT ` + permissionColumns + ` FROM tv.permissions
	WHERE tenant = $1 AND organization_id = $2 AND user_id = $3 AND id > $4 ORDER BY id LIMIT $5`

// ListPermissions implements [tokenvault.PermissionStore]. They are those that
// exactly this owner granted: nobody else may withdraw them.
func (s *Store) ListPermissions(ctx context.Context, owner tokenvault.Owner, page tokenvault.Page) ([]tokenvault.Permission, error) {
	return list(ctx, s, "list permissions", owner.Tenant, scanPermission, sqlListPermissions,
		owner.Tenant, owner.OrganizationID, owner.UserID, page.After, limited(page))
}

const sqlWithdrawPermission = `DELETE FROM tv.permissions WHERE tenant = $1 AND id = $2 AND organization_id = $3 AND user_id = $4`

// WithdrawPermission implements [tokenvault.PermissionStore].
func (s *Store) WithdrawPermission(ctx context.Context, owner tokenvault.Owner, id string, event tokenvault.Event) error {
	return s.write(ctx, "withdraw permission", owner.Tenant, func(t *tx) error {
		deleted, err := t.exec(ctx, sqlWithdrawPermission, owner.Tenant, id, owner.OrganizationID, owner.UserID)
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

const (
	// sqlShareConnection keeps a revocation away until the permission is there.
	sqlShareConnection  = sqlGetConnection + ` FOR SHARE`
	sqlInsertPermission = `INSERT INTO tv.permissions (` + permissionColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (tenant, connection_id, agent_id, organization_id, user_id) DO NOTHING`
	sqlLockPermission = `SELECT ` + permissionColumns + ` FROM tv.permissions
		WHERE tenant = $1 AND connection_id = $2 AND agent_id = $3 AND organization_id = $4 AND user_id = $5 FOR UPDATE`
	sqlWidenPermission = `UPDATE tv.permissions SET scopes = $3, release = $4, granted_at = $5, expires_at = $6
		WHERE tenant = $1 AND id = $2`
)

// grant stores a permission for ttl, or widens the one that is there: one that
// expired gives nothing to the new one.
func (t *tx) grant(ctx context.Context, p tokenvault.Permission, ttl time.Duration) error {
	if err := t.checkGrantable(ctx, p); err != nil {
		return err
	}
	until := t.expiry(ttl)
	p.GrantedAt, p.ExpiresAt = t.now, timeOf(until)
	inserted, err := t.exec(ctx, sqlInsertPermission, p.Owner.Tenant, p.ID, p.Owner.OrganizationID, p.Owner.UserID, p.AgentID,
		p.ConnectionID, scopesColumn(p.Scopes), string(p.Release), t.now, until)
	if err != nil || inserted > 0 {
		return err
	}
	old, err := scanPermission(t.row(ctx, sqlLockPermission,
		p.Owner.Tenant, p.ConnectionID, p.AgentID, p.Owner.OrganizationID, p.Owner.UserID))
	if errors.Is(err, pgx.ErrNoRows) {
		return tokenvault.ErrConflict // withdrawn in this moment
	}
	if err != nil {
		return err
	}
	if old.ExpiresAt.IsZero() || old.ExpiresAt.After(t.now) {
		p = old.Widened(p)
	}
	_, err = t.exec(ctx, sqlWidenPermission, old.Owner.Tenant, old.ID, scopesColumn(p.Scopes), string(p.Release), t.now, until)
	return err
}

// checkGrantable refuses a connection that the granting owner does not see, and
// one that was revoked in the meantime.
func (t *tx) checkGrantable(ctx context.Context, p tokenvault.Permission) error {
	c, err := scanConnection(t.row(ctx, sqlShareConnection, seenArgs(p.Owner, p.ConnectionID)...))
	if err == nil && c.Status == tokenvault.ConnectionRevoked {
		return tokenvault.ErrConflict
	}
	return err
}
