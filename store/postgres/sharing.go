package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// sqlLockOwn reads and locks a row of exactly the owner.
	sqlLockOwn = `SELECT ` + connectionColumns + ` FROM tv.connections
		WHERE tenant = $1 AND id = $2 AND organization_id = $3 AND user_id = $4 FOR NO KEY UPDATE`

	sqlDeleteRevoked = `DELETE FROM tv.connections WHERE tenant = $1 AND id = $2 AND status = 'revoked'`

	sqlTransfer = `UPDATE tv.connections SET organization_id = $3, user_id = $4, shared_by = $5, version = $6, updated_at = $7,
			key_space = $8, key_version = $9, sealed = $10,
			fence = fence + 1, lease_until = NULL, uncertain = false
		WHERE tenant = $1 AND id = $2 AND NOT marked
		RETURNING ` + connectionColumns

	sqlDeleteUnseen = `DELETE FROM tv.permissions WHERE tenant = $1 AND connection_id = $2
		AND NOT (organization_id = $3 AND ($4 = '' OR user_id = $4))`
)

// Transfer implements [tokenvault.SharingStore].
func (s *Store) Transfer(ctx context.Context, cmd tokenvault.Transfer) (tokenvault.Connection, error) {
	var moved tokenvault.SealedConnection
	from, to := cmd.From, cmd.To
	err := s.write(ctx, "transfer", from.Tenant, func(t *tx) error {
		c, err := scanConnection(t.row(ctx, sqlLockOwn, from.Tenant, cmd.ConnectionID, from.OrganizationID, from.UserID))
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
		args := append([]any{to.Tenant, c.ID, to.OrganizationID, to.UserID, cmd.SharedBy, cmd.Version, t.now}, recordArgs(cmd.Record)...)
		moved, err = scanConnection(t.row(ctx, sqlTransfer, args...))
		if err != nil {
			return conflictIfNone(err)
		}
		if err := t.checkKey(ctx, to.Tenant, cmd.Record); err != nil {
			return err
		}
		if _, err := t.exec(ctx, sqlDeleteUnseen, to.Tenant, c.ID, to.OrganizationID, to.UserID); err != nil {
			return err
		}
		t.tellHooks(tokenvault.MessageOfConnection(tokenvault.WebhookConnectionUpdated, moved.Connection))
		t.appendEvents(cmd.Event)
		return nil
	})
	if err != nil {
		return tokenvault.Connection{}, err
	}
	return moved.Connection, nil
}

// makeWay deletes a revoked connection of the new owner's to the account of c.
// Any other one stays where it is.
func (t *tx) makeWay(ctx context.Context, to tokenvault.Owner, c tokenvault.Connection) error {
	there, err := scanConnection(t.row(ctx, sqlFindAccount, to.Tenant, to.OrganizationID, to.UserID, c.ProviderID, c.Account.ID))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	case there.Status != tokenvault.ConnectionRevoked:
		return tokenvault.ErrAccountTaken
	}
	_, err = t.exec(ctx, sqlDeleteRevoked, to.Tenant, there.ID)
	return err
}
