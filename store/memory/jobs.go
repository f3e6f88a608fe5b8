package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// A job is a row of the outbox.
type job struct {
	tokenvault.Job
	state tokenvault.JobState
	dueAt time.Time // while leased: when the lease runs out; dead: when it died
	code  string    // of the last failure
}

func (s *Store) enqueue(j tokenvault.Job, now time.Time) {
	j.Record = copyRecord(j.Record)
	j.Attempts, j.CreatedAt = 0, now
	s.jobs[j.ID] = job{Job: j, state: tokenvault.JobReady, dueAt: now}
}

// ClaimJobs implements [tokenvault.JobStore]. What is due longest comes first.
func (s *Store) ClaimJobs(ctx context.Context, limit int, lease time.Duration) ([]tokenvault.Job, error) {
	now, unlock, err := s.lock(ctx, "claim jobs")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var due []job
	for _, j := range s.jobs {
		if j.state != tokenvault.JobDead && over(j.dueAt, now) {
			due = append(due, j)
		}
	}
	slices.SortFunc(due, func(a, b job) int { return cmp.Or(a.dueAt.Compare(b.dueAt), cmp.Compare(a.ID, b.ID)) })
	var claimed []tokenvault.Job
	for _, j := range due[:min(len(due), max(limit, 0))] {
		j.state, j.dueAt = tokenvault.JobLeased, now.Add(lease)
		j.Attempts++
		s.jobs[j.ID] = j
		j.Record = copyRecord(j.Record)
		claimed = append(claimed, j.Job)
	}
	return claimed, nil
}

// FinishJob implements [tokenvault.JobStore]. A turn whose lease ran out is not
// over until the job is handed out again.
func (s *Store) FinishJob(ctx context.Context, cmd tokenvault.JobResult) error {
	now, unlock, err := s.lock(ctx, "finish job")
	if err != nil {
		return err
	}
	defer unlock()
	j, ok := s.jobs[cmd.ID]
	if !ok || j.state != tokenvault.JobLeased || j.Attempts != cmd.Attempt {
		return failed("finish job", tokenvault.ErrFenced)
	}
	j.code = cmd.Error
	switch {
	case cmd.Done:
		delete(s.jobs, cmd.ID) // nobody needs it any more
	case cmd.Dead:
		j.state, j.dueAt = tokenvault.JobDead, now
		s.jobs[cmd.ID] = j
	default:
		j.state, j.dueAt = tokenvault.JobReady, now.Add(cmd.RetryIn)
		s.jobs[cmd.ID] = j
	}
	s.finishDelivery(now, j.Owner.Tenant, cmd)
	s.write(now, cmd.Events...)
	return nil
}

// ListJobs implements [tokenvault.JobListStore].
func (s *Store) ListJobs(ctx context.Context, tenant string, q tokenvault.JobQuery) ([]tokenvault.JobRow, error) {
	_, unlock, err := s.lock(ctx, "list jobs")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var list []tokenvault.JobRow
	for _, j := range s.jobs {
		if j.Owner.Tenant != tenant || q.State != "" && q.State != j.state || q.Kind != "" && q.Kind != j.Kind {
			continue
		}
		j.Record = tokenvault.SealedRecord{}
		list = append(list, tokenvault.JobRow{Job: j.Job, State: j.state, DueAt: j.dueAt, Error: j.code})
	}
	return paged(list, func(r tokenvault.JobRow) string { return r.ID }, q.Page), nil
}

// RetryJob implements [tokenvault.JobListStore].
func (s *Store) RetryJob(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	now, unlock, err := s.lock(ctx, "retry job")
	if err != nil {
		return err
	}
	defer unlock()
	j, ok := s.jobs[id]
	switch {
	case !ok || j.Owner.Tenant != tenant:
		return failed("retry job", tokenvault.ErrNotFound)
	case j.state == tokenvault.JobLeased:
		return failed("retry job", tokenvault.ErrConflict)
	}
	j.state, j.dueAt = tokenvault.JobReady, now
	s.jobs[id] = j
	s.write(now, event)
	return nil
}
