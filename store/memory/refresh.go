package memory

import (
	"context"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// BeginRefresh implements [tokenvault.RefreshStore].
func (s *Store) BeginRefresh(ctx context.Context, cmd tokenvault.RefreshClaim) (tokenvault.RefreshTurn, error) {
	now, unlock, err := s.lock(ctx, "begin refresh")
	if err != nil {
		return tokenvault.RefreshTurn{}, err
	}
	defer unlock()
	c, err := s.connection(cmd.Owner, cmd.ConnectionID)
	if err != nil {
		return tokenvault.RefreshTurn{}, failed("begin refresh", err)
	}
	turn := tokenvault.RefreshTurn{Now: now, Connection: c.copied(), WrappedKey: s.wrappedKey(c)}
	if c.Status != tokenvault.ConnectionActive || c.Version != cmd.Version {
		return turn, nil
	}
	if now.Before(c.leaseUntil) {
		turn.RetryIn = c.leaseUntil.Sub(now)
		return turn, nil
	}
	turn.Held, turn.Uncertain = true, c.marked
	c.fence++
	c.underWay, c.marked, c.leaseUntil = true, true, now.Add(cmd.Lease)
	turn.Fence = c.fence
	s.keepConnection(c)
	return turn, nil
}

// turn returns the row of the turn with the fence. A turn whose lease ran out is
// not over until somebody else begins one: what it brings is better than
// nothing.
func (s *Store) turn(owner tokenvault.Owner, id string, fence int64) (connection, error) {
	c, err := s.connection(owner, id)
	if err != nil {
		return connection{}, err
	}
	if !c.underWay || c.fence != fence {
		return connection{}, tokenvault.ErrFenced
	}
	return c, nil
}

// CommitRefresh implements [tokenvault.RefreshStore].
func (s *Store) CommitRefresh(ctx context.Context, cmd tokenvault.RefreshCommit) (tokenvault.SealedConnection, error) {
	now, unlock, err := s.lock(ctx, "commit refresh")
	if err != nil {
		return tokenvault.SealedConnection{}, err
	}
	defer unlock()
	c, err := s.turn(cmd.Owner, cmd.ConnectionID, cmd.Fence)
	if err != nil {
		return tokenvault.SealedConnection{}, failed("commit refresh", err)
	}
	if err := s.checkKey(c.Owner.Tenant, cmd.Record); err != nil {
		return tokenvault.SealedConnection{}, failed("commit refresh", err)
	}
	c.Version++
	c.Record, c.Scopes = copyRecord(cmd.Record), slices.Clone(cmd.Scopes)
	c.ExpiresAt, c.ObtainedAt, c.UpdatedAt = expiry(now, cmd.ExpiresIn), now, now
	c.fenceOff()
	s.keepConnection(c)
	s.write(now, cmd.Event)
	return c.copied(), nil
}

// FailRefresh implements [tokenvault.RefreshStore].
func (s *Store) FailRefresh(ctx context.Context, cmd tokenvault.RefreshFailure) error {
	now, unlock, err := s.lock(ctx, "fail refresh")
	if err != nil {
		return err
	}
	defer unlock()
	c, err := s.turn(cmd.Owner, cmd.ConnectionID, cmd.Fence)
	if err != nil {
		return failed("fail refresh", err)
	}
	if cmd.Reason != "" {
		c.Status, c.Reason = tokenvault.ConnectionNeedsReauth, cmd.Reason
	}
	c.UpdatedAt = now
	c.underWay, c.marked, c.leaseUntil = false, cmd.KeepMark, time.Time{}
	if cmd.HoldOff > 0 {
		c.leaseUntil = now.Add(cmd.HoldOff)
	}
	s.keepConnection(c)
	if cmd.Reason != "" {
		s.tell(now, tokenvault.MessageOfConnection(tokenvault.WebhookConnectionReauth, c.Connection))
	}
	s.write(now, cmd.Event)
	return nil
}
