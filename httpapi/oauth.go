package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/limit"
)

type authorizeInput struct {
	ProviderID   string `query:"providerId"`
	ThreadID     string `query:"threadId"`
	ReturnTo     string `query:"returnTo"`
	ConnectionID string `query:"connectionId"` // to renew
	Organization bool   `query:"organization"` // for the organization that the user administers
}

// authorize sends the browser to the confirm page. It stores nothing: opening a
// link must not.
func authorize(a *api, w http.ResponseWriter, r *http.Request) {
	actor, in, err := prepare[authorizeInput](a, r)
	if err == nil {
		err = checkAuthorize(r.Context(), a.vault, actor, in)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	q := url.Values{"providerId": {in.ProviderID}}
	if in.ThreadID != "" {
		q.Set("threadId", in.ThreadID)
	}
	if in.ReturnTo != "" {
		q.Set("returnTo", in.ReturnTo)
	}
	if in.ConnectionID != "" {
		q.Set("connectionId", in.ConnectionID)
	}
	if in.Organization {
		q.Set("organization", "true")
	}
	http.Redirect(w, r, a.vault.PublicURL()+"/connect/new?"+q.Encode(), http.StatusFound)
}

func checkAuthorize(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in authorizeInput) error {
	if in.ProviderID == "" {
		return &tokenvault.FieldError{Field: "providerId", Reason: "must be given"}
	}
	if in.Organization && !actor.OrgAdmin {
		return tokenvault.ErrDenied
	}
	p, err := v.Provider(ctx, actor, in.ProviderID)
	if err != nil {
		return err
	}
	if p.AuthMethod != tokenvault.AuthOAuth2 {
		return tokenvault.ErrNotFound
	}
	return v.CheckReturnURL(in.ReturnTo)
}

// callback takes what a provider sends back and leads the browser to a page that
// says what came of it. It shows nothing itself, and passes on nothing of what
// the provider wrote. Who is too fast is told so before anything is taken: loading
// the page again goes on.
func callback(a *api, w http.ResponseWriter, r *http.Request) {
	address := limit.Address(r.RemoteAddr)
	err := within(a.limits.badStates.Spent(address))
	var actor tokenvault.Actor
	if err == nil {
		actor, err = a.identify(r)
	}
	if errors.Is(err, tokenvault.ErrRateLimited) {
		a.fail(w, r, err)
		return
	}
	var done tokenvault.Finished
	if err == nil {
		done, err = a.finish(w, r, actor)
	}
	if errors.Is(err, tokenvault.ErrStateInvalid) {
		a.limits.badStates.Take(address)
	}
	a.leadTo(w, r, done, err)
}

func (a *api) finish(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) (tokenvault.Finished, error) {
	ret, err := returned(r)
	if err != nil {
		return tokenvault.Finished{}, err
	}
	name := a.vault.AttemptCookie(ret.State.Reveal())
	if cookie, err := r.Cookie(name); err == nil {
		ret.Browser = tokenvault.NewSecret(cookie.Value)
		http.SetCookie(w, &http.Cookie{
			Name: name, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode,
			Secure: strings.HasPrefix(name, "__Host-"),
		})
	}
	return a.vault.FinishConnect(r.Context(), actor, ret)
}

// returned reads the authorization response. A parameter that comes twice is
// refused (RFC 6749 §3.1).
func returned(r *http.Request) (tokenvault.Return, error) {
	q := r.URL.Query()
	for _, name := range []string{"state", "code", "iss", "error"} {
		if len(q[name]) > 1 {
			return tokenvault.Return{}, tokenvault.ErrStateInvalid
		}
	}
	return tokenvault.Return{
		AppID: r.PathValue("appId"), State: tokenvault.NewSecret(q.Get("state")), Code: tokenvault.NewSecret(q.Get("code")),
		Iss: q.Get("iss"), Error: q.Get("error"),
	}, nil
}

// leadTo sends the browser on: to the host's return URL, to the request's own
// page, or to the error page.
func (a *api) leadTo(w http.ResponseWriter, r *http.Request, done tokenvault.Finished, err error) {
	known := done.Request.ID != ""
	target := a.vault.PublicURL() + "/connect/"
	switch {
	case err == nil && done.ProofURL != "":
		target = done.ProofURL
	case err == nil:
		target = nextURL(a.vault, done)
	case known:
		target += url.PathEscape(done.Request.ID) + "?error=" + pageCode(err)
	default:
		target += "error?code=" + pageCode(err)
	}
	if err != nil && problemOf(err).Status >= http.StatusInternalServerError {
		a.log.ErrorContext(r.Context(), "a connect failed", slog.Any("error", err))
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// pageCode is what the pages know an error by.
func pageCode(err error) string {
	if errors.Is(err, tokenvault.ErrUnauthenticated) {
		return "signed_out"
	}
	switch code := problemOf(err).Code; code {
	case "state_invalid", "expired", "conflict", "provider_error", "account_mismatch", "unavailable", "no_app":
		return code
	}
	return "internal"
}

// withStatus adds to the host's return URL which request ended and how. The URL
// was checked when the attempt began.
func withStatus(publicURL string, done tokenvault.Finished) string {
	u, err := url.Parse(done.ReturnURL)
	if err != nil {
		return publicURL + "/connect/" + url.PathEscape(done.Request.ID)
	}
	q := u.Query()
	q.Set("authRequestId", done.Request.ID)
	q.Set("status", string(done.Request.Status))
	u.RawQuery = q.Encode()
	if u.Host == "" {
		return publicURL + u.String()
	}
	return u.String()
}
