// Package pool lets the sessions of a browser adapter have their turns: so many at
// once, the others in line, first come, first served. An adapter says how one browser
// is started and ended; the session in between is cdpsession's.
package pool

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

// A Browser is one that was started for one session.
type Browser interface {
	// Conn is how to talk to it. The session closes it.
	Conn() *cdp.Conn
	// KeepFile is as in cdpsession.Options.
	KeepFile(name string, content []byte) (path string, err error)
	// End ends it, and returns when nothing is left of it.
	End(ctx context.Context) error
}

// Options configures a Pool. Start is needed; all else has defaults.
type Options struct {
	// Start starts a browser. ctx ends when the session does, and after StartLimit;
	// the browser lives on. Errors are logged: they hold no secret.
	Start func(ctx context.Context, req tokenvault.BrowserRequest) (Browser, error)
	// MaxSessions is how many run at once. Default 8.
	MaxSessions int
	// MaxChecks is how many checks run at once, beside the sessions. Default 2.
	MaxChecks int
	// Queue is how many may wait for others to end; below 0: none. Default 32.
	Queue int
	// IdleLimit is how long a session goes on without input or view, unless its
	// request says so. Default 5 min.
	IdleLimit time.Duration
	// TimeLimit is how long a session lives in all, with its time in the line, unless
	// its request says so. Default 30 min.
	TimeLimit time.Duration
	// StartLimit is how long it may take to start a browser and to open the login page.
	// Default 60 s.
	StartLimit time.Duration
	// Elsewhere says that sessions are shown elsewhere: they are not Viewable, and where
	// that is, a Browser with the method LiveViewURL says.
	Elsewhere bool
	// Remote says that the browser is on another machine: files reach it through the
	// page.
	Remote bool
	// OwnContext says that the browser may be another's too: each session has a browser
	// context of its own.
	OwnContext bool
	Logger     *slog.Logger // default: none
}

func (o *Options) setDefaults() {
	o.MaxSessions = or(o.MaxSessions, 8)
	o.MaxChecks = or(o.MaxChecks, 2)
	o.Queue = max(or(o.Queue, 32), 0)
	o.IdleLimit = or(o.IdleLimit, 5*time.Minute)
	o.TimeLimit = or(o.TimeLimit, 30*time.Minute)
	o.StartLimit = or(o.StartLimit, time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func or[T int | time.Duration](value, standard T) T {
	if value == 0 {
		return standard
	}
	return value
}

// A Pool is a [tokenvault.Browser].
type Pool struct {
	opts    Options
	work    sync.WaitGroup  // sessions that are not gone, and checks
	checks  chan struct{}   // a slot each
	closing context.Context //nolint:containedctx // ends with Close
	close   context.CancelFunc

	mu       sync.Mutex
	closed   bool
	sessions map[string]*session // that are not gone
	waiting  []*session          // first come, first served
	running  int                 // slots taken
}

var _ tokenvault.Browser = (*Pool)(nil)

// New returns a pool.
func New(opts Options) *Pool {
	opts.setDefaults()
	p := &Pool{opts: opts, checks: make(chan struct{}, opts.MaxChecks), sessions: make(map[string]*session)}
	p.closing, p.close = context.WithCancel(context.Background())
	return p
}

// Open fulfils [tokenvault.Browser].
func (p *Pool) Open(_ context.Context, req tokenvault.BrowserRequest) (tokenvault.BrowserSession, error) {
	if err := check(req); err != nil {
		return nil, err
	}
	req.IdleLimit = or(req.IdleLimit, p.opts.IdleLimit)
	req.TimeLimit = or(req.TimeLimit, p.opts.TimeLimit)
	s, err := p.enter(req)
	if err != nil {
		return nil, err
	}
	go s.run() //nolint:gosec // the session outlives its request
	return s.face(), nil
}

// Attach fulfils [tokenvault.Browser].
func (p *Pool) Attach(_ context.Context, id string) (tokenvault.BrowserSession, error) {
	p.mu.Lock()
	s, ok := p.sessions[id]
	p.mu.Unlock()
	if !ok || s.over() {
		return nil, tokenvault.ErrNotFound
	}
	return s.face(), nil
}

// Close ends every session and check, and waits until their browsers are gone.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	p.close()
	all := make([]*session, 0, len(p.sessions))
	for _, s := range p.sessions {
		all = append(all, s)
	}
	p.mu.Unlock()
	for _, s := range all {
		s.End(tokenvault.BrowserEndClosed)
	}
	p.work.Wait()
	return nil
}

// enter lets a session in: to a slot or to the end of the line.
func (p *Pool) enter(req tokenvault.BrowserRequest) (*session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.running < p.opts.MaxSessions
	switch {
	case p.closed:
		return nil, unavailable("browsers are shutting down")
	case p.sessions[req.ID] != nil:
		return nil, &tokenvault.FieldError{Field: "id", Reason: "must not be of a session that is open already"}
	case !free && len(p.waiting) >= p.opts.Queue:
		return nil, unavailable("all browsers are in use, and the queue is full")
	}
	s := newSession(p, req)
	if free {
		p.running++
		close(s.turn)
	} else {
		p.waiting = append(p.waiting, s)
		s.Queued(len(p.waiting))
	}
	p.sessions[req.ID] = s
	p.work.Add(1)
	return s, nil
}

// left takes a session out that is gone, and gives its slot to the first in the line.
func (p *Pool) left(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.work.Done()
	delete(p.sessions, s.ID())
	if i := slices.Index(p.waiting, s); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	} else if len(p.waiting) > 0 {
		close(p.waiting[0].turn)
		p.waiting = slices.Delete(p.waiting, 0, 1)
	} else {
		p.running--
	}
	for i, waiting := range p.waiting {
		waiting.Queued(i + 1)
	}
}

const maxSide = 4096 // CSS pixels

func check(req tokenvault.BrowserRequest) error {
	field := func(name, reason string) error { return &tokenvault.FieldError{Field: name, Reason: reason} }
	switch {
	case req.ID == "":
		return field("id", "must not be empty")
	case req.Provider.Login == nil:
		return field("provider", "must describe a login")
	case req.Provider.Login.Refuses != "":
		return field("provider", req.Provider.Login.Refuses)
	case req.Width < 0 || req.Width > maxSide || req.Height < 0 || req.Height > maxSide:
		return field("width", "must be at most 4096 pixels, as the height")
	case req.IdleLimit < 0 || req.TimeLimit < 0:
		return field("timeLimit", "must not be negative")
	}
	return nil
}

func unavailable(why string) error { return fmt.Errorf("%s: %w", why, tokenvault.ErrUnavailable) }
