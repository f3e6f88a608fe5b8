package tokenvault

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/record"
)

// slowDown is by how much the interval grows when a provider wants to be asked
// less often (RFC 8628 §3.5).
const slowDown = 5 * time.Second

// Tags of the record of a code that the owner enters at the provider.
const (
	tagDevicePrivate = iota + 1
	tagDeviceUserCode
	tagDeviceURL
)

// A Device is what an owner needs to connect by device authorization (RFC 8628):
// a code, and where to enter it.
type Device struct {
	UserCode        string
	VerificationURL string
	Interval        time.Duration // how far apart calls of [Vault.PollDevice] are of use
	ExpiresAt       time.Time     // by the store's clock; zero right after [Vault.StartDevice]
	// Attempt names the attempt to [Vault.PollDevice]. The cookie binds it to the
	// browser: set it as that of [Redirect].
	Attempt      Secret
	CookieName   string
	CookieValue  Secret
	CookieMaxAge time.Duration
}

// StartDevice opens an attempt by device authorization for a pending request of the
// user's, where [ConnectPlan] says [WayDevice]. It fails as [Vault.StartConnect]
// does, and with [ErrDenied] for a visitor: whoever enters the code connects their
// account, so that who asks must be proven before.
func (v *Vault) StartDevice(ctx context.Context, actor Actor, in StartConnect) (device Device, err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpConnectStart})
	defer func() { end(OutcomeOf(err)) }()
	req, err := v.decidedBy(ctx, actor, in.AuthRequestID)
	if err != nil {
		return Device{}, err
	}
	if err := v.CheckReturnURL(in.ReturnURL); err != nil {
		return Device{}, err
	}
	if err := checkPermissionTTL(in.PermissionTTL); err != nil {
		return Device{}, err
	}
	p, err := v.provider(ctx, req.Owner, req.ProviderID)
	if err != nil {
		return Device{}, err
	}
	flow, err := v.deviceFlow(p)
	if err != nil {
		return Device{}, err
	}
	app, err := v.appOf(ctx, req.Owner, p)
	if err != nil {
		return Device{}, err
	}
	client, err := v.openClient(ctx, app)
	if err != nil {
		return Device{}, err
	}
	scopes := requestedScopes(req, p, app.App)
	nested, endBegin := v.watch.begin(ctx, Operation{Kind: OpProviderBegin, ProviderID: p.ID})
	code, err := flow.BeginDevice(nested, GrantInput{Provider: p, Client: client, Scopes: scopes})
	endBegin(OutcomeOf(err))
	if err != nil {
		return Device{}, fmt.Errorf("begin connect: %w", err)
	}
	return v.beginDevice(ctx, actor, req, app, code, in, scopes)
}

// deviceFlow returns the flow of a provider that is connected by device
// authorization here.
func (v *Vault) deviceFlow(p Provider) (DeviceFlow, error) {
	if v.WayTo(p) != WayDevice {
		return nil, fmt.Errorf("provider %s is not connected by device authorization here: %w", p.ID, ErrConflict)
	}
	flow, ok := v.opts.Flows[p.AuthMethod].(DeviceFlow)
	if !ok {
		return nil, notEnabled(p)
	}
	return flow, nil
}

func (v *Vault) beginDevice(ctx context.Context, actor Actor, req AuthRequest, app SealedApp, code DeviceCode, wish StartConnect, scopes []string) (Device, error) {
	handle, browser := random256(), random256()
	attempt := Attempt{
		ID: newID("at"), AuthRequestID: req.ID, Owner: req.Owner, ProviderID: req.ProviderID, AppID: app.ID,
		StateHash: hashText(handle), BrowserHash: hashText(browser), ReturnURL: wish.ReturnURL, Scopes: scopes,
		PermissionTTL: wish.PermissionTTL, NewAccount: wish.NewAccount, Interval: code.Interval,
	}
	var w record.Writer
	w.String(tagDevicePrivate, code.Private.Reveal())
	w.String(tagDeviceUserCode, code.UserCode)
	w.String(tagDeviceURL, code.VerificationURL)
	var err error
	if attempt.Private, err = v.keys.seal(ctx, devicePlace(attempt), w.Bytes()); err != nil {
		return Device{}, err
	}
	ttl := min(v.opts.AttemptTTL, code.ExpiresIn)
	event := v.requestEvent(EventConnectStarted, actor, req)
	if err := v.storeAttempt(ctx, req, NewAttempt{Attempt: attempt, TTL: ttl, Event: event}); err != nil {
		return Device{}, fmt.Errorf("begin connect: %w", err)
	}
	return Device{
		UserCode: code.UserCode, VerificationURL: code.VerificationURL, Interval: code.Interval, Attempt: NewSecret(handle),
		CookieName: v.AttemptCookie(handle), CookieValue: NewSecret(browser), CookieMaxAge: ttl,
	}, nil
}

// devicePlace is another one than that of an attempt that returns.
func devicePlace(a Attempt) place {
	return place{table: "attempt", owner: a.Owner, row: a.ID, field: "device", version: 1}
}

// A PollDevice asks whether the owner has entered the code.
type PollDevice struct {
	AuthRequestID string
	Attempt       Secret // [Device.Attempt]
	Browser       Secret // the value of the attempt's cookie
}

// Polled is what came of a question.
type Polled struct {
	Request   AuthRequest
	ReturnURL string // where the host wants the browser afterwards; empty: the result page
	// Device is set while the code waits to be entered.
	Device *Device
}

// PollDevice asks the provider once whether the owner has entered the code and
// consented, unless it was asked less than the interval ago. It settles the request
// if they did, or refused. Only the browser of the same user that began it may: it
// fails with [ErrStateInvalid] if anything differs or the attempt is over,
// [ErrExpired] if the provider says that the code is, and *[ProviderError] if the
// provider refuses for good; and as [Vault.FinishConnect] does otherwise.
func (v *Vault) PollDevice(ctx context.Context, actor Actor, in PollDevice) (polled Polled, err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpConnectFinish})
	defer func() { end(OutcomeOf(err)) }()
	req, err := v.decidedBy(ctx, actor, in.AuthRequestID)
	if err != nil {
		return Polled{}, err
	}
	// A browser that hangs up must not cost the grant that is just being obtained.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTimeout+checkTimeout)
	defer cancel()
	turn, err := v.store.PollAttempt(ctx, hashText(in.Attempt.Reveal()))
	if errors.Is(err, ErrStateInvalid) {
		return Polled{}, v.refuse(ctx, actor, Attempt{}, "state")
	}
	if err != nil {
		return Polled{}, fmt.Errorf("poll: %w", err)
	}
	switch {
	case turn.Owner.Tenant != v.opts.Tenant, !mayActFor(actor, turn.Owner), turn.AuthRequestID != req.ID:
		return Polled{}, v.refuse(ctx, actor, turn.Attempt, "user")
	case subtle.ConstantTimeCompare([]byte(hashText(in.Browser.Reveal())), []byte(turn.BrowserHash)) != 1:
		return Polled{}, v.refuse(ctx, actor, turn.Attempt, "browser")
	}
	device, private, err := v.openDevice(ctx, turn.Attempt)
	if err != nil {
		return Polled{}, err
	}
	device.Attempt = in.Attempt
	if !turn.Held {
		return Polled{Request: req, Device: &device}, nil
	}
	return v.pollTurn(ctx, actor, req, turn.Attempt, device, private)
}

// openDevice returns what was shown to the owner, and what the flow needs.
func (v *Vault) openDevice(ctx context.Context, a Attempt) (device Device, private Secret, err error) {
	plaintext, err := v.keys.open(ctx, devicePlace(a), a.Private, nil)
	if err != nil {
		return Device{}, Secret{}, err
	}
	device.Interval, device.ExpiresAt = a.Interval, a.ExpiresAt
	err = record.Each(plaintext, func(tag byte, value []byte) {
		switch tag {
		case tagDevicePrivate:
			private = NewSecret(string(value))
		case tagDeviceUserCode:
			device.UserCode = string(value)
		case tagDeviceURL:
			device.VerificationURL = string(value)
		}
	})
	if err != nil {
		return Device{}, Secret{}, fmt.Errorf("attempt record: %w", ErrUnsealable)
	}
	return device, private, nil
}

// pollTurn asks the provider, whose turn it is.
func (v *Vault) pollTurn(ctx context.Context, actor Actor, req AuthRequest, a Attempt, device Device, private Secret) (Polled, error) {
	p, err := v.provider(ctx, a.Owner, a.ProviderID)
	if err != nil {
		return Polled{}, err
	}
	flow, err := v.deviceFlow(p)
	if err != nil {
		return Polled{}, err
	}
	app, err := v.store.GetApp(ctx, a.Owner.Tenant, a.AppID)
	if err != nil {
		return Polled{}, fmt.Errorf("poll: %w", err)
	}
	client, err := v.openClient(ctx, app)
	if err != nil {
		return Polled{}, err
	}
	pollCtx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	pollCtx, end := v.watch.begin(pollCtx, Operation{Kind: OpProviderExchange, ProviderID: p.ID})
	outcome := flow.PollDevice(pollCtx, DevicePoll{GrantInput{Provider: p, Client: client, Scopes: a.Scopes}, private})
	end(outcomeOfPoll(outcome))
	if pending, ok := outcome.(DevicePending); ok {
		return v.keepPolling(ctx, req, a, device, pending)
	}
	if _, err := v.store.AdvanceAttempt(ctx, a.StateHash, AttemptBegun, AttemptConsumed); err != nil {
		if granted, ok := outcome.(DeviceGranted); ok {
			v.discard(ctx, p, client, granted.Completed)
		}
		return Polled{}, fmt.Errorf("poll: %w", err)
	}
	done := Polled{Request: req, ReturnURL: a.ReturnURL}
	switch o := outcome.(type) {
	case DeviceGranted:
		if a.NewAccount {
			req.ConnectionID = "" // it is left as it is
		}
		done.Request, err = v.keep(ctx, actor, req, p, app.App, o.Completed, a.PermissionTTL)
		if err != nil {
			v.discard(ctx, p, client, o.Completed)
		}
	case DeviceDeclined:
		done.Request, err = v.settle(ctx, Settlement{
			Owner: req.Owner, AuthRequestID: req.ID, Status: AuthDeclined,
			Events: []Event{v.requestEvent(EventAuthDeclined, actor, req)},
		})
	case DeviceExpired:
		err = fmt.Errorf("the code was not entered in time: %w", ErrExpired)
	case DeviceFailed:
		err = fmt.Errorf("poll: %w", o.Err)
	default:
		err = fmt.Errorf("poll: unknown outcome %T", outcome)
	}
	return done, err
}

// keepPolling has the owner asked for more patience.
func (v *Vault) keepPolling(ctx context.Context, req AuthRequest, a Attempt, device Device, pending DevicePending) (Polled, error) {
	if pending.Slower {
		slower, err := v.store.SlowAttempt(ctx, a.StateHash, slowDown)
		if err != nil {
			return Polled{}, fmt.Errorf("poll: %w", err)
		}
		device.Interval = slower.Interval
	}
	if pending.Err != nil {
		v.log.WarnContext(ctx, "a provider could not be asked about a code", slog.String("provider_id", a.ProviderID), slog.Any("error", pending.Err))
	}
	return Polled{Request: req, Device: &device}, nil
}

func outcomeOfPoll(outcome DeviceOutcome) Outcome {
	switch o := outcome.(type) {
	case DevicePending:
		if o.Err != nil {
			return OutcomeProviderError
		}
		return OutcomeOK
	case DeviceDeclined, DeviceExpired:
		return OutcomeRejected
	case DeviceFailed:
		return OutcomeOf(o.Err)
	}
	return OutcomeOK
}
