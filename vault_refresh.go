package tokenvault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	refreshLease   = 40 * time.Second      // longer than all that is done under it
	refreshTimeout = 30 * time.Second      // for the provider
	refreshPoll    = 50 * time.Millisecond // first pause while another process refreshes; doubles
	mostPoll       = time.Second
	atOnce         = time.Nanosecond
	holdOff        = 5 * time.Second       // after a failure, before the next refresh behind
	commitRetry    = 20 * time.Millisecond // first pause; doubles
	probeMemory    = time.Minute           // a credential that passed its probe and is refused again is dead

	codeInvalidClient = "invalid_client" // RFC 6749 section 5.2
)

// A reauthError says that a connection needs its owner.
type reauthError struct{ connection Connection }

func (e *reauthError) Error() string { return "connection needs its owner again" }

func asReauth(err error) (*reauthError, bool) {
	e, ok := errors.AsType[*reauthError](err)
	return e, ok
}

type refreshed struct {
	connection Connection
	credential Credential
}

// refresh returns the connection with a newer credential than that of c. In one
// process one call per credential version does the work, detached from whoever
// asked: a caller that gives up does not cancel a refresh under way.
func (v *Vault) refresh(ctx context.Context, p Provider, c SealedConnection, forced bool) (Connection, Credential, error) {
	result := v.startRefresh(ctx, p, c, forced)
	select {
	case r := <-result:
		if r.Err != nil {
			return Connection{}, Credential{}, r.Err
		}
		done, ok := r.Val.(refreshed)
		if !ok {
			return Connection{}, Credential{}, ErrClosed
		}
		return done.connection, done.credential, nil
	case <-ctx.Done():
		return Connection{}, Credential{}, fmt.Errorf("refresh goes on: %w", ctx.Err())
	}
}

// refreshBehind refreshes without anybody waiting, but not right after the
// provider failed: the token is still valid, and others need the provider too.
func (v *Vault) refreshBehind(ctx context.Context, p Provider, c SealedConnection) {
	if !v.isHeldOff(c.ID) && v.askIn(p, c.Owner) <= 0 {
		v.startRefresh(ctx, p, c, false)
	}
}

// isHeldOff reports whether the provider failed lately for a connection.
func (v *Vault) isHeldOff(connectionID string) bool {
	until, ok := v.heldOff.Load(connectionID)
	if !ok {
		return false
	}
	if t, ok := until.(time.Time); ok && time.Now().Before(t) {
		return true
	}
	v.heldOff.Delete(connectionID)
	return false
}

// startRefresh begins a refresh, or joins the one under way. Of the caller's context
// it takes what the work is observed with, not its end.
func (v *Vault) startRefresh(caller context.Context, p Provider, c SealedConnection, forced bool) <-chan singleflight.Result {
	key := c.ID + "/" + strconv.FormatInt(c.Version, 10)
	return v.refreshes.DoChan(key, func() (any, error) {
		if !v.work.begin() {
			return nil, ErrClosed
		}
		defer v.work.running.Done()
		ctx, end := v.watch.begin(context.WithoutCancel(caller), Operation{Kind: OpRefresh, ProviderID: p.ID})
		conn, cred, err := v.takeTurns(ctx, p, c, forced)
		end(OutcomeOf(err))
		if err != nil {
			return nil, err
		}
		if forced {
			v.forced.Store(conn.ID, forcedMark{conn.Version, probedUntil(c.Connection, conn)})
		}
		return refreshed{conn, cred}, nil
	})
}

// A forcedMark is what an upstream 401 led to.
type forcedMark struct {
	version int64
	until   time.Time // zero: as long as the version lasts
}

// probedUntil returns how long an answer counts that renewed nothing, since the
// credential still works. A key may outlive its odd 401 by years.
func probedUntil(before, after Connection) time.Time {
	if before.Version != after.Version {
		return time.Time{}
	}
	return time.Now().Add(probeMemory)
}

func (v *Vault) wasForced(c Connection) bool {
	stored, _ := v.forced.Load(c.ID)
	mark, ok := stored.(forcedMark)
	return ok && mark.version == c.Version && (mark.until.IsZero() || time.Now().Before(mark.until))
}

// takeTurns waits for its turn and refreshes, or returns what another process
// refreshed in the meantime. An uncertain outcome is tried once more.
func (v *Vault) takeTurns(ctx context.Context, p Provider, c SealedConnection, forced bool) (Connection, Credential, error) {
	patience := time.After(refreshLease)
	for pause := refreshPoll; ; pause = min(2*pause, mostPoll) {
		conn, cred, retryIn, err := v.tryTurn(ctx, p, c, forced)
		if retryIn == 0 {
			return conn, cred, err
		}
		select {
		case <-time.After(min(retryIn, pause)):
		case <-v.work.closing:
			return Connection{}, Credential{}, ErrClosed // another lease could outlive the drain
		case <-patience:
			return Connection{}, Credential{}, fmt.Errorf("another process is refreshing: %w", ErrUnavailable)
		}
	}
}

// tryTurn refreshes if it is its turn and the provider may be asked. retryIn says
// when to come again; 0: there is nothing to come for.
func (v *Vault) tryTurn(ctx context.Context, p Provider, c SealedConnection, forced bool) (conn Connection, cred Credential, retryIn time.Duration, err error) {
	told, err := v.mayAsk(p, c.Owner)
	if err != nil {
		return conn, cred, 0, err
	}
	defer told(nil)
	ctx, cancel := context.WithTimeout(ctx, refreshLease)
	defer cancel()
	turn, err := v.store.BeginRefresh(ctx, RefreshClaim{
		Owner: c.Owner, ConnectionID: c.ID, Version: c.Version, Lease: refreshLease,
	})
	now := turn.Connection
	switch {
	case err != nil:
		return conn, cred, 0, fmt.Errorf("refresh: %w", err)
	case turn.Held:
		var again bool
		conn, cred, again, err = v.takeTurn(ctx, p, turn, forced, told)
		if again {
			retryIn = atOnce
		}
		return conn, cred, retryIn, err
	case now.Status != ConnectionActive:
		return conn, cred, 0, &reauthError{now.Connection}
	case now.Version != c.Version:
		cred, err := v.openCredential(ctx, now, turn.WrappedKey)
		return now.Connection, cred, 0, err
	}
	return conn, cred, max(turn.RetryIn, time.Millisecond), nil
}

// takeTurn does one refresh under the lease. again asks for another turn; told is
// called if the provider was asked.
func (v *Vault) takeTurn(ctx context.Context, p Provider, turn RefreshTurn, forced bool, told func(RefreshOutcome)) (conn Connection, cred Credential, again bool, err error) {
	c := turn.Connection
	if stored, ok, err := v.fromSpool(ctx, turn); ok || err != nil {
		if err == nil {
			cred, err = v.openCredential(ctx, stored, nil)
		}
		return stored.Connection, cred, false, err
	}
	cred, err = v.openCredential(ctx, c, turn.WrappedKey)
	if err != nil {
		return Connection{}, Credential{}, false, errors.Join(err, v.failTurn(ctx, turn, "", turn.Uncertain, "unsealable"))
	}
	if prober, ok := v.opts.Flows[p.AuthMethod].(Prober); ok && p.APIKey != nil {
		return v.probeTurn(ctx, p, prober, turn, cred)
	}
	refresher, ok := v.opts.Flows[p.AuthMethod].(Refresher)
	if !ok || !p.renewable(cred) {
		if remaining := c.ExpiresAt.Sub(turn.Now); remaining > 0 && !forced {
			v.heldOff.Store(c.ID, time.Now().Add(remaining)) // still valid: nothing to do before it expires
			return c.Connection, cred, false, v.failTurn(ctx, turn, "", turn.Uncertain, string(ReauthNoRefresh))
		}
		return Connection{}, Credential{}, false, v.endTurn(ctx, turn, ReauthNoRefresh)
	}
	var client Client
	if p.Login == nil {
		if client, err = v.clientOf(ctx, c.Owner, c.AppID); err != nil {
			return Connection{}, Credential{}, false, errors.Join(err, v.failTurn(ctx, turn, "", turn.Uncertain, "no_app"))
		}
	}
	// What the provider issues must be sealed: without a key it is not asked.
	if _, err := v.keys.newest(ctx, c.Owner.Tenant, keySpace(c.Owner)); err != nil {
		return Connection{}, Credential{}, false, errors.Join(err, v.failTurn(ctx, turn, "", turn.Uncertain, "no_key"))
	}
	providerCtx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	providerCtx, end := v.watch.begin(providerCtx, Operation{Kind: OpProviderRefresh, ProviderID: p.ID})
	outcome := refresher.Refresh(providerCtx, RefreshInput{Provider: p, Client: client, Credential: cred, Scopes: c.Scopes})
	end(outcomeOfRefresh(outcome))
	told(outcome)
	return v.concludeTurn(ctx, turn, cred, outcome)
}

func (v *Vault) concludeTurn(ctx context.Context, turn RefreshTurn, old Credential, outcome RefreshOutcome) (Connection, Credential, bool, error) {
	switch o := outcome.(type) {
	case Rotated:
		conn, cred, err := v.commitTurn(ctx, turn, old, o)
		return conn, cred, false, err
	case Rejected:
		reason := ReauthRejected
		switch {
		case turn.Connection.AuthMethod == AuthBrowserLogin:
			reason = ReauthSignedOut
		case turn.Uncertain:
			reason = ReauthLostResponse
		}
		return Connection{}, Credential{}, false, v.endTurn(ctx, turn, reason)
	case Transient:
		failed := passing(turn, o.Err)
		v.heldOff.Store(turn.Connection.ID, time.Now().Add(max(failed.RetryAfter, holdOff)))
		return Connection{}, Credential{}, false, errors.Join(failed, v.failTurn(ctx, turn, "", turn.Uncertain, v.transientDetail(ctx, turn, failed)))
	case Uncertain:
		// The token is spent or it is not, and sending it again changes neither: only an
		// answer ends the grant.
		err := v.failTurn(ctx, turn, "", true, "uncertain")
		if err == nil && !turn.Uncertain {
			return Connection{}, Credential{}, true, nil
		}
		v.heldOff.Store(turn.Connection.ID, time.Now().Add(holdOff))
		return Connection{}, Credential{}, false, errors.Join(passing(turn, o.Err), err)
	}
	return Connection{}, Credential{}, false, fmt.Errorf("refresh: unknown outcome %T", outcome)
}

// passing returns why a turn failed for now, as the caller is told.
func passing(turn RefreshTurn, err *ProviderError) *ProviderError {
	failed := ProviderError{ProviderID: turn.Connection.ProviderID, Op: "refresh"}
	if err != nil {
		failed = *err
	}
	failed.Transient = true
	return &failed
}

// transientDetail says for the audit why a refresh failed. A provider that does not
// know our client any more is an operator's to mend: no grant is touched.
func (v *Vault) transientDetail(ctx context.Context, turn RefreshTurn, err *ProviderError) string {
	if err.Code != codeInvalidClient {
		return "transient"
	}
	v.log.ErrorContext(ctx, "the provider refuses the app's client credentials: register the app again with its current secret; connections are untouched",
		slog.String("provider_id", turn.Connection.ProviderID), slog.String("app_id", turn.Connection.AppID))
	return codeInvalidClient
}

// commitTurn stores what the provider issued.
func (v *Vault) commitTurn(ctx context.Context, turn RefreshTurn, old Credential, o Rotated) (Connection, Credential, error) {
	cred := o.Credential
	switch {
	case cred.RefreshToken.IsZero():
		cred.RefreshToken, cred.PreviousRefreshToken = old.RefreshToken, old.PreviousRefreshToken
	case cred.RefreshToken.Reveal() != old.RefreshToken.Reveal():
		cred.PreviousRefreshToken = old.RefreshToken
	}
	c := turn.Connection
	scopes := o.Scopes
	if len(scopes) == 0 {
		scopes = c.Scopes
	}
	cmd := RefreshCommit{
		Owner: c.Owner, ConnectionID: c.ID, Fence: turn.Fence,
		ExpiresIn: o.ExpiresIn, Scopes: scopes, Event: v.refreshEvent(EventRefreshed, c.Connection, ""),
	}
	if c.AuthMethod == AuthBrowserLogin { // a check makes no login longer; beyond its time, checks decide
		cmd.ExpiresIn = max(0, c.ExpiresAt.Sub(turn.Now))
	}
	stored, err := v.sealAndCommit(ctx, connectionPlace(c.Connection, c.Version+1), cred, cmd)
	if err != nil {
		return Connection{}, Credential{}, fmt.Errorf("refresh: %w", err)
	}
	cred.ExpiresAt = stored.ExpiresAt
	return stored.Connection, cred, nil
}

// sealAndCommit seals a credential for its place and stores it. A data key that was
// rotated away meanwhile is replaced by the newest.
func (v *Vault) sealAndCommit(ctx context.Context, at place, cred Credential, cmd RefreshCommit) (SealedConnection, error) {
	issued := time.Now()
	for {
		record, err := v.keys.seal(ctx, at, cred.marshal())
		if err != nil {
			return SealedConnection{}, err
		}
		cmd.Record = record
		stored, err := v.commitWithRetry(ctx, spooled{commit: cmd, version: at.version, at: issued})
		if !errors.Is(err, ErrConflict) || ctx.Err() != nil {
			return stored, err
		}
		v.keys.forget(at.owner.Tenant, at.space())
	}
}

// endTurn marks the connection as needing its owner.
func (v *Vault) endTurn(ctx context.Context, turn RefreshTurn, reason ReauthReason) error {
	if err := v.failTurn(ctx, turn, reason, false, string(reason)); err != nil {
		return err
	}
	return &reauthError{turn.Connection.Connection}
}

func (v *Vault) failTurn(ctx context.Context, turn RefreshTurn, reason ReauthReason, keepMark bool, detail string) error {
	kind := EventRefreshFailed
	if reason != "" {
		kind = EventReauth
	}
	c := turn.Connection.Connection
	err := v.store.FailRefresh(ctx, RefreshFailure{
		Owner: c.Owner, ConnectionID: c.ID, Fence: turn.Fence, Reason: reason, KeepMark: keepMark,
		Event: v.refreshEvent(kind, c, detail),
	})
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	if reason != "" {
		v.wakeJobs()
	}
	return nil
}

// giveUp marks a connection whose fresh credential the service refuses.
func (v *Vault) giveUp(ctx context.Context, c Connection, reason ReauthReason) error {
	turn, err := v.store.BeginRefresh(ctx, RefreshClaim{Owner: c.Owner, ConnectionID: c.ID, Version: c.Version, Lease: refreshLease})
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	if !turn.Held {
		return &reauthError{c}
	}
	return v.endTurn(ctx, turn, reason)
}

func (v *Vault) refreshEvent(kind EventKind, c Connection, detail string) Event {
	return Event{
		Kind: kind, Tenant: c.Owner.Tenant, ActorKind: ActorSystem, Owner: c.Owner,
		ProviderID: c.ProviderID, ConnectionID: c.ID, Detail: detail,
	}
}
