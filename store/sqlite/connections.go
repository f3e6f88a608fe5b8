package sqlite

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

const (
	connectionFields = `connections.tenant, connections.id, connections.organization_id, connections.user_id,
		provider_id, auth_method, app_id, account_id, account_label, status, reason, connections.scopes,
		connections.version, expires_at, obtained_at, connections.created_at, updated_at, revoked_at, shared_by,
		name, used_at, used_by`
	// connectionColumns is for scanConnection; connectionColumnsBare reads no
	// sealed data.
	connectionColumns     = connectionFields + `, key_space, key_version, sealed`
	connectionColumnsBare = connectionFields + `, '', 0, NULL`

	// seenBy is the condition that a row belongs to somebody whom the owner sees.
	// Its arguments are organization, user and shared(owner).
	seenBy = `organization_id = ? AND user_id IN (?, ?)`
)

// connectionRow is a row of connections while it is scanned.
type connectionRow struct {
	c                                                              tokenvault.SealedConnection
	scopes                                                         string
	expires, obtained, created, updated, revoked, used, keyVersion int64
}

func (r *connectionRow) dest() []any {
	c := &r.c
	return []any{
		&c.Owner.Tenant, &c.ID, &c.Owner.OrganizationID, &c.Owner.UserID, &c.ProviderID, (*string)(&c.AuthMethod), &c.AppID,
		&c.Account.ID, &c.Account.Label, (*string)(&c.Status), (*string)(&c.Reason), &r.scopes,
		&c.Version, &r.expires, &r.obtained, &r.created, &r.updated, &r.revoked, &c.SharedBy,
		&c.Name, &r.used, &c.LastUsedBy,
		&c.Record.KeySpace, &r.keyVersion, (*[]byte)(&c.Record.Blob),
	}
}

func (r *connectionRow) connection() (tokenvault.SealedConnection, error) {
	c := &r.c
	c.ExpiresAt, c.ObtainedAt, c.CreatedAt = timeOf(r.expires), timeOf(r.obtained), timeOf(r.created)
	c.UpdatedAt, c.RevokedAt, c.LastUsedAt = timeOf(r.updated), timeOf(r.revoked), timeOf(r.used)
	c.Record.KeyVersion = uint32(r.keyVersion) //nolint:gosec // written from a uint32
	var err error
	c.Scopes, err = scopesOf(r.scopes)
	return *c, err
}

func scanConnection(from row) (tokenvault.SealedConnection, error) {
	var r connectionRow
	if err := from.Scan(r.dest()...); err != nil {
		return tokenvault.SealedConnection{}, err
	}
	return r.connection()
}

func scanBareConnection(from row) (tokenvault.Connection, error) {
	c, err := scanConnection(from)
	return c.Connection, err
}

const sqlGetConnection = `SELECT ` + connectionColumns + ` FROM connections WHERE tenant = ? AND id = ? AND ` + seenBy

// GetConnection implements [tokenvault.ConnectionStore].
func (s *Store) GetConnection(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.SealedConnection, error) {
	return get(ctx, s, "get connection", scanConnection, sqlGetConnection,
		owner.Tenant, id, owner.OrganizationID, owner.UserID, shared(owner))
}

const sqlFindAccount = `SELECT ` + connectionColumns + ` FROM connections
	WHERE tenant = ? AND organization_id = ? AND user_id = ? AND provider_id = ? AND account_id = ?`

// FindAccount implements [tokenvault.ConnectionStore].
func (s *Store) FindAccount(ctx context.Context, owner tokenvault.Owner, providerID, accountID string) (tokenvault.SealedConnection, error) {
	return get(ctx, s, "find account", scanConnection, sqlFindAccount,
		owner.Tenant, owner.OrganizationID, owner.UserID, providerID, accountID)
}

const (
	sqlConnectionsOf = `SELECT ` + connectionColumnsBare + ` FROM connections
		WHERE tenant = ?1 AND organization_id = ?2 AND user_id = ?3 AND id > ?5 AND status <> 'revoked'`
	sqlConnectionsShared = `SELECT ` + connectionColumnsBare + ` FROM connections
		WHERE tenant = ?1 AND organization_id = ?2 AND user_id = ?4 AND id > ?5 AND status <> 'revoked'`
	// The two halves are read in order from the index and merged.
	sqlListConnections = sqlConnectionsOf + ` UNION ALL ` + sqlConnectionsShared + ` ORDER BY id LIMIT ?6`
)

// ListConnections implements [tokenvault.ConnectionStore].
func (s *Store) ListConnections(ctx context.Context, owner tokenvault.Owner, page tokenvault.Page) ([]tokenvault.Connection, error) {
	return list(ctx, s, "list connections", scanBareConnection, sqlListConnections,
		owner.Tenant, owner.OrganizationID, owner.UserID, otherHalf(owner), page.After, limited(page))
}

// otherHalf is shared, but nothing for an owner that is the organization itself,
// whose rows are its own.
func otherHalf(owner tokenvault.Owner) any {
	if owner.UserID == "" {
		return nil
	}
	return shared(owner)
}

const sqlRevoke = `UPDATE connections SET status = 'revoked', reason = '', revoked_at = ?1, updated_at = ?1,
		key_space = '', key_version = 0, sealed = NULL,
		fence = fence + 1, lease_until = 0, marked = 0, uncertain = 0
	WHERE tenant = ?2 AND id = ?3
	RETURNING ` + connectionColumns

// Revoke implements [tokenvault.ConnectionStore].
func (s *Store) Revoke(ctx context.Context, cmd tokenvault.Revocation) (tokenvault.Connection, error) {
	var revoked tokenvault.SealedConnection
	var erased bool
	err := s.write(ctx, "revoke", func(t *tx) error {
		var err error
		revoked, err = scanConnection(t.QueryRowContext(ctx, sqlGetConnection,
			cmd.Owner.Tenant, cmd.ConnectionID, cmd.Owner.OrganizationID, cmd.Owner.UserID, shared(cmd.Owner)))
		if err != nil || revoked.Status == tokenvault.ConnectionRevoked {
			return err
		}
		erased = true
		revoked, err = scanConnection(t.QueryRowContext(ctx, sqlRevoke, t.now, cmd.Owner.Tenant, cmd.ConnectionID))
		if err != nil {
			return err
		}
		if err := t.deletePermissions(ctx, cmd.Owner.Tenant, cmd.ConnectionID); err != nil {
			return err
		}
		if cmd.Job != nil {
			if err := t.insertJob(ctx, *cmd.Job); err != nil {
				return err
			}
		}
		if err := t.tell(ctx, tokenvault.MessageOfConnection(tokenvault.WebhookConnectionRevoked, revoked.Connection)); err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Event)
	})
	if err != nil {
		return tokenvault.Connection{}, err
	}
	if erased {
		s.emptyLog(ctx)
	}
	return revoked.Connection, nil
}

const sqlRename = `UPDATE connections SET name = ?3, updated_at = ?4 WHERE tenant = ?1 AND id = ?2 RETURNING ` + connectionColumns

// Rename implements [tokenvault.ConnectionStore].
func (s *Store) Rename(ctx context.Context, cmd tokenvault.Renaming) (tokenvault.Connection, error) {
	var renamed tokenvault.SealedConnection
	err := s.write(ctx, "rename", func(t *tx) error {
		o := cmd.Owner
		var err error
		renamed, err = scanConnection(t.QueryRowContext(ctx, sqlOwnConnection, o.Tenant, cmd.ConnectionID, o.OrganizationID, o.UserID))
		switch {
		case err != nil:
			return err
		case renamed.Status == tokenvault.ConnectionRevoked:
			return tokenvault.ErrNotFound
		case renamed.Name == cmd.Name:
			return nil
		}
		if renamed, err = scanConnection(t.QueryRowContext(ctx, sqlRename, o.Tenant, cmd.ConnectionID, cmd.Name, t.now)); err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Event)
	})
	if err != nil {
		return tokenvault.Connection{}, err
	}
	return renamed.Connection, nil
}

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

const (
	sqlInsertConnection = `INSERT INTO connections (tenant, id, organization_id, user_id, provider_id, auth_method, app_id,
			account_id, account_label, scopes, version, expires_at, obtained_at, created_at, updated_at, status,
			key_space, key_version, sealed)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?13, 'active', ?14, ?15, ?16)`
	sqlRenewConnection = `UPDATE connections SET auth_method = ?6, app_id = ?7, account_id = ?8, account_label = ?9,
			scopes = ?10, version = ?11, expires_at = ?12, obtained_at = ?13, updated_at = ?13, revoked_at = 0,
			status = 'active', reason = '', key_space = ?14, key_version = ?15, sealed = ?16,
			fence = fence + 1, lease_until = 0, marked = 0, uncertain = 0
		WHERE tenant = ?1 AND id = ?2 AND organization_id = ?3 AND user_id = ?4 AND provider_id = ?5 AND version = ?11 - 1`
)
