package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// attemptColumns is for scanAttempt.
const attemptColumns = `tenant, id, auth_request_id, organization_id, user_id, provider_id, app_id, state_hash, browser_hash,
	issuer, return_url, scopes, permission_ttl, new_account, poll_interval, poll_at, state, created_at, expires_at, key_space, key_version, sealed`

func scanAttempt(from row) (tokenvault.Attempt, error) {
	var a tokenvault.Attempt
	var scopes string
	var ttl, interval, pollAt, created, expires, keyVersion int64
	err := from.Scan(&a.Owner.Tenant, &a.ID, &a.AuthRequestID, &a.Owner.OrganizationID, &a.Owner.UserID, &a.ProviderID, &a.AppID,
		&a.StateHash, &a.BrowserHash, &a.Issuer, &a.ReturnURL, &scopes, &ttl, &a.NewAccount, &interval, &pollAt, (*string)(&a.State), &created, &expires,
		&a.Private.KeySpace, &keyVersion, (*[]byte)(&a.Private.Blob))
	if err != nil {
		return tokenvault.Attempt{}, err
	}
	a.PermissionTTL, a.Interval = time.Duration(ttl)*time.Microsecond, time.Duration(interval)*time.Microsecond
	a.PollAt = timeOf(pollAt)
	a.CreatedAt, a.ExpiresAt = timeOf(created), timeOf(expires)
	a.Private.KeyVersion = uint32(keyVersion) //nolint:gosec // written from a uint32
	a.Scopes, err = scopesOf(scopes)
	return a, err
}

const sqlInsertAttempt = `INSERT INTO attempts (` + attemptColumns + `)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'begun', ?, ?, ?, ?, ?)`

// BeginAttempt implements [tokenvault.AttemptStore].
func (s *Store) BeginAttempt(ctx context.Context, cmd tokenvault.NewAttempt) error {
	return s.write(ctx, "begin attempt", func(t *tx) error {
		a := cmd.Attempt
		req, err := t.pending(ctx, a.Owner, a.AuthRequestID)
		if err == nil && req.Notice != "" {
			_, err = t.exec(ctx, sqlNote, "", 0, a.Owner.Tenant, a.AuthRequestID)
		}
		if err != nil {
			return err
		}
		args := append([]any{
			a.Owner.Tenant, a.ID, a.AuthRequestID, a.Owner.OrganizationID, a.Owner.UserID, a.ProviderID, a.AppID, a.StateHash,
			a.BrowserHash, a.Issuer, a.ReturnURL, scopesColumn(a.Scopes), a.PermissionTTL.Microseconds(), a.NewAccount,
			a.Interval.Microseconds(), t.firstPoll(a), t.now, t.after(cmd.TTL),
		}, recordArgs(a.Private)...)
		if _, err := t.exec(ctx, sqlInsertAttempt, args...); err != nil {
			return err
		}
		if err := t.checkKey(ctx, a.Owner.Tenant, a.Private); err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Event)
	})
}

const sqlExpireAttempts = `DELETE FROM attempts WHERE expires_at <= ?`

const sqlAdvanceAttempt = `UPDATE attempts SET state = ? WHERE state_hash = ? AND state = ? AND expires_at > ?
	RETURNING ` + attemptColumns

// AdvanceAttempt implements [tokenvault.AttemptStore].
func (s *Store) AdvanceAttempt(ctx context.Context, stateHash string, from, to tokenvault.AttemptState) (tokenvault.Attempt, error) {
	var attempt tokenvault.Attempt
	err := s.write(ctx, "advance attempt", func(t *tx) error {
		if !from.Leads(to) {
			return tokenvault.ErrStateInvalid
		}
		var err error
		attempt, err = scanAttempt(t.QueryRowContext(ctx, sqlAdvanceAttempt, string(to), stateHash, string(from), t.now))
		if errors.Is(err, sql.ErrNoRows) {
			return tokenvault.ErrStateInvalid
		}
		return err
	})
	if err != nil {
		return tokenvault.Attempt{}, err
	}
	return attempt, nil
}

// firstPoll returns when the provider may be asked about an attempt for the first
// time.
func (t *tx) firstPoll(a tokenvault.Attempt) int64 {
	if a.Interval == 0 {
		return 0
	}
	return t.after(a.Interval)
}

const (
	sqlPollAttempt = `UPDATE attempts SET poll_at = ?2 + poll_interval WHERE state_hash = ?1 AND poll_at <= ?2
		AND state = 'begun' AND poll_interval > 0 AND expires_at > ?2 RETURNING ` + attemptColumns
	sqlPolledAttempt = `SELECT ` + attemptColumns + ` FROM attempts
		WHERE state_hash = ?1 AND state = 'begun' AND poll_interval > 0 AND expires_at > ?2`
	sqlSlowAttempt = `UPDATE attempts SET poll_interval = poll_interval + ?3, poll_at = ?2 + poll_interval + ?3
		WHERE state_hash = ?1 AND state = 'begun' AND poll_interval > 0 AND expires_at > ?2 RETURNING ` + attemptColumns
)

// PollAttempt implements [tokenvault.AttemptStore].
func (s *Store) PollAttempt(ctx context.Context, stateHash string) (tokenvault.AttemptTurn, error) {
	var turn tokenvault.AttemptTurn
	err := s.write(ctx, "poll attempt", func(t *tx) error {
		var err error
		turn.Attempt, err = scanAttempt(t.QueryRowContext(ctx, sqlPollAttempt, stateHash, t.now))
		turn.Held = err == nil
		if errors.Is(err, sql.ErrNoRows) {
			turn.Attempt, err = scanAttempt(t.QueryRowContext(ctx, sqlPolledAttempt, stateHash, t.now))
		}
		if errors.Is(err, sql.ErrNoRows) {
			return tokenvault.ErrStateInvalid
		}
		return err
	})
	if err != nil {
		return tokenvault.AttemptTurn{}, err
	}
	return turn, nil
}

// SlowAttempt implements [tokenvault.AttemptStore].
func (s *Store) SlowAttempt(ctx context.Context, stateHash string, by time.Duration) (tokenvault.Attempt, error) {
	var attempt tokenvault.Attempt
	err := s.write(ctx, "slow attempt", func(t *tx) error {
		var err error
		attempt, err = scanAttempt(t.QueryRowContext(ctx, sqlSlowAttempt, stateHash, t.now, by.Microseconds()))
		if errors.Is(err, sql.ErrNoRows) {
			return tokenvault.ErrStateInvalid
		}
		return err
	})
	if err != nil {
		return tokenvault.Attempt{}, err
	}
	return attempt, nil
}

const (
	sqlReadAttempt = `SELECT ` + attemptColumns + ` FROM attempts
		WHERE tenant = ?2 AND organization_id = ?3 AND user_id = ?4 AND expires_at > ` + sqlNow
	sqlGetAttempt    = sqlReadAttempt + ` AND id = ?5`
	sqlLatestAttempt = sqlReadAttempt + ` AND auth_request_id = ?5 ORDER BY created_at DESC, (state = 'begun') DESC, id DESC LIMIT 1`
)

// GetAttempt implements [tokenvault.AttemptReader].
func (s *Store) GetAttempt(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.Attempt, error) {
	return get(ctx, s, "get attempt", scanAttempt, sqlGetAttempt, s.boundNow(), owner.Tenant, owner.OrganizationID, owner.UserID, id)
}

// LatestAttempt implements [tokenvault.AttemptReader].
func (s *Store) LatestAttempt(ctx context.Context, owner tokenvault.Owner, authRequestID string) (tokenvault.Attempt, error) {
	return get(ctx, s, "latest attempt", scanAttempt, sqlLatestAttempt,
		s.boundNow(), owner.Tenant, owner.OrganizationID, owner.UserID, authRequestID)
}

const sqlHandOver = `UPDATE attempts SET state_hash = ?, key_space = ?, key_version = ?, sealed = ?, expires_at = min(expires_at, ?)
	WHERE state_hash = ? AND state = 'returned' AND expires_at > ? RETURNING tenant`

// HandOver implements [tokenvault.AttemptStore].
func (s *Store) HandOver(ctx context.Context, cmd tokenvault.AttemptHandOver) error {
	return s.write(ctx, "hand over attempt", func(t *tx) error {
		args := append([]any{cmd.NewHash}, recordArgs(cmd.Private)...)
		var tenant string
		err := t.QueryRowContext(ctx, sqlHandOver, append(args, t.after(cmd.TTL), cmd.StateHash, t.now)...).Scan(&tenant)
		if errors.Is(err, sql.ErrNoRows) {
			return tokenvault.ErrStateInvalid
		}
		if err != nil {
			return err
		}
		return t.checkKey(ctx, tenant, cmd.Private)
	})
}

const (
	// sqlUseNonce takes the place of one that may be forgotten.
	sqlUseNonce = `INSERT INTO nonces (tenant, hash, expires_at) VALUES (?1, ?2, ?3)
		ON CONFLICT (tenant, hash) DO UPDATE SET expires_at = excluded.expires_at WHERE expires_at <= ?4`
	sqlExpireNonces = `DELETE FROM nonces WHERE expires_at <= ?`
)

// UseNonce implements [tokenvault.NonceStore].
func (s *Store) UseNonce(ctx context.Context, cmd tokenvault.Nonce) error {
	return s.write(ctx, "use nonce", func(t *tx) error {
		changed, err := t.exec(ctx, sqlUseNonce, cmd.Tenant, cmd.Hash, t.after(cmd.TTL), t.now)
		if err == nil && changed == 0 {
			return tokenvault.ErrConflict
		}
		return err
	})
}

const sqlNonceUsed = `SELECT EXISTS (SELECT 1 FROM nonces WHERE tenant = ? AND hash = ? AND expires_at > ?)`

// NonceUsed implements [tokenvault.NonceStore].
func (s *Store) NonceUsed(ctx context.Context, tenant, hash string) (bool, error) {
	return get(ctx, s, "nonce used", scanBool, sqlNonceUsed, tenant, hash, s.boundNow())
}

func scanBool(from row) (yes bool, err error) {
	err = from.Scan(&yes)
	return yes, err
}
