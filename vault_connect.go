package tokenvault

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A ConnectPlan is what the confirm page shows before anything happens.
type ConnectPlan struct {
	Request  AuthRequest
	Provider Provider
	// Scopes is what will be requested from the provider.
	Scopes []string
	// Account is set on a reconnect, a step-up and a permission. Shared is true if it
	// is the organization's.
	Account Account
	Shared  bool
	// Choices are the accounts to choose from, for choose_account.
	Choices []Connection
	// Way is what the owner has to do.
	Way ConnectWay
	// Connecting is what connecting an account takes: Way, unless that is WayPermit.
	Connecting ConnectWay
}

// A ConnectWay is what an owner has to do to fulfil an auth request.
type ConnectWay string

// The ways.
const (
	WayRedirect ConnectWay = "redirect" // go to the provider and come back: [Vault.StartConnect]
	WayEnter    ConnectWay = "enter"    // enter the fields of [Provider.APIKey]: [Vault.SubmitConnect]
	WayConfirm  ConnectWay = "confirm"  // confirm: the app itself is the account; [Vault.SubmitConnect] too
	WayDevice   ConnectWay = "device"   // enter a code at the provider: [Vault.StartDevice]
	WayBrowser  ConnectWay = "browser"  // sign in, in a server-side browser: [Vault.StartLogin]
	WayPermit   ConnectWay = "permit"   // permit the use of a connection: [Vault.Permit]
)

// WayTo returns what connecting an account at p takes.
func (v *Vault) WayTo(p Provider) ConnectWay {
	switch {
	case p.Login != nil:
		return WayBrowser
	case p.APIKey != nil:
		return WayEnter
	case p.OAuth2 != nil && p.OAuth2.Grant == GrantClientCredentials:
		return WayConfirm
	case p.OAuth2 != nil && p.OAuth2.DeviceAuthorizationURL != "" && slices.Contains(v.opts.DeviceAuthorization, p.ID):
		return WayDevice
	}
	return WayRedirect
}

// PlanConnect returns what confirming a pending request would do. It writes
// nothing.
func (v *Vault) PlanConnect(ctx context.Context, actor Actor, id string) (ConnectPlan, error) {
	req, err := v.pendingOf(ctx, actor, id)
	if err != nil {
		return ConnectPlan{}, err
	}
	p, err := v.provider(ctx, req.Owner, req.ProviderID)
	if err != nil {
		return ConnectPlan{}, err
	}
	plan := ConnectPlan{Request: req, Provider: p, Scopes: req.Scopes, Way: v.WayTo(p), Connecting: v.WayTo(p)}
	if actor.Kind == ActorVisitor {
		return v.planForVisitor(ctx, plan)
	}
	if req.ConnectionID != "" {
		conn, err := v.store.GetConnection(ctx, req.Owner, req.ConnectionID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return ConnectPlan{}, err
		}
		plan.Account, plan.Shared = conn.Account, conn.ID != "" && conn.Shared()
	}
	switch req.Reason {
	case ReasonPermissionRequired:
		plan.Way = WayPermit
		return plan, nil
	case ReasonChooseAccount:
		plan.Way = WayPermit
		plan.Choices, err = v.choices(ctx, req)
		return plan, err
	case ReasonMissing, ReasonExpired, ReasonRevoked, ReasonInsufficientScope:
	}
	if plan.Way == WayEnter || plan.Way == WayBrowser {
		return plan, nil
	}
	app, err := v.appOf(ctx, req.Owner, p)
	if err != nil {
		return ConnectPlan{}, err
	}
	plan.Scopes = requestedScopes(req, p, app.App)
	return plan, nil
}

// planForVisitor plans a connect at the provider, whatever is asked: whose
// accounts these are is not shown to somebody who is not proven, and consenting
// again is the proof that remains. Where nobody consents at the provider, there is
// none: [ErrUnauthenticated].
func (v *Vault) planForVisitor(ctx context.Context, plan ConnectPlan) (ConnectPlan, error) {
	if plan.Way != WayRedirect {
		return ConnectPlan{}, fmt.Errorf("only a user who is proven connects this provider: %w", ErrUnauthenticated)
	}
	app, err := v.appOf(ctx, plan.Request.Owner, plan.Provider)
	if err != nil {
		return ConnectPlan{}, err
	}
	plan.Scopes = requestedScopes(plan.Request, plan.Provider, app.App)
	return plan, nil
}

// choices returns what selectCandidate would choose from: the owner's own
// connections, or the organization's if there are none.
func (v *Vault) choices(ctx context.Context, req AuthRequest) ([]Connection, error) {
	all, err := v.store.ListConnections(ctx, req.Owner, Page{Limit: maxPage})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c Connection) bool { return c.ProviderID != req.ProviderID })
	if slices.ContainsFunc(all, func(c Connection) bool { return c.Owner == req.Owner }) {
		all = slices.DeleteFunc(all, func(c Connection) bool { return c.Owner != req.Owner })
	}
	return all, nil
}

// requestedScopes is what is asked for at the provider: what the request needs
// and what the app always asks for, or the provider's default if that is nothing.
func requestedScopes(req AuthRequest, p Provider, app App) []string {
	scopes := union(req.Scopes, app.Scopes)
	if len(scopes) == 0 && p.OAuth2 != nil {
		scopes = slices.Clone(p.OAuth2.DefaultScopes)
	}
	return scopes
}

// A StartConnect asks to send the owner's browser to the provider.
type StartConnect struct {
	AuthRequestID string
	// ReturnURL is where the browser goes afterwards: a path on the vault's own
	// origin or one of [Options.ReturnURLs]. Empty: the vault's result page.
	ReturnURL string
	// PermissionTTL is how long the agent that asks is permitted to use the
	// connection. 0: until the permission is withdrawn.
	PermissionTTL time.Duration
	// NewAccount connects another account beside the one that the request names,
	// which is left as it is.
	NewAccount bool
}

// A Redirect sends the owner's browser to the provider.
type Redirect struct {
	URL string
	// CookieName and CookieValue bind the attempt to the browser that confirmed.
	// Set the cookie with SameSite=Lax, HttpOnly, and Secure on https, and give
	// it back to [Vault.FinishConnect].
	CookieName  string
	CookieValue Secret
	// CookieMaxAge is how long the attempt may take.
	CookieMaxAge time.Duration
}

// StartConnect opens an attempt for a pending request of the user's and returns
// where to send the browser. It fails with [ErrDenied] for anybody but a user,
// [ErrExpired] or [ErrConflict] if the request is not pending, [ErrNoApp], and
// with a [FieldError] for a return URL that is not on the list.
func (v *Vault) StartConnect(ctx context.Context, actor Actor, in StartConnect) (redirect Redirect, err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpConnectStart})
	defer func() { end(OutcomeOf(err)) }()
	req, err := v.pendingOf(ctx, actor, in.AuthRequestID)
	if err != nil {
		return Redirect{}, err
	}
	if err := v.CheckReturnURL(in.ReturnURL); err != nil {
		return Redirect{}, err
	}
	if err := checkPermissionTTL(in.PermissionTTL); err != nil {
		return Redirect{}, err
	}
	p, err := v.provider(ctx, req.Owner, req.ProviderID)
	if err != nil {
		return Redirect{}, err
	}
	flow, ok := v.opts.Flows[p.AuthMethod]
	if !ok || p.OAuth2 == nil {
		return Redirect{}, notEnabled(p)
	}
	if v.WayTo(p) != WayRedirect {
		return Redirect{}, fmt.Errorf("provider %s is connected without a redirect: %w", p.ID, ErrConflict)
	}
	app, err := v.appOf(ctx, req.Owner, p)
	if err != nil {
		return Redirect{}, err
	}
	return v.beginAttempt(ctx, actor, req, p, app, flow, in)
}

func (v *Vault) beginAttempt(ctx context.Context, actor Actor, req AuthRequest, p Provider, app SealedApp, flow Flow, wish StartConnect) (Redirect, error) {
	client, err := v.openClient(ctx, app)
	if err != nil {
		return Redirect{}, err
	}
	state, browser := random256(), random256()
	scopes := requestedScopes(req, p, app.App)
	in := BeginInput{
		Provider: p, Client: client, RedirectURL: v.CallbackURL(app.App), State: NewSecret(state),
		Scopes: scopes, Reconnect: req.ConnectionID != "" && !wish.NewAccount,
	}
	nested, end := v.watch.begin(ctx, Operation{Kind: OpProviderBegin, ProviderID: p.ID})
	step, err := flow.Begin(nested, in)
	end(OutcomeOf(err))
	if err != nil {
		return Redirect{}, fmt.Errorf("begin connect: %w", err)
	}
	attempt := Attempt{
		ID: newID("at"), AuthRequestID: req.ID, Owner: req.Owner, ProviderID: p.ID, AppID: app.ID,
		StateHash: hashText(state), BrowserHash: hashText(browser), Issuer: p.OAuth2.Issuer,
		ReturnURL: wish.ReturnURL, Scopes: scopes, PermissionTTL: wish.PermissionTTL, NewAccount: wish.NewAccount,
	}
	attempt.Private, err = v.keys.seal(ctx, attemptPlace(attempt), []byte(step.Private.Reveal()))
	if err != nil {
		return Redirect{}, err
	}
	event := v.requestEvent(EventConnectStarted, actor, req)
	if err := v.storeAttempt(ctx, req, NewAttempt{Attempt: attempt, TTL: v.opts.AttemptTTL, Event: event}); err != nil {
		return Redirect{}, fmt.Errorf("begin connect: %w", err)
	}
	return Redirect{URL: step.URL, CookieName: v.AttemptCookie(state), CookieValue: NewSecret(browser), CookieMaxAge: v.opts.AttemptTTL}, nil
}

// AttemptCookie returns the name of the cookie that binds the attempt of an OAuth
// state to its browser. Each attempt has its own, so that two may run side by
// side.
func (v *Vault) AttemptCookie(state string) string {
	name := "tv_attempt_" + hashText(state)[:16]
	if strings.HasPrefix(v.opts.PublicURL, "https:") {
		return "__Host-" + name
	}
	return name
}

func attemptPlace(a Attempt) place {
	return place{table: "attempt", owner: a.Owner, row: a.ID, field: "private", version: 1}
}

// random256 returns 256 random bits as text.
func random256() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: see package crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

func hashText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// CheckReturnURL returns a [FieldError] for every URL that is neither a plain path
// of ours, nor empty, nor on the list of [Options.ReturnURLs].
func (v *Vault) CheckReturnURL(text string) error {
	if text == "" || safePath(text) {
		return nil
	}
	u, err := url.Parse(text)
	if err == nil && u.User == nil && u.Fragment == "" && !strings.ContainsAny(text, "\\\t\r\n") {
		for _, allowed := range v.opts.ReturnURLs {
			a, err := url.Parse(allowed)
			if err == nil && a.Scheme == u.Scheme && strings.EqualFold(a.Host, u.Host) && a.EscapedPath() == u.EscapedPath() {
				return nil
			}
		}
	}
	return invalid("returnTo", "must be a path, or one of the configured return URLs")
}

// safePath reports whether text is a path that no browser reads as another
// origin.
func safePath(text string) bool {
	return strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") &&
		!strings.ContainsFunc(text, func(r rune) bool { return r == '\\' || r < 0x20 || r == 0x7f })
}
