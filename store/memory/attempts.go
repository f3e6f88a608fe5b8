package memory

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// BeginAttempt implements [tokenvault.AttemptStore].
func (s *Store) BeginAttempt(ctx context.Context, cmd tokenvault.NewAttempt) error {
	now, unlock, err := s.lock(ctx, "begin attempt")
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.request(cmd.Attempt.Owner, cmd.Attempt.AuthRequestID)
	if err == nil {
		err = pending(r, now)
	}
	if _, taken := s.attempts[cmd.Attempt.StateHash]; err == nil && taken {
		err = tokenvault.ErrConflict
	}
	if err == nil {
		err = s.checkKey(cmd.Attempt.Owner.Tenant, cmd.Attempt.Private)
	}
	if err != nil {
		return failed("begin attempt", err)
	}
	a := copyAttempt(cmd.Attempt)
	a.State, a.CreatedAt, a.ExpiresAt, a.PollAt = tokenvault.AttemptBegun, now, now.Add(cmd.TTL), time.Time{}
	if a.Interval > 0 {
		a.PollAt = now.Add(a.Interval)
	}
	s.attempts[a.StateHash] = a
	r.Notice, r.NoticedAt = "", time.Time{}
	s.keepRequest(r)
	s.write(now, cmd.Event)
	return nil
}

// AdvanceAttempt implements [tokenvault.AttemptStore].
func (s *Store) AdvanceAttempt(ctx context.Context, stateHash string, from, to tokenvault.AttemptState) (tokenvault.Attempt, error) {
	now, unlock, err := s.lock(ctx, "advance attempt")
	if err != nil {
		return tokenvault.Attempt{}, err
	}
	defer unlock()
	a, ok := s.attempts[stateHash]
	if !ok || a.State != from || !from.Leads(to) || over(a.ExpiresAt, now) {
		return tokenvault.Attempt{}, failed("advance attempt", tokenvault.ErrStateInvalid)
	}
	a.State = to
	s.attempts[stateHash] = a
	return copyAttempt(a), nil
}

// HandOver implements [tokenvault.AttemptStore].
func (s *Store) HandOver(ctx context.Context, cmd tokenvault.AttemptHandOver) error {
	now, unlock, err := s.lock(ctx, "hand over attempt")
	if err != nil {
		return err
	}
	defer unlock()
	a, ok := s.attempts[cmd.StateHash]
	if !ok || a.State != tokenvault.AttemptReturned || over(a.ExpiresAt, now) {
		return failed("hand over attempt", tokenvault.ErrStateInvalid)
	}
	if _, taken := s.attempts[cmd.NewHash]; taken {
		return failed("hand over attempt", tokenvault.ErrConflict)
	}
	if err := s.checkKey(a.Owner.Tenant, cmd.Private); err != nil {
		return failed("hand over attempt", err)
	}
	delete(s.attempts, cmd.StateHash)
	a.StateHash, a.Private = cmd.NewHash, copyRecord(cmd.Private)
	if end := now.Add(cmd.TTL); end.Before(a.ExpiresAt) {
		a.ExpiresAt = end
	}
	s.attempts[a.StateHash] = a
	return nil
}

// polled returns the begun attempt at which the provider is asked.
func (s *Store) polled(stateHash string, now time.Time) (tokenvault.Attempt, error) {
	a, ok := s.attempts[stateHash]
	if !ok || a.State != tokenvault.AttemptBegun || a.Interval == 0 || over(a.ExpiresAt, now) {
		return tokenvault.Attempt{}, tokenvault.ErrStateInvalid
	}
	return a, nil
}

// PollAttempt implements [tokenvault.AttemptStore].
func (s *Store) PollAttempt(ctx context.Context, stateHash string) (tokenvault.AttemptTurn, error) {
	now, unlock, err := s.lock(ctx, "poll attempt")
	if err != nil {
		return tokenvault.AttemptTurn{}, err
	}
	defer unlock()
	a, err := s.polled(stateHash, now)
	if err != nil {
		return tokenvault.AttemptTurn{}, failed("poll attempt", err)
	}
	held := over(a.PollAt, now)
	if held {
		a.PollAt = now.Add(a.Interval)
		s.attempts[stateHash] = a
	}
	return tokenvault.AttemptTurn{Attempt: copyAttempt(a), Held: held}, nil
}

// SlowAttempt implements [tokenvault.AttemptStore].
func (s *Store) SlowAttempt(ctx context.Context, stateHash string, by time.Duration) (tokenvault.Attempt, error) {
	now, unlock, err := s.lock(ctx, "slow attempt")
	if err != nil {
		return tokenvault.Attempt{}, err
	}
	defer unlock()
	a, err := s.polled(stateHash, now)
	if err != nil {
		return tokenvault.Attempt{}, failed("slow attempt", err)
	}
	a.Interval += by
	a.PollAt = now.Add(a.Interval)
	s.attempts[stateHash] = a
	return copyAttempt(a), nil
}

// GetAttempt implements [tokenvault.AttemptReader].
func (s *Store) GetAttempt(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.Attempt, error) {
	return s.latestAttempt(ctx, "get attempt", func(a tokenvault.Attempt) bool { return a.Owner == owner && a.ID == id })
}

// LatestAttempt implements [tokenvault.AttemptReader].
func (s *Store) LatestAttempt(ctx context.Context, owner tokenvault.Owner, authRequestID string) (tokenvault.Attempt, error) {
	return s.latestAttempt(ctx, "latest attempt", func(a tokenvault.Attempt) bool {
		return a.Owner == owner && a.AuthRequestID == authRequestID
	})
}

// later orders attempts of one instant: the one that is open is the later.
func later(a, b tokenvault.Attempt) bool {
	if !a.CreatedAt.Equal(b.CreatedAt) {
		return a.CreatedAt.After(b.CreatedAt)
	}
	if open := a.State == tokenvault.AttemptBegun; open != (b.State == tokenvault.AttemptBegun) {
		return open
	}
	return a.ID > b.ID
}

func (s *Store) latestAttempt(ctx context.Context, op string, wanted func(tokenvault.Attempt) bool) (tokenvault.Attempt, error) {
	now, unlock, err := s.lock(ctx, op)
	if err != nil {
		return tokenvault.Attempt{}, err
	}
	defer unlock()
	var latest tokenvault.Attempt
	for _, a := range s.attempts {
		if wanted(a) && !over(a.ExpiresAt, now) && (latest.ID == "" || later(a, latest)) {
			latest = a
		}
	}
	if latest.ID == "" {
		return tokenvault.Attempt{}, failed(op, tokenvault.ErrNotFound)
	}
	return copyAttempt(latest), nil
}

// UseNonce implements [tokenvault.NonceStore].
func (s *Store) UseNonce(ctx context.Context, cmd tokenvault.Nonce) error {
	now, unlock, err := s.lock(ctx, "use nonce")
	if err != nil {
		return err
	}
	defer unlock()
	key := rowID{cmd.Tenant, cmd.Hash}
	if end, used := s.nonces[key]; used && !over(end, now) {
		return failed("use nonce", tokenvault.ErrConflict)
	}
	s.nonces[key] = now.Add(cmd.TTL)
	return nil
}

// NonceUsed implements [tokenvault.NonceStore].
func (s *Store) NonceUsed(ctx context.Context, tenant, hash string) (bool, error) {
	now, unlock, err := s.lock(ctx, "nonce used")
	if err != nil {
		return false, err
	}
	defer unlock()
	end, used := s.nonces[rowID{tenant, hash}]
	return used && !over(end, now), nil
}

// deleteShortLived deletes the attempts and nonces whose time is over.
func (s *Store) deleteShortLived(now time.Time) {
	maps.DeleteFunc(s.attempts, func(_ string, a tokenvault.Attempt) bool { return over(a.ExpiresAt, now) })
	maps.DeleteFunc(s.nonces, func(_ rowID, end time.Time) bool { return over(end, now) })
}

func copyAttempt(a tokenvault.Attempt) tokenvault.Attempt {
	a.Scopes = slices.Clone(a.Scopes)
	a.Private = copyRecord(a.Private)
	return a
}
