package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

type jobState int

const (
	jobReady  jobState = iota
	jobLeased          // a turn is under way
	jobEnded           // done, or kept as dead
)

// A job is a row of the outbox.
type job struct {
	tokenvault.Job
	state jobState
	dueAt time.Time // while leased: when the lease runs out
}

func (s *Store) enqueue(j tokenvault.Job, now time.Time) {
	j.Record = copyRecord(j.Record)
	j.Attempts, j.CreatedAt = 0, now
	s.jobs[j.ID] = job{Job: j, dueAt: now}
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
		if j.state != jobEnded && over(j.dueAt, now) {
			due = append(due, j)
		}
	}
	slices.SortFunc(due, func(a, b job) int { return cmp.Or(a.dueAt.Compare(b.dueAt), cmp.Compare(a.ID, b.ID)) })
	var claimed []tokenvault.Job
	for _, j := range due[:min(len(due), max(limit, 0))] {
		j.state, j.dueAt = jobLeased, now.Add(lease)
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
	if !ok || j.state != jobLeased || j.Attempts != cmd.Attempt {
		return failed("finish job", tokenvault.ErrFenced)
	}
	switch {
	case cmd.Done:
		j.state, j.Record = jobEnded, tokenvault.SealedRecord{} // nobody needs it any more
	case cmd.Dead:
		j.state = jobEnded
	default:
		j.state, j.dueAt = jobReady, now.Add(cmd.RetryIn)
	}
	s.jobs[cmd.ID] = j
	s.write(now, cmd.Events...)
	return nil
}
