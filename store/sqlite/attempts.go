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
	issuer, return_url, scopes, permission_ttl, new_account, state, created_at, expires_at, key_space, key_version, sealed`

func scanAttempt(from row) (tokenvault.Attempt, error) {
	var a tokenvault.Attempt
	var scopes string
	var ttl, created, expires, keyVersion int64
	err := from.Scan(&a.Owner.Tenant, &a.ID, &a.AuthRequestID, &a.Owner.OrganizationID, &a.Owner.UserID, &a.ProviderID, &a.AppID,
		&a.StateHash, &a.BrowserHash, &a.Issuer, &a.ReturnURL, &scopes, &ttl, &a.NewAccount, (*string)(&a.State), &created, &expires,
		&a.Private.KeySpace, &keyVersion, (*[]byte)(&a.Private.Blob))
	if err != nil {
		return tokenvault.Attempt{}, err
	}
	a.PermissionTTL = time.Duration(ttl) * time.Microsecond
	a.CreatedAt, a.ExpiresAt = timeOf(created), timeOf(expires)
	a.Private.KeyVersion = uint32(keyVersion) //nolint:gosec // written from a uint32
	a.Scopes, err = scopesOf(scopes)
	return a, err
}

const sqlInsertAttempt = `INSERT INTO attempts (` + attemptColumns + `)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'begun', ?, ?, ?, ?, ?)`

// BeginAttempt implements [tokenvault.AttemptStore].
func (s *Store) BeginAttempt(ctx context.Context, cmd tokenvault.NewAttempt) error {
	return s.write(ctx, "begin attempt", func(t *tx) error {
		a := cmd.Attempt
		if _, err := t.pending(ctx, a.Owner, a.AuthRequestID); err != nil {
			return err
		}
		args := append([]any{
			a.Owner.Tenant, a.ID, a.AuthRequestID, a.Owner.OrganizationID, a.Owner.UserID, a.ProviderID, a.AppID, a.StateHash,
			a.BrowserHash, a.Issuer, a.ReturnURL, scopesColumn(a.Scopes), a.PermissionTTL.Microseconds(), a.NewAccount, t.now, t.after(cmd.TTL),
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
