package limit

import (
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	tripAfter = 5 // failures in a row
	firstOpen = 10 * time.Second
	mostOpen  = time.Minute // unless the endpoint asks for more
	forgetIn  = 10 * time.Minute
)

// A Verdict says what a call tells about the endpoint that it went to.
type Verdict int

// The verdicts.
const (
	Unsent   Verdict = iota // nothing: it was not sent
	Answered                // the endpoint works, whatever it said
	Failed                  // the endpoint does not work
)

// Breakers leave endpoints alone that keep failing:
//
//	closed ── 5 failures in a row ──► open ── its time is over ──► half open: one call
//	   ▲                               ▲                              │       │
//	   └────────── it answers ─────────┼──────────────────────────────┘       │
//	                                   └── it fails: twice as long ───────────┘
//
// They hold within one process, and remember the endpoints that failed lately only.
// The zero Breakers are closed. They are safe for concurrent use.
type Breakers struct {
	// Changed is called when a breaker opens that was closed, and when one closes
	// that was open. It must be set before use, and must not use the Breakers. Nil:
	// nobody is told.
	Changed func(endpoint string, open bool)

	mu      sync.Mutex // held for look-ups and for Changed
	failing map[string]*breaker
}

// A breaker is that of one endpoint that failed.
type breaker struct {
	failures int // in a row
	failed   time.Time
	opened   int           // how often in a row; 0: closed
	lasts    time.Duration // how long it is open
	trying   bool          // half open, and the one call is under way
}

func (b *breaker) until() time.Time { return b.failed.Add(b.lasts) }

// Begin asks whether a call may go to the endpoint. If so, end must be called once
// with what it tells, and with how long the endpoint asks to be left alone, if it
// does. If not, end is nil, and wait says when to ask again.
func (b *Breakers) Begin(endpoint string) (end func(v Verdict, pause time.Duration), wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	opened := 0
	if known := b.failing[endpoint]; known != nil && known.opened > 0 {
		if wait := known.wait(); wait > 0 {
			return nil, wait
		}
		known.trying, opened = true, known.opened
	}
	return func(v Verdict, pause time.Duration) { b.end(endpoint, opened, v, pause) }, 0
}

// Wait returns how long no call may go to the endpoint; 0 if one may.
func (b *Breakers) Wait(endpoint string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.failing[endpoint]; known != nil && known.opened > 0 {
		return known.wait()
	}
	return 0
}

func (b *breaker) wait() time.Duration {
	if b.trying {
		return firstOpen
	}
	return time.Until(b.until())
}

// Open returns the endpoints that are left alone, in order.
func (b *Breakers) Open() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(time.Now())
	var open []string
	for endpoint, known := range b.failing {
		if known.opened > 0 {
			open = append(open, endpoint)
		}
	}
	slices.Sort(open)
	return open
}

// end counts a call that began when the breaker had opened so many times. What
// fails after others have opened it was under way then, and tells nothing new.
func (b *Breakers) end(endpoint string, opened int, v Verdict, pause time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.failing[endpoint]
	if known != nil && known.opened == opened {
		known.trying = false
	}
	switch {
	case v == Answered && known != nil:
		delete(b.failing, endpoint)
		if known.opened > 0 {
			b.tell(endpoint, false)
		}
	case v == Failed && (known == nil || known.opened == opened):
		b.fail(endpoint, pause)
	}
}

func (b *Breakers) fail(endpoint string, pause time.Duration) {
	now := time.Now()
	known := b.failing[endpoint]
	if known == nil {
		b.forget(now)
		if b.failing == nil {
			b.failing = make(map[string]*breaker)
		}
		known = &breaker{}
		b.failing[endpoint] = known
	}
	known.failures++
	known.failed = now
	if known.failures < tripAfter {
		return
	}
	known.opened++
	known.lasts = max(min(firstOpen<<min(known.opened-1, 10), mostOpen), min(pause, maxPause))
	if known.opened == 1 {
		b.tell(endpoint, true)
	}
}

// forget drops the endpoints that nobody has asked for long.
func (b *Breakers) forget(now time.Time) {
	maps.DeleteFunc(b.failing, func(_ string, known *breaker) bool { return now.Sub(known.until()) > forgetIn })
}

func (b *Breakers) tell(endpoint string, open bool) {
	if b.Changed != nil {
		b.Changed(endpoint, open)
	}
}
