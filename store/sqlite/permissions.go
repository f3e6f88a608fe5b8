package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// permissionColumns is for scanPermission.
const permissionColumns = `tenant, id, organization_id, user_id, agent_id, connection_id, scopes, release, granted_at, expires_at`

func scanPermission(from row) (tokenvault.Permission, error) {
	var p tokenvault.Permission
	var scopes string
	var granted, expires int64
	err := from.Scan(&p.Owner.Tenant, &p.ID, &p.Owner.OrganizationID, &p.Owner.UserID, &p.AgentID, &p.ConnectionID,
		&scopes, (*string)(&p.Release), &granted, &expires)
	if err != nil {
		return tokenvault.Permission{}, err
	}
	p.GrantedAt, p.ExpiresAt = timeOf(granted), timeOf(expires)
	p.Scopes, err = scopesOf(scopes)
	return p, err
}

const sqlListPermissions = `SELECT ` + permissionColumns + ` FROM permissions
	WHERE tenant = ? AND organization_id = ? AND user_id = ? AND id > ? ORDER BY id LIMIT ?`

// ListPermissions implements [tokenvault.PermissionStore]. They are those that
// exactly this owner granted: nobody else may withdraw them.
func (s *Store) ListPermissions(ctx context.Context, owner tokenvault.Owner, page tokenvault.Page) ([]tokenvault.Permission, error) {
	return list(ctx, s, "list permissions", scanPermission, sqlListPermissions,
		owner.Tenant, owner.OrganizationID, owner.UserID, page.After, limited(page))
}

const sqlWithdrawPermission = `DELETE FROM permissions WHERE tenant = ? AND id = ? AND organization_id = ? AND user_id = ?`

// WithdrawPermission implements [tokenvault.PermissionStore].
func (s *Store) WithdrawPermission(ctx context.Context, owner tokenvault.Owner, id string, event tokenvault.Event) error {
	return s.write(ctx, "withdraw permission", func(t *tx) error {
		deleted, err := t.exec(ctx, sqlWithdrawPermission, owner.Tenant, id, owner.OrganizationID, owner.UserID)
		if err != nil {
			return err
		}
		if deleted == 0 {
			return tokenvault.ErrNotFound
		}
		return t.appendEvents(ctx, event)
	})
}

const sqlDeletePermissions = `DELETE FROM permissions WHERE tenant = ? AND connection_id = ?`

func (t *tx) deletePermissions(ctx context.Context, tenant, connectionID string) error {
	_, err := t.exec(ctx, sqlDeletePermissions, tenant, connectionID)
	return err
}

const (
	sqlGetPermission = `SELECT ` + permissionColumns + ` FROM permissions
		WHERE tenant = ? AND connection_id = ? AND agent_id = ? AND organization_id = ? AND user_id = ?`
	sqlInsertPermission = `INSERT INTO permissions (` + permissionColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlWidenPermission  = `UPDATE permissions SET scopes = ?, release = ?, granted_at = ?, expires_at = ?
		WHERE tenant = ? AND id = ?`
)

// grant stores a permission for ttl, or widens the one that is there: one that
// expired gives nothing to the new one.
func (t *tx) grant(ctx context.Context, p tokenvault.Permission, ttl time.Duration) error {
	if err := t.checkGrantable(ctx, p); err != nil {
		return err
	}
	until := t.expiry(ttl)
	p.GrantedAt, p.ExpiresAt = timeOf(t.now), timeOf(until)
	old, err := scanPermission(t.QueryRowContext(ctx, sqlGetPermission,
		p.Owner.Tenant, p.ConnectionID, p.AgentID, p.Owner.OrganizationID, p.Owner.UserID))
	if errors.Is(err, sql.ErrNoRows) {
		_, err = t.exec(ctx, sqlInsertPermission, p.Owner.Tenant, p.ID, p.Owner.OrganizationID, p.Owner.UserID, p.AgentID,
			p.ConnectionID, scopesColumn(p.Scopes), string(p.Release), t.now, until)
		return err
	}
	if err != nil {
		return err
	}
	if old.ExpiresAt.IsZero() || old.ExpiresAt.After(timeOf(t.now)) {
		p = old.Widened(p)
	}
	_, err = t.exec(ctx, sqlWidenPermission, scopesColumn(p.Scopes), string(p.Release), t.now, until,
		old.Owner.Tenant, old.ID)
	return err
}

// checkGrantable refuses a connection that the granting owner does not see, and
// one that was revoked in the meantime.
func (t *tx) checkGrantable(ctx context.Context, p tokenvault.Permission) error {
	c, err := scanConnection(t.QueryRowContext(ctx, sqlGetConnection,
		p.Owner.Tenant, p.ConnectionID, p.Owner.OrganizationID, p.Owner.UserID, shared(p.Owner)))
	if err == nil && c.Status == tokenvault.ConnectionRevoked {
		return tokenvault.ErrConflict
	}
	return err
}
