package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ai-token-vault/tokenvault"
)

const (
	wakes      = 60
	wakeGoal   = 20 // ms
	settle     = 20 * time.Millisecond
	listening  = 2 * time.Second
	hungRounds = 5000
	hungGoal   = 1.5
)

// wake measures how long after a user's answer at one replica the waiting call at
// another returns.
func (p *pgBench) wake(ctx context.Context) ([]result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	other, err := p.open(ctx, p.few.pool.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { cancel(); _ = other.close(context.WithoutCancel(ctx)) }()
	var running errgroup.Group
	running.Go(func() error { return other.vault.Run(ctx) })
	time.Sleep(listening)
	var took []time.Duration
	for i := range wakes {
		one, err := p.wakeOnce(ctx, other.vault, agentOf("waits-"+strconv.Itoa(i)))
		if err != nil {
			return nil, err
		}
		took = append(took, one)
	}
	cancel()
	if err := running.Wait(); err != nil {
		return nil, err
	}
	return []result{{
		name: "pg_wake_other_replica", ratio: ms(median(took)), goal: wakeGoal,
		detail: fmt.Sprintf("ms after the commit, p50 of %d; slowest %.1f", wakes, ms(slices.Max(took))),
	}}, nil
}

// wakeOnce has the agent's user decline at the first replica while the agent waits at
// the other.
func (p *pgBench) wakeOnce(ctx context.Context, other *tokenvault.Vault, agent tokenvault.Actor) (time.Duration, error) {
	_, err := other.Resolve(ctx, agent, p.few.request())
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		return 0, cmp.Or(err, errors.New("no auth request"))
	}
	var woken time.Time
	var group errgroup.Group
	group.Go(func() error {
		_, err := other.Wait(ctx, agent, required.Request.ID)
		woken = time.Now()
		return err
	})
	time.Sleep(settle) // until it waits
	_, err = p.few.vault.Decline(ctx, userOf(agent), required.Request.ID)
	committed := time.Now()
	if err := errors.Join(err, group.Wait()); err != nil {
		return 0, err
	}
	return max(woken.Sub(committed), 0), nil
}

// hung compares the resolves of a replica at which 200 refreshes hang with those of
// one at which none does.
func (p *pgBench) hung(ctx context.Context) ([]result, error) {
	other, err := p.open(ctx, p.few.pool.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = other.close(ctx) }()
	flow := &hangingFlow{hung: make(chan struct{}), entered: make(chan struct{}, hungRows)}
	other.flow.refresher = flow
	var group errgroup.Group
	for i := range hungRows {
		group.Go(func() error {
			_, err := other.vault.Resolve(ctx, agentOf(hotUser(i)), tokenvault.ResolveRequest{ProviderID: "hung"})
			return err
		})
	}
	for range hungRows {
		<-flow.entered
	}
	call := func(s *seeded) func() error {
		i := 0
		return func() error {
			i++
			_, err := s.vault.Resolve(ctx, agentOf(hotUser(i%hotUsers)), s.request())
			return err
		}
	}
	free, beside, err := inTurnAll(hungRounds, call(p.few), call(other))
	close(flow.hung)
	if err := errors.Join(err, group.Wait()); err != nil {
		return nil, err
	}
	p99 := func(all []time.Duration) time.Duration { return quantile(all, 0.99) }
	return []result{{
		name: "pg_beside_hung_provider_p99", ratio: float64(p99(beside)) / float64(p99(free)), goal: hungGoal,
		detail: fmt.Sprintf("audited resolve p99 %s beside %d refreshes that hang, %s without; p50 %s and %s",
			p99(beside), hungRows, p99(free), median(beside), median(free)),
	}}, nil
}

// hangingFlow hangs until it is told, well within what a refresh may take.
type hangingFlow struct{ hung, entered chan struct{} }

// Refresh implements [tokenvault.Refresher].
func (f *hangingFlow) Refresh(_ context.Context, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
	f.entered <- struct{}{}
	<-f.hung
	return tokenvault.Rotated{Credential: in.Credential, ExpiresIn: time.Hour}
}
