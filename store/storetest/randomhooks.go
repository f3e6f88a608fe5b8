package storetest

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func (g *generator) putHook() command {
	w := tokenvault.Webhook{
		ID: g.id("wh"), Tenant: []string{acme, acme, "globex"}[g.random.IntN(3)], OrganizationID: []string{"", "eng"}[g.random.IntN(2)],
		URL: "https://host.example/" + g.id("hook"), Enabled: g.random.IntN(4) > 0, Version: 1,
	}
	if old, ok := pick(g, g.hooks); ok && g.random.IntN(2) == 0 {
		w = old
		w.Version += int64(g.random.IntN(3))
		w.Enabled = !w.Enabled
	}
	if g.random.IntN(2) == 0 {
		w.Types = tokenvault.WebhookTypes()[g.random.IntN(5):]
	}
	g.hooks = append(g.hooks, w)
	cmd := tokenvault.WebhookPut{
		Webhook: tokenvault.SealedWebhook{Webhook: w, Record: g.sealed()}, Overlap: time.Duration(g.random.IntN(2)) * time.Hour,
		Event: g.event(tokenvault.EventWebhookSet, alice()),
	}
	return func(t *testing.T, s tokenvault.Store) (any, error) { return s.PutWebhook(t.Context(), cmd) }
}

func (g *generator) deleteHook() command {
	w, ok := pick(g, g.hooks)
	if !ok || g.random.IntN(2) == 0 {
		return g.putHook()
	}
	event := g.event(tokenvault.EventWebhookDeleted, alice())
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		return nil, s.DeleteWebhook(t.Context(), w.Tenant, w.ID, event)
	}
}

// deliver claims all jobs and ends the turns of the deliveries among them.
func (g *generator) deliver() command {
	from := g.random.IntN(4)
	results := []tokenvault.JobResult{
		{Done: true, Delivery: &tokenvault.DeliveryResult{StatusCode: 200}},
		{RetryIn: 2 * time.Minute, Error: "http_500", Delivery: &tokenvault.DeliveryResult{StatusCode: 500}},
		{RetryIn: time.Minute},
		{Dead: true, Error: "gone", Delivery: &tokenvault.DeliveryResult{StatusCode: 410, Disable: from == 0}},
	}
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		jobs, err := s.ClaimJobs(t.Context(), 1000, time.Minute)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(jobs, func(a, b tokenvault.Job) int { return cmp.Compare(a.ID, b.ID) })
		var due []tokenvault.DueDelivery
		for i, job := range jobs {
			if job.Kind != tokenvault.JobDeliverWebhook {
				continue
			}
			d, err := s.GetDelivery(t.Context(), job.Owner.Tenant, job.ID)
			if err != nil {
				return nil, err
			}
			due = append(due, d)
			result := results[(from+i)%len(results)]
			result.ID, result.Attempt = job.ID, job.Attempts
			if err := s.FinishJob(t.Context(), result); err != nil {
				return nil, err
			}
		}
		return []any{jobs, due}, nil
	}
}

// redeliver sends some delivery again.
func (g *generator) redeliver() command {
	at, event := g.random.IntN(1000), g.event(tokenvault.EventWebhookResent, alice())
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		all, err := s.ListDeliveries(t.Context(), acme, tokenvault.DeliveryQuery{Page: tokenvault.Page{Limit: 1000}})
		if err != nil || len(all) == 0 {
			return nil, err
		}
		return nil, s.Redeliver(t.Context(), acme, all[at%len(all)].ID, event)
	}
}

func (g *generator) prune() command {
	age := time.Duration(5+g.random.IntN(60)) * time.Minute
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		return s.PruneDeliveries(t.Context(), acme, age, 1000)
	}
}

func (g *generator) pruneRequests() command {
	age := time.Duration(5+g.random.IntN(60)) * time.Minute
	limit := 1 + g.random.IntN(20)
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		return s.PruneAuthRequests(t.Context(), acme, age, limit)
	}
}

// deleteOwner deletes all that somebody has, which is seldom much.
func (g *generator) deleteOwner() command {
	owner := g.owner()
	event := g.event(tokenvault.EventOwnerDeleted, owner)
	if g.random.IntN(4) > 0 {
		return g.reads()
	}
	return func(t *testing.T, s tokenvault.Store) (any, error) {
		owned, err := s.ListOwned(t.Context(), owner, tokenvault.Page{Limit: 1000})
		if err != nil {
			return nil, err
		}
		cmd := tokenvault.OwnerDeletion{Owner: owner, Event: event}
		for _, c := range owned {
			cmd.Connections = append(cmd.Connections, tokenvault.OwnedConnection{ID: c.ID, Version: c.Version})
		}
		return s.DeleteOwner(t.Context(), cmd)
	}
}
