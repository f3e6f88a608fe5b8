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
	if err != nil {
		return failed("begin attempt", err)
	}
	a := copyAttempt(cmd.Attempt)
	a.State, a.CreatedAt, a.ExpiresAt = tokenvault.AttemptBegun, now, now.Add(cmd.TTL)
	s.attempts[a.StateHash] = a
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

// deleteAttempts deletes the attempts whose time is over.
func (s *Store) deleteAttempts(now time.Time) {
	maps.DeleteFunc(s.attempts, func(_ string, a tokenvault.Attempt) bool { return over(a.ExpiresAt, now) })
}

func copyAttempt(a tokenvault.Attempt) tokenvault.Attempt {
	a.Scopes = slices.Clone(a.Scopes)
	a.Private = copyRecord(a.Private)
	return a
}
