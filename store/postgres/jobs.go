package postgres

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	jobFields = `tenant, id, organization_id, user_id, kind, provider_id, app_id, connection_id, attempts, created_at`
	// jobColumns is for scanJob; jobColumnsBare reads no sealed data.
	jobColumns     = jobFields + `, key_space, key_version, sealed`
	jobColumnsBare = jobFields + `, '', 0::bigint, NULL::bytea`
)

// jobRow is a row of jobs while it is scanned.
type jobRow struct {
	j          tokenvault.Job
	keyVersion int64
}

func (r *jobRow) dest() []any {
	j := &r.j
	return []any{
		&j.Owner.Tenant, &j.ID, &j.Owner.OrganizationID, &j.Owner.UserID, (*string)(&j.Kind), &j.ProviderID, &j.AppID,
		&j.ConnectionID, &j.Attempts, &j.CreatedAt, &j.Record.KeySpace, &r.keyVersion, (*[]byte)(&j.Record.Blob),
	}
}

func (r *jobRow) job() tokenvault.Job {
	r.j.CreatedAt = r.j.CreatedAt.UTC()
	r.j.Record.KeyVersion = uint32(r.keyVersion) //nolint:gosec // written from a uint32
	return r.j
}

func scanJob(from row) (tokenvault.Job, error) {
	var r jobRow
	err := from.Scan(r.dest()...)
	return r.job(), err
}

const sqlInsertJob = `INSERT INTO tv.jobs (tenant, id, organization_id, user_id, kind, provider_id, app_id, connection_id,
		state, created_at, due_at, key_space, key_version, sealed)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'ready', $9, $9, $10, $11, $12)`

// insertJob writes a job that is due at once.
func (t *tx) insertJob(ctx context.Context, j tokenvault.Job) error {
	args := append([]any{
		j.Owner.Tenant, j.ID, j.Owner.OrganizationID, j.Owner.UserID, string(j.Kind), j.ProviderID, j.AppID, j.ConnectionID, t.now,
	}, recordArgs(j.Record)...)
	if _, err := t.exec(ctx, sqlInsertJob, args...); err != nil {
		return err
	}
	return t.checkKey(ctx, j.Owner.Tenant, j.Record)
}

const (
	sqlTenantsWithJobs = `SELECT tv.tenants_with_jobs(coalesce($1::timestamptz, clock_timestamp()), $2)`
	sqlTenantOfJob     = `SELECT tv.tenant_of_job($1)`
	// Materialized: a plan that ran the part with the limit once a row would claim
	// more than the limit.
	sqlClaimJobs = `WITH due AS MATERIALIZED (
			SELECT id AS due_id FROM tv.jobs WHERE tenant = $1 AND state IN ('ready', 'leased') AND due_at <= $3
			ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED)
		UPDATE tv.jobs SET state = 'leased', attempts = attempts + 1, due_at = $2
		FROM due WHERE tenant = $1 AND id = due_id
		RETURNING ` + jobColumns
)

// ClaimJobs implements [tokenvault.JobStore]. What another process is claiming in
// this moment is left to it.
func (s *Store) ClaimJobs(ctx context.Context, limit int, lease time.Duration) ([]tokenvault.Job, error) {
	if limit < 1 {
		return nil, nil
	}
	tenants, err := s.tenants(ctx, "claim jobs", sqlTenantsWithJobs, s.boundNow(), limit)
	if err != nil {
		return nil, err
	}
	var all []tokenvault.Job
	for _, tenant := range tenants {
		if len(all) == limit {
			break
		}
		var jobs []tokenvault.Job
		err := s.write(ctx, "claim jobs", tenant, func(t *tx) error {
			var err error
			jobs, err = rows(ctx, t, scanJob, sqlClaimJobs, tenant, t.after(lease), t.now, limit-len(all))
			return err
		})
		if err != nil {
			return all, err
		}
		all = append(all, jobs...)
	}
	return all, nil
}

const (
	sqlFinishTurn = ` WHERE tenant = $1 AND id = $2 AND state = 'leased' AND attempts = $3`
	sqlJobDone    = `DELETE FROM tv.jobs` + sqlFinishTurn
	sqlJobDead    = `UPDATE tv.jobs SET state = 'dead', error = $4, due_at = $5` + sqlFinishTurn
	sqlJobRetry   = `UPDATE tv.jobs SET state = 'ready', error = $4, due_at = $5` + sqlFinishTurn
)

// FinishJob implements [tokenvault.JobStore]. A job that is done is deleted; a
// dead one stays, for people to look at.
func (s *Store) FinishJob(ctx context.Context, cmd tokenvault.JobResult) error {
	tenants, err := s.tenants(ctx, "finish job", sqlTenantOfJob, cmd.ID)
	if err != nil {
		return err
	}
	if len(tenants) == 0 {
		return s.wrap("finish job", tokenvault.ErrFenced)
	}
	tenant := tenants[0]
	return s.write(ctx, "finish job", tenant, func(t *tx) error {
		var changed int64
		var err error
		switch {
		case cmd.Done:
			changed, err = t.exec(ctx, sqlJobDone, tenant, cmd.ID, cmd.Attempt)
		case cmd.Dead:
			changed, err = t.exec(ctx, sqlJobDead, tenant, cmd.ID, cmd.Attempt, cmd.Error, t.now)
		default:
			changed, err = t.exec(ctx, sqlJobRetry, tenant, cmd.ID, cmd.Attempt, cmd.Error, t.after(cmd.RetryIn))
		}
		if err != nil {
			return err
		}
		if changed == 0 {
			return tokenvault.ErrFenced
		}
		if cmd.Delivery != nil {
			t.noteAttempt(tenant, cmd)
		}
		t.appendEvents(cmd.Events...)
		return nil
	})
}

const (
	sqlListJobs = `SELECT ` + jobColumnsBare + `, state, due_at, error FROM tv.jobs
		WHERE tenant = $1 AND id > $2 AND ($4 = '' OR state = $4) AND ($5 = '' OR kind = $5) ORDER BY id LIMIT $3`
	sqlJobAgain = `UPDATE tv.jobs SET state = 'ready', due_at = $3 WHERE tenant = $1 AND id = $2 AND state <> 'leased'`
	sqlJobState = `SELECT state FROM tv.jobs WHERE tenant = $1 AND id = $2`
)

func scanJobRow(from row) (tokenvault.JobRow, error) {
	var r jobRow
	var out tokenvault.JobRow
	if err := from.Scan(append(r.dest(), (*string)(&out.State), &out.DueAt, &out.Error)...); err != nil {
		return tokenvault.JobRow{}, err
	}
	out.Job, out.DueAt = r.job(), out.DueAt.UTC()
	return out, nil
}

// ListJobs implements [tokenvault.JobListStore].
func (s *Store) ListJobs(ctx context.Context, tenant string, q tokenvault.JobQuery) ([]tokenvault.JobRow, error) {
	return list(ctx, s, "list jobs", tenant, scanJobRow, sqlListJobs, tenant, q.After, limited(q.Page), string(q.State), string(q.Kind))
}

// RetryJob implements [tokenvault.JobListStore].
func (s *Store) RetryJob(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	return s.write(ctx, "retry job", tenant, func(t *tx) error {
		changed, err := t.exec(ctx, sqlJobAgain, tenant, id, t.now)
		if err != nil {
			return err
		}
		if changed == 0 {
			var state string
			if err := t.row(ctx, sqlJobState, tenant, id).Scan(&state); err != nil {
				return err
			}
			return tokenvault.ErrConflict
		}
		t.appendEvents(event)
		return nil
	})
}
