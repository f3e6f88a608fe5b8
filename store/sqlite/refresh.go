package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// turnColumns is for scanTurn.
	turnColumns = connectionColumns + `, fence, lease_until, uncertain,
		(SELECT wrapped FROM data_keys AS k WHERE k.tenant = connections.tenant AND k.space = connections.key_space
			AND k.version = connections.key_version)`

	// sqlBeginRefresh is lease, fence and write-ahead mark in one statement. A
	// mark that is there already was left by a turn that ended without a word.
	sqlBeginRefresh = `UPDATE connections
		SET fence = fence + 1, lease_until = ?, uncertain = marked, marked = 1
		WHERE tenant = ? AND id = ? AND ` + seenBy + ` AND status = 'active' AND version = ? AND lease_until <= ?
		RETURNING ` + turnColumns

	sqlGetTurn = `SELECT ` + turnColumns + ` FROM connections WHERE tenant = ? AND id = ? AND ` + seenBy
)

func scanTurn(from row) (turn tokenvault.RefreshTurn, leaseUntil int64, err error) {
	var r connectionRow
	if err := from.Scan(append(r.dest(), &turn.Fence, &leaseUntil, &turn.Uncertain, (*blob)(&turn.WrappedKey))...); err != nil {
		return turn, 0, err
	}
	turn.Connection, err = r.connection()
	return turn, leaseUntil, err
}

// BeginRefresh implements [tokenvault.RefreshStore].
func (s *Store) BeginRefresh(ctx context.Context, cmd tokenvault.RefreshClaim) (tokenvault.RefreshTurn, error) {
	var turn tokenvault.RefreshTurn
	err := s.write(ctx, "begin refresh", func(t *tx) error {
		owner := cmd.Owner
		var err error
		turn, _, err = scanTurn(t.QueryRowContext(ctx, sqlBeginRefresh, t.after(cmd.Lease), owner.Tenant, cmd.ConnectionID,
			owner.OrganizationID, owner.UserID, shared(owner), cmd.Version, t.now))
		if err == nil {
			turn.Held, turn.Now = true, timeOf(t.now)
			return nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		turn, err = t.refusedTurn(ctx, cmd)
		return err
	})
	if err != nil {
		return tokenvault.RefreshTurn{}, err
	}
	return turn, nil
}

// refusedTurn says why it is not the caller's turn: the row tells.
func (t *tx) refusedTurn(ctx context.Context, cmd tokenvault.RefreshClaim) (tokenvault.RefreshTurn, error) {
	owner := cmd.Owner
	now, leaseUntil, err := scanTurn(t.QueryRowContext(ctx, sqlGetTurn,
		owner.Tenant, cmd.ConnectionID, owner.OrganizationID, owner.UserID, shared(owner)))
	if err != nil {
		return tokenvault.RefreshTurn{}, err
	}
	turn := tokenvault.RefreshTurn{Connection: now.Connection, WrappedKey: now.WrappedKey, Now: timeOf(t.now)}
	if turn.Connection.Status == tokenvault.ConnectionActive && turn.Connection.Version == cmd.Version {
		turn.RetryIn = time.Duration(leaseUntil-t.now) * time.Microsecond
	}
	return turn, nil
}

const (
	sqlCommitRefresh = `UPDATE connections SET version = version + 1, scopes = ?, expires_at = ?, obtained_at = ?,
			updated_at = ?, key_space = ?, key_version = ?, sealed = ?,
			fence = fence + 1, lease_until = 0, marked = 0, uncertain = 0
		WHERE tenant = ? AND id = ? AND ` + seenBy + ` AND fence = ? AND marked = 1
		RETURNING ` + connectionColumns

	// Ending a turn moves the fence on, so that its holder cannot end it twice.
	sqlFailRefresh = `UPDATE connections SET status = iif(?1 = '', status, 'needs_reauth'), reason = ?1,
			updated_at = ?2, fence = fence + 1, lease_until = ?3, marked = ?4, uncertain = 0
		WHERE tenant = ?5 AND id = ?6 AND organization_id = ?7 AND user_id IN (?8, ?9) AND fence = ?10
			AND status = 'active' AND marked = 1
		RETURNING ` + connectionColumnsBare
)

// CommitRefresh implements [tokenvault.RefreshStore]. A turn whose lease ran out
// is not over until somebody else begins one.
func (s *Store) CommitRefresh(ctx context.Context, cmd tokenvault.RefreshCommit) (tokenvault.SealedConnection, error) {
	var stored tokenvault.SealedConnection
	err := s.write(ctx, "commit refresh", func(t *tx) error {
		owner := cmd.Owner
		args := append([]any{scopesColumn(cmd.Scopes), t.expiry(cmd.ExpiresIn), t.now, t.now}, recordArgs(cmd.Record)...)
		args = append(args, owner.Tenant, cmd.ConnectionID, owner.OrganizationID, owner.UserID, shared(owner), cmd.Fence)
		var err error
		stored, err = scanConnection(t.QueryRowContext(ctx, sqlCommitRefresh, args...))
		if errors.Is(err, sql.ErrNoRows) {
			return t.fenced(ctx, owner, cmd.ConnectionID)
		}
		if err == nil {
			err = t.checkKey(ctx, owner.Tenant, cmd.Record)
		}
		if err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Event)
	})
	if err != nil {
		return tokenvault.SealedConnection{}, err
	}
	return stored, nil
}

// FailRefresh implements [tokenvault.RefreshStore].
func (s *Store) FailRefresh(ctx context.Context, cmd tokenvault.RefreshFailure) error {
	return s.write(ctx, "fail refresh", func(t *tx) error {
		owner := cmd.Owner
		var holdUntil int64
		if cmd.HoldOff > 0 {
			holdUntil = t.after(cmd.HoldOff)
		}
		failed, err := scanBareConnection(t.QueryRowContext(ctx, sqlFailRefresh, string(cmd.Reason), t.now, holdUntil, cmd.KeepMark,
			owner.Tenant, cmd.ConnectionID, owner.OrganizationID, owner.UserID, shared(owner), cmd.Fence))
		if errors.Is(err, sql.ErrNoRows) {
			return t.fenced(ctx, owner, cmd.ConnectionID)
		}
		if err == nil && cmd.Reason != "" {
			err = t.tell(ctx, tokenvault.MessageOfConnection(tokenvault.WebhookConnectionReauth, failed))
		}
		if err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Event)
	})
}

// fenced tells a turn that is over from a connection that does not exist.
func (t *tx) fenced(ctx context.Context, owner tokenvault.Owner, id string) error {
	_, err := scanConnection(t.QueryRowContext(ctx, sqlGetConnection,
		owner.Tenant, id, owner.OrganizationID, owner.UserID, shared(owner)))
	if err != nil {
		return err
	}
	return tokenvault.ErrFenced
}
