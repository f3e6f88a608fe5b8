package sqlite

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// jobColumns is for scanJob.
const jobColumns = `tenant, id, organization_id, user_id, kind, provider_id, app_id, connection_id, attempts, created_at,
	key_space, key_version, sealed`

func scanJob(from row) (tokenvault.Job, error) {
	var j tokenvault.Job
	var created, keyVersion int64
	err := from.Scan(&j.Owner.Tenant, &j.ID, &j.Owner.OrganizationID, &j.Owner.UserID, (*string)(&j.Kind), &j.ProviderID, &j.AppID,
		&j.ConnectionID, &j.Attempts, &created, &j.Record.KeySpace, &keyVersion, (*[]byte)(&j.Record.Blob))
	if err != nil {
		return tokenvault.Job{}, err
	}
	j.CreatedAt = timeOf(created)
	j.Record.KeyVersion = uint32(keyVersion) //nolint:gosec // written from a uint32
	return j, nil
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
	sqlFinishTurn = ` WHERE id = ? AND state = 'leased' AND attempts = ?`
	sqlJobDone    = `DELETE FROM jobs` + sqlFinishTurn
	sqlJobDead    = `UPDATE jobs SET state = 'dead', error = ?, due_at = ?` + sqlFinishTurn
	sqlJobRetry   = `UPDATE jobs SET state = 'ready', error = ?, due_at = ?` + sqlFinishTurn
)

// FinishJob implements [tokenvault.JobStore]. A job that is done is deleted; a
// dead one stays, for people to look at.
func (s *Store) FinishJob(ctx context.Context, cmd tokenvault.JobResult) error {
	return s.write(ctx, "finish job", func(t *tx) error {
		var changed int64
		var err error
		switch {
		case cmd.Done:
			changed, err = t.exec(ctx, sqlJobDone, cmd.ID, cmd.Attempt)
		case cmd.Dead:
			changed, err = t.exec(ctx, sqlJobDead, cmd.Error, t.now, cmd.ID, cmd.Attempt)
		default:
			changed, err = t.exec(ctx, sqlJobRetry, cmd.Error, t.after(cmd.RetryIn), cmd.ID, cmd.Attempt)
		}
		if err != nil {
			return err
		}
		if changed == 0 {
			return tokenvault.ErrFenced
		}
		return t.appendEvents(ctx, cmd.Events...)
	})
}
