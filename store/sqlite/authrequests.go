package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// authRequestColumns is for scanAuthRequest.
const authRequestColumns = `tenant, id, organization_id, user_id, agent_id, provider_id, provider_name, auth_method,
	connection_id, reason, scopes, release, run_id, thread_id, status, failure_code, connect_url,
	created_at, expires_at, settled_at, notice, noticed_at`

func scanAuthRequest(from row) (tokenvault.AuthRequest, error) {
	var r tokenvault.AuthRequest
	var scopes string
	var created, expires, settled, noticed int64
	err := from.Scan(&r.Owner.Tenant, &r.ID, &r.Owner.OrganizationID, &r.Owner.UserID, &r.AgentID, &r.ProviderID, &r.ProviderName,
		(*string)(&r.AuthMethod), &r.ConnectionID, (*string)(&r.Reason), &scopes, (*string)(&r.Release), &r.RunID, &r.ThreadID,
		(*string)(&r.Status), &r.FailureCode, &r.ConnectURL, &created, &expires, &settled,
		(*string)(&r.Notice), &noticed)
	if err != nil {
		return tokenvault.AuthRequest{}, err
	}
	r.CreatedAt, r.ExpiresAt, r.SettledAt, r.NoticedAt = timeOf(created), timeOf(expires), timeOf(settled), timeOf(noticed)
	if r.Status.Settled() { // what stands in its row counts no more
		r.Notice, r.NoticedAt = "", time.Time{}
	}
	r.Scopes, err = scopesOf(scopes)
	return r, err
}

const (
	expireSet      = `UPDATE auth_requests SET status = 'expired', settled_at = ?1 `
	sqlExpireByKey = expireSet + `WHERE tenant = ?2 AND request_key = ?3 AND status = 'pending' AND expires_at <= ?1
		RETURNING ` + authRequestColumns
	sqlPendingByKey = `SELECT ` + authRequestColumns + ` FROM auth_requests
		WHERE tenant = ? AND request_key = ? AND status = 'pending'`
	sqlInsertAuthRequest = `INSERT INTO auth_requests (request_key, ` + authRequestColumns + `)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', '', ?, ?, ?, 0, '', 0)
		RETURNING ` + authRequestColumns
)

// OpenOrJoin implements [tokenvault.AuthRequestStore]. The event tells that a
// request was opened, so it is not written when one is joined.
func (s *Store) OpenOrJoin(ctx context.Context, cmd tokenvault.NewAuthRequest) (req tokenvault.AuthRequest, joined bool, err error) {
	err = s.write(ctx, "open auth request", func(t *tx) error {
		key, tenant := cmd.Request.Key(), cmd.Request.Owner.Tenant
		if _, err := t.expire(ctx, sqlExpireByKey, t.now, tenant, key); err != nil {
			return err
		}
		req, err = scanAuthRequest(t.QueryRowContext(ctx, sqlPendingByKey, tenant, key))
		if joined = err == nil; joined || !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if req, err = t.insertAuthRequest(ctx, key, cmd); err != nil {
			return err
		}
		if err := t.tell(ctx, tokenvault.MessageOfRequest(req)); err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Event)
	})
	if err != nil {
		return tokenvault.AuthRequest{}, false, err
	}
	return req, joined, nil
}

func (t *tx) insertAuthRequest(ctx context.Context, key string, cmd tokenvault.NewAuthRequest) (tokenvault.AuthRequest, error) {
	r := cmd.Request
	return scanAuthRequest(t.QueryRowContext(ctx, sqlInsertAuthRequest, key,
		r.Owner.Tenant, r.ID, r.Owner.OrganizationID, r.Owner.UserID, r.AgentID, r.ProviderID, r.ProviderName, string(r.AuthMethod),
		r.ConnectionID, string(r.Reason), scopesColumn(r.Scopes), string(r.Release), r.RunID, r.ThreadID,
		r.ConnectURL, t.now, t.after(cmd.TTL)))
}

// The queries read a request whose time is over as expired, also if nothing has
// settled it yet.
const (
	sqlReadAuthRequest = `SELECT tenant, id, organization_id, user_id, agent_id, provider_id, provider_name, auth_method,
		connection_id, reason, scopes, release, run_id, thread_id, iif(over, 'expired', status), failure_code, connect_url,
		created_at, expires_at, settled_at, notice, noticed_at
	FROM (SELECT *, status = 'pending' AND expires_at <= ` + sqlNow + ` AS over FROM auth_requests
		WHERE tenant = ?2 AND id = ?3`
	sqlGetAuthRequest  = sqlReadAuthRequest + ` AND organization_id = ?4 AND user_id = ?5)`
	sqlFindAuthRequest = sqlReadAuthRequest + `)`
)

// GetAuthRequest implements [tokenvault.AuthRequestStore].
func (s *Store) GetAuthRequest(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.AuthRequest, error) {
	return get(ctx, s, "get auth request", scanAuthRequest, sqlGetAuthRequest,
		s.boundNow(), owner.Tenant, id, owner.OrganizationID, owner.UserID)
}

// FindAuthRequest implements [tokenvault.AuthRequestStore].
func (s *Store) FindAuthRequest(ctx context.Context, tenant, id string) (tokenvault.AuthRequest, error) {
	return get(ctx, s, "find auth request", scanAuthRequest, sqlFindAuthRequest, s.boundNow(), tenant, id)
}

// pending returns a request of exactly this owner on which may be decided now.
// It fails with ErrExpired if its time is over and with ErrConflict if it was
// settled.
func (t *tx) pending(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.AuthRequest, error) {
	req, err := scanAuthRequest(t.QueryRowContext(ctx, sqlGetAuthRequest,
		t.now, owner.Tenant, id, owner.OrganizationID, owner.UserID))
	switch {
	case err != nil:
		return req, err
	case req.Status == tokenvault.AuthExpired:
		return req, tokenvault.ErrExpired
	case req.Status.Settled():
		return req, tokenvault.ErrConflict
	}
	return req, nil
}

const sqlSettle = `UPDATE auth_requests SET status = ?, failure_code = ?, connection_id = ?, settled_at = ?
	WHERE tenant = ? AND id = ? AND status = 'pending' RETURNING ` + authRequestColumns

// Settle implements [tokenvault.AuthRequestStore].
func (s *Store) Settle(ctx context.Context, cmd tokenvault.Settlement) (tokenvault.AuthRequest, error) {
	if !cmd.Status.Settled() || cmd.Status == "" {
		return tokenvault.AuthRequest{}, fmt.Errorf("sqlite: settle: %w", &tokenvault.FieldError{Field: "status", Reason: "must be final"})
	}
	var settled tokenvault.AuthRequest
	err := s.write(ctx, "settle", func(t *tx) error {
		req, err := t.pending(ctx, cmd.Owner, cmd.AuthRequestID)
		if err != nil {
			return err
		}
		connectionID, err := t.settleParts(ctx, cmd)
		if err != nil {
			return err
		}
		if connectionID == "" || cmd.Status != tokenvault.AuthConnected {
			connectionID = req.ConnectionID
		}
		settled, err = scanAuthRequest(t.QueryRowContext(ctx, sqlSettle, string(cmd.Status), cmd.FailureCode, connectionID, t.now,
			req.Owner.Tenant, req.ID))
		if err == nil {
			err = t.tell(ctx, tokenvault.MessageOfRequest(settled))
		}
		if err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Events...)
	})
	if err != nil {
		return tokenvault.AuthRequest{}, err
	}
	return settled, nil
}

const sqlNote = `UPDATE auth_requests SET notice = ?, noticed_at = ? WHERE tenant = ? AND id = ? RETURNING ` + authRequestColumns

// NoteAuthRequest implements [tokenvault.NoticeStore].
func (s *Store) NoteAuthRequest(ctx context.Context, owner tokenvault.Owner, id string, notice tokenvault.AuthNotice) (tokenvault.AuthRequest, error) {
	var noted tokenvault.AuthRequest
	err := s.write(ctx, "note auth request", func(t *tx) error {
		_, err := t.pending(ctx, owner, id)
		if err == nil {
			noted, err = scanAuthRequest(t.QueryRowContext(ctx, sqlNote, string(notice), t.now, owner.Tenant, id))
		}
		return err
	})
	if err != nil {
		return tokenvault.AuthRequest{}, err
	}
	return noted, nil
}

// settleParts stores the connection and the permission that come of a request,
// and returns which connection it ended with.
func (t *tx) settleParts(ctx context.Context, cmd tokenvault.Settlement) (connectionID string, err error) {
	if cmd.Connection != nil {
		if !cmd.Owner.Sees(cmd.Connection.Owner) {
			return "", tokenvault.ErrNotFound
		}
		if err := t.settleConnection(ctx, *cmd.Connection); err != nil {
			return "", err
		}
		if err := t.tell(ctx, cmd.Connection.MessageOf(timeOf(t.now))); err != nil {
			return "", err
		}
		connectionID = cmd.Connection.ID
	}
	if cmd.Permission != nil {
		if !cmd.Owner.Sees(cmd.Permission.Owner) {
			return "", tokenvault.ErrNotFound
		}
		if err := t.grant(ctx, *cmd.Permission, cmd.PermissionTTL); err != nil {
			return "", err
		}
		connectionID = cmd.Permission.ConnectionID
	}
	return connectionID, nil
}

const sqlExpireAuthRequests = expireSet + `
	WHERE rowid IN (SELECT rowid FROM auth_requests WHERE status = 'pending' AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
	RETURNING ` + authRequestColumns

// ExpireAuthRequests implements [tokenvault.AuthRequestStore].
func (s *Store) ExpireAuthRequests(ctx context.Context, limit int) ([]tokenvault.AuthRequest, error) {
	var expired []tokenvault.AuthRequest
	err := s.write(ctx, "expire auth requests", func(t *tx) error {
		for _, query := range []string{sqlExpireAttempts, sqlExpireNonces} {
			if _, err := t.exec(ctx, query, t.now); err != nil {
				return err
			}
		}
		var err error
		expired, err = t.expire(ctx, sqlExpireAuthRequests, t.now, max(limit, 0))
		return err
	})
	if err != nil {
		return nil, err
	}
	return expired, nil
}

// In the order of ids within one instant, which is the order of the index.
const sqlPruneAuthRequests = `DELETE FROM auth_requests WHERE rowid IN (
		SELECT rowid FROM auth_requests WHERE tenant = ?1 AND status <> 'pending' AND settled_at < ?2 ORDER BY settled_at, id LIMIT ?3)`

// PruneAuthRequests implements [tokenvault.AuthRequestStore]. Attempts go with
// their request.
func (s *Store) PruneAuthRequests(ctx context.Context, tenant string, age time.Duration, limit int) (int, error) {
	var pruned int64
	err := s.write(ctx, "prune auth requests", func(t *tx) (err error) {
		pruned, err = t.exec(ctx, sqlPruneAuthRequests, tenant, t.after(-age), max(limit, 0))
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(pruned), nil
}

// expire runs a query that settles requests as expired, and records each.
func (t *tx) expire(ctx context.Context, query string, args ...any) ([]tokenvault.AuthRequest, error) {
	rows, err := t.QueryContext(ctx, query, args...)
	expired, err := collect(rows, err, scanAuthRequest)
	if err != nil {
		return nil, err
	}
	for _, r := range expired {
		if err := t.tell(ctx, tokenvault.MessageOfRequest(r)); err != nil {
			return nil, err
		}
		err := t.appendEvents(ctx, tokenvault.Event{
			Kind: tokenvault.EventAuthExpired, Tenant: r.Owner.Tenant, ActorKind: tokenvault.ActorSystem, Owner: r.Owner,
			ProviderID: r.ProviderID, ConnectionID: r.ConnectionID, AuthRequestID: r.ID, RunID: r.RunID, ThreadID: r.ThreadID,
		})
		if err != nil {
			return nil, err
		}
	}
	return expired, nil
}
