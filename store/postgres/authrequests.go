package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

// authRequestColumns is for scanAuthRequest.
const authRequestColumns = `tenant, id, organization_id, user_id, agent_id, provider_id, provider_name, auth_method,
	connection_id, reason, scopes, release, run_id, thread_id, status, failure_code, connect_url,
	created_at, expires_at, settled_at, notice, noticed_at`

func scanAuthRequest(from row) (tokenvault.AuthRequest, error) {
	var r tokenvault.AuthRequest
	var settled, noticed *time.Time
	err := from.Scan(&r.Owner.Tenant, &r.ID, &r.Owner.OrganizationID, &r.Owner.UserID, &r.AgentID, &r.ProviderID, &r.ProviderName,
		(*string)(&r.AuthMethod), &r.ConnectionID, (*string)(&r.Reason), &r.Scopes, (*string)(&r.Release), &r.RunID, &r.ThreadID,
		(*string)(&r.Status), &r.FailureCode, &r.ConnectURL, &r.CreatedAt, &r.ExpiresAt, &settled,
		(*string)(&r.Notice), &noticed)
	if err != nil {
		return tokenvault.AuthRequest{}, err
	}
	r.CreatedAt, r.ExpiresAt, r.SettledAt, r.NoticedAt = r.CreatedAt.UTC(), r.ExpiresAt.UTC(), timeOf(settled), timeOf(noticed)
	if r.Status.Settled() { // what stands in its row counts no more
		r.Notice, r.NoticedAt = "", time.Time{}
	}
	return r, nil
}

const (
	sqlExpireByKey = `UPDATE tv.auth_requests SET status = 'expired', settled_at = $3
		WHERE tenant = $1 AND request_key = $2 AND status = 'pending' AND expires_at <= $3
		RETURNING ` + authRequestColumns
	// sqlInsertAuthRequest inserts nothing if the same request is pending already.
	sqlInsertAuthRequest = `INSERT INTO tv.auth_requests (request_key, ` + authRequestColumns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'pending', '', $16, $17, $18, NULL, '', NULL)
		ON CONFLICT (tenant, request_key) WHERE status = 'pending' DO NOTHING
		RETURNING ` + authRequestColumns
	sqlPendingByKey = `SELECT ` + authRequestColumns + ` FROM tv.auth_requests
		WHERE tenant = $1 AND request_key = $2 AND status = 'pending'`
)

// OpenOrJoin implements [tokenvault.AuthRequestStore]. The event tells that a
// request was opened, so it is not written when one is joined.
func (s *Store) OpenOrJoin(ctx context.Context, cmd tokenvault.NewAuthRequest) (req tokenvault.AuthRequest, joined bool, err error) {
	err = s.write(ctx, "open auth request", cmd.Request.Owner.Tenant, func(t *tx) error {
		key, tenant := cmd.Request.Key(), cmd.Request.Owner.Tenant
		if _, err := t.expire(ctx, sqlExpireByKey, tenant, key, t.now); err != nil {
			return err
		}
		for range tries { // one that is joined may be settled before it is read
			req, err = t.insertAuthRequest(ctx, key, cmd)
			if err == nil {
				joined = false
				t.tellHooks(tokenvault.MessageOfRequest(req))
				t.appendEvents(cmd.Event)
				return nil
			}
			if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			req, err = scanAuthRequest(t.row(ctx, sqlPendingByKey, tenant, key))
			if joined = err == nil; joined || !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
		}
		return tokenvault.ErrUnavailable
	})
	if err != nil {
		return tokenvault.AuthRequest{}, false, err
	}
	return req, joined, nil
}

func (t *tx) insertAuthRequest(ctx context.Context, key string, cmd tokenvault.NewAuthRequest) (tokenvault.AuthRequest, error) {
	r := cmd.Request
	return scanAuthRequest(t.row(ctx, sqlInsertAuthRequest, key,
		r.Owner.Tenant, r.ID, r.Owner.OrganizationID, r.Owner.UserID, r.AgentID, r.ProviderID, r.ProviderName, string(r.AuthMethod),
		r.ConnectionID, string(r.Reason), scopesColumn(r.Scopes), string(r.Release), r.RunID, r.ThreadID,
		r.ConnectURL, t.now, t.after(cmd.TTL)))
}

// The queries read a request whose time is over as expired, also if nothing has
// settled it yet. $1 is the test's clock.
const (
	sqlReadAuthRequest = `SELECT tenant, id, organization_id, user_id, agent_id, provider_id, provider_name, auth_method,
			connection_id, reason, scopes, release, run_id, thread_id,
			CASE WHEN status = 'pending' AND expires_at <= coalesce($1::timestamptz, clock_timestamp()) THEN 'expired' ELSE status END,
			failure_code, connect_url, created_at, expires_at, settled_at, notice, noticed_at
		FROM tv.auth_requests WHERE tenant = $2 AND id = $3`
	sqlGetAuthRequest  = sqlReadAuthRequest + ` AND organization_id = $4 AND user_id = $5`
	sqlLockAuthRequest = sqlGetAuthRequest + ` FOR NO KEY UPDATE`
)

// GetAuthRequest implements [tokenvault.AuthRequestStore].
func (s *Store) GetAuthRequest(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.AuthRequest, error) {
	return get(ctx, s, "get auth request", owner.Tenant, scanAuthRequest, sqlGetAuthRequest,
		s.boundNow(), owner.Tenant, id, owner.OrganizationID, owner.UserID)
}

// FindAuthRequest implements [tokenvault.AuthRequestStore].
func (s *Store) FindAuthRequest(ctx context.Context, tenant, id string) (tokenvault.AuthRequest, error) {
	return get(ctx, s, "find auth request", tenant, scanAuthRequest, sqlReadAuthRequest, s.boundNow(), tenant, id)
}

// pending locks and returns a request of exactly this owner on which may be
// decided now. It fails with ErrExpired if its time is over and with ErrConflict if
// it was settled.
func (t *tx) pending(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.AuthRequest, error) {
	req, err := scanAuthRequest(t.row(ctx, sqlLockAuthRequest, t.store.boundNow(), owner.Tenant, id, owner.OrganizationID, owner.UserID))
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

const sqlSettle = `UPDATE tv.auth_requests SET status = $3, failure_code = $4, connection_id = $5, settled_at = $6
	WHERE tenant = $1 AND id = $2 AND status = 'pending' RETURNING ` + authRequestColumns

// Settle implements [tokenvault.AuthRequestStore].
func (s *Store) Settle(ctx context.Context, cmd tokenvault.Settlement) (tokenvault.AuthRequest, error) {
	if !cmd.Status.Settled() || cmd.Status == "" {
		return tokenvault.AuthRequest{}, fmt.Errorf("postgres: settle: %w", &tokenvault.FieldError{Field: "status", Reason: "must be final"})
	}
	var settled tokenvault.AuthRequest
	err := s.write(ctx, "settle", cmd.Owner.Tenant, func(t *tx) error {
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
		settled, err = scanAuthRequest(t.row(ctx, sqlSettle, req.Owner.Tenant, req.ID, string(cmd.Status), cmd.FailureCode, connectionID, t.now))
		if err != nil {
			return err
		}
		t.tellHooks(tokenvault.MessageOfRequest(settled))
		t.appendEvents(cmd.Events...)
		t.tell(settled.ID)
		return nil
	})
	if err != nil {
		return tokenvault.AuthRequest{}, err
	}
	return settled, nil
}

const sqlNote = `UPDATE tv.auth_requests SET notice = $3, noticed_at = $4 WHERE tenant = $1 AND id = $2 RETURNING ` + authRequestColumns

// NoteAuthRequest implements [tokenvault.NoticeStore].
func (s *Store) NoteAuthRequest(ctx context.Context, owner tokenvault.Owner, id string, notice tokenvault.AuthNotice) (tokenvault.AuthRequest, error) {
	var noted tokenvault.AuthRequest
	err := s.write(ctx, "note auth request", owner.Tenant, func(t *tx) error {
		_, err := t.pending(ctx, owner, id)
		if err == nil {
			noted, err = scanAuthRequest(t.row(ctx, sqlNote, owner.Tenant, id, string(notice), t.now))
		}
		if err == nil {
			t.tell(id)
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
		t.tellHooks(cmd.Connection.MessageOf(t.now))
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

const (
	sqlTenantsToSweep     = `SELECT tv.tenants_to_sweep(coalesce($1::timestamptz, clock_timestamp()), $2)`
	sqlExpireAttempts     = `DELETE FROM tv.attempts WHERE tenant = $1 AND expires_at <= $2`
	sqlExpireNonces       = `DELETE FROM tv.nonces WHERE tenant = $1 AND expires_at <= $2`
	sqlExpireAuthRequests = `WITH due AS MATERIALIZED (
			SELECT id AS due_id FROM tv.auth_requests WHERE tenant = $1 AND status = 'pending' AND expires_at <= $2
			ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED)
		UPDATE tv.auth_requests SET status = 'expired', settled_at = $2
		FROM due WHERE tenant = $1 AND id = due_id
		RETURNING ` + authRequestColumns

	sweepTenants = 100 // in one call
)

// ExpireAuthRequests implements [tokenvault.AuthRequestStore]. Each tenant is
// swept in a transaction of its own.
func (s *Store) ExpireAuthRequests(ctx context.Context, limit int) ([]tokenvault.AuthRequest, error) {
	tenants, err := s.tenants(ctx, "expire auth requests", sqlTenantsToSweep, s.boundNow(), sweepTenants)
	if err != nil {
		return nil, err
	}
	var all []tokenvault.AuthRequest
	for _, tenant := range tenants {
		expired, err := s.sweepTenant(ctx, tenant, max(limit-len(all), 0))
		if err != nil {
			return all, err
		}
		all = append(all, expired...)
	}
	return all, nil
}

func (s *Store) sweepTenant(ctx context.Context, tenant string, limit int) ([]tokenvault.AuthRequest, error) {
	var expired []tokenvault.AuthRequest
	err := s.write(ctx, "expire auth requests", tenant, func(t *tx) error {
		for _, query := range []string{sqlExpireAttempts, sqlExpireNonces} {
			if _, err := t.exec(ctx, query, tenant, t.now); err != nil {
				return err
			}
		}
		var err error
		expired, err = t.expire(ctx, sqlExpireAuthRequests, tenant, t.now, limit)
		return err
	})
	return expired, err
}

const sqlPruneAuthRequests = `WITH old AS MATERIALIZED (
		SELECT id AS old_id FROM tv.auth_requests WHERE tenant = $1 AND status <> 'pending' AND settled_at < $2
		ORDER BY settled_at, id LIMIT $3 FOR UPDATE SKIP LOCKED)
	DELETE FROM tv.auth_requests WHERE tenant = $1 AND id IN (SELECT old_id FROM old)`

// PruneAuthRequests implements [tokenvault.AuthRequestStore]. Attempts go with
// their request.
func (s *Store) PruneAuthRequests(ctx context.Context, tenant string, age time.Duration, limit int) (int, error) {
	var pruned int64
	err := s.write(ctx, "prune auth requests", tenant, func(t *tx) (err error) {
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
	expired, err := rows(ctx, t, scanAuthRequest, query, args...)
	if err != nil {
		return nil, err
	}
	events, ids := make([]tokenvault.Event, 0, len(expired)), make([]string, 0, len(expired))
	for _, r := range expired {
		ids = append(ids, r.ID)
		t.tellHooks(tokenvault.MessageOfRequest(r))
		events = append(events, tokenvault.Event{
			Kind: tokenvault.EventAuthExpired, Tenant: r.Owner.Tenant, ActorKind: tokenvault.ActorSystem, Owner: r.Owner,
			ProviderID: r.ProviderID, ConnectionID: r.ConnectionID, AuthRequestID: r.ID, RunID: r.RunID, ThreadID: r.ThreadID,
		})
	}
	t.appendEvents(events...)
	t.tell(ids...)
	return expired, nil
}

// tenants runs a function that tells tenants before any is known.
func (s *Store) tenants(ctx context.Context, op, query string, args ...any) ([]string, error) {
	var all []*string
	err := s.bounded(ctx, func(ctx context.Context) error {
		return s.alive(ctx, func() error {
			found, err := s.pool.Query(ctx, s.sql(query), args...)
			if err == nil {
				all, err = pgx.CollectRows(found, pgx.RowTo[*string])
			}
			return err
		})
	})
	if err != nil {
		return nil, s.wrap(op, err)
	}
	var tenants []string
	for _, tenant := range all {
		if tenant != nil { // a function that returns one value tells NULL if there is none
			tenants = append(tenants, *tenant)
		}
	}
	return tenants, nil
}
