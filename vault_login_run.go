package tokenvault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"
)

const (
	loginPoll       = 2 * time.Second // how soon is noticed what another process decided
	captureTimeout  = 90 * time.Second
	firstLookAgain  = 2 * time.Second // after nobody was signed in; doubles
	longestLook     = 30 * time.Second
	loginRemembered = 10 * time.Minute // how long it is known here how a login ended
	keepTries       = 10
)

// errLoginOver ends a login whose attempt or request somebody else has ended.
var errLoginOver = errors.New("the login is over")

// A login is one that runs, or lately ran, in this process.
type login struct {
	attempt  Attempt
	request  AuthRequest
	provider Provider
	actor    Actor
	record   loginRecord
	flow     Watching
	session  BrowserSession
	finish   chan chan error // who asks for a look now
	stopped  chan struct{}   // closed to end it
	done     chan struct{}   // closed when all is done

	mu     sync.Mutex // protects all below
	notice LoginNotice
	kept   bool // its state is being stored
	ended  time.Time

	stop sync.Once
}

func (l *login) runs() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended.IsZero()
}

// keep says that the state is being stored.
func (l *login) keep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = true
}

// keeping reports whether the state is being stored, of the account of c perhaps.
func (l *login) keeping(c Connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept && l.ended.IsZero() && l.attempt.Owner == c.Owner && l.attempt.ProviderID == c.ProviderID
}

func (l *login) forgettable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.ended.IsZero() && time.Since(l.ended) > loginRemembered
}

func (l *login) noticed() LoginNotice {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.notice
}

func (l *login) tell(n LoginNotice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notice = n
}

// ask has it looked at once whether the owner is signed in, and waits for what
// comes of it.
func (l *login) ask(ctx context.Context) error {
	looked := make(chan error, 1)
	select {
	case l.finish <- looked:
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("finish login: %w", ctx.Err())
	}
	select {
	case err := <-looked:
		if err != nil {
			return nil //nolint:nilerr // the notice says why
		}
	case <-ctx.Done():
		return fmt.Errorf("finish login: %w", ctx.Err())
	}
	select {
	case <-l.done: // what was found is stored
		return nil
	case <-ctx.Done():
		return fmt.Errorf("finish login: %w", ctx.Err())
	}
}

// logins are those of this process.
type logins struct {
	node string // names the process

	mu   sync.Mutex        // protects byID
	byID map[string]*login // nil: it is about to run
}

// reserve says that a login is about to run here.
func (s *logins) reserve(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = make(map[string]*login)
	}
	maps.DeleteFunc(s.byID, func(_ string, l *login) bool { return l != nil && l.forgettable() })
	s.byID[id] = nil
}

func (s *logins) add(l *login) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[l.attempt.ID] = l
}

func (s *logins) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

// get returns a login that runs or lately ran here, or nil.
func (s *logins) get(id string) *login {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

// here reports whether a login is, or is about to be, run by this process.
func (s *logins) here(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, here := s.byID[id]
	return here
}

// awaitKept waits for logins that are about to hand their browser to c.
func (s *logins) awaitKept(ctx context.Context, c Connection) {
	s.mu.Lock()
	var keeping []*login
	for _, l := range s.byID {
		if l != nil && l.keeping(c) {
			keeping = append(keeping, l)
		}
	}
	s.mu.Unlock()
	for _, l := range keeping {
		select {
		case <-l.done:
		case <-ctx.Done():
		}
	}
}

// stop ends a login if it runs here.
func (s *logins) stop(id string) {
	if l := s.get(id); l != nil {
		l.stop.Do(func() { close(l.stopped) })
	}
}

// stopOf ends the logins whose owner is covered.
func (s *logins) stopOf(owner Owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.byID {
		if l != nil && owner.Covers(l.attempt.Owner) {
			l.stop.Do(func() { close(l.stopped) })
		}
	}
}

func (s *logins) running() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.byID {
		if l == nil || l.runs() {
			n++
		}
	}
	return n
}

// runLogin waits until the owner is signed in, and keeps the state; or until the
// login ends otherwise, and says so.
func (v *Vault) runLogin(ctx context.Context, l *login) {
	if !v.concludeLogin(ctx, l) {
		v.closeSession(ctx, l.session)
	}
}

// concludeLogin reports whether the browser goes on for agents.
func (v *Vault) concludeLogin(ctx context.Context, l *login) (goesOn bool) {
	var following sync.WaitGroup
	defer func() {
		following.Wait()
		l.mu.Lock()
		l.ended = time.Now()
		l.mu.Unlock()
		close(l.done)
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	following.Go(func() { v.followLogin(ctx, l, cancel) })
	completed, err := v.awaitLogin(ctx, l)
	switch {
	case err == nil:
		l.keep()
		return v.keepLogin(ctx, l, completed) && v.keepDriving(ctx, l)
	case errors.Is(err, errLoginOver):
	case errors.Is(err, ErrClosed):
		v.loginEnds(ctx, l.attempt, l.request, FailLoginInterrupted)
	default:
		v.loginEnds(ctx, l.attempt, l.request, codeOfEnd(err))
	}
	return false
}

// closeSession ends a browser, whatever became of what it was for.
func (v *Vault) closeSession(ctx context.Context, s BrowserSession) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	if err := s.Close(ctx); err != nil && !errors.Is(err, ErrNotFound) {
		v.log.WarnContext(ctx, "a browser could not be closed", slog.String("session_id", s.ID()), slog.Any("error", err))
	}
}

// followLogin cancels a login that is over for another reason than its browser's.
func (v *Vault) followLogin(ctx context.Context, l *login, cancel context.CancelCauseFunc) {
	poll := time.NewTicker(loginPoll)
	defer poll.Stop()
	for {
		woken, forget := v.waiters.add(l.request.ID)
		if v.loginIsOver(ctx, l) {
			forget()
			cancel(errLoginOver)
			return
		}
		select {
		case <-woken:
		case <-poll.C:
		case <-l.stopped:
			forget()
			cancel(errLoginOver)
			return
		case <-v.work.closing:
			forget()
			cancel(ErrClosed)
			return
		case <-ctx.Done():
			forget()
			return
		}
		forget()
	}
}

// loginIsOver asks the store. While that cannot be reached, the login goes on.
func (v *Vault) loginIsOver(ctx context.Context, l *login) bool {
	a, err := v.store.GetAttempt(ctx, l.attempt.Owner, l.attempt.ID)
	if errors.Is(err, ErrNotFound) && ctx.Err() == nil {
		v.failLogin(ctx, l.request, FailLoginTimeout) // unless the request is gone too
		return true
	}
	if err != nil || a.State != AttemptBegun {
		return err == nil
	}
	req, err := v.store.GetAuthRequest(ctx, l.request.Owner, l.request.ID)
	return err == nil && req.Status.Settled() || errors.Is(err, ErrNotFound)
}

func codeOfEnd(err error) string {
	ended, _ := errors.AsType[*BrowserError](err)
	if ended == nil {
		return FailBrowserFailed
	}
	switch ended.End {
	case BrowserEndIdle:
		return FailLoginIdle
	case BrowserEndTimeout:
		return FailLoginTimeout
	case BrowserEndCrashed:
		return FailBrowserCrashed
	case BrowserEndClosed:
		return FailLoginInterrupted
	case BrowserEndFailed:
	}
	return FailBrowserFailed
}

// awaitLogin returns the proven state as soon as there is one. Who asks for a look
// gets it at once.
func (v *Vault) awaitLogin(ctx context.Context, l *login) (Completed, error) {
	pause := firstLookAgain
	for {
		asked, err := l.awaitSigns(ctx)
		if err != nil {
			return Completed{}, endOf(ctx, err)
		}
		if err := v.audit.append(ctx, v.requestEvent(EventLoginSeen, l.actor, l.request)); err != nil && ctx.Err() == nil {
			v.log.WarnContext(ctx, "what a login came to is not audited", slog.Any("error", err))
		}
		for {
			completed, err := v.capture(ctx, l)
			if asked != nil {
				asked <- err
			}
			if err == nil {
				return completed, nil
			}
			if _, ended := errors.AsType[*BrowserError](err); ended || ctx.Err() != nil {
				return Completed{}, endOf(ctx, err)
			}
			// The signs are there, and the state is not signed in, or not yet: they are not
			// believed again at once.
			if asked = l.pause(ctx, pause); asked == nil {
				pause = min(2*pause, longestLook)
				break
			}
		}
	}
}

// endOf returns why a login ended: what cancelled it says more than the error that
// came of that.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// awaitSigns blocks until the provider's signs of a login are there, or somebody
// asks for a look.
func (l *login) awaitSigns(ctx context.Context) (asked chan error, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	seen := make(chan error, 1)
	go func() { seen <- l.session.Await(ctx) }()
	select {
	case err := <-seen:
		return nil, err
	case asked = <-l.finish:
		stop()
		err := <-seen
		if _, ended := errors.AsType[*BrowserError](err); ended {
			asked <- err
			return nil, err
		}
		return asked, nil
	}
}

// pause waits, or returns who asks for a look meanwhile.
func (l *login) pause(ctx context.Context, d time.Duration) chan error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case asked := <-l.finish:
		return asked
	case <-t.C:
	case <-ctx.Done():
	}
	return nil
}

// capture reads the state and proves it.
func (v *Vault) capture(ctx context.Context, l *login) (completed Completed, err error) {
	l.tell(LoginChecking)
	nested, cancel := context.WithTimeout(ctx, captureTimeout)
	defer cancel()
	nested, end := v.watch.begin(nested, Operation{Kind: OpLoginCapture, ProviderID: l.provider.ID})
	completed, err = l.flow.Capture(nested, l.session, l.provider)
	end(OutcomeOf(err))
	switch {
	case err == nil:
	case errors.Is(err, ErrDenied):
		l.tell(LoginNotSignedIn)
	default:
		l.tell(LoginUnavailable)
		if ctx.Err() == nil {
			v.log.WarnContext(ctx, "the state of a login could not be captured or proven", slog.String("provider_id", l.provider.ID), slog.Any("error", err))
		}
	}
	return completed, err
}

// keepLogin stores the state, and reports whether it did. A state that comes too
// late is dropped: there is nothing to end at the service.
func (v *Vault) keepLogin(ctx context.Context, l *login, completed Completed) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTimeout)
	defer cancel()
	completed.connectionID = l.record.connectionID
	completed.ExpiresIn = l.provider.Login.Lifetime
	req := l.request
	captured, verified := v.requestEvent(EventLoginCaptured, l.actor, req), v.requestEvent(EventLoginVerified, l.actor, req)
	if l.attempt.NewAccount {
		req.ConnectionID = "" // it is left as it is
	}
	var err error
	for range keepTries {
		if err = v.keepOnce(ctx, l, req, completed, captured, verified); !errors.Is(err, ErrUnavailable) {
			break
		}
		_ = pause(ctx, time.Second)
	}
	switch {
	case err == nil:
		l.tell("")
		return true
	case errors.Is(err, ErrAccountMismatch):
		l.tell(LoginOtherAccount)
		ended := v.requestEvent(EventLoginEnded, l.actor, req)
		ended.Detail = string(LoginOtherAccount)
		if err := v.audit.append(ctx, ended); err != nil {
			v.log.ErrorContext(ctx, "the end of a login is not audited", slog.Any("error", err))
		}
	case errors.Is(err, ErrStateInvalid), errors.Is(err, ErrConflict), errors.Is(err, ErrExpired), errors.Is(err, ErrNotFound):
		// Whoever ended the attempt or the request has said so.
	default:
		l.tell(LoginUnavailable)
		v.log.ErrorContext(ctx, "the state of a login is lost: it could not be stored", slog.String("provider_id", l.provider.ID), slog.Any("error", err))
		v.failLogin(ctx, l.request, FailLoginInterrupted)
	}
	return false
}

// keepOnce takes the attempt, once, and settles the request. A login that another
// try has taken already is this one's.
func (v *Vault) keepOnce(ctx context.Context, l *login, req AuthRequest, completed Completed, events ...Event) error {
	if l.attempt.State == AttemptBegun {
		if err := v.audit.append(ctx, events...); err != nil {
			return err
		}
		taken, err := v.store.AdvanceAttempt(ctx, l.attempt.StateHash, AttemptBegun, AttemptConsumed)
		if err != nil {
			return err
		}
		l.attempt.State = taken.State
	}
	_, err := v.keep(ctx, l.actor, req, l.provider, App{}, completed, l.attempt.PermissionTTL)
	return err
}
