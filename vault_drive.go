package tokenvault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	sessionPoll = 5 * time.Second // how soon is noticed that a connection ended, or nobody drives
	sessionTime = 8 * time.Hour
	openTimeout = time.Minute
	openPoll    = 100 * time.Millisecond
)

// A DriveRequest asks for the browser of a connection, with usage mode session.
type DriveRequest struct {
	ConnectionID string
	// Release is inject or token, as of [ResolveRequest]. With inject, what reads
	// cookies and storage wholesale is refused.
	Release  Release
	RunID    string
	ThreadID string
}

// Drive gives an agent the signed-in browser of a connection, which speaks the
// Chrome DevTools Protocol. A browser that is not there, or has ended, is opened
// from the state of the login. What is refused is answered with an error of the
// protocol: methods that read files of the machine or write there, that end the
// browser, or that would hand out the credential without [ReleaseToken].
//
// It fails as [Vault.Resolve] does, with a [FieldError] if the provider's usage
// mode is not session, and with [ErrUnavailable] if no browser can be started now.
// The wire ends with the browser: at once if the connection is revoked, and after
// [Options.SessionIdle] without a message. It ends with [ErrDenied] within a few
// seconds after the agent's permission ends or is withdrawn.
func (v *Vault) Drive(ctx context.Context, actor Actor, in DriveRequest) (wire Wire, err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpSessionDrive})
	defer func() { end(OutcomeOf(err)) }()
	if err := v.checkActor(actor); err != nil {
		return nil, err
	}
	c, err := v.store.GetConnection(ctx, actor.Owner, in.ConnectionID)
	if err != nil {
		return nil, fmt.Errorf("connection: %w", err)
	}
	access, err := v.Resolve(ctx, actor, ResolveRequest{
		ProviderID: c.ProviderID, ConnectionID: c.ID, Release: in.Release, RunID: in.RunID, ThreadID: in.ThreadID,
	})
	if err != nil {
		return nil, err
	}
	p := access.provider
	if p.Login == nil || p.UsageMode != UsageSession {
		return nil, invalid("credentialId", "must be of a provider whose usage mode is session")
	}
	flow, err := v.watchingFlow(p)
	if err != nil {
		return nil, err
	}
	driven, err := v.drivenOf(ctx, access, flow)
	if err != nil {
		return nil, err
	}
	event := v.event(EventSessionDriven, actor, access.connection.Owner)
	event.ProviderID, event.ConnectionID, event.Detail = p.ID, c.ID, string(access.request.Release)
	event.RunID, event.ThreadID = in.RunID, in.ThreadID
	if err := v.audit.append(ctx, event); err != nil {
		return nil, err
	}
	inner, err := driven.drivable.Drive(ctx)
	if err != nil {
		return nil, fmt.Errorf("drive: %w", err)
	}
	passed := newDrivenWire(inner, access.request.Release == ReleaseToken, driven.touch)
	go v.endWithPermission(passed, access)
	return passed, nil
}

// endWithPermission ends the wire once the agent would not be given it any more.
func (v *Vault) endWithPermission(w *drivenWire, access *Access) {
	poll := time.NewTicker(sessionPoll)
	defer poll.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-poll.C:
		}
		ctx, cancel := context.WithTimeout(w.ctx, checkTimeout)
		permitted := v.stillPermitted(ctx, access)
		cancel()
		if !permitted {
			_ = w.end(fmt.Errorf("drive: the permission has ended: %w", ErrDenied))
			return
		}
	}
}

// stillPermitted reports whether the access would be given now. While the store does
// not answer, nobody takes it away.
func (v *Vault) stillPermitted(ctx context.Context, a *Access) bool {
	found, err := v.store.FindUsable(ctx, FindQuery{
		Owner: a.actor.Owner, AgentID: a.actor.ID, ProviderID: a.provider.ID, ConnectionID: a.connection.ID,
	})
	if err != nil {
		return true
	}
	pick := selectCandidate(a.actor, a.provider, a.request, found)
	return !pick.denied && pick.reason == ""
}

// A drivenSession is the browser of a connection, in this process.
type drivenSession struct {
	connection Connection
	provider   Provider
	flow       Watching
	session    BrowserSession
	drivable   Drivable
	stopped    chan struct{}
	stop       sync.Once

	mu   sync.Mutex // protects used
	used time.Time
}

func (d *drivenSession) touch() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used = time.Now()
}

func (d *drivenSession) idle() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Since(d.used)
}

func (d *drivenSession) end() { d.stop.Do(func() { close(d.stopped) }) }

// drivenSessions are those of this process, by connection.
type drivenSessions struct {
	opening singleflight.Group

	mu   sync.Mutex // protects byID
	byID map[string]*drivenSession
}

func (s *drivenSessions) get(connectionID string) *drivenSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[connectionID]
}

// put remembers d, and returns the one before.
func (s *drivenSessions) put(d *drivenSession) (before *drivenSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = make(map[string]*drivenSession)
	}
	before = s.byID[d.connection.ID]
	s.byID[d.connection.ID] = d
	return before
}

func (s *drivenSessions) remove(d *drivenSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[d.connection.ID] == d {
		delete(s.byID, d.connection.ID)
	}
}

func (s *drivenSessions) stop(connectionID string) {
	if d := s.get(connectionID); d != nil {
		d.end()
	}
}

func (s *drivenSessions) stopOf(owner Owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.byID {
		if owner.Covers(d.connection.Owner) {
			d.end()
		}
	}
}

func (s *drivenSessions) running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID)
}

// keepDriving keeps the browser of a login for agents, where that is what the
// provider is used by, and reports whether it does.
func (v *Vault) keepDriving(ctx context.Context, l *login) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	drivable, ok := l.session.(Drivable)
	if !ok || l.provider.UsageMode != UsageSession {
		return false
	}
	req, err := v.store.GetAuthRequest(ctx, l.request.Owner, l.request.ID)
	if err != nil || req.Status != AuthConnected {
		return false
	}
	c, err := v.store.GetConnection(ctx, req.Owner, req.ConnectionID)
	if err != nil {
		return false
	}
	d := &drivenSession{connection: c.Connection, provider: l.provider, flow: l.flow, session: l.session, drivable: drivable}
	return v.startDriving(d)
}

// drivenOf returns the browser of a connection, opened if need be.
func (v *Vault) drivenOf(ctx context.Context, access *Access, flow Watching) (*drivenSession, error) {
	result := v.driven.opening.DoChan(access.connection.ID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTimeout)
		defer cancel()
		v.logins.awaitKept(ctx, access.connection)
		if d := v.driven.get(access.connection.ID); d != nil {
			if now, err := d.session.Status(ctx); err == nil && now.Phase == BrowserOpen {
				d.touch()
				return d, nil
			}
			d.end()
		}
		return v.openDriven(ctx, access, flow)
	})
	select {
	case r := <-result:
		d, _ := r.Val.(*drivenSession)
		return d, r.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("drive: %w", ctx.Err())
	}
}

func (v *Vault) openDriven(ctx context.Context, access *Access, flow Watching) (*drivenSession, error) {
	p := access.provider
	nested, end := v.watch.begin(ctx, Operation{Kind: OpProviderBegin, ProviderID: p.ID})
	session, err := flow.Open(nested, BrowserRequest{
		ID: newID("bs"), Provider: p, State: access.credential.Browser, TimeLimit: sessionTime, IdleLimit: sessionTime,
	})
	end(OutcomeOf(err))
	if err != nil {
		return nil, fmt.Errorf("drive: %w", err)
	}
	drivable, ok := session.(Drivable)
	if !ok {
		v.closeSession(ctx, session)
		return nil, fmt.Errorf("drive: the browsers of this vault cannot be driven: %w", ErrInvalid)
	}
	if err := untilOpen(ctx, session); err != nil {
		v.closeSession(ctx, session)
		return nil, fmt.Errorf("drive: %w", err)
	}
	d := &drivenSession{connection: access.connection, provider: p, flow: flow, session: session, drivable: drivable}
	if !v.startDriving(d) {
		v.closeSession(ctx, session)
		return nil, ErrClosed
	}
	return d, nil
}

// untilOpen waits for the browser, which may have to wait for its turn.
func untilOpen(ctx context.Context, s BrowserSession) error {
	for {
		now, err := s.Status(ctx)
		switch {
		case err != nil:
			return err
		case now.Phase == BrowserOpen:
			return nil
		case now.Phase == BrowserEnded:
			return fmt.Errorf("the browser could not be started (%s): %w", now.End, ErrUnavailable)
		}
		if pause(ctx, openPoll) != nil {
			return fmt.Errorf("no browser was free in time: %w", ErrUnavailable)
		}
	}
}

// startDriving looks after d until it ends, and reports false if the vault is closed.
func (v *Vault) startDriving(d *drivenSession) bool {
	if !v.work.begin() {
		return false
	}
	d.stopped = make(chan struct{})
	d.touch()
	if before := v.driven.put(d); before != nil {
		before.end()
	}
	go func() {
		defer v.work.running.Done()
		defer v.driven.remove(d)
		reason := v.followDriven(d)
		v.endDriven(d, reason)
	}()
	return true
}

// The reasons why a browser of a connection ends, beside those of [BrowserEnd].
const (
	sessionRevoked = "revoked" // its connection is gone, or another browser took its place
	sessionDrained = "closing"
)

// followDriven returns why d has to end.
func (v *Vault) followDriven(d *drivenSession) string {
	poll := time.NewTicker(sessionPoll)
	defer poll.Stop()
	for {
		select {
		case <-d.stopped:
			return sessionRevoked
		case <-v.work.closing:
			return sessionDrained
		case <-poll.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
		reason := v.whyEnd(ctx, d)
		cancel()
		if reason != "" {
			return reason
		}
	}
}

func (v *Vault) whyEnd(ctx context.Context, d *drivenSession) string {
	if now, err := d.session.Status(ctx); errors.Is(err, ErrNotFound) {
		return string(BrowserEndCrashed)
	} else if err == nil && now.Phase == BrowserEnded {
		return string(now.End)
	}
	if d.idle() > v.opts.SessionIdle {
		return string(BrowserEndIdle)
	}
	c, err := v.store.GetConnection(ctx, d.connection.Owner, d.connection.ID)
	if errors.Is(err, ErrNotFound) || err == nil && c.Status != ConnectionActive {
		return sessionRevoked
	}
	return ""
}

// endDriven closes the browser. What the service renewed in it meanwhile is kept,
// unless the connection is gone.
func (v *Vault) endDriven(d *drivenSession, reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), refreshLease)
	defer cancel()
	if reason == string(BrowserEndIdle) {
		v.keepDriven(ctx, d)
	}
	v.closeSession(ctx, d.session)
	event := v.refreshEvent(EventSessionEnded, d.connection, reason)
	if err := v.audit.append(ctx, event); err != nil && !errors.Is(err, ErrClosed) {
		v.log.WarnContext(ctx, "the end of a browser session is not audited", slog.Any("error", err))
	}
}

// keepDriven stores the state of a browser that was driven as the next version of
// the credential, if it is still signed in. If not, or if a refresh is under way,
// the stored state stays: the next check tells.
func (v *Vault) keepDriven(ctx context.Context, d *drivenSession) {
	completed, err := d.flow.Capture(ctx, d.session, d.provider)
	if err != nil || completed.Account.ID != d.connection.Account.ID {
		return
	}
	turn, err := v.store.BeginRefresh(ctx, RefreshClaim{
		Owner: d.connection.Owner, ConnectionID: d.connection.ID, Version: d.connection.Version, Lease: refreshLease,
	})
	if err != nil || !turn.Held {
		return
	}
	rotated := Rotated{Credential: completed.Credential}
	if _, _, err := v.commitTurn(ctx, turn, Credential{}, rotated); err != nil {
		v.log.WarnContext(ctx, "what a driven browser renewed could not be stored", slog.String("provider_id", d.provider.ID), slog.Any("error", err))
	}
}
