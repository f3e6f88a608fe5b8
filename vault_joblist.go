package tokenvault

import (
	"context"
	"fmt"
)

// Jobs returns the background work that is not done, in the order of ids, for an
// administrator of the tenant. A job that failed too often is dead: it is kept
// with the code of its last failure until somebody retries it.
func (v *Vault) Jobs(ctx context.Context, actor Actor, q JobQuery) ([]JobRow, error) {
	if err := v.maySeeJobs(actor); err != nil {
		return nil, err
	}
	if q.State != "" && q.State != JobReady && q.State != JobLeased && q.State != JobDead {
		return nil, invalid("state", "must be ready, leased or dead")
	}
	jobs, err := v.store.ListJobs(ctx, v.opts.Tenant, q)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return jobs, nil
}

// RetryJob has a job done again at once, dead or not, by a process that runs
// background work. It fails with [ErrConflict] while a turn is under way. Only an
// administrator of the tenant may.
func (v *Vault) RetryJob(ctx context.Context, actor Actor, id string) error {
	if err := v.maySeeJobs(actor); err != nil {
		return err
	}
	event := v.event(EventJobRetried, actor, Owner{Tenant: v.opts.Tenant})
	if validID(id) {
		event.Detail = id
	}
	if err := v.store.RetryJob(ctx, v.opts.Tenant, id, event); err != nil {
		return fmt.Errorf("retry job: %w", err)
	}
	v.wakeJobs()
	return nil
}

func (v *Vault) maySeeJobs(actor Actor) error {
	if err := v.checkActor(actor); err != nil {
		return err
	}
	if actor.Kind != ActorAdmin || !actor.MayAdminister(v.opts.Tenant, "") {
		return fmt.Errorf("only an administrator of the tenant sees background work: %w", ErrDenied)
	}
	return actor.need(ScopeJobs)
}
