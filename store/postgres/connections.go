package postgres

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	connectionFields = `tenant, id, organization_id, user_id, provider_id, auth_method, app_id, account_id, account_label,
		status, reason, scopes, version, expires_at, obtained_at, created_at, updated_at, revoked_at, shared_by, name, used_at, used_by`
	// connectionColumns is for scanConnection; connectionColumnsBare reads no
	// sealed data.
	connectionColumns     = connectionFields + `, key_space, key_version, sealed`
	connectionColumnsBare = connectionFields + `, '', 0::bigint, NULL::bytea`

	// seen is the condition that connection $2 of tenant $1 belongs to somebody whom
	// the owner sees: $3 is the organization, $4 the user, $5 shared(owner).
	seen = `tenant = $1 AND id = $2 AND organization_id = $3 AND user_id IN ($4, $5)`
)

// seenArgs are the arguments of seen.
func seenArgs(owner tokenvault.Owner, id string, more ...any) []any {
	return append([]any{owner.Tenant, id, owner.OrganizationID, owner.UserID, shared(owner)}, more...)
}

// connectionRow is a row of connections while it is scanned.
type connectionRow struct {
	c                      tokenvault.SealedConnection
	expires, revoked, used *time.Time
	keyVersion             int64
}

func (r *connectionRow) dest() []any {
	c := &r.c
	return []any{
		&c.Owner.Tenant, &c.ID, &c.Owner.OrganizationID, &c.Owner.UserID, &c.ProviderID, (*string)(&c.AuthMethod), &c.AppID,
		&c.Account.ID, &c.Account.Label, (*string)(&c.Status), (*string)(&c.Reason), &c.Scopes,
		&c.Version, &r.expires, &c.ObtainedAt, &c.CreatedAt, &c.UpdatedAt, &r.revoked, &c.SharedBy,
		&c.Name, &r.used, &c.LastUsedBy,
		&c.Record.KeySpace, &r.keyVersion, (*[]byte)(&c.Record.Blob),
	}
}

func (r *connectionRow) connection() tokenvault.SealedConnection {
	c := &r.c
	c.ExpiresAt, c.RevokedAt, c.LastUsedAt = timeOf(r.expires), timeOf(r.revoked), timeOf(r.used)
	c.ObtainedAt, c.CreatedAt, c.UpdatedAt = c.ObtainedAt.UTC(), c.CreatedAt.UTC(), c.UpdatedAt.UTC()
	c.Record.KeyVersion = uint32(r.keyVersion) //nolint:gosec // written from a uint32
	return *c
}

func scanConnection(from row) (tokenvault.SealedConnection, error) {
	var r connectionRow
	if err := from.Scan(r.dest()...); err != nil {
		return tokenvault.SealedConnection{}, err
	}
	return r.connection(), nil
}

func scanBareConnection(from row) (tokenvault.Connection, error) {
	c, err := scanConnection(from)
	return c.Connection, err
}

const sqlGetConnection = `SELECT ` + connectionColumns + ` FROM tv.connections WHERE ` + seen

// GetConnection implements [tokenvault.ConnectionStore].
func (s *Store) GetConnection(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.SealedConnection, error) {
	return get(ctx, s, "get connection", owner.Tenant, scanConnection, sqlGetConnection, seenArgs(owner, id)...)
}

const sqlFindAccount = `SELECT ` + connectionColumns + ` FROM tv.connections
	WHERE tenant = $1 AND organization_id = $2 AND user_id = $3 AND provider_id = $4 AND account_id = $5`

// FindAccount implements [tokenvault.ConnectionStore].
func (s *Store) FindAccount(ctx context.Context, owner tokenvault.Owner, providerID, accountID string) (tokenvault.SealedConnection, error) {
	return get(ctx, s, "find account", owner.Tenant, scanConnection, sqlFindAccount,
		owner.Tenant, owner.OrganizationID, owner.UserID, providerID, accountID)
}

// sqlListConnections reads the two halves in order from the index and merges them.
const sqlListConnections = `(SELECT ` + connectionColumnsBare + ` FROM tv.connections
		WHERE tenant = $1 AND organization_id = $2 AND user_id = $3 AND id > $5 AND status <> 'revoked' ORDER BY id LIMIT $6)
	UNION ALL (SELECT ` + connectionColumnsBare + ` FROM tv.connections
		WHERE tenant = $1 AND organization_id = $2 AND user_id = $4 AND id > $5 AND status <> 'revoked' ORDER BY id LIMIT $6)
	ORDER BY id LIMIT $6`

// ListConnections implements [tokenvault.ConnectionStore].
func (s *Store) ListConnections(ctx context.Context, owner tokenvault.Owner, page tokenvault.Page) ([]tokenvault.Connection, error) {
	return list(ctx, s, "list connections", owner.Tenant, scanBareConnection, sqlListConnections,
		owner.Tenant, owner.OrganizationID, owner.UserID, otherHalf(owner), page.After, limited(page))
}

// otherHalf is shared, but nothing for an owner that is the organization itself,
// whose rows are its own.
func otherHalf(owner tokenvault.Owner) *string {
	if owner.UserID == "" {
		return nil
	}
	return shared(owner)
}

const (
	sqlLockConnection = sqlGetConnection + ` FOR NO KEY UPDATE`
	sqlRevoke         = `UPDATE tv.connections SET status = 'revoked', reason = '', revoked_at = $3, updated_at = $3,
			key_space = '', key_version = 0, sealed = NULL,
			fence = fence + 1, lease_until = NULL, marked = false, uncertain = false
		WHERE tenant = $1 AND id = $2
		RETURNING ` + connectionColumns
	sqlDeletePermissions = `DELETE FROM tv.permissions WHERE tenant = $1 AND connection_id = $2`
)

// Revoke implements [tokenvault.ConnectionStore]. The row is locked before its
// permissions, so that one that is granted meanwhile is deleted too or refused.
func (s *Store) Revoke(ctx context.Context, cmd tokenvault.Revocation) (tokenvault.Connection, error) {
	var revoked tokenvault.SealedConnection
	tenant := cmd.Owner.Tenant
	err := s.write(ctx, "revoke", tenant, func(t *tx) error {
		var err error
		revoked, err = scanConnection(t.row(ctx, sqlLockConnection, seenArgs(cmd.Owner, cmd.ConnectionID)...))
		if err != nil || revoked.Status == tokenvault.ConnectionRevoked {
			return err
		}
		revoked, err = scanConnection(t.row(ctx, sqlRevoke, tenant, cmd.ConnectionID, t.now))
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, sqlDeletePermissions, tenant, cmd.ConnectionID); err != nil {
			return err
		}
		if cmd.Job != nil {
			if err := t.insertJob(ctx, *cmd.Job); err != nil {
				return err
			}
		}
		t.tellHooks(tokenvault.MessageOfConnection(tokenvault.WebhookConnectionRevoked, revoked.Connection))
		t.appendEvents(cmd.Event)
		return nil
	})
	if err != nil {
		return tokenvault.Connection{}, err
	}
	return revoked.Connection, nil
}

const sqlRename = `UPDATE tv.connections SET name = $3, updated_at = $4 WHERE tenant = $1 AND id = $2 RETURNING ` + connectionColumns

// Rename implements [tokenvault.ConnectionStore].
func (s *Store) Rename(ctx context.Context, cmd tokenvault.Renaming) (tokenvault.Connection, error) {
	var renamed tokenvault.SealedConnection
	o := cmd.Owner
	err := s.write(ctx, "rename", o.Tenant, func(t *tx) error {
		var err error
		renamed, err = scanConnection(t.row(ctx, sqlLockOwn, o.Tenant, cmd.ConnectionID, o.OrganizationID, o.UserID))
		switch {
		case err != nil:
			return err
		case renamed.Status == tokenvault.ConnectionRevoked:
			return tokenvault.ErrNotFound
		case renamed.Name == cmd.Name:
			return nil
		}
		if renamed, err = scanConnection(t.row(ctx, sqlRename, o.Tenant, cmd.ConnectionID, cmd.Name, t.now)); err != nil {
			return err
		}
		t.appendEvents(cmd.Event)
		return nil
	})
	if err != nil {
		return tokenvault.Connection{}, err
	}
	return renamed.Connection, nil
}

const (
	sqlInsertConnection = `INSERT INTO tv.connections (tenant, id, organization_id, user_id, provider_id, auth_method, app_id,
			account_id, account_label, scopes, version, expires_at, obtained_at, created_at, updated_at, status,
			key_space, key_version, sealed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $13, 'active', $14, $15, $16)`
	sqlRenewConnection = `UPDATE tv.connections SET auth_method = $6, app_id = $7, account_id = $8, account_label = $9,
			scopes = $10, version = $11, expires_at = $12, obtained_at = $13, updated_at = $13, revoked_at = NULL,
			status = 'active', reason = '', key_space = $14, key_version = $15, sealed = $16,
			fence = fence + 1, lease_until = NULL, marked = false, uncertain = false
		WHERE tenant = $1 AND id = $2 AND organization_id = $3 AND user_id = $4 AND provider_id = $5 AND version = $11 - 1`
)

// settleConnection stores c as a new row or in place of the version before. A
// version that moved on, a taken id and a taken account are conflicts.
func (t *tx) settleConnection(ctx context.Context, c tokenvault.SettledConnection) error {
	args := append([]any{
		c.Owner.Tenant, c.ID, c.Owner.OrganizationID, c.Owner.UserID, c.ProviderID, string(c.AuthMethod), c.AppID,
		c.Account.ID, c.Account.Label, scopesColumn(c.Scopes), c.Version, t.expiry(c.ExpiresIn), t.now,
	}, recordArgs(c.Record)...)
	query := sqlRenewConnection
	if c.Version == 1 {
		query = sqlInsertConnection
	}
	changed, err := t.exec(ctx, query, args...)
	if err == nil && changed == 0 {
		return tokenvault.ErrConflict
	}
	if err != nil {
		return err
	}
	return t.checkKey(ctx, c.Owner.Tenant, c.Record)
}
