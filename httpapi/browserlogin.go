package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

var (
	// errNotEnabled says that this server has no browser login.
	errNotEnabled = errors.New("browser login is not enabled on this server")
	// errNotSignedIn says that a login was looked at too early.
	errNotSignedIn = errors.New("nobody is signed in")
	errNodeGone    = errors.New("the process that runs the browser cannot be reached")
)

// loginRow is a login as its owner sees it.
type loginRow struct {
	SessionID         string                  `json:"sessionId"`
	CredentialID      string                  `json:"credentialId" jsonschema:"reserved until connected; then the connection's"`
	ProviderID        string                  `json:"providerId"`
	ProviderName      string                  `json:"providerName"`
	AuthRequest       authRequestOutput       `json:"authRequest"`
	Phase             tokenvault.BrowserPhase `json:"phase" jsonschema:"queued, starting, open or ended"`
	Position          int                     `json:"position,omitempty" jsonschema:"in the queue, from 1"`
	Authenticated     bool                    `json:"authenticated" jsonschema:"whether the signs of a login are there"`
	CurrentURL        string                  `json:"currentUrl,omitempty" jsonschema:"of the active tab, without query and fragment"`
	EndsAt            *time.Time              `json:"endsAt,omitempty"`
	Notice            tokenvault.LoginNotice  `json:"notice,omitempty" jsonschema:"checking, not_signed_in, unavailable or account_mismatch"`
	UsageMode         tokenvault.UsageMode    `json:"usageMode" jsonschema:"session: agents get to use the browser itself, which stays open"`
	PermissionSeconds int                     `json:"permissionSeconds,omitempty" jsonschema:"for how long the login permits what its agent asks for; absent: until that is withdrawn"`
	Viewable          bool                    `json:"viewable" jsonschema:"whether the live view shows it"`
	LiveViewURL       *string                 `json:"liveViewUrl" jsonschema:"the page on which the user sees the browser; null: it is a window on the server"`
}

func loginRowOf(v *tokenvault.Vault, actor tokenvault.Actor, l tokenvault.BrowserLogin) loginRow {
	return loginRow{
		SessionID: l.ID, CredentialID: l.ConnectionID, ProviderID: l.Provider.ID, ProviderName: l.Provider.Name,
		AuthRequest: requestOutput(actor, l.Request), UsageMode: l.Provider.UsageMode, PermissionSeconds: int(l.PermissionTTL.Seconds()),
		Phase: l.Status.Phase, Position: l.Status.Position,
		Authenticated: l.Status.Authenticated, CurrentURL: l.Status.CurrentURL, EndsAt: instant(l.Status.EndsAt), Notice: l.Notice,
		Viewable: l.Viewable, LiveViewURL: liveViewURL(v, l),
	}
}

// liveViewURL returns where the user sees the browser: at its own service's page,
// or at ours; nil if it is a window.
func liveViewURL(v *tokenvault.Vault, l tokenvault.BrowserLogin) *string {
	page := l.LiveViewURL.Reveal()
	if page == "" && (l.Viewable || l.NodeURL != "") {
		page = v.PublicURL() + "/connect/" + url.PathEscape(l.Request.ID) + "/browser"
	}
	if page == "" {
		return nil
	}
	return &page
}

func enabled(v *tokenvault.Vault) error {
	if !v.Enables(tokenvault.AuthBrowserLogin) {
		return errNotEnabled
	}
	return nil
}

type startLoginInput struct {
	ProviderID   string `json:"providerId"`
	ConnectionID string `json:"connectionId,omitempty" jsonschema:"the connection to renew; absent: a new one"`
	ThreadID     string `json:"threadId,omitempty"`
}

// startLoginOutput has the names that clients of the reference implementation read.
type startLoginOutput struct {
	SessionID              string  `json:"sessionId"`
	CredentialID           string  `json:"credentialId" jsonschema:"reserved: there is nothing until the user is signed in"`
	LoginURL               string  `json:"loginUrl"`
	LoginSuccessURLPattern string  `json:"loginSuccessUrlPattern,omitempty"`
	LoginDetectionStrategy string  `json:"loginDetectionStrategy"`
	AuthEndpoint           string  `json:"authEndpoint,omitempty"`
	LiveViewURL            *string `json:"liveViewUrl"`
	AuthRequestID          string  `json:"authRequestId"`
}

func startLogin(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in startLoginInput) (startLoginOutput, error) {
	if err := enabled(v); err != nil {
		return startLoginOutput{}, err
	}
	if in.ProviderID == "" {
		return startLoginOutput{}, &tokenvault.FieldError{Field: "providerId", Reason: "must be given"}
	}
	p, err := v.Provider(ctx, actor, in.ProviderID)
	if err == nil && p.Login == nil {
		err = tokenvault.ErrNotFound
	}
	if err != nil {
		return startLoginOutput{}, err
	}
	req, err := v.RequestConnect(ctx, actor, tokenvault.ConnectRequest{ProviderID: p.ID, ConnectionID: in.ConnectionID, ThreadID: in.ThreadID})
	if err != nil {
		return startLoginOutput{}, err
	}
	l, err := v.StartLogin(ctx, actor, tokenvault.StartLogin{StartConnect: tokenvault.StartConnect{AuthRequestID: req.ID}})
	if err != nil {
		return startLoginOutput{}, err
	}
	out := startLoginOutput{SessionID: l.ID, CredentialID: l.ConnectionID, LoginURL: p.Login.URL, LiveViewURL: liveViewURL(v, l), AuthRequestID: req.ID}
	for _, sign := range p.Login.Signs {
		switch sign.Strategy {
		case tokenvault.SignURLPattern:
			out.LoginSuccessURLPattern = sign.Pattern
		case tokenvault.SignResponse:
			out.AuthEndpoint = sign.Pattern
		case tokenvault.SignReturn:
		case tokenvault.SignCookie, tokenvault.SignProbe: // the reference implementation has no word for these
			continue
		}
		if out.LoginDetectionStrategy == "" {
			out.LoginDetectionStrategy = string(sign.Strategy)
		}
	}
	if out.LoginDetectionStrategy == "" {
		out.LoginDetectionStrategy = string(p.Login.Signs[0].Strategy)
	}
	return out, nil
}

type loginStatusInput struct {
	SessionID string `query:"sessionId"`
	// Pattern is what clients of the reference implementation send, and is ignored:
	// the provider's definition decides.
	Pattern string `query:"loginSuccessUrlPattern"`
}

func (in loginStatusInput) session() string { return in.SessionID }

type loginStatusOutput struct {
	Status     string `json:"status" jsonschema:"waiting or authenticated"`
	CurrentURL string `json:"currentUrl"`
}

// loginStatus answers 410 for a login that ended without a credential, so that
// nobody asks forever.
func loginStatus(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in loginStatusInput) (loginStatusOutput, error) {
	if err := enabled(v); err != nil {
		return loginStatusOutput{}, err
	}
	l, err := v.Login(ctx, actor, in.SessionID)
	if err != nil {
		return loginStatusOutput{}, err
	}
	out := loginStatusOutput{Status: "waiting", CurrentURL: l.Status.CurrentURL}
	switch {
	case l.Request.Status == tokenvault.AuthConnected || l.Status.Authenticated:
		out.Status = "authenticated"
	case l.Status.Phase == tokenvault.BrowserEnded:
		return out, fmt.Errorf("the login is over: %w", tokenvault.ErrExpired)
	}
	return out, nil
}

type completeLoginInput struct {
	SessionID  string `json:"sessionId"`
	ProviderID string `json:"providerId"`
}

func (in completeLoginInput) session() string { return in.SessionID }

type completeLoginOutput struct {
	Success      bool   `json:"success"`
	CredentialID string `json:"credentialId"`
	SessionMode  bool   `json:"sessionMode" jsonschema:"whether the browser stays open for agents"`
}

func completeLogin(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in completeLoginInput) (completeLoginOutput, error) {
	if err := enabled(v); err != nil {
		return completeLoginOutput{}, err
	}
	l, err := v.Login(ctx, actor, in.SessionID)
	if err == nil && l.Provider.ID != in.ProviderID {
		err = tokenvault.ErrNotFound
	}
	if err == nil {
		l, err = v.FinishLogin(ctx, actor, in.SessionID)
	}
	switch {
	case err != nil:
		return completeLoginOutput{}, err
	case l.Request.Status == tokenvault.AuthConnected:
		return completeLoginOutput{Success: true, CredentialID: l.ConnectionID, SessionMode: l.Provider.UsageMode == tokenvault.UsageSession}, nil
	case l.Notice == tokenvault.LoginOtherAccount:
		return completeLoginOutput{}, tokenvault.ErrAccountMismatch
	case l.Status.Phase == tokenvault.BrowserEnded:
		return completeLoginOutput{}, tokenvault.ErrExpired
	}
	return completeLoginOutput{}, errNotSignedIn
}

type beginLoginInput struct {
	ID         string `json:"-" path:"id"`
	Again      bool   `json:"again,omitempty" jsonschema:"end the login under way and begin anew"`
	NewAccount bool   `json:"newAccount,omitempty" jsonschema:"connect another account beside the one that the request names"`
	Width      int    `json:"width,omitempty" jsonschema:"CSS pixels of the viewport"`
	Height     int    `json:"height,omitempty"`
}

func beginLogin(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in beginLoginInput) (loginRow, error) {
	if err := enabled(v); err != nil {
		return loginRow{}, err
	}
	const most = 4096
	if in.Width < 0 || in.Height < 0 || in.Width > most || in.Height > most {
		return loginRow{}, &tokenvault.FieldError{Field: "width, height", Reason: "must be at most 4096"}
	}
	l, err := v.StartLogin(ctx, actor, tokenvault.StartLogin{
		StartConnect: tokenvault.StartConnect{AuthRequestID: in.ID, NewAccount: in.NewAccount}, Again: in.Again, Width: in.Width, Height: in.Height,
	})
	return loginRowOf(v, actor, l), err
}

func latestLogin(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (loginRow, error) {
	if err := enabled(v); err != nil {
		return loginRow{}, err
	}
	l, err := v.LoginOf(ctx, actor, in.ID)
	return loginRowOf(v, actor, l), err
}

func (in idInput) session() string { return in.ID }

func showLogin(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (loginRow, error) {
	if err := enabled(v); err != nil {
		return loginRow{}, err
	}
	l, err := v.Login(ctx, actor, in.ID)
	return loginRowOf(v, actor, l), err
}

func finishLogin(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (loginRow, error) {
	if err := enabled(v); err != nil {
		return loginRow{}, err
	}
	l, err := v.FinishLogin(ctx, actor, in.ID)
	return loginRowOf(v, actor, l), err
}

func cancelLogin(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (loginRow, error) {
	if err := enabled(v); err != nil {
		return loginRow{}, err
	}
	l, err := v.CancelLogin(ctx, actor, in.ID)
	return loginRowOf(v, actor, l), err
}

type ticketOutput struct {
	Ticket    string    `json:"ticket" jsonschema:"for the first message of the live view"`
	ExpiresAt time.Time `json:"expiresAt"`
	ViewURL   string    `json:"viewUrl" jsonschema:"URL of the live view's WebSocket"`
}

// viewTicket answers with a ticket for the page that asks: a browser names its
// origin in every POST.
func viewTicket(a *api, w http.ResponseWriter, r *http.Request) {
	actor, in, err := prepare[idInput](a, r)
	if err == nil {
		err = enabled(a.vault)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	from := r.Header.Get("Origin")
	if from == "" {
		from = a.vault.PublicURL()
	}
	t, err := a.vault.ViewTicket(r.Context(), actor, in.ID, from)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	view, err := a.viewURL(r, in.ID, t)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, ticketOutput{Ticket: t.Ticket.Reveal(), ExpiresAt: t.ExpiresAt.UTC(), ViewURL: view})
}
