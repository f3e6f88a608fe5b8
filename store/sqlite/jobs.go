package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	jobFields = `tenant, id, organization_id, user_id, kind, provider_id, app_id, connection_id, attempts, created_at`
	// jobColumns is for scanJob; jobColumnsBare reads no sealed data.
	jobColumns     = jobFields + `, key_space, key_version, sealed`
	jobColumnsBare = jobFields + `, '', 0, NULL`
)

// jobRow is a row of jobs while it is scanned.
type jobRow struct {
	j                   tokenvault.Job
	created, keyVersion int64
}

func (r *jobRow) dest() []any {
	j := &r.j
	return []any{
		&j.Owner.Tenant, &j.ID, &j.Owner.OrganizationID, &j.Owner.UserID, (*string)(&j.Kind), &j.ProviderID, &j.AppID,
		&j.ConnectionID, &j.Attempts, &r.created, &j.Record.KeySpace, &r.keyVersion, (*[]byte)(&j.Record.Blob),
	}
}

func (r *jobRow) job() tokenvault.Job {
	r.j.CreatedAt = timeOf(r.created)
	r.j.Record.KeyVersion = uint32(r.keyVersion) //nolint:gosec // written from a uint32
	return r.j
}

func scanJob(from row) (tokenvault.Job, error) {
	var r jobRow
	err := from.Scan(r.dest()...)
	return r.job(), err
}

const sqlInsertJob = `INSERT INTO jobs (tenant, id, organization_id, user_id, kind, provider_id, app_id, connection_id,
		state, created_at, due_at, key_space, key_version, sealed)
	VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'ready', ?9, ?9, ?10, ?11, ?12)`

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

const sqlClaimJobs = `UPDATE jobs SET state = 'leased', attempts = attempts + 1, due_at = ?
	WHERE rowid IN (SELECT rowid FROM jobs WHERE state IN ('ready', 'leased') AND due_at <= ? ORDER BY due_at LIMIT ?)
	RETURNING ` + jobColumns

// ClaimJobs implements [tokenvault.JobStore].
func (s *Store) ClaimJobs(ctx context.Context, limit int, lease time.Duration) ([]tokenvault.Job, error) {
	var jobs []tokenvault.Job
	err := s.write(ctx, "claim jobs", func(t *tx) error {
		rows, err := t.QueryContext(ctx, sqlClaimJobs, t.after(lease), t.now, max(limit, 0))
		jobs, err = collect(rows, err, scanJob)
		return err
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

const (
	sqlFinishTurn = ` WHERE id = ? AND state = 'leased' AND attempts = ? RETURNING tenant`
	sqlJobDone    = `DELETE FROM jobs` + sqlFinishTurn
	sqlJobDead    = `UPDATE jobs SET state = 'dead', error = ?, due_at = ?` + sqlFinishTurn
	sqlJobRetry   = `UPDATE jobs SET state = 'ready', error = ?, due_at = ?` + sqlFinishTurn
)

// FinishJob implements [tokenvault.JobStore]. A job that is done is deleted; a
// dead one stays, for people to look at.
func (s *Store) FinishJob(ctx context.Context, cmd tokenvault.JobResult) error {
	return s.write(ctx, "finish job", func(t *tx) error {
		query, args := sqlJobRetry, []any{cmd.Error, t.after(cmd.RetryIn), cmd.ID, cmd.Attempt}
		switch {
		case cmd.Done:
			query, args = sqlJobDone, args[2:]
		case cmd.Dead:
			query, args[1] = sqlJobDead, t.now
		}
		var tenant string
		err := t.QueryRowContext(ctx, query, args...).Scan(&tenant)
		if errors.Is(err, sql.ErrNoRows) {
			return tokenvault.ErrFenced
		}
		if err == nil && cmd.Delivery != nil {
			err = t.noteAttempt(ctx, tenant, cmd)
		}
		if err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Events...)
	})
}

const (
	sqlListJobs = `SELECT ` + jobColumnsBare + `, state, due_at, error FROM jobs
		WHERE tenant = ?1 AND id > ?2 AND (?4 = '' OR state = ?4) AND (?5 = '' OR kind = ?5) ORDER BY id LIMIT ?3`
	sqlJobAgain = `UPDATE jobs SET state = 'ready', due_at = ?1 WHERE tenant = ?2 AND id = ?3 AND state <> 'leased'`
	sqlJobState = `SELECT state FROM jobs WHERE tenant = ? AND id = ?`
)

func scanJobRow(from row) (tokenvault.JobRow, error) {
	var r jobRow
	var out tokenvault.JobRow
	var due int64
	if err := from.Scan(append(r.dest(), (*string)(&out.State), &due, &out.Error)...); err != nil {
		return tokenvault.JobRow{}, err
	}
	out.Job, out.DueAt = r.job(), timeOf(due)
	return out, nil
}

// ListJobs implements [tokenvault.JobListStore].
func (s *Store) ListJobs(ctx context.Context, tenant string, q tokenvault.JobQuery) ([]tokenvault.JobRow, error) {
	return list(ctx, s, "list jobs", scanJobRow, sqlListJobs, tenant, q.After, limited(q.Page), string(q.State), string(q.Kind))
}

// RetryJob implements [tokenvault.JobListStore].
func (s *Store) RetryJob(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	return s.write(ctx, "retry job", func(t *tx) error {
		changed, err := t.exec(ctx, sqlJobAgain, t.now, tenant, id)
		if err != nil {
			return err
		}
		if changed == 0 {
			var state string
			err := t.QueryRowContext(ctx, sqlJobState, tenant, id).Scan(&state)
			if errors.Is(err, sql.ErrNoRows) {
				return tokenvault.ErrNotFound
			}
			if err != nil {
				return err
			}
			return tokenvault.ErrConflict
		}
		return t.appendEvents(ctx, event)
	})
}
