package tokenvault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/record"
)

// loginGrace is how much longer an attempt lasts than its browser, so that the
// browser's end is what ends it.
const loginGrace = 2 * time.Minute

// Tags of the record of an attempt in a browser.
const (
	tagLoginNode = iota + 1
	tagLoginNodeURL
	tagLoginConnection
)

// A loginRecord says which process runs the browser of an attempt, and what a new
// connection will be called.
type loginRecord struct{ node, nodeURL, connectionID string }

// StartLogin starts a browser for a pending request of the user's, where
// [ConnectPlan] says [WayBrowser], or returns the login that runs for it already. It
// fails as [Vault.StartConnect] does, with [ErrDenied] for a visitor, and with
// [ErrUnavailable] if no browser can be started now. A login goes on until it is
// over, however long ctx does.
func (v *Vault) StartLogin(ctx context.Context, actor Actor, in StartLogin) (login BrowserLogin, err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpConnectStart})
	defer func() { end(OutcomeOf(err)) }()
	req, err := v.decidedBy(ctx, actor, in.AuthRequestID)
	if err != nil {
		return BrowserLogin{}, err
	}
	if err := v.CheckReturnURL(in.ReturnURL); err != nil {
		return BrowserLogin{}, err
	}
	if err := checkPermissionTTL(in.PermissionTTL); err != nil {
		return BrowserLogin{}, err
	}
	p, err := v.provider(ctx, req.Owner, req.ProviderID)
	if err != nil {
		return BrowserLogin{}, err
	}
	flow, err := v.watchingFlow(p)
	if err != nil {
		return BrowserLogin{}, err
	}
	running, err := v.runningLogin(ctx, req, p, in.Again)
	if err != nil || running.ID != "" {
		return running, err
	}
	return v.beginLogin(ctx, actor, req, p, flow, in)
}

// watchingFlow returns the flow of a provider where owners sign in by a browser.
func (v *Vault) watchingFlow(p Provider) (Watching, error) {
	if p.Login == nil {
		return nil, fmt.Errorf("provider %s is not connected in a browser: %w", p.ID, ErrConflict)
	}
	if p.Login.Refuses != "" {
		return nil, invalid("providerId", p.Login.Refuses)
	}
	flow, ok := v.opts.Flows[p.AuthMethod].(Watching)
	if !ok {
		return nil, notEnabled(p)
	}
	return flow, nil
}

// runningLogin returns the login that runs for a request; the zero one if there is
// none, or it was ended since another is wanted or its browser is gone.
func (v *Vault) runningLogin(ctx context.Context, req AuthRequest, p Provider, again bool) (BrowserLogin, error) {
	a, err := v.store.LatestAttempt(ctx, req.Owner, req.ID)
	if errors.Is(err, ErrNotFound) || err == nil && a.State != AttemptBegun {
		return BrowserLogin{}, nil
	}
	if err != nil {
		return BrowserLogin{}, err
	}
	rec, err := v.openLogin(ctx, a)
	if err != nil && !errors.Is(err, ErrUnsealable) {
		return BrowserLogin{}, err
	}
	if !again && err == nil && !v.lost(a, rec) {
		return v.describeLogin(ctx, a, req, p, rec), nil
	}
	_, err = v.store.AdvanceAttempt(ctx, a.StateHash, AttemptBegun, AttemptConsumed)
	if err != nil && !errors.Is(err, ErrStateInvalid) {
		return BrowserLogin{}, fmt.Errorf("start login: %w", err)
	}
	v.logins.stop(a.ID)
	return BrowserLogin{}, nil
}

// lost reports whether the process that ran the browser of a begun attempt is gone:
// another one has its address now.
func (v *Vault) lost(a Attempt, rec loginRecord) bool {
	return rec.nodeURL == v.opts.NodeURL && !v.logins.here(a.ID)
}

func (v *Vault) beginLogin(ctx context.Context, actor Actor, req AuthRequest, p Provider, flow Watching, in StartLogin) (BrowserLogin, error) {
	if !v.work.begin() {
		return BrowserLogin{}, ErrClosed
	}
	begun := false
	defer func() {
		if !begun {
			v.work.running.Done()
		}
	}()
	state, err := v.earlierState(ctx, req, in.NewAccount)
	if err != nil {
		return BrowserLogin{}, err
	}
	rec := loginRecord{node: v.logins.node, nodeURL: v.opts.NodeURL, connectionID: newID("cn")}
	a := Attempt{
		ID: newID("at"), AuthRequestID: req.ID, Owner: req.Owner, ProviderID: p.ID, StateHash: hashText(random256()),
		ReturnURL: in.ReturnURL, PermissionTTL: in.PermissionTTL, NewAccount: in.NewAccount,
	}
	if a.Private, err = v.sealLogin(ctx, a, rec); err != nil {
		return BrowserLogin{}, err
	}
	v.logins.reserve(a.ID)
	defer func() {
		if !begun {
			v.logins.remove(a.ID)
		}
	}()
	event := v.requestEvent(EventConnectStarted, actor, req)
	if err := v.storeAttempt(ctx, req, NewAttempt{Attempt: a, TTL: v.opts.LoginTTL + loginGrace, Event: event}); err != nil {
		return BrowserLogin{}, fmt.Errorf("start login: %w", err)
	}
	a.State = AttemptBegun
	nested, end := v.watch.begin(ctx, Operation{Kind: OpProviderBegin, ProviderID: p.ID})
	session, err := flow.Open(nested, BrowserRequest{
		ID: a.ID, Provider: p, State: state, Width: in.Width, Height: in.Height, TimeLimit: v.opts.LoginTTL,
	})
	end(OutcomeOf(err))
	if err != nil {
		_, _ = v.store.AdvanceAttempt(ctx, a.StateHash, AttemptBegun, AttemptConsumed)
		return BrowserLogin{}, fmt.Errorf("start login: %w", err)
	}
	l := &login{
		attempt: a, request: req, provider: p, actor: actor, record: rec, flow: flow, session: session,
		finish: make(chan chan error), stopped: make(chan struct{}), done: make(chan struct{}),
	}
	v.logins.add(l)
	begun = true
	go func() {
		defer v.work.running.Done()
		v.runLogin(context.WithoutCancel(ctx), l)
	}()
	return v.describeLogin(ctx, a, req, p, rec), nil
}

// earlierState returns the state of the connection that is to be healed, so that a
// device that the service remembers stays remembered.
func (v *Vault) earlierState(ctx context.Context, req AuthRequest, newAccount bool) (BrowserState, error) {
	if req.ConnectionID == "" || newAccount {
		return BrowserState{}, nil
	}
	c, err := v.store.GetConnection(ctx, req.Owner, req.ConnectionID)
	if errors.Is(err, ErrNotFound) || err == nil && len(c.Record.Blob) == 0 {
		return BrowserState{}, nil
	}
	if err != nil {
		return BrowserState{}, err
	}
	cred, err := v.openCredential(ctx, c, nil)
	if errors.Is(err, ErrUnsealable) {
		return BrowserState{}, nil // reconnecting heals a row that cannot be read any more
	}
	return cred.Browser, err
}

func (v *Vault) sealLogin(ctx context.Context, a Attempt, rec loginRecord) (SealedRecord, error) {
	var w record.Writer
	w.String(tagLoginNode, rec.node)
	w.String(tagLoginNodeURL, rec.nodeURL)
	w.String(tagLoginConnection, rec.connectionID)
	return v.keys.seal(ctx, loginPlace(a), w.Bytes())
}

func (v *Vault) openLogin(ctx context.Context, a Attempt) (rec loginRecord, err error) {
	plaintext, err := v.keys.open(ctx, loginPlace(a), a.Private, nil)
	if err != nil {
		return loginRecord{}, err
	}
	err = record.Each(plaintext, func(tag byte, value []byte) {
		switch tag {
		case tagLoginNode:
			rec.node = string(value)
		case tagLoginNodeURL:
			rec.nodeURL = string(value)
		case tagLoginConnection:
			rec.connectionID = string(value)
		}
	})
	if err != nil {
		return loginRecord{}, fmt.Errorf("attempt record: %w", ErrUnsealable)
	}
	return rec, nil
}

// loginPlace is another one than that of an attempt that returns.
func loginPlace(a Attempt) place {
	return place{table: "attempt", owner: a.Owner, row: a.ID, field: "login", version: 1}
}

// Login returns a login of the user's, or of the organization that the user
// administers: as it stands, or how it ended. Everybody else's are [ErrNotFound]. If
// the process that ran it is gone, the request fails.
func (v *Vault) Login(ctx context.Context, actor Actor, id string) (BrowserLogin, error) {
	a, rec, err := v.loginOf(ctx, actor, id)
	if err != nil {
		return BrowserLogin{}, err
	}
	return v.loginNow(ctx, a, rec)
}

// LoginOf returns the login of a request of the user's that was begun last. It fails
// as [Vault.Login] does.
func (v *Vault) LoginOf(ctx context.Context, actor Actor, authRequestID string) (BrowserLogin, error) {
	req, err := v.AuthRequest(ctx, actor, authRequestID)
	if err != nil {
		return BrowserLogin{}, err
	}
	if !mayActFor(actor, req.Owner) {
		return BrowserLogin{}, fmt.Errorf("login: %w", ErrNotFound)
	}
	a, err := v.store.LatestAttempt(ctx, req.Owner, req.ID)
	if err != nil {
		return BrowserLogin{}, fmt.Errorf("login: %w", err)
	}
	return v.Login(ctx, actor, a.ID)
}

// loginOf returns an attempt in a browser that the actor may see.
func (v *Vault) loginOf(ctx context.Context, actor Actor, id string) (Attempt, loginRecord, error) {
	if err := v.checkActor(actor); err != nil {
		return Attempt{}, loginRecord{}, err
	}
	if actor.Kind != ActorUser {
		return Attempt{}, loginRecord{}, fmt.Errorf("only a user signs in: %w", ErrDenied)
	}
	a, err := v.store.GetAttempt(ctx, actor.Owner, id)
	if org, ok := actor.Owner.Organization(); errors.Is(err, ErrNotFound) && ok && actor.OrgAdmin {
		a, err = v.store.GetAttempt(ctx, org, id)
	}
	if err != nil {
		return Attempt{}, loginRecord{}, fmt.Errorf("login: %w", err)
	}
	rec, err := v.openLogin(ctx, a)
	if errors.Is(err, ErrUnsealable) {
		err = fmt.Errorf("login: %w", ErrNotFound) // an attempt of another kind
	}
	return a, rec, err
}

// loginNow says where a login stands.
func (v *Vault) loginNow(ctx context.Context, a Attempt, rec loginRecord) (BrowserLogin, error) {
	req, err := v.store.GetAuthRequest(ctx, a.Owner, a.AuthRequestID)
	if err == nil && a.State == AttemptBegun && v.lost(a, rec) {
		v.loginEnds(ctx, a, req, FailLoginInterrupted)
		a.State = AttemptConsumed
		req, err = v.store.GetAuthRequest(ctx, a.Owner, a.AuthRequestID)
	}
	if err != nil {
		return BrowserLogin{}, fmt.Errorf("login: %w", err)
	}
	p, err := v.provider(ctx, a.Owner, a.ProviderID)
	if err != nil {
		return BrowserLogin{}, err
	}
	return v.describeLogin(ctx, a, req, p, rec), nil
}

// describeLogin says what is known here.
func (v *Vault) describeLogin(ctx context.Context, a Attempt, req AuthRequest, p Provider, rec loginRecord) BrowserLogin {
	d := BrowserLogin{
		ID: a.ID, Request: req, Provider: p, ConnectionID: rec.connectionID, ReturnURL: a.ReturnURL, PermissionTTL: a.PermissionTTL,
		Status: BrowserStatus{Phase: BrowserEnded, End: BrowserEndClosed, Authenticated: req.Status == AuthConnected},
	}
	if req.Status == AuthConnected {
		d.ConnectionID = cmp.Or(req.ConnectionID, d.ConnectionID)
	}
	l := v.logins.get(a.ID)
	switch {
	case l == nil && a.State == AttemptBegun:
		d.NodeURL, d.Status = rec.nodeURL, BrowserStatus{}
	case l != nil:
		d.Notice = l.noticed()
		_, d.Viewable = l.session.(Viewable)
		if a.State == AttemptBegun {
			d.LiveViewURL = l.session.LiveViewURL()
			if now, err := l.session.Status(ctx); err == nil {
				d.Status = now
			}
		}
	}
	return d
}

// FinishLogin has it looked at once whether the owner is signed in, and returns how
// the login stands then: connected, or with a notice that says why it is not. It
// fails as [Vault.Login] does, and with [ErrConflict] if another process runs the
// browser.
func (v *Vault) FinishLogin(ctx context.Context, actor Actor, id string) (login BrowserLogin, err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpConnectFinish})
	defer func() { end(OutcomeOf(err)) }()
	a, rec, err := v.loginOf(ctx, actor, id)
	if err != nil {
		return BrowserLogin{}, err
	}
	if l := v.logins.get(id); l != nil && a.State == AttemptBegun {
		if err := l.ask(ctx); err != nil {
			return BrowserLogin{}, err
		}
	} else if a.State == AttemptBegun && !v.lost(a, rec) {
		return BrowserLogin{}, fmt.Errorf("another process runs the browser: %w", ErrConflict)
	}
	if a, err = v.store.GetAttempt(ctx, a.Owner, id); err != nil {
		return BrowserLogin{}, fmt.Errorf("login: %w", err)
	}
	return v.loginNow(ctx, a, rec)
}

// CancelLogin ends a login on its owner's word: nothing is kept, and the request is
// declined. One that is over already stays as it ended. It fails as [Vault.Login]
// does.
func (v *Vault) CancelLogin(ctx context.Context, actor Actor, id string) (BrowserLogin, error) {
	a, rec, err := v.loginOf(ctx, actor, id)
	if err != nil {
		return BrowserLogin{}, err
	}
	if a.State == AttemptBegun {
		_, err := v.store.AdvanceAttempt(ctx, a.StateHash, AttemptBegun, AttemptConsumed)
		if err != nil && !errors.Is(err, ErrStateInvalid) {
			return BrowserLogin{}, fmt.Errorf("cancel login: %w", err)
		}
		if err == nil {
			_, err := v.Decline(ctx, actor, a.AuthRequestID)
			if err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrExpired) {
				return BrowserLogin{}, err
			}
		}
		a.State = AttemptConsumed
	}
	v.logins.stop(id)
	return v.loginNow(ctx, a, rec)
}

// loginEnds settles a request whose login ended without a credential, unless
// somebody else takes care of the attempt.
func (v *Vault) loginEnds(ctx context.Context, a Attempt, req AuthRequest, code string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	_, err := v.store.AdvanceAttempt(ctx, a.StateHash, AttemptBegun, AttemptConsumed)
	switch {
	case err == nil:
		v.failLogin(ctx, req, code)
	case !errors.Is(err, ErrStateInvalid):
		v.log.ErrorContext(ctx, "the end of a login in a browser cannot be stored: its auth request stays open", slog.Any("error", err))
	}
}

// failLogin settles a request as failed, if it is still pending.
func (v *Vault) failLogin(ctx context.Context, req AuthRequest, code string) {
	ended := v.requestEvent(EventLoginEnded, Actor{Kind: ActorSystem, Owner: Owner{Tenant: v.opts.Tenant}}, req)
	ended.Detail = code
	failed := ended
	failed.Kind = EventAuthFailed
	_, err := v.settle(ctx, Settlement{
		Owner: req.Owner, AuthRequestID: req.ID, Status: AuthFailed, FailureCode: code, Events: []Event{ended, failed},
	})
	if err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrExpired) && !errors.Is(err, ErrNotFound) {
		v.log.ErrorContext(ctx, "the end of a login in a browser cannot be stored: its auth request stays open", slog.Any("error", err))
	}
}
