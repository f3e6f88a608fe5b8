package limit

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	gateSlots = 64  // requests under way at one host
	gateQueue = 512 // requests that wait for one
	maxPause  = 15 * time.Minute
)

// A BusyError says that a request was not let through, and when to try again.
type BusyError struct{ RetryAfter time.Duration }

// Error says that the host has enough to do.
func (e *BusyError) Error() string { return "too many requests to this host" }

// A Gate bounds what is sent to each of many hosts: how many requests a second, how
// many at a time, and how many wait. A host that hangs keeps its own requests only.
// It is safe for concurrent use; a nil Gate lets everything through.
type Gate struct {
	perSecond rate.Limit

	mu     sync.Mutex // protects the maps; held for look-ups only
	doors  map[string]*door
	pauses map[string]time.Time
}

// A door is a gate's way to one host.
type door struct {
	slots, queue chan struct{}
	rate         *rate.Limiter
}

// NewGate returns a gate of perSecond requests a second to each host, and twice as
// many at once; nil if perSecond is not positive.
func NewGate(perSecond float64) *Gate {
	if perSecond <= 0 {
		return nil
	}
	return &Gate{perSecond: rate.Limit(perSecond), doors: make(map[string]*door), pauses: make(map[string]time.Time)}
}

// Enter waits, at most for as long as patience, until a request to the host may be
// sent. Call leave when its answer is read. It fails with a *[BusyError], or with
// the context's error.
func (g *Gate) Enter(ctx context.Context, host string, patience time.Duration) (leave func(), err error) {
	if g == nil {
		return func() {}, nil
	}
	d := g.door(host)
	patient, cancel := context.WithTimeoutCause(ctx, patience, &BusyError{RetryAfter: time.Second})
	defer cancel()
	if err := d.slot(patient); err != nil {
		return nil, err
	}
	leave = func() { <-d.slots }
	if err := d.turn(patient); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

func (g *Gate) door(host string) *door {
	g.mu.Lock()
	defer g.mu.Unlock()
	d, ok := g.doors[host]
	if !ok {
		d = &door{
			slots: make(chan struct{}, gateSlots), queue: make(chan struct{}, gateQueue),
			rate: rate.NewLimiter(g.perSecond, max(1, int(2*g.perSecond))),
		}
		g.doors[host] = d
	}
	return d
}

// slot takes one of the host's slots.
func (d *door) slot(ctx context.Context) error {
	select {
	case d.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case d.queue <- struct{}{}:
		defer func() { <-d.queue }()
	default:
		return &BusyError{RetryAfter: time.Second}
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// turn waits until the rate allows a request.
func (d *door) turn(ctx context.Context) error {
	now := time.Now()
	reserved := d.rate.ReserveN(now, 1)
	wait := reserved.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	if end, ok := ctx.Deadline(); ok && now.Add(wait).After(end) {
		reserved.CancelAt(now)
		return &BusyError{RetryAfter: wait}
	}
	err := sleep(ctx, wait)
	if err != nil {
		reserved.Cancel()
	}
	return err
}

// Pause makes Rest hold who up for as long, at most a quarter of an hour: a host
// asked for it.
func (g *Gate) Pause(who string, long time.Duration) {
	if g == nil || long <= 0 {
		return
	}
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.pauses, func(_ string, until time.Time) bool { return !now.Before(until) })
	g.pauses[who] = now.Add(min(long, maxPause))
}

// Rest waits until who's pause is over, if there is one. It fails at once with a
// *[BusyError] if that takes longer than patience.
func (g *Gate) Rest(ctx context.Context, who string, patience time.Duration) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	left := time.Until(g.pauses[who])
	g.mu.Unlock()
	switch {
	case left <= 0:
		return nil
	case left > patience:
		return &BusyError{RetryAfter: left}
	}
	return sleep(ctx, left)
}

func sleep(ctx context.Context, long time.Duration) error {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// RetryAfter returns when err says to try again; 0 if it does not.
func RetryAfter(err error) time.Duration {
	if busy, ok := errors.AsType[*BusyError](err); ok {
		return busy.RetryAfter
	}
	return 0
}
