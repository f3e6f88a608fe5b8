package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

// attemptColumns is for scanAttempt.
const attemptColumns = `tenant, id, auth_request_id, organization_id, user_id, provider_id, app_id, state_hash, browser_hash,
	issuer, return_url, scopes, permission_ttl, new_account, poll_interval, poll_at, state, created_at, expires_at,
	key_space, key_version, sealed`

func scanAttempt(from row) (tokenvault.Attempt, error) {
	var a tokenvault.Attempt
	var ttl, interval, keyVersion int64
	var pollAt *time.Time
	err := from.Scan(&a.Owner.Tenant, &a.ID, &a.AuthRequestID, &a.Owner.OrganizationID, &a.Owner.UserID, &a.ProviderID, &a.AppID,
		&a.StateHash, &a.BrowserHash, &a.Issuer, &a.ReturnURL, &a.Scopes, &ttl, &a.NewAccount, &interval, &pollAt, (*string)(&a.State), &a.CreatedAt, &a.ExpiresAt,
		&a.Private.KeySpace, &keyVersion, (*[]byte)(&a.Private.Blob))
	if err != nil {
		return tokenvault.Attempt{}, err
	}
	a.PermissionTTL, a.Interval = time.Duration(ttl)*time.Microsecond, time.Duration(interval)*time.Microsecond
	a.PollAt = timeOf(pollAt)
	a.CreatedAt, a.ExpiresAt = a.CreatedAt.UTC(), a.ExpiresAt.UTC()
	a.Private.KeyVersion = uint32(keyVersion) //nolint:gosec // written from a uint32
	return a, nil
}

const sqlInsertAttempt = `INSERT INTO tv.attempts (` + attemptColumns + `)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 'begun', $17, $18, $19, $20, $21)`

// BeginAttempt implements [tokenvault.AttemptStore].
func (s *Store) BeginAttempt(ctx context.Context, cmd tokenvault.NewAttempt) error {
	return s.write(ctx, "begin attempt", cmd.Attempt.Owner.Tenant, func(t *tx) error {
		a := cmd.Attempt
		req, err := t.pending(ctx, a.Owner, a.AuthRequestID)
		if err == nil && req.Notice != "" {
			_, err = t.exec(ctx, sqlNote, a.Owner.Tenant, a.AuthRequestID, "", nil)
			t.tell(a.AuthRequestID)
		}
		if err != nil {
			return err
		}
		args := append([]any{
			a.Owner.Tenant, a.ID, a.AuthRequestID, a.Owner.OrganizationID, a.Owner.UserID, a.ProviderID, a.AppID, a.StateHash,
			a.BrowserHash, a.Issuer, a.ReturnURL, scopesColumn(a.Scopes), a.PermissionTTL.Microseconds(), a.NewAccount,
			a.Interval.Microseconds(), t.expiry(a.Interval), t.now, t.after(cmd.TTL),
		}, recordArgs(a.Private)...)
		if _, err := t.exec(ctx, sqlInsertAttempt, args...); err != nil {
			return err
		}
		if err := t.checkKey(ctx, a.Owner.Tenant, a.Private); err != nil {
			return err
		}
		t.appendEvents(cmd.Event)
		return nil
	})
}

const (
	sqlTenantOfAttempt = `SELECT tv.tenant_of_attempt($1)`
	sqlAdvanceAttempt  = `UPDATE tv.attempts SET state = $4 WHERE tenant = $1 AND state_hash = $2 AND state = $3
			AND expires_at > coalesce($5::timestamptz, clock_timestamp())
		RETURNING ` + attemptColumns
	sqlHandOver = `UPDATE tv.attempts SET state_hash = $3, expires_at = least(expires_at, $4),
			key_space = $6, key_version = $7, sealed = $8
		WHERE tenant = $1 AND state_hash = $2 AND state = 'returned' AND expires_at > $5`
)

// AdvanceAttempt implements [tokenvault.AttemptStore].
func (s *Store) AdvanceAttempt(ctx context.Context, stateHash string, from, to tokenvault.AttemptState) (tokenvault.Attempt, error) {
	var attempt tokenvault.Attempt
	if !from.Leads(to) {
		return attempt, s.wrap("advance attempt", tokenvault.ErrStateInvalid)
	}
	err := s.ofAttempt(ctx, "advance attempt", stateHash, func(t *tx, tenant string) error {
		var err error
		attempt, err = scanAttempt(t.row(ctx, sqlAdvanceAttempt, tenant, stateHash, string(from), string(to), s.boundNow()))
		if errors.Is(err, pgx.ErrNoRows) {
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
	polled = `tenant = $1 AND state_hash = $2 AND state = 'begun' AND poll_interval > 0 AND expires_at > $3`

	sqlPollAttempt = `UPDATE tv.attempts SET poll_at = $3 + poll_interval * interval '1 microsecond'
		WHERE ` + polled + ` AND poll_at <= $3 RETURNING ` + attemptColumns
	sqlPolledAttempt = `SELECT ` + attemptColumns + ` FROM tv.attempts WHERE ` + polled
	sqlSlowAttempt   = `UPDATE tv.attempts SET poll_interval = poll_interval + $4,
			poll_at = $3 + (poll_interval + $4) * interval '1 microsecond'
		WHERE ` + polled + ` RETURNING ` + attemptColumns
)

// PollAttempt implements [tokenvault.AttemptStore].
func (s *Store) PollAttempt(ctx context.Context, stateHash string) (tokenvault.AttemptTurn, error) {
	var turn tokenvault.AttemptTurn
	err := s.ofAttempt(ctx, "poll attempt", stateHash, func(t *tx, tenant string) error {
		var err error
		turn.Attempt, err = scanAttempt(t.row(ctx, sqlPollAttempt, tenant, stateHash, t.now))
		turn.Held = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			turn.Attempt, err = scanAttempt(t.row(ctx, sqlPolledAttempt, tenant, stateHash, t.now))
		}
		if errors.Is(err, pgx.ErrNoRows) {
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
	err := s.ofAttempt(ctx, "slow attempt", stateHash, func(t *tx, tenant string) error {
		var err error
		attempt, err = scanAttempt(t.row(ctx, sqlSlowAttempt, tenant, stateHash, t.now, by.Microseconds()))
		if errors.Is(err, pgx.ErrNoRows) {
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
	sqlReadAttempt = `SELECT ` + attemptColumns + ` FROM tv.attempts
		WHERE tenant = $2 AND organization_id = $3 AND user_id = $4 AND expires_at > coalesce($1::timestamptz, clock_timestamp())`
	sqlGetAttempt    = sqlReadAttempt + ` AND id = $5`
	sqlLatestAttempt = sqlReadAttempt + ` AND auth_request_id = $5 ORDER BY created_at DESC, (state = 'begun') DESC, id DESC LIMIT 1`
)

// GetAttempt implements [tokenvault.AttemptReader].
func (s *Store) GetAttempt(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.Attempt, error) {
	return get(ctx, s, "get attempt", owner.Tenant, scanAttempt, sqlGetAttempt,
		s.boundNow(), owner.Tenant, owner.OrganizationID, owner.UserID, id)
}

// LatestAttempt implements [tokenvault.AttemptReader].
func (s *Store) LatestAttempt(ctx context.Context, owner tokenvault.Owner, authRequestID string) (tokenvault.Attempt, error) {
	return get(ctx, s, "latest attempt", owner.Tenant, scanAttempt, sqlLatestAttempt,
		s.boundNow(), owner.Tenant, owner.OrganizationID, owner.UserID, authRequestID)
}

// HandOver implements [tokenvault.AttemptStore].
func (s *Store) HandOver(ctx context.Context, cmd tokenvault.AttemptHandOver) error {
	return s.ofAttempt(ctx, "hand over attempt", cmd.StateHash, func(t *tx, tenant string) error {
		args := append([]any{tenant, cmd.StateHash, cmd.NewHash, t.after(cmd.TTL), t.now}, recordArgs(cmd.Private)...)
		changed, err := t.exec(ctx, sqlHandOver, args...)
		if err == nil && changed == 0 {
			return tokenvault.ErrStateInvalid
		}
		if err != nil {
			return err
		}
		return t.checkKey(ctx, tenant, cmd.Private)
	})
}

// ofAttempt runs fn in a transaction of the tenant of the attempt with the hash.
func (s *Store) ofAttempt(ctx context.Context, op, stateHash string, fn func(t *tx, tenant string) error) error {
	tenants, err := s.tenants(ctx, op, sqlTenantOfAttempt, stateHash)
	if err != nil {
		return err
	}
	if len(tenants) == 0 {
		return s.wrap(op, tokenvault.ErrStateInvalid)
	}
	return s.write(ctx, op, tenants[0], func(t *tx) error { return fn(t, tenants[0]) })
}

// sqlUseNonce takes the place of one that may be forgotten.
const sqlUseNonce = `INSERT INTO tv.nonces AS nonces (tenant, hash, expires_at) VALUES ($1, $2, $3)
	ON CONFLICT (tenant, hash) DO UPDATE SET expires_at = excluded.expires_at WHERE nonces.expires_at <= $4`

// UseNonce implements [tokenvault.NonceStore].
func (s *Store) UseNonce(ctx context.Context, cmd tokenvault.Nonce) error {
	return s.write(ctx, "use nonce", cmd.Tenant, func(t *tx) error {
		changed, err := t.exec(ctx, sqlUseNonce, cmd.Tenant, cmd.Hash, t.after(cmd.TTL), t.now)
		if err == nil && changed == 0 {
			return tokenvault.ErrConflict
		}
		return err
	})
}

const sqlNonceUsed = `SELECT EXISTS (SELECT 1 FROM tv.nonces WHERE tenant = $1 AND hash = $2 AND expires_at > $3)`

// NonceUsed implements [tokenvault.NonceStore].
func (s *Store) NonceUsed(ctx context.Context, tenant, hash string) (bool, error) {
	return get(ctx, s, "nonce used", tenant, scanBool, sqlNonceUsed, tenant, hash, s.boundNow())
}

func scanBool(from row) (yes bool, err error) {
	err = from.Scan(&yes)
	return yes, err
}
