package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// turnColumns is for scanTurn.
	turnColumns = connectionColumns + `, fence, lease_until, uncertain,
		(SELECT wrapped FROM tv.data_keys AS k WHERE k.tenant = connections.tenant AND k.space = connections.key_space
			AND k.version = connections.key_version)`

	// sqlBeginRefresh is lease, fence and write-ahead mark in one statement. A
	// mark that is there already was left by a turn that ended without a word. The
	// clock is read by the statement: it may have waited for the row.
	sqlBeginRefresh = `UPDATE tv.connections AS connections
		SET fence = fence + 1, lease_until = coalesce($7::timestamptz, clock_timestamp()) + $8::interval,
			uncertain = marked, marked = true
		WHERE ` + seen + ` AND status = 'active' AND version = $6
			AND (lease_until IS NULL OR lease_until <= coalesce($7::timestamptz, clock_timestamp()))
		RETURNING ` + turnColumns

	sqlGetTurn = `SELECT ` + turnColumns + ` FROM tv.connections AS connections WHERE ` + seen
)

func scanTurn(from row) (turn tokenvault.RefreshTurn, leaseUntil time.Time, err error) {
	var r connectionRow
	var lease *time.Time
	if err := from.Scan(append(r.dest(), &turn.Fence, &lease, &turn.Uncertain, (*[]byte)(&turn.WrappedKey))...); err != nil {
		return turn, leaseUntil, err
	}
	turn.Connection = r.connection()
	return turn, timeOf(lease), nil
}

// BeginRefresh implements [tokenvault.RefreshStore].
func (s *Store) BeginRefresh(ctx context.Context, cmd tokenvault.RefreshClaim) (tokenvault.RefreshTurn, error) {
	var turn tokenvault.RefreshTurn
	err := s.write(ctx, "begin refresh", cmd.Owner.Tenant, func(t *tx) error {
		var err error
		turn, _, err = scanTurn(t.row(ctx, sqlBeginRefresh, seenArgs(cmd.Owner, cmd.ConnectionID, cmd.Version, s.boundNow(), cmd.Lease)...))
		if err == nil {
			turn.Held, turn.Now = true, t.now
			return nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
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
	now, leaseUntil, err := scanTurn(t.row(ctx, sqlGetTurn, seenArgs(cmd.Owner, cmd.ConnectionID)...))
	if err != nil {
		return tokenvault.RefreshTurn{}, err
	}
	turn := tokenvault.RefreshTurn{Connection: now.Connection, WrappedKey: now.WrappedKey, Now: t.now}
	if turn.Connection.Status == tokenvault.ConnectionActive && turn.Connection.Version == cmd.Version {
		turn.RetryIn = max(leaseUntil.Sub(t.now), time.Millisecond) // the lease may have ended since
	}
	return turn, nil
}

const (
	sqlCommitRefresh = `UPDATE tv.connections SET version = version + 1, scopes = $7, expires_at = $8, obtained_at = $9,
			updated_at = $9, key_space = $10, key_version = $11, sealed = $12,
			fence = fence + 1, lease_until = NULL, marked = false, uncertain = false
		WHERE ` + seen + ` AND fence = $6 AND marked
		RETURNING ` + connectionColumns

	// Ending a turn moves the fence on, so that its holder cannot end it twice.
	sqlFailRefresh = `UPDATE tv.connections SET status = CASE WHEN $7 = '' THEN status ELSE 'needs_reauth' END, reason = $7,
			updated_at = $8, fence = fence + 1, lease_until = $9, marked = $10, uncertain = false
		WHERE ` + seen + ` AND fence = $6 AND status = 'active' AND marked
		RETURNING ` + connectionColumnsBare
)

// CommitRefresh implements [tokenvault.RefreshStore]. A turn whose lease ran out
// is not over until somebody else begins one.
func (s *Store) CommitRefresh(ctx context.Context, cmd tokenvault.RefreshCommit) (tokenvault.SealedConnection, error) {
	var stored tokenvault.SealedConnection
	err := s.write(ctx, "commit refresh", cmd.Owner.Tenant, func(t *tx) error {
		args := seenArgs(cmd.Owner, cmd.ConnectionID, cmd.Fence, scopesColumn(cmd.Scopes), t.expiry(cmd.ExpiresIn), t.now)
		var err error
		stored, err = scanConnection(t.row(ctx, sqlCommitRefresh, append(args, recordArgs(cmd.Record)...)...))
		if errors.Is(err, pgx.ErrNoRows) {
			return t.fenced(ctx, cmd.Owner, cmd.ConnectionID)
		}
		if err != nil {
			return err
		}
		if err := t.checkKey(ctx, cmd.Owner.Tenant, cmd.Record); err != nil {
			return err
		}
		t.appendEvents(cmd.Event)
		return nil
	})
	if err != nil {
		return tokenvault.SealedConnection{}, err
	}
	return stored, nil
}

// FailRefresh implements [tokenvault.RefreshStore].
func (s *Store) FailRefresh(ctx context.Context, cmd tokenvault.RefreshFailure) error {
	return s.write(ctx, "fail refresh", cmd.Owner.Tenant, func(t *tx) error {
		failed, err := scanBareConnection(t.row(ctx, sqlFailRefresh, seenArgs(cmd.Owner, cmd.ConnectionID, cmd.Fence, string(cmd.Reason), t.now,
			t.expiry(cmd.HoldOff), cmd.KeepMark)...))
		if errors.Is(err, pgx.ErrNoRows) {
			return t.fenced(ctx, cmd.Owner, cmd.ConnectionID)
		}
		if err != nil {
			return err
		}
		if cmd.Reason != "" {
			t.tellHooks(tokenvault.MessageOfConnection(tokenvault.WebhookConnectionReauth, failed))
		}
		t.appendEvents(cmd.Event)
		return nil
	})
}

// fenced tells a turn that is over from a connection that does not exist.
func (t *tx) fenced(ctx context.Context, owner tokenvault.Owner, id string) error {
	if _, err := scanConnection(t.row(ctx, sqlGetConnection, seenArgs(owner, id)...)); err != nil {
		return err
	}
	return tokenvault.ErrFenced
}
