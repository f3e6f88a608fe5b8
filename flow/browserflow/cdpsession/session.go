package cdpsession

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

const (
	defaultWidth  = 1280
	defaultHeight = 800
	defaultIdle   = 10 * time.Minute
	defaultTime   = 30 * time.Minute
	defaultTabs   = 8
	quality       = 60               // of a picture, as JPEG
	callWithin    = 15 * time.Second // a browser that answers nothing for so long hangs
)

// Options says what a session is for, and what its adapter does for it.
type Options struct {
	Request tokenvault.BrowserRequest
	// MayVisit says where a tab may navigate to. Nil: to where the provider's login
	// says. Frames, images and scripts of a page are not asked about.
	MayVisit func(u *url.URL) bool
	// OwnContext makes the session use a browser context of its own, apart from what
	// else the browser shows.
	OwnContext bool
	// KeepFile puts a file that the person chose where the browser can read it, and
	// returns its path there. It goes with the session. Nil: the page gets the content
	// without a file.
	KeepFile func(name string, content []byte) (path string, err error)
	// LiveViewURL is that of the browser's own service, if it has one.
	LiveViewURL tokenvault.Secret
	// Tabs is how many there may be at once; those beyond are closed. Default 8.
	Tabs int
	// Ended is called once the session has ended, by a goroutine of the session's: it
	// ends the browser, and wipes what it left. Close waits for it.
	Ended func(why tokenvault.BrowserEnd)
}

// A Session is a [tokenvault.BrowserSession], [tokenvault.Viewable] and
// [tokenvault.Drivable]. It is safe for concurrent use.
type Session struct {
	opts    Options
	login   tokenvault.Login
	ctx     context.Context //nolint:containedctx // of the session's life
	cancel  context.CancelFunc
	torn    chan struct{}  // closed when Options.Ended has returned
	work    sync.WaitGroup // goroutines that use the connection
	drawing chan struct{}  // wakes who draws

	mu       sync.Mutex // protects everything below; held for no call to the browser
	conn     *cdp.Conn  // nil until Open
	phase    tokenvault.BrowserPhase
	position int
	end      tokenvault.BrowserEnd
	endsAt   time.Time
	usedAt   time.Time
	idle     *time.Timer
	timeout  *time.Timer
	context  string // the browser context's id, if it is our own

	targets map[string]*target      // by CDP session
	tabs    []*target               // in the order of their opening
	top     []*target               // the same, the active one last
	hiding  map[string]chan *target // who waits for a hidden page, by its address
	crashes int

	width, height int
	touch         bool
	view          *view
	last          []byte // the active tab's last picture
	seq           uint32
	turn          int // see drawing
	inflight      int // inputs that the browser has not answered

	signs  signs
	mirror mirror
	first  string // where the first tab goes; empty: nowhere
}

// New returns a session that waits for its turn. Its time runs from now.
func New(opts Options) *Session {
	r := opts.Request
	s := &Session{
		opts: opts, torn: make(chan struct{}), drawing: make(chan struct{}, 1),
		phase: tokenvault.BrowserQueued, targets: make(map[string]*target), hiding: make(map[string]chan *target),
		width: cmp.Or(r.Width, defaultWidth), height: cmp.Or(r.Height, defaultHeight),
	}
	if r.Provider.Login != nil {
		s.login = *r.Provider.Login
	}
	s.first, s.signs = s.login.URL, newSigns(s.login)
	s.opts.Tabs = cmp.Or(opts.Tabs, defaultTabs)
	s.opts.Request.IdleLimit = cmp.Or(r.IdleLimit, defaultIdle)
	if s.opts.MayVisit == nil {
		s.opts.MayVisit = s.login.MayVisit
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	limit := cmp.Or(r.TimeLimit, defaultTime)
	s.mu.Lock() // a timer may be over at once
	defer s.mu.Unlock()
	s.usedAt = time.Now()
	s.endsAt = s.usedAt.Add(limit)
	s.timeout = time.AfterFunc(limit, func() { s.End(tokenvault.BrowserEndTimeout) })
	s.idle = time.AfterFunc(s.opts.Request.IdleLimit, s.idled)
	return s
}

// ID returns the attempt's id.
func (s *Session) ID() string { return s.opts.Request.ID }

// LiveViewURL returns that of the browser's own service, or nothing.
func (s *Session) LiveViewURL() tokenvault.Secret { return s.opts.LiveViewURL }

// Queued tells the session's place in the queue, from 1.
func (s *Session) Queued(position int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == tokenvault.BrowserQueued {
		s.position = position
		s.changed()
	}
}

// Starting tells that the browser is being started.
func (s *Session) Starting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == tokenvault.BrowserQueued {
		s.phase, s.position = tokenvault.BrowserStarting, 0
		s.changed()
	}
}

// Done is closed once the session has ended.
func (s *Session) Done() <-chan struct{} { return s.ctx.Done() }

// End ends the session, unless it has ended: the first reason is the one that is
// told.
func (s *Session) End(why tokenvault.BrowserEnd) {
	s.mu.Lock()
	if s.phase == tokenvault.BrowserEnded {
		s.mu.Unlock()
		return
	}
	s.phase, s.end, s.position = tokenvault.BrowserEnded, why, 0
	s.idle.Stop()
	s.timeout.Stop()
	conn, own := s.conn, s.context
	s.cancel()
	s.changed()
	s.last = nil
	s.mu.Unlock()
	go s.tearDown(conn, own, why)
}

func (s *Session) tearDown(conn *cdp.Conn, own string, why tokenvault.BrowserEnd) {
	defer close(s.torn)
	s.work.Wait()
	if conn != nil && own != "" {
		ctx, cancel := context.WithTimeout(context.Background(), callWithin)
		_ = conn.Call(ctx, "", "Target.disposeBrowserContext", map[string]string{"browserContextId": own}, nil)
		cancel()
	}
	if s.opts.Ended != nil {
		s.opts.Ended(why)
	}
	if conn != nil {
		_ = conn.Close()
		<-conn.Done()
	}
}

// Close ends the session and waits until nothing is left of it.
func (s *Session) Close(ctx context.Context) error {
	s.End(tokenvault.BrowserEndClosed)
	select {
	case <-s.torn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("browser session: %w", ctx.Err())
	}
}

// Status tells what can be seen of the session from outside.
func (s *Session) Status(context.Context) (tokenvault.BrowserStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := tokenvault.BrowserStatus{
		Phase: s.phase, Position: s.position, EndsAt: s.endsAt, End: s.end, Authenticated: s.signs.authenticated(),
	}
	if t := s.active(); t != nil {
		status.CurrentURL = shown(t.url)
	}
	return status, nil
}

// ended returns why, or nil while the session goes on. The lock is held.
func (s *Session) ended() error {
	if s.phase != tokenvault.BrowserEnded {
		return nil
	}
	return &tokenvault.BrowserError{End: s.end}
}

// used notes that somebody did something. The lock is held.
func (s *Session) used() {
	if s.phase != tokenvault.BrowserEnded {
		s.usedAt = time.Now()
		s.idle.Reset(s.opts.Request.IdleLimit)
	}
}

// idled ends a session that nobody uses, unless somebody looks at it.
func (s *Session) idled() {
	s.mu.Lock()
	looked := s.view != nil && s.view.showing
	if looked {
		s.used()
	}
	late := time.Since(s.usedAt) < s.opts.Request.IdleLimit // used while the timer was firing
	s.mu.Unlock()
	if !looked && !late {
		s.End(tokenvault.BrowserEndIdle)
	}
}

// call sends a command and waits for its answer, at most for callWithin.
func (s *Session) call(ctx context.Context, session, method string, params, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return s.conn.Call(ctx, session, method, params, result)
}

// A command is sent to a target, or to the browser.
type command struct {
	method string
	params object
}

// calls sends commands one behind the other, and waits for all answers, at most for
// callWithin. It returns the first refusal.
func (s *Session) calls(ctx context.Context, session string, commands ...command) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	answers := make(chan error, len(commands))
	for _, c := range commands {
		var params any // nil, and not a nil map, if there are none
		if c.params != nil {
			params = c.params
		}
		s.conn.Start(session, c.method, params, func(_ []byte, err error) { answers <- err })
	}
	var first error
	for range commands {
		select {
		case err := <-answers:
			first = cmp.Or(first, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return first
}

// goes runs f in a goroutine that the session's end waits for. The lock is held.
func (s *Session) goes(f func()) {
	if s.phase != tokenvault.BrowserEnded {
		s.work.Go(f)
	}
}

// shown returns a URL as it may be shown: without user, query and fragment.
func shown(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// originOf returns a URL's origin, or nothing if it has none that can be shown.
func originOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
