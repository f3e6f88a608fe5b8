package tokenvault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// waitPoll is how often a waiter looks at the store, which is the truth when
// another process settles a request. In this process waiters are woken at once.
const waitPoll = time.Second

// newID returns a prefix and 130 random bits.
func newID(prefix string) string { return prefix + "_" + strings.ToLower(rand.Text()) }

// openRequest opens or joins an auth request, whose Owner, AgentID,
// ConnectionID, Reason, Scopes, Release, RunID and ThreadID are set. It fails with
// [ErrNoApp] rather than ask an owner for what they cannot do.
func (v *Vault) openRequest(ctx context.Context, actor Actor, p Provider, req AuthRequest) (AuthRequest, error) {
	if v.opts.PublicURL == "" {
		return AuthRequest{}, invalid("publicUrl", "must be configured before anyone can connect")
	}
	if p.Login != nil && p.Login.Refuses != "" {
		return AuthRequest{}, invalid("providerId", p.Login.Refuses)
	}
	if p.Login != nil && !v.Enables(p.AuthMethod) {
		return AuthRequest{}, invalid("providerId", "must be of a provider that is connected without a browser: browser login is not enabled on this server")
	}
	if p.AuthMethod == AuthOAuth2 && req.Reason.needsProvider() {
		if _, err := v.appOf(ctx, req.Owner, p); err != nil {
			return AuthRequest{}, err
		}
	}
	req.ID = newID("ar")
	req.ProviderID, req.ProviderName, req.AuthMethod = p.ID, p.Name, p.AuthMethod
	req.ConnectURL = v.opts.PublicURL + "/connect/" + req.ID
	event := v.event(EventAuthRequested, actor, req.Owner)
	event.ProviderID, event.AuthRequestID, event.ConnectionID = p.ID, req.ID, req.ConnectionID
	event.RunID, event.ThreadID, event.Detail = req.RunID, req.ThreadID, string(req.Reason)
	if req.renewsShared() {
		req.RunID, req.ThreadID = "", "" // it is everybody's
	}
	opened, joined, err := v.store.OpenOrJoin(ctx, NewAuthRequest{Request: req, TTL: v.opts.AuthRequestTTL, Event: event})
	if err != nil {
		return AuthRequest{}, fmt.Errorf("open auth request: %w", err)
	}
	if !joined {
		v.wakeJobs()
	}
	return opened, nil
}

// A ConnectRequest asks to connect an account without an agent.
type ConnectRequest struct {
	ProviderID   string
	Scopes       []string
	ConnectionID string // the connection to renew; empty: a new one, or the same account's
	ThreadID     string
	// Organization connects for the user's organization itself rather than for the
	// user. Only its administrator may.
	Organization bool
}

// RequestConnect opens or joins an auth request of the user's own, or of the
// organization that the user administers. It gives no agent any permission.
func (v *Vault) RequestConnect(ctx context.Context, actor Actor, in ConnectRequest) (AuthRequest, error) {
	if err := v.checkActor(actor); err != nil {
		return AuthRequest{}, err
	}
	if actor.Kind != ActorUser {
		return AuthRequest{}, fmt.Errorf("only a user connects: %w", ErrDenied)
	}
	if err := checkScopes(in.Scopes); err != nil {
		return AuthRequest{}, err
	}
	if !validID(in.ThreadID) {
		return AuthRequest{}, invalid("threadId", "must be at most 255 bytes without control characters")
	}
	p, err := v.provider(ctx, actor.Owner, in.ProviderID)
	if err == nil {
		err = p.checkScopes(in.Scopes)
	}
	if err != nil {
		return AuthRequest{}, err
	}
	owner, err := connectOwner(actor, in.Organization)
	if err != nil {
		return AuthRequest{}, err
	}
	req := AuthRequest{Owner: owner, Reason: ReasonMissing, Scopes: in.Scopes, Release: ReleaseInject, ThreadID: in.ThreadID}
	if in.ConnectionID != "" {
		conn, err := v.store.GetConnection(ctx, owner, in.ConnectionID)
		if err != nil {
			return AuthRequest{}, err
		}
		if conn.ProviderID != p.ID || conn.Owner != owner {
			return AuthRequest{}, fmt.Errorf("connection: %w", ErrNotFound)
		}
		req.ConnectionID, req.Reason, req.Scopes = conn.ID, ReasonExpired, union(conn.Scopes, in.Scopes)
	}
	return v.openRequest(ctx, actor, p, req)
}

// connectOwner returns whom a user connects for.
func connectOwner(actor Actor, organization bool) (Owner, error) {
	if !organization {
		return actor.Owner, nil
	}
	org, ok := actor.Owner.Organization()
	if !ok || !actor.OrgAdmin {
		return Owner{}, fmt.Errorf("only an administrator of an organization connects for it: %w", ErrDenied)
	}
	return org, nil
}

// AuthRequest returns a request that the actor may see: its owner, or the agent
// that it was opened for, or a visitor with its link. One that asks an
// administrator to renew a connection of an organization may be seen by those who
// act for its members. Everybody else gets [ErrNotFound].
func (v *Vault) AuthRequest(ctx context.Context, actor Actor, id string) (AuthRequest, error) {
	if err := v.checkActor(actor); err != nil {
		return AuthRequest{}, err
	}
	if actor.Kind == ActorVisitor {
		return v.store.FindAuthRequest(ctx, v.opts.Tenant, id)
	}
	req, err := v.store.GetAuthRequest(ctx, actor.Owner, id)
	if org, ok := actor.Owner.Organization(); errors.Is(err, ErrNotFound) && ok {
		req, err = v.store.GetAuthRequest(ctx, org, id)
	}
	if err != nil {
		return AuthRequest{}, fmt.Errorf("auth request: %w", err)
	}
	mine := speaksFor(actor, req.Owner) && (actor.Kind == ActorUser || req.AgentID == actor.ID)
	if !mine && !req.renewsShared() {
		return AuthRequest{}, fmt.Errorf("auth request: %w", ErrNotFound)
	}
	return req, nil
}

// Wait returns the request once it is settled. If ctx ends first, it returns the
// request as it last was, and the context's error.
func (v *Vault) Wait(ctx context.Context, actor Actor, id string) (AuthRequest, error) {
	return v.await(ctx, actor, AuthRequest{ID: id}, func(now AuthRequest) bool { return now.Status.Settled() })
}

// WaitChange is [Vault.Wait], and returns also once the request, as the caller saw it
// last, has another notice or none any more.
func (v *Vault) WaitChange(ctx context.Context, actor Actor, seen AuthRequest) (AuthRequest, error) {
	return v.await(ctx, actor, seen, func(now AuthRequest) bool {
		return now.Status.Settled() || now.Notice != seen.Notice || !now.NoticedAt.Equal(seen.NoticedAt)
	})
}

// await returns the request, last seen as it is given, once it is as wanted.
func (v *Vault) await(ctx context.Context, actor Actor, last AuthRequest, wanted func(AuthRequest) bool) (AuthRequest, error) {
	poll := time.NewTicker(waitPoll)
	defer poll.Stop()
	for {
		woken, forget := v.waiters.add(last.ID)
		req, err := v.AuthRequest(ctx, actor, last.ID)
		if err != nil && last.Status != "" && ctx.Err() != nil {
			forget()
			return last, ctx.Err()
		}
		if err != nil || wanted(req) {
			forget()
			return req, err
		}
		last = req
		select {
		case <-woken:
		case <-poll.C:
		case <-ctx.Done():
			forget()
			return req, ctx.Err()
		}
		forget()
	}
}

// pendingOf returns a request that the person at the browser may fulfil now.
func (v *Vault) pendingOf(ctx context.Context, actor Actor, id string) (AuthRequest, error) {
	req, err := v.AuthRequest(ctx, actor, id)
	if err != nil {
		return AuthRequest{}, err
	}
	if actor.Kind != ActorUser && actor.Kind != ActorVisitor {
		return AuthRequest{}, fmt.Errorf("only a user decides on an auth request: %w", ErrDenied)
	}
	if actor.Kind == ActorUser && !mayActFor(actor, req.Owner) {
		return AuthRequest{}, fmt.Errorf("only an administrator of the organization decides on its auth requests: %w", ErrDenied)
	}
	return req, pendingNow(req)
}

func pendingNow(req AuthRequest) error {
	switch req.Status {
	case AuthPending:
		return nil
	case AuthExpired:
		return fmt.Errorf("auth request: %w", ErrExpired)
	case AuthConnected, AuthDeclined, AuthFailed:
	}
	return fmt.Errorf("auth request is %s: %w", req.Status, ErrConflict)
}

// decidedBy returns a pending request on which the actor, whose user is proven,
// decides now.
func (v *Vault) decidedBy(ctx context.Context, actor Actor, id string) (AuthRequest, error) {
	req, err := v.pendingOf(ctx, actor, id)
	if err == nil && actor.Kind != ActorUser {
		err = fmt.Errorf("only a user decides on an auth request: %w", ErrDenied)
	}
	return req, err
}

// Decline settles a pending request as declined.
func (v *Vault) Decline(ctx context.Context, actor Actor, id string) (AuthRequest, error) {
	req, err := v.decidedBy(ctx, actor, id)
	if err != nil {
		return AuthRequest{}, err
	}
	return v.settle(ctx, Settlement{
		Owner: req.Owner, AuthRequestID: req.ID, Status: AuthDeclined,
		Events: []Event{v.requestEvent(EventAuthDeclined, actor, req)},
	})
}

// A Permit permits the agent of a request to use a connection.
type Permit struct {
	AuthRequestID string
	ConnectionID  string        // empty: the request's own
	TTL           time.Duration // how long; 0: until the permission is withdrawn
}

// Permit settles a pending request for which an account is connected already, by
// permitting its agent to use it. No browser is sent anywhere.
func (v *Vault) Permit(ctx context.Context, actor Actor, in Permit) (AuthRequest, error) {
	req, err := v.decidedBy(ctx, actor, in.AuthRequestID)
	if err != nil {
		return AuthRequest{}, err
	}
	if err := checkPermissionTTL(in.TTL); err != nil {
		return AuthRequest{}, err
	}
	connectionID := in.ConnectionID
	if req.Reason != ReasonPermissionRequired && req.Reason != ReasonChooseAccount {
		return AuthRequest{}, fmt.Errorf("auth request needs a connect: %w", ErrConflict)
	}
	if req.Reason == ReasonPermissionRequired {
		connectionID = req.ConnectionID
	}
	conn, err := v.store.GetConnection(ctx, req.Owner, connectionID)
	if err != nil {
		return AuthRequest{}, fmt.Errorf("connection: %w", err)
	}
	if conn.ProviderID != req.ProviderID || conn.Status == ConnectionRevoked {
		return AuthRequest{}, fmt.Errorf("connection: %w", ErrNotFound)
	}
	granted := v.requestEvent(EventPermissionGranted, actor, req)
	granted.ConnectionID = conn.ID
	permission := v.permissionFor(req, conn.ID)
	if len(permission.Scopes) == 0 {
		permission.Scopes = conn.Scopes
	}
	return v.settle(ctx, Settlement{
		Owner: req.Owner, AuthRequestID: req.ID, Status: AuthConnected,
		Permission: permission, PermissionTTL: in.TTL, Events: []Event{granted},
	})
}

// permissionFor returns what the owner grants by confirming req, or nil if no
// agent asks.
func (v *Vault) permissionFor(req AuthRequest, connectionID string) *Permission {
	if req.AgentID == "" {
		return nil
	}
	return &Permission{
		ID: newID("pm"), Owner: req.Owner, AgentID: req.AgentID, ConnectionID: connectionID,
		Scopes: req.Scopes, Release: req.Release,
	}
}

func (v *Vault) settle(ctx context.Context, cmd Settlement) (AuthRequest, error) {
	settled, err := v.store.Settle(ctx, cmd)
	if err != nil {
		return AuthRequest{}, fmt.Errorf("settle auth request: %w", err)
	}
	v.waiters.wake(settled.ID)
	v.wakeJobs()
	return settled, nil
}

func (v *Vault) requestEvent(kind EventKind, actor Actor, req AuthRequest) Event {
	e := v.event(kind, actor, req.Owner)
	e.ProviderID, e.AuthRequestID, e.ConnectionID = req.ProviderID, req.ID, req.ConnectionID
	e.RunID, e.ThreadID = req.RunID, req.ThreadID
	return e
}

// waiters wakes those in this process who wait for an auth request. The zero
// waiters is ready to use.
type waiters struct {
	mu sync.Mutex // protects byID
	// byID holds the channel that is closed when the request is settled or its notice
	// changes, and how many wait for it.
	byID map[string]*waiting
}

type waiting struct {
	changed chan struct{}
	count   int
}

func (w *waiters) add(id string) (changed <-chan struct{}, forget func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID == nil {
		w.byID = make(map[string]*waiting)
	}
	entry := w.byID[id]
	if entry == nil {
		entry = &waiting{changed: make(chan struct{})}
		w.byID[id] = entry
	}
	entry.count++
	return entry.changed, func() { w.forget(id, entry) }
}

func (w *waiters) forget(id string, entry *waiting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if entry.count--; entry.count == 0 && w.byID[id] == entry {
		delete(w.byID, id)
	}
}

func (w *waiters) wake(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if entry := w.byID[id]; entry != nil {
		close(entry.changed)
		delete(w.byID, id)
	}
}
