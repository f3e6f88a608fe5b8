package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// sqlOwnConnection reads a row of exactly the owner.
	sqlOwnConnection = `SELECT ` + connectionColumns + ` FROM connections
		WHERE tenant = ? AND id = ? AND organization_id = ? AND user_id = ?`

	sqlDeleteRevoked = `DELETE FROM connections WHERE tenant = ? AND id = ? AND status = 'revoked'`

	sqlTransfer = `UPDATE connections SET organization_id = ?, user_id = ?, shared_by = ?, version = ?, updated_at = ?,
			key_space = ?, key_version = ?, sealed = ?,
			fence = fence + 1, lease_until = 0, uncertain = 0
		WHERE tenant = ? AND id = ? AND marked = 0
		RETURNING ` + connectionColumns

	sqlDeleteUnseen = `DELETE FROM permissions WHERE tenant = ?1 AND connection_id = ?2
		AND NOT (organization_id = ?3 AND (?4 = '' OR user_id = ?4))`
)

// Transfer implements [tokenvault.SharingStore].
func (s *Store) Transfer(ctx context.Context, cmd tokenvault.Transfer) (tokenvault.Connection, error) {
	var moved tokenvault.SealedConnection
	err := s.write(ctx, "transfer", func(t *tx) error {
		from, to := cmd.From, cmd.To
		c, err := scanConnection(t.QueryRowContext(ctx, sqlOwnConnection, from.Tenant, cmd.ConnectionID, from.OrganizationID, from.UserID))
		if err != nil {
			return err
		}
		if to.Tenant != from.Tenant {
			return tokenvault.ErrNotFound
		}
		if c.Version != cmd.Version-1 || c.Status == tokenvault.ConnectionRevoked {
			return tokenvault.ErrConflict
		}
		if err := t.makeWay(ctx, to, c.Connection); err != nil {
			return err
		}
		args := append([]any{to.OrganizationID, to.UserID, cmd.SharedBy, cmd.Version, t.now}, recordArgs(cmd.Record)...)
		moved, err = scanConnection(t.QueryRowContext(ctx, sqlTransfer, append(args, from.Tenant, c.ID)...))
		if err != nil {
			return conflictIfNone(err)
		}
		if err := t.checkKey(ctx, to.Tenant, cmd.Record); err != nil {
			return err
		}
		if _, err := t.exec(ctx, sqlDeleteUnseen, to.Tenant, c.ID, to.OrganizationID, to.UserID); err != nil {
			return err
		}
		if err := t.tell(ctx, tokenvault.MessageOfConnection(tokenvault.WebhookConnectionUpdated, moved.Connection)); err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Event)
	})
	if err != nil {
		return tokenvault.Connection{}, err
	}
	return moved.Connection, nil
}

// makeWay deletes a revoked connection of the new owner's to the account of c.
// Any other one stays where it is.
func (t *tx) makeWay(ctx context.Context, to tokenvault.Owner, c tokenvault.Connection) error {
	there, err := scanConnection(t.QueryRowContext(ctx, sqlFindAccount, to.Tenant, to.OrganizationID, to.UserID, c.ProviderID, c.Account.ID))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case there.Status != tokenvault.ConnectionRevoked:
		return tokenvault.ErrAccountTaken
	}
	_, err = t.exec(ctx, sqlDeleteRevoked, to.Tenant, there.ID)
	return err
}
