package storetest

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func jobCases() []testCase {
	return []testCase{
		{"a job is handed out until its lease runs out", jobLease},
		{"a job that is done is never handed out again", jobDone},
		{"a job is due again after its pause", jobRetry},
		{"a dead job is never handed out again", jobDead},
		{"a later turn makes an earlier one void", jobFenced},
		{"a turn is ended once", jobEndedTwice},
		{"a late result counts while nobody took over", jobLate},
		{"an unknown job is not finished", jobUnknown},
		{"a claim has its limit", jobLimit},
		{"jobs are listed by state and kind, page by page", jobList},
		{"a dead job is retried, and its turns are counted on", jobAgain},
		{"a job is not retried while a turn is under way", jobNotAgain},
	}
}

// enqueue puts n jobs into the outbox and returns them as they will be claimed
// first.
func (f *fixture) enqueue(t *testing.T, n int) (jobs []tokenvault.Job) {
	t.Helper()
	for range n {
		c := f.connect(t, alice(), f.id("acc"))
		cmd := f.revocation(c)
		cmd.Job = f.job(c)
		if _, err := f.Revoke(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
		want := *cmd.Job
		want.Attempts, want.CreatedAt = 1, f.now()
		jobs = append(jobs, want)
	}
	return jobs
}

func (f *fixture) claimJobs(t *testing.T) []tokenvault.Job {
	t.Helper()
	jobs, err := f.ClaimJobs(t.Context(), 100, time.Minute)
	if err != nil {
		t.Fatalf("ClaimJobs: %v", err)
	}
	slices.SortFunc(jobs, func(a, b tokenvault.Job) int { return cmp.Compare(a.ID, b.ID) })
	return jobs
}

// wantJobs claims jobs, and expects want with this number of attempts.
func (f *fixture) wantJobs(t *testing.T, attempts int, want ...tokenvault.Job) {
	t.Helper()
	want = slices.Clone(want)
	for i := range want {
		want[i].Attempts = attempts
	}
	equal(t, "ClaimJobs", f.claimJobs(t), want)
}

func (f *fixture) finish(t *testing.T, result tokenvault.JobResult) {
	t.Helper()
	if err := f.FinishJob(t.Context(), result); err != nil {
		t.Fatalf("FinishJob: %v", err)
	}
}

func (f *fixture) refusesFinish(t *testing.T, result tokenvault.JobResult) {
	t.Helper()
	result.Events = []tokenvault.Event{f.event(tokenvault.EventProviderRevoked, alice())}
	f.refuses(t, tokenvault.ErrFenced, func() error { return f.FinishJob(t.Context(), result) })
}

func jobLease(t *testing.T, f *fixture) {
	job := f.enqueue(t, 1)[0]
	f.wantJobs(t, 1, job)
	f.advance(time.Minute - time.Microsecond)
	f.wantJobs(t, 0)
	f.advance(time.Microsecond)
	f.wantJobs(t, 2, job)
	f.wantJobs(t, 0)
}

func jobDone(t *testing.T, f *fixture) {
	job := f.enqueue(t, 1)[0]
	f.wantJobs(t, 1, job)
	event := f.event(tokenvault.EventProviderRevoked, alice())
	f.writes(t, func() {
		f.finish(t, tokenvault.JobResult{ID: job.ID, Attempt: 1, Done: true, Events: []tokenvault.Event{event}})
	}, event)
	f.advance(24 * time.Hour)
	f.wantJobs(t, 0)
}

func jobRetry(t *testing.T, f *fixture) {
	job := f.enqueue(t, 1)[0]
	f.wantJobs(t, 1, job)
	f.finish(t, tokenvault.JobResult{ID: job.ID, Attempt: 1, RetryIn: time.Hour, Error: "provider_status_503"})
	f.advance(time.Hour - time.Microsecond)
	f.wantJobs(t, 0)
	f.advance(time.Microsecond)
	f.wantJobs(t, 2, job)
	f.finish(t, tokenvault.JobResult{ID: job.ID, Attempt: 2, Error: "provider_status_503"})
	f.wantJobs(t, 3, job)
}

func jobDead(t *testing.T, f *fixture) {
	job := f.enqueue(t, 1)[0]
	f.wantJobs(t, 1, job)
	f.finish(t, tokenvault.JobResult{ID: job.ID, Attempt: 1, Dead: true, RetryIn: time.Second, Error: "internal"})
	f.advance(24 * time.Hour)
	f.wantJobs(t, 0)
}

func jobFenced(t *testing.T, f *fixture) {
	job := f.enqueue(t, 1)[0]
	f.wantJobs(t, 1, job)
	f.advance(time.Minute)
	f.wantJobs(t, 2, job)
	f.refusesFinish(t, tokenvault.JobResult{ID: job.ID, Attempt: 1, Done: true})
	f.refusesFinish(t, tokenvault.JobResult{ID: job.ID, Attempt: 3, Done: true})
	f.finish(t, tokenvault.JobResult{ID: job.ID, Attempt: 2})
	f.wantJobs(t, 3, job)
}

func jobEndedTwice(t *testing.T, f *fixture) {
	jobs := f.enqueue(t, 3)
	f.wantJobs(t, 1, jobs...)
	f.finish(t, tokenvault.JobResult{ID: jobs[0].ID, Attempt: 1, Done: true})
	f.finish(t, tokenvault.JobResult{ID: jobs[1].ID, Attempt: 1, Dead: true})
	f.finish(t, tokenvault.JobResult{ID: jobs[2].ID, Attempt: 1, RetryIn: time.Second})
	for _, job := range jobs {
		f.refusesFinish(t, tokenvault.JobResult{ID: job.ID, Attempt: 1})
	}
}

func jobLate(t *testing.T, f *fixture) {
	job := f.enqueue(t, 1)[0]
	f.wantJobs(t, 1, job)
	f.advance(time.Hour)
	f.finish(t, tokenvault.JobResult{ID: job.ID, Attempt: 1, Done: true})
	f.wantJobs(t, 0)
}

func jobUnknown(t *testing.T, f *fixture) {
	f.refusesFinish(t, tokenvault.JobResult{ID: "jb_missing", Attempt: 1, Done: true})
}

func jobLimit(t *testing.T, f *fixture) {
	jobs := f.enqueue(t, 3)
	var got []tokenvault.Job
	for _, want := range []int{2, 1, 0} {
		batch, err := f.ClaimJobs(t.Context(), 2, time.Minute)
		if err != nil || len(batch) != want {
			t.Errorf("ClaimJobs = %d jobs, %v, want %d", len(batch), err, want)
		}
		got = append(got, batch...)
	}
	slices.SortFunc(got, func(a, b tokenvault.Job) int { return cmp.Compare(a.ID, b.ID) })
	equal(t, "all jobs", got, jobs)
}

func (f *fixture) listJobs(t *testing.T, q tokenvault.JobQuery) []tokenvault.JobRow {
	t.Helper()
	list, err := f.ListJobs(t.Context(), acme, q)
	if err != nil {
		t.Fatalf("ListJobs: %v", err)
	}
	return list
}

// rowOf returns a job as it is listed.
func rowOf(j tokenvault.Job, attempts int, state tokenvault.JobState, due time.Time, code string) tokenvault.JobRow {
	j.Attempts, j.Record = attempts, tokenvault.SealedRecord{}
	return tokenvault.JobRow{Job: j, State: state, DueAt: due, Error: code}
}

func jobList(t *testing.T, f *fixture) {
	jobs := f.enqueue(t, 3)
	f.wantJobs(t, 1, jobs...)
	f.finish(t, tokenvault.JobResult{ID: jobs[0].ID, Attempt: 1, Dead: true, Error: "invalid_client"})
	f.finish(t, tokenvault.JobResult{ID: jobs[1].ID, Attempt: 1, RetryIn: time.Hour, Error: "provider_status_503"})
	want := []tokenvault.JobRow{
		rowOf(jobs[0], 1, tokenvault.JobDead, f.now(), "invalid_client"),
		rowOf(jobs[1], 1, tokenvault.JobReady, f.now().Add(time.Hour), "provider_status_503"),
		rowOf(jobs[2], 1, tokenvault.JobLeased, f.now().Add(time.Minute), ""),
	}
	equal(t, "ListJobs", f.listJobs(t, tokenvault.JobQuery{}), want)
	equal(t, "the second page", f.listJobs(t, tokenvault.JobQuery{Page: tokenvault.Page{After: jobs[0].ID, Limit: 1}}), want[1:2])
	equal(t, "the dead", f.listJobs(t, tokenvault.JobQuery{State: tokenvault.JobDead}), want[:1])
	equal(t, "another kind", f.listJobs(t, tokenvault.JobQuery{Kind: "other"}), []tokenvault.JobRow{})
	other, err := f.ListJobs(t.Context(), "globex", tokenvault.JobQuery{})
	if err != nil || len(other) != 0 {
		t.Errorf("another tenant lists %d jobs, %v", len(other), err)
	}
	f.finish(t, tokenvault.JobResult{ID: jobs[2].ID, Attempt: 1, Done: true})
	equal(t, "after one is done", f.listJobs(t, tokenvault.JobQuery{}), want[:2])
}

func jobAgain(t *testing.T, f *fixture) {
	job := f.enqueue(t, 1)[0]
	f.wantJobs(t, 1, job)
	f.finish(t, tokenvault.JobResult{ID: job.ID, Attempt: 1, Dead: true, Error: "internal"})
	event := f.event(tokenvault.EventJobRetried, alice())
	f.refuses(t, tokenvault.ErrNotFound, func() error { return f.RetryJob(t.Context(), "globex", job.ID, event) })
	f.refuses(t, tokenvault.ErrNotFound, func() error { return f.RetryJob(t.Context(), acme, "jb_missing", event) })
	f.writes(t, func() {
		if err := f.RetryJob(t.Context(), acme, job.ID, event); err != nil {
			t.Fatal(err)
		}
	}, event)
	f.wantJobs(t, 2, job)
	f.finish(t, tokenvault.JobResult{ID: job.ID, Attempt: 2, RetryIn: time.Hour})
	if err := f.RetryJob(t.Context(), acme, job.ID, event); err != nil {
		t.Errorf("a job that waits: %v", err)
	}
	f.wantJobs(t, 3, job)
}

func jobNotAgain(t *testing.T, f *fixture) {
	job := f.enqueue(t, 1)[0]
	f.wantJobs(t, 1, job)
	f.refuses(t, tokenvault.ErrConflict, func() error {
		return f.RetryJob(t.Context(), acme, job.ID, f.event(tokenvault.EventJobRetried, alice()))
	})
}
