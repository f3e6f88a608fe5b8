package tokenvault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	jobPoll     = 5 * time.Second // beside being woken by what enqueues
	sweepEvery  = 30 * time.Second
	jobLease    = time.Minute
	jobBatch    = 20
	sweepBatch  = 500
	maxJobTries = 12 // once more as many after each retry by hand
	maxJobPause = time.Hour
)

// Run does background work until ctx ends: it ends revoked grants at their
// providers, delivers webhooks, refreshes what was used lately before it expires and
// what nobody uses before its refresh token does, settles auth requests whose time is
// over, deletes what is left of owners whom the host deleted, stores what was spooled,
// notes what was used last, signs how far the audit log came, at most once a minute,
// and deletes what was settled or delivered long ago. Any number of processes may run
// it on one store: they share the work.
func (v *Vault) Run(ctx context.Context) error {
	sweeps, uses := time.NewTicker(sweepEvery), time.NewTicker(usesEvery)
	heads, looks, prunes := time.NewTicker(auditHeadEvery), time.NewTicker(upkeepEvery), time.NewTicker(pruneEvery)
	defer sweeps.Stop()
	defer uses.Stop()
	defer heads.Stop()
	defer looks.Stop()
	defer prunes.Stop()
	v.audited.Store(true)
	beside, stop := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer others.Wait()
	defer stop()
	others.Go(func() { v.listen(beside) })
	others.Go(func() { v.keepDoingJobs(beside) })
	v.sweep(ctx)
	v.deleteForHost(ctx)
	v.replaySpool(ctx)
	v.prune(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-v.work.closing:
			return nil
		case <-sweeps.C:
			v.sweep(ctx)
			v.deleteForHost(ctx)
			v.replaySpool(ctx)
		case <-uses.C:
			v.noteUses(ctx)
		case <-looks.C:
			v.upkeep(ctx)
		case <-heads.C:
			v.signAudit(ctx)
		case <-prunes.C:
			v.prune(ctx)
		}
	}
}

// keepDoingJobs does what is due until ctx ends. It is beside all other background
// work, because a provider or a webhook's endpoint may take its time.
func (v *Vault) keepDoingJobs(ctx context.Context) {
	poll := time.NewTicker(jobPoll)
	defer poll.Stop()
	for {
		v.runJobs(ctx)
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		case <-v.jobs:
		}
	}
}

// listen wakes waiters in this process of requests that others settle or note.
func (v *Vault) listen(ctx context.Context) {
	l, ok := v.store.(Listener)
	if !ok {
		return
	}
	if err := l.Listen(ctx, v.waiters.wake); err != nil && ctx.Err() == nil {
		v.log.Warn("waiters of other processes' auth requests are woken by polling only", slog.Any("error", err))
	}
}

func (v *Vault) wakeJobs() {
	select {
	case v.jobs <- struct{}{}:
	default:
	}
}

func (v *Vault) sweep(ctx context.Context) {
	for {
		nested, end := v.watch.begin(ctx, Operation{Kind: OpSweep})
		expired, err := v.store.ExpireAuthRequests(nested, sweepBatch)
		end(OutcomeOf(err))
		if err != nil {
			if ctx.Err() == nil {
				v.log.Error("auth requests cannot be swept", slog.Any("error", err))
			}
			return
		}
		for _, req := range expired {
			v.waiters.wake(req.ID)
		}
		if len(expired) > 0 {
			v.wakeJobs()
		}
		if len(expired) < sweepBatch {
			return
		}
	}
}

func (v *Vault) runJobs(ctx context.Context) {
	for ctx.Err() == nil {
		jobs, err := v.store.ClaimJobs(ctx, jobBatch, jobLease)
		if err != nil {
			if ctx.Err() == nil {
				v.log.Error("background work cannot be claimed", slog.Any("error", err))
			}
			return
		}
		v.runBatch(ctx, jobs)
		if len(jobs) < jobBatch {
			return
		}
	}
}

// runBatch does jobs of one claim: deliveries of webhooks beside the rest.
func (v *Vault) runBatch(ctx context.Context, jobs []Job) {
	var deliveries []Job
	var delivering sync.WaitGroup
	defer delivering.Wait()
	jobs = slices.DeleteFunc(jobs, func(j Job) bool {
		if j.Kind != JobDeliverWebhook {
			return false
		}
		deliveries = append(deliveries, j)
		return true
	})
	delivering.Go(func() { v.deliver(ctx, deliveries) })
	for _, job := range jobs {
		v.runJob(ctx, job)
	}
}

func (v *Vault) runJob(ctx context.Context, job Job) {
	result := JobResult{ID: job.ID, Attempt: job.Attempts, Done: true}
	nested, end := v.watch.begin(ctx, Operation{Kind: OpJob, ProviderID: job.ProviderID})
	err := v.doJob(nested, job)
	end(OutcomeOf(err))
	if err != nil {
		result.Done = false
		result.Error = jobErrorCode(err)
		tries := (job.Attempts-1)%maxJobTries + 1
		result.RetryIn = min(time.Second<<tries, maxJobPause)
		result.Dead = tries == maxJobTries || errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnsealable)
		v.log.WarnContext(nested, "background work failed", slog.String("job_id", job.ID), slog.String("kind", string(job.Kind)),
			slog.Bool("dead", result.Dead), slog.Any("error", err))
	} else {
		result.Events = []Event{{
			Kind: EventProviderRevoked, Tenant: job.Owner.Tenant, ActorKind: ActorSystem, Owner: job.Owner,
			ProviderID: job.ProviderID, ConnectionID: job.ConnectionID,
		}}
	}
	v.finishJob(ctx, result)
}

func (v *Vault) finishJob(ctx context.Context, result JobResult) {
	if err := v.store.FinishJob(ctx, result); err != nil && !errors.Is(err, ErrFenced) {
		v.log.Error("the result of background work cannot be stored", slog.String("job_id", result.ID), slog.Any("error", err))
	}
}

func jobErrorCode(err error) string {
	if p, ok := errors.AsType[*ProviderError](err); ok {
		if p.Code != "" {
			return p.Code
		}
		return fmt.Sprintf("provider_status_%d", p.Status)
	}
	return "internal"
}

func (v *Vault) revokeGrant(ctx context.Context, revoker Revoker, in RefreshInput) error {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpProviderRevoke, ProviderID: in.Provider.ID})
	err := revoker.RevokeGrant(ctx, in)
	end(OutcomeOf(err))
	return err
}
