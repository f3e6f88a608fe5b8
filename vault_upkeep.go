package tokenvault

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	upkeepEvery  = 15 * time.Second
	upkeepBatch  = 100
	upkeepLease  = 2 * time.Minute // longer than a refresh
	lookEvery    = 24 * time.Hour  // at a connection with which there is nothing to do
	lookAgain    = 5 * time.Minute // after a failure
	leastLately  = time.Hour
	mostLately   = 24 * time.Hour
	mostBehind   = 32 // refreshes at a time that nobody waits for
	mostAtOne    = 8  // of them at one provider
	busyProvider = 30 * time.Second
)

// busy counts refreshes that nobody waits for, so that a provider that hangs takes
// the turns of no other.
type busy struct {
	mu  sync.Mutex
	all int
	at  map[string]int // by provider
}

// begin reports whether one more may begin at the provider.
func (b *busy) begin(providerID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all >= mostBehind || b.at[providerID] >= mostAtOne {
		return false
	}
	if b.at == nil {
		b.at = make(map[string]int)
	}
	b.all++
	b.at[providerID]++
	return true
}

func (b *busy) end(providerID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.at[providerID]--; b.at[providerID] == 0 {
		delete(b.at, providerID)
	}
}

// upkeep looks at the connections that are due.
func (v *Vault) upkeep(ctx context.Context) {
	for ctx.Err() == nil {
		due, err := v.store.ClaimConnections(ctx, v.opts.Tenant, upkeepBatch, upkeepLease)
		if err != nil {
			if ctx.Err() == nil {
				v.log.Error("connections cannot be looked after", slog.Any("error", err))
			}
			return
		}
		var next []NextLook
		for _, c := range due {
			if in, done := v.lookAt(ctx, c); done {
				next = append(next, NextLook{ID: c.ID, Claimed: c.Claimed, In: in})
			}
		}
		v.putOff(ctx, next...)
		if len(due) < upkeepBatch {
			return
		}
	}
}

func (v *Vault) putOff(ctx context.Context, next ...NextLook) {
	if len(next) == 0 {
		return
	}
	if err := v.store.PutOffConnections(ctx, v.opts.Tenant, next); err != nil && ctx.Err() == nil {
		v.log.Warn("connections cannot be put off: they are looked at again soon", slog.Any("error", err))
	}
}

// lookAt does what is to be done with c, and says when to look again. What takes
// time goes on after it: done is false, and it puts c off itself.
func (v *Vault) lookAt(ctx context.Context, c DueConnection) (in time.Duration, done bool) {
	p, err := v.provider(ctx, c.Owner, c.ProviderID)
	if err != nil {
		return lookEvery, true // a provider that is gone cannot be asked
	}
	in = v.untilDue(p, c.Connection, c.Now)
	if in > 0 {
		return in, true
	}
	if p.APIKey == nil {
		cred, err := v.openCredential(ctx, c.SealedConnection, nil)
		if err != nil || !p.renewable(cred) {
			return lookEvery, true
		}
	}
	if wait := v.askIn(p, c.Owner); wait > 0 {
		return wait + jitter(c.ID, busyProvider), true
	}
	if !v.behind.begin(p.ID) {
		return busyProvider + jitter(c.ID, busyProvider), true
	}
	if !v.work.begin() {
		v.behind.end(p.ID)
		return 0, true
	}
	go func() {
		defer v.work.running.Done()
		defer v.behind.end(p.ID)
		v.refreshDue(context.WithoutCancel(ctx), p, c)
	}()
	return 0, false
}

// refreshDue refreshes or probes c, like a caller would, and puts it off.
func (v *Vault) refreshDue(ctx context.Context, p Provider, c DueConnection) {
	begun := time.Now()
	conn, _, err := v.refresh(ctx, p, c.SealedConnection, false)
	next := NextLook{ID: c.ID, Claimed: c.Claimed}
	if err == nil {
		conn.UpdatedAt, conn.LastUsedAt = c.Now, c.LastUsedAt
		next.In = max(v.untilDue(p, conn, c.Now.Add(time.Since(begun))), time.Minute)
	} else {
		next.In = lookAgain + jitter(c.ID, lookAgain)
		if failed, ok := errors.AsType[*ProviderError](err); ok {
			next.In = max(next.In, failed.RetryAfter)
		}
	}
	v.putOff(ctx, next)
}

// untilDue returns how long nothing has to be done with a connection; what is not
// positive says that it is to be refreshed or probed now.
func (v *Vault) untilDue(p Provider, c Connection, now time.Time) time.Duration {
	at := now.Add(lookEvery - jitter(c.ID, lookEvery/4))
	earlier := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	_, probes := v.opts.Flows[p.AuthMethod].(Prober)
	_, refreshes := v.opts.Flows[p.AuthMethod].(Refresher)
	switch {
	case p.APIKey != nil && probes && v.opts.ProbeEvery > 0:
		earlier(c.UpdatedAt.Add(v.opts.ProbeEvery + jitter(c.ID, v.opts.ProbeEvery/4)))
	case p.Login != nil && refreshes: // in time, so that who uses it does not wait
		every := p.Login.checkEvery()
		earlier(c.ObtainedAt.Add(every - jitter(c.ID, every/4)))
	case p.OAuth2 == nil || !refreshes:
	default:
		if idle := p.OAuth2.RefreshIdle; idle > 0 {
			earlier(c.ObtainedAt.Add(idle/2 + jitter(c.ID, idle/4)))
		}
		if !c.ExpiresAt.IsZero() && usedLately(c, now) {
			earlier(staleAt(c))
		}
	}
	return at.Sub(now)
}

// usedLately reports whether the credential will likely be needed after it
// expires: it was used within twice its lifetime, within a day at most.
func usedLately(c Connection, now time.Time) bool {
	lately := min(max(2*c.ExpiresAt.Sub(c.ObtainedAt), leastLately), mostLately)
	return !c.LastUsedAt.IsZero() && now.Sub(c.LastUsedAt) < lately
}
