package pool

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/cdpsession"
)

// endWithin bounds how long an end waits for a browser to go.
const endWithin = 15 * time.Second

// A session is one request from the line to its end.
type session struct {
	*cdpsession.Session

	pool    *Pool
	req     tokenvault.BrowserRequest
	turn    chan struct{} // closed when it has a slot; by the pool, under its lock
	tried   chan struct{} // closed when no browser will be started any more
	browser Browser       // set before tried is closed; nil if none was started
}

func newSession(p *Pool, req tokenvault.BrowserRequest) *session {
	s := &session{pool: p, req: req, turn: make(chan struct{}), tried: make(chan struct{})}
	opts := cdpsession.Options{Request: req, OwnContext: p.opts.OwnContext, Ended: s.ended}
	if !p.opts.Remote {
		opts.KeepFile = s.keepFile
	}
	s.Session = cdpsession.New(opts)
	return s
}

// face is what callers get: it says by its methods whether it can be viewed.
func (s *session) face() tokenvault.BrowserSession {
	if s.pool.opts.Elsewhere {
		return elsewhere{s.Session, s.Session, s}
	}
	return s.Session
}

// elsewhere is a session without its view.
type elsewhere struct {
	tokenvault.BrowserSession
	tokenvault.Drivable

	session *session
}

// LiveViewURL fulfils [tokenvault.BrowserSession]. It is empty before the browser has
// started.
func (e elsewhere) LiveViewURL() tokenvault.Secret {
	select {
	case <-e.session.tried:
	default:
		return tokenvault.Secret{}
	}
	if shown, ok := e.session.browser.(interface{ LiveViewURL() tokenvault.Secret }); ok {
		return shown.LiveViewURL()
	}
	return tokenvault.Secret{}
}

func (s *session) over() bool {
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}

// run has the session wait for its turn, and then for its browser.
func (s *session) run() {
	select {
	case <-s.turn:
	case <-s.Done():
		close(s.tried)
		return
	}
	s.Starting()
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.pool.opts.StartLimit, errors.New("the start took too long"))
	defer cancel()
	go func() {
		select {
		case <-s.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	browser, err := s.pool.opts.Start(ctx, s.req)
	s.browser = browser
	close(s.tried)
	if err == nil {
		err = s.Open(ctx, browser.Conn())
	}
	if err != nil && !s.over() {
		s.End(tokenvault.BrowserEndFailed)
		s.pool.opts.Logger.Warn("a browser could not be started", slog.String("session", s.req.ID), slog.String("error", err.Error()))
	}
}

// ended ends the browser of a session that ended, and gives its slot back then.
func (s *session) ended(why tokenvault.BrowserEnd) {
	<-s.tried
	if s.browser != nil {
		ctx, cancel := context.WithTimeout(context.Background(), endWithin)
		defer cancel()
		if err := s.browser.End(ctx); err != nil {
			s.pool.opts.Logger.Warn("a browser did not end as it should", slog.String("session", s.req.ID), slog.String("reason", string(why)), slog.String("error", err.Error()))
		}
	}
	s.pool.left(s)
}

// keepFile waits for no browser: a page that asks for a file has one.
func (s *session) keepFile(name string, content []byte) (string, error) {
	select {
	case <-s.tried:
	default:
		return "", tokenvault.ErrUnavailable
	}
	return s.browser.KeepFile(name, content)
}
