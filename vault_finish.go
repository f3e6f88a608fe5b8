package tokenvault

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	exchangeTimeout = 30 * time.Second
	settleTries     = 5
)

// A Return is what came back from a provider to the callback URL.
type Return struct {
	AppID string // from the callback's path; empty on the legacy path
	State Secret
	Code  Secret
	Iss   string // RFC 9207
	Error string // RFC 6749 §4.1.2.1
	// Browser is the value of the attempt's cookie.
	Browser Secret
}

// Finished is where a return led.
type Finished struct {
	Request   AuthRequest
	ReturnURL string // where the host wants the browser; empty: the result page
	// ProofURL is where a visitor's browser goes before anything else: the host
	// says there whose it is. Nothing is settled yet.
	ProofURL string
}

// FinishConnect takes the return of an attempt, exactly once, and exchanges and
// stores the credential if the same user, in the same browser, came back to the
// same app from the same issuer. It fails with [ErrStateInvalid] if not, whatever
// differs; with [ErrExpired] or [ErrConflict] if the request is over, in which
// case nothing is stored and the fresh grant is ended; with
// [ErrAccountMismatch]; and with *[ProviderError].
//
// An owner who refuses at the provider settles the request as declined: that is
// no error. Finished tells the request also beside an error, once the return is
// known to belong to the actor. The return of a visitor is kept, sealed, for
// [Vault.CompleteConnect]: Finished tells where the host proves the user.
func (v *Vault) FinishConnect(ctx context.Context, actor Actor, ret Return) (done Finished, err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpConnectFinish})
	defer func() { end(OutcomeOf(err)) }()
	if err := v.checkActor(actor); err != nil {
		return Finished{}, err
	}
	// A browser that hangs up must not cost the grant it just obtained.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTimeout+checkTimeout)
	defer cancel()
	if actor.Kind == ActorVisitor {
		return v.returnForProof(ctx, actor, ret)
	}
	attempt, err := v.store.AdvanceAttempt(ctx, hashText(ret.State.Reveal()), AttemptBegun, AttemptConsumed)
	if err != nil {
		if errors.Is(err, ErrStateInvalid) {
			return Finished{}, v.refuse(ctx, actor, Attempt{}, "state")
		}
		return Finished{}, fmt.Errorf("finish connect: %w", err)
	}
	p, app, mismatch := v.checkReturn(ctx, actor, attempt, ret)
	if mismatch != "" {
		return Finished{}, v.refuse(ctx, actor, attempt, mismatch)
	}
	req, err := v.pendingOf(ctx, actor, attempt.AuthRequestID)
	if err != nil {
		return Finished{}, err
	}
	if err := v.audit.append(ctx, v.requestEvent(EventConnectReturned, actor, req)); err != nil {
		return Finished{Request: req, ReturnURL: attempt.ReturnURL}, err
	}
	private, err := v.keys.open(ctx, attemptPlace(attempt), attempt.Private, nil)
	if err != nil {
		return Finished{Request: req, ReturnURL: attempt.ReturnURL}, err
	}
	return v.takeReturn(ctx, actor, req, takenReturn{Return: ret, attempt: attempt, provider: p, app: app, private: NewSecret(string(private))})
}

// A takenReturn is a return that belongs to whom it was asked of.
type takenReturn struct {
	Return
	attempt  Attempt
	provider Provider
	app      SealedApp
	private  Secret
}

// takeReturn settles the request with what came back.
func (v *Vault) takeReturn(ctx context.Context, actor Actor, req AuthRequest, ret takenReturn) (Finished, error) {
	done := Finished{Request: req, ReturnURL: ret.attempt.ReturnURL}
	settle := v.exchange
	if ret.Error != "" {
		settle = v.refusedByProvider
	}
	settled, err := settle(ctx, actor, req, ret)
	if err == nil {
		done.Request = settled
	}
	return done, err
}

// checkReturn compares what came back with what was sent out. The mismatch is a
// word for the audit entry and goes nowhere else.
func (v *Vault) checkReturn(ctx context.Context, actor Actor, a Attempt, ret Return) (p Provider, app SealedApp, mismatch string) {
	switch {
	case a.Owner.Tenant != v.opts.Tenant:
		return p, app, "tenant"
	case actor.Kind != ActorVisitor && !mayActFor(actor, a.Owner):
		return p, app, "user"
	case subtle.ConstantTimeCompare([]byte(hashText(ret.Browser.Reveal())), []byte(a.BrowserHash)) != 1:
		return p, app, "browser"
	}
	p, err := v.provider(ctx, a.Owner, a.ProviderID)
	if err != nil {
		return p, app, "provider"
	}
	if app, err = v.store.GetApp(ctx, a.Owner.Tenant, a.AppID); err != nil {
		return p, app, "app"
	}
	if ret.AppID != a.AppID && (ret.AppID != "" || !app.LegacyCallback) {
		return p, app, "app"
	}
	if ret.Iss == "" && p.OAuth2.IssRequired || ret.Iss != "" && a.Issuer != "" && ret.Iss != a.Issuer {
		return p, app, "issuer"
	}
	if ret.Code.IsZero() && ret.Error == "" {
		return p, app, "code"
	}
	return p, app, ""
}

// mayActFor reports whether the actor is the person that an attempt of owner
// belongs to.
func mayActFor(actor Actor, owner Owner) bool {
	return actor.Kind == ActorUser && speaksFor(actor, owner)
}

// speaksFor reports whether the actor acts for owner, itself or as an
// administrator.
func speaksFor(actor Actor, owner Owner) bool {
	org, ok := actor.Owner.Organization()
	return actor.Owner == owner || ok && actor.OrgAdmin && org == owner
}

func (v *Vault) refuse(ctx context.Context, actor Actor, a Attempt, detail string) error {
	event := v.event(EventConnectRefused, actor, actor.Owner)
	event.ProviderID, event.AuthRequestID, event.Detail = a.ProviderID, a.AuthRequestID, detail
	if err := v.audit.append(ctx, event); err != nil {
		return err
	}
	return ErrStateInvalid
}

// refusedByProvider handles an error response (RFC 6749 §4.1.2.1). Only the
// owner's own refusal ends the request; anything else may be tried again.
func (v *Vault) refusedByProvider(ctx context.Context, actor Actor, req AuthRequest, ret takenReturn) (AuthRequest, error) {
	if ret.Error == "access_denied" {
		return v.settle(ctx, Settlement{
			Owner: req.Owner, AuthRequestID: req.ID, Status: AuthDeclined,
			Events: []Event{v.requestEvent(EventAuthDeclined, actor, req)},
		})
	}
	return req, &ProviderError{ProviderID: req.ProviderID, Op: "authorize", Code: knownAuthorizationError(ret.Error)}
}

func knownAuthorizationError(code string) string {
	switch code {
	case "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope",
		"server_error", "temporarily_unavailable", "login_required", "consent_required", "interaction_required":
		return code
	}
	return ""
}

// exchange obtains the credential and settles the request with it.
func (v *Vault) exchange(ctx context.Context, actor Actor, req AuthRequest, ret takenReturn) (AuthRequest, error) {
	p := ret.provider
	flow, ok := v.opts.Flows[p.AuthMethod].(Redirecting)
	if !ok {
		return AuthRequest{}, notEnabled(p)
	}
	client, err := v.openClient(ctx, ret.app)
	if err != nil {
		return AuthRequest{}, err
	}
	exchangeCtx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	exchangeCtx, end := v.watch.begin(exchangeCtx, Operation{Kind: OpProviderExchange, ProviderID: p.ID})
	completed, err := flow.Complete(exchangeCtx, CompleteInput{
		Provider: p, Client: client, RedirectURL: v.CallbackURL(ret.app.App),
		Private: ret.private, Code: ret.Code, Iss: ret.Iss, Scopes: ret.attempt.Scopes,
	})
	end(OutcomeOf(err))
	if err != nil {
		return AuthRequest{}, fmt.Errorf("finish connect: %w", err)
	}
	if ret.attempt.NewAccount {
		req.ConnectionID = "" // it is left as it is
	}
	settled, err := v.keep(ctx, actor, req, p, ret.app.App, completed, ret.attempt.PermissionTTL)
	if err != nil {
		v.discard(ctx, p, client, completed)
	}
	return settled, err
}

// keep stores the credential under the connection it belongs to and settles the
// request, again if the connection changed in between. What the agent asks for is
// permitted for ttl. That it is another account's is noted in the request.
func (v *Vault) keep(ctx context.Context, actor Actor, req AuthRequest, p Provider, app App, done Completed, ttl time.Duration) (AuthRequest, error) {
	for range settleTries {
		target, err := v.target(ctx, req, done.Account)
		if errors.Is(err, ErrAccountMismatch) {
			v.noteRequest(ctx, req, NoticeOtherAccount)
		}
		if err != nil {
			return AuthRequest{}, err
		}
		settled, err := v.keepAs(ctx, actor, req, p, app, done, target, ttl)
		if !errors.Is(err, ErrConflict) {
			return settled, err
		}
		now, err := v.store.GetAuthRequest(ctx, req.Owner, req.ID)
		if err == nil {
			err = pendingNow(now)
		}
		if err != nil {
			return AuthRequest{}, err
		}
	}
	return AuthRequest{}, fmt.Errorf("finish connect: %w", ErrConflict)
}

// noteRequest tells those who wait for a request what an attempt came to. The person who
// made it is told anyway, so that a failure is no more than logged.
func (v *Vault) noteRequest(ctx context.Context, req AuthRequest, notice AuthNotice) {
	_, err := v.store.NoteAuthRequest(ctx, req.Owner, req.ID, notice)
	switch {
	case err == nil:
		v.waiters.wake(req.ID)
	case !errors.Is(err, ErrConflict) && !errors.Is(err, ErrExpired) && !errors.Is(err, ErrNotFound):
		v.log.WarnContext(ctx, "those who wait for an auth request are not told what an attempt came to", slog.Any("error", err))
	}
}

// storeAttempt opens an attempt, which takes the request's notice away.
func (v *Vault) storeAttempt(ctx context.Context, req AuthRequest, cmd NewAttempt) error {
	err := v.store.BeginAttempt(ctx, cmd)
	if err == nil && req.Notice != "" {
		v.waiters.wake(req.ID)
	}
	return err
}

// target returns the connection to heal in place: the one that the request
// names, or the one of the same account. A zero target means a new one.
func (v *Vault) target(ctx context.Context, req AuthRequest, account Account) (SealedConnection, error) {
	same, err := v.store.FindAccount(ctx, req.Owner, req.ProviderID, account.ID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return SealedConnection{}, err
	}
	if req.ConnectionID == "" {
		return same, nil
	}
	named, err := v.store.GetConnection(ctx, req.Owner, req.ConnectionID)
	switch {
	case errors.Is(err, ErrNotFound):
		return same, nil
	case err != nil:
		return SealedConnection{}, err
	case named.Owner != req.Owner:
		return same, nil // it was given to the organization since
	case named.Account.ID == account.ID:
		return named, nil
	case named.Account.ID == "" && same.ID == "":
		return named, nil // the account was not known before
	}
	return SealedConnection{}, ErrAccountMismatch
}

func (v *Vault) keepAs(ctx context.Context, actor Actor, req AuthRequest, p Provider, app App, done Completed, target SealedConnection, ttl time.Duration) (AuthRequest, error) {
	conn := SettledConnection{SealedConnection: target, ExpiresIn: done.ExpiresIn}
	if conn.ID == "" {
		conn.ID = cmp.Or(done.connectionID, newID("cn"))
		conn.Owner, conn.ProviderID, conn.AuthMethod = req.Owner, p.ID, p.AuthMethod
	}
	conn.Version++
	conn.AppID, conn.Account, conn.Scopes = app.ID, done.Account, done.Scopes
	cred, err := v.withOldRefreshToken(ctx, target, done.Credential, app)
	if err != nil {
		return AuthRequest{}, err
	}
	if conn.Record, err = v.keys.seal(ctx, connectionPlace(conn.Connection, conn.Version), cred.marshal()); err != nil {
		return AuthRequest{}, err
	}
	cmd := Settlement{Owner: req.Owner, AuthRequestID: req.ID, Status: AuthConnected, Connection: &conn, PermissionTTL: ttl}
	connected := v.requestEvent(EventConnected, actor, req)
	connected.ConnectionID = conn.ID
	cmd.Events = append(cmd.Events, connected)
	if _, ok := p.CoversScopes(done.Scopes, req.Scopes); !ok {
		cmd.Status, cmd.FailureCode = AuthFailed, FailScopeNotGranted
		failed := v.requestEvent(EventAuthFailed, actor, req)
		failed.Detail = FailScopeNotGranted
		cmd.Events = append(cmd.Events, failed)
	} else if cmd.Permission = v.permissionFor(req, conn.ID); cmd.Permission != nil {
		if len(cmd.Permission.Scopes) == 0 {
			cmd.Permission.Scopes = done.Scopes
		}
		granted := connected
		granted.Kind = EventPermissionGranted
		cmd.Events = append(cmd.Events, granted)
	}
	return v.settle(ctx, cmd)
}

// withOldRefreshToken keeps the refresh token of the same grant if a provider
// issues one at the first consent only.
func (v *Vault) withOldRefreshToken(ctx context.Context, target SealedConnection, cred Credential, app App) (Credential, error) {
	if cred.TokenURL == "" || !cred.RefreshToken.IsZero() || target.ID == "" || len(target.Record.Blob) == 0 || target.AppID != app.ID {
		return cred, nil
	}
	old, err := v.openCredential(ctx, target, nil)
	if errors.Is(err, ErrUnsealable) {
		return cred, nil // reconnecting heals a row that cannot be read any more
	}
	if err == nil && old.TokenURL == cred.TokenURL && target.Status == ConnectionActive {
		cred.RefreshToken = old.RefreshToken
	}
	return cred, err
}

// discard ends a grant that was obtained too late to be kept.
func (v *Vault) discard(ctx context.Context, p Provider, client Client, done Completed) {
	revoker, ok := v.opts.Flows[p.AuthMethod].(Revoker)
	if !ok {
		return
	}
	err := v.revokeGrant(ctx, revoker, RefreshInput{Provider: p, Client: client, Credential: done.Credential, Scopes: done.Scopes})
	if err != nil {
		v.log.WarnContext(ctx, "a grant that was not kept could not be ended at the provider",
			slog.String("provider_id", p.ID), slog.Any("error", err))
	}
}
