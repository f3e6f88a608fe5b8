package tokenvault

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxFieldValue bounds what an owner may enter into one field, in bytes.
const maxFieldValue = 8 << 10

// A SubmitConnect is what an owner entered, or that they confirmed.
type SubmitConnect struct {
	AuthRequestID string
	Values        map[string]Secret // by the names of [KeyAuth.Fields]; none for [WayConfirm]
	// PermissionTTL and NewAccount are those of [StartConnect].
	PermissionTTL time.Duration
	NewAccount    bool
}

// SubmitConnect settles a pending request of the user's for which nobody has to go
// to the provider: with what they entered, which the provider is asked about
// first, or with a credential of the app's own. The same account's connection is
// healed in place.
//
// It fails with [ErrDenied] for anybody but a user who is proven, [ErrExpired] or
// [ErrConflict] if the request is not pending or takes another way, a [FieldError]
// that names the field if a value cannot be one or the provider refuses it,
// [ErrAccountMismatch], [ErrNoApp], and *[ProviderError] if the provider cannot be
// asked. Nothing is stored then. Values are in no error, log or audit entry.
func (v *Vault) SubmitConnect(ctx context.Context, actor Actor, in SubmitConnect) (settled AuthRequest, err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpConnectFinish})
	defer func() { end(OutcomeOf(err)) }()
	req, err := v.decidedBy(ctx, actor, in.AuthRequestID)
	if err != nil {
		return AuthRequest{}, err
	}
	if err := checkPermissionTTL(in.PermissionTTL); err != nil {
		return AuthRequest{}, err
	}
	p, err := v.provider(ctx, req.Owner, req.ProviderID)
	if err != nil {
		return AuthRequest{}, err
	}
	// A browser that hangs up must not leave it open what was stored.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTimeout+checkTimeout)
	defer cancel()
	if in.NewAccount {
		req.ConnectionID = "" // it is left as it is
	}
	switch v.WayTo(p) {
	case WayEnter:
		return v.connectEntered(ctx, actor, req, p, in)
	case WayConfirm:
		return v.connectApp(ctx, actor, req, p, in.PermissionTTL)
	case WayRedirect, WayDevice, WayBrowser, WayPermit:
	}
	return AuthRequest{}, fmt.Errorf("provider %s is not connected here: %w", p.ID, ErrConflict)
}

// connectApp connects the app itself.
func (v *Vault) connectApp(ctx context.Context, actor Actor, req AuthRequest, p Provider, ttl time.Duration) (AuthRequest, error) {
	flow, ok := v.opts.Flows[p.AuthMethod].(Granting)
	if !ok {
		return AuthRequest{}, notEnabled(p)
	}
	app, err := v.appOf(ctx, req.Owner, p)
	if err != nil {
		return AuthRequest{}, err
	}
	client, err := v.openClient(ctx, app)
	if err != nil {
		return AuthRequest{}, err
	}
	grantCtx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	grantCtx, end := v.watch.begin(grantCtx, Operation{Kind: OpProviderExchange, ProviderID: p.ID})
	completed, err := flow.Grant(grantCtx, GrantInput{Provider: p, Client: client, Scopes: requestedScopes(req, p, app.App)})
	end(OutcomeOf(err))
	if err != nil {
		return AuthRequest{}, fmt.Errorf("connect: %w", err)
	}
	settled, err := v.keep(ctx, actor, req, p, app.App, completed, ttl)
	if err != nil {
		v.discard(ctx, p, client, completed)
	}
	return settled, err
}

func notEnabled(p Provider) error {
	return fmt.Errorf("provider %s: auth method %s is not enabled here: %w", p.ID, p.AuthMethod, ErrInvalid)
}

// connectEntered connects what the owner entered, if the provider takes it.
func (v *Vault) connectEntered(ctx context.Context, actor Actor, req AuthRequest, p Provider, in SubmitConnect) (AuthRequest, error) {
	flow, ok := v.opts.Flows[p.AuthMethod].(Submitting)
	if !ok {
		return AuthRequest{}, notEnabled(p)
	}
	values, err := p.APIKey.checkValues(in.Values)
	if err != nil {
		return AuthRequest{}, err
	}
	completed, err := v.submit(ctx, actor, req, p, flow, values)
	if err != nil {
		return AuthRequest{}, err
	}
	return v.keep(ctx, actor, req, p, App{}, completed, in.PermissionTTL)
}

// submit asks the service about the values. A refusal is audited.
func (v *Vault) submit(ctx context.Context, actor Actor, req AuthRequest, p Provider, flow Submitting, values map[string]Secret) (Completed, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	nested, end := v.watch.begin(ctx, Operation{Kind: OpProviderProbe, ProviderID: p.ID})
	completed, err := flow.Submit(nested, SubmitInput{Provider: p, Values: values})
	end(OutcomeOf(err))
	if errors.Is(err, ErrInvalid) {
		event := v.requestEvent(EventConnectRefused, actor, req)
		event.Detail = "credential"
		if err := v.audit.append(ctx, event); err != nil {
			return Completed{}, err
		}
	}
	if err != nil {
		return Completed{}, fmt.Errorf("submit: %w", err)
	}
	return completed, nil
}

// checkValues returns the values without the space that copying leaves around
// them, or a [FieldError] for the first that cannot be one.
func (k KeyAuth) checkValues(values map[string]Secret) (map[string]Secret, error) {
	for name := range values {
		if _, ok := k.Field(name); !ok {
			return nil, invalid("fields", "must be those that the provider asks for")
		}
	}
	checked := make(map[string]Secret, len(k.Fields))
	for _, f := range k.Fields {
		text := strings.Trim(values[f.Name].Reveal(), " \t\u00a0")
		if err := k.checkValue(f, text); err != nil {
			return nil, err
		}
		checked[f.Name] = NewSecret(text)
	}
	_, err := k.ProbeURL(checked)
	return checked, err
}

func (k KeyAuth) checkValue(f KeyField, text string) error {
	switch {
	case text == "":
		return invalid(f.Name, "must not be empty")
	case len(text) > maxFieldValue:
		return invalid(f.Name, "must be at most 8 KiB")
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return invalid(f.Name, "must be one line without invisible characters; copy it again")
	case k.namesUser(f) && strings.Contains(text, ":"):
		return invalid(f.Name, "must not have a colon")
	case f.Pattern == "":
		return nil
	}
	pattern, err := regexp.Compile(`^(?:` + f.Pattern + `)$`)
	if err != nil {
		return invalid("pattern", "must be a regular expression")
	}
	if !pattern.MatchString(text) {
		return invalid(f.Name, "does not look like one; copy the whole of it")
	}
	return nil
}

// namesUser reports whether the field is part of a user name of basic
// authentication, which a colon would end (RFC 7617 §2).
func (k KeyAuth) namesUser(f KeyField) bool {
	for _, in := range k.Inject {
		if in.basic() && strings.Contains(in.Username, "{"+f.Name+"}") {
			return true
		}
	}
	return false
}

// probeTurn asks whether a credential that the service answered 401 to still
// works. If so, the owner need not act: the caller may try once more.
func (v *Vault) probeTurn(ctx context.Context, p Provider, prober Prober, turn RefreshTurn, cred Credential) (Connection, Credential, bool, error) {
	probeCtx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	probeCtx, end := v.watch.begin(probeCtx, Operation{Kind: OpProviderProbe, ProviderID: p.ID})
	err := prober.Probe(probeCtx, RefreshInput{Provider: p, Credential: cred})
	end(OutcomeOf(err))
	if errors.Is(err, ErrDenied) {
		return Connection{}, Credential{}, false, v.endTurn(ctx, turn, ReauthRejected)
	}
	event := v.refreshEvent(EventProbed, turn.Connection.Connection, "")
	if err != nil {
		event.Kind, event.Detail = EventRefreshFailed, "transient"
	}
	ended := v.store.FailRefresh(ctx, RefreshFailure{
		Owner: turn.Connection.Owner, ConnectionID: turn.Connection.ID, Fence: turn.Fence, Event: event,
	})
	if err := errors.Join(err, ended); err != nil {
		return Connection{}, Credential{}, false, fmt.Errorf("probe: %w", err)
	}
	return turn.Connection.Connection, cred, false, nil
}
