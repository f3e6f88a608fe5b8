package pages

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/ai-token-vault/tokenvault"
)

// confirm answers POST /connect/{id}/confirm.
func (h *handler) confirm(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	plan, err := h.vault.PlanConnect(r.Context(), actor, r.PathValue("id"))
	if err != nil {
		return h.orResult(w, r, r.PathValue("id"), err)
	}
	ttl, err := permissionTTL(r.PostForm.Get(fieldTTL))
	if err != nil {
		return err
	}
	in := tokenvault.StartConnect{
		AuthRequestID: plan.Request.ID, ReturnURL: r.PostForm.Get(fieldReturnTo), PermissionTTL: ttl,
		NewAccount: r.PostForm.Get(fieldAccount) == accountNew,
	}
	switch plan.Connecting {
	case tokenvault.WayEnter:
		toEnter(w, r, in.AuthRequestID, in.ReturnURL, r.PostForm.Get(fieldAccount))
		return nil
	case tokenvault.WayDevice:
		return h.startDevice(w, r, actor, in, plan.Request)
	case tokenvault.WayBrowser:
		return h.startLogin(w, r, actor, in)
	case tokenvault.WayRedirect, tokenvault.WayConfirm, tokenvault.WayPermit:
	}
	return h.start(w, r, actor, in, plan.Request)
}

// connectNew answers POST /connect/new.
func (h *handler) connectNew(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	in := readNew(r.PostForm)
	if err := in.check(); err != nil {
		return err
	}
	if _, err := h.vault.Provider(r.Context(), actor, in.providerID); err != nil {
		return h.orUnknown(w, err)
	}
	if err := h.vault.CheckReturnURL(in.returnTo); err != nil {
		return err
	}
	req, err := h.vault.RequestConnect(r.Context(), actor, tokenvault.ConnectRequest{
		ProviderID: in.providerID, ThreadID: in.threadID, ConnectionID: in.connectionID, Organization: in.organization,
	})
	if in.organization && errors.Is(err, tokenvault.ErrDenied) {
		h.message(w, http.StatusForbidden, codeAdministrator)
		return nil
	}
	if err != nil {
		return err
	}
	plan, err := h.vault.PlanConnect(r.Context(), actor, req.ID)
	if err != nil {
		return h.orResult(w, r, req.ID, err)
	}
	start := tokenvault.StartConnect{AuthRequestID: req.ID, ReturnURL: in.returnTo}
	switch plan.Way {
	case tokenvault.WayEnter:
		toEnter(w, r, req.ID, in.returnTo, "")
		return nil
	case tokenvault.WayConfirm:
		return h.connect(w, r, actor, plan, tokenvault.SubmitConnect{AuthRequestID: req.ID}, in.returnTo)
	case tokenvault.WayDevice:
		return h.startDevice(w, r, actor, start, req)
	case tokenvault.WayBrowser:
		return h.startLogin(w, r, actor, start)
	case tokenvault.WayRedirect, tokenvault.WayPermit:
	}
	return h.start(w, r, actor, start, req)
}

// start opens an attempt, binds it to the browser, and leads to the provider.
func (h *handler) start(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor, in tokenvault.StartConnect, req tokenvault.AuthRequest) error {
	to, err := h.vault.StartConnect(r.Context(), actor, in)
	if err != nil {
		return h.orResult(w, r, req.ID, err)
	}
	u, err := url.Parse(to.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("the provider's authorization URL is not http or https")
	}
	h.setCookie(w, to.CookieName, to.CookieValue, int(to.CookieMaxAge.Seconds()))
	h.pages.answer(w, http.StatusOK, leaveView(req, u))
	return nil
}

// permit answers POST /connect/{id}/permit.
func (h *handler) permit(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	id, connection := r.PathValue("id"), r.PostForm.Get(fieldConnection)
	req, err := h.vault.AuthRequest(r.Context(), actor, id)
	if err != nil {
		return err
	}
	if req.Reason == tokenvault.ReasonChooseAccount && connection == "" && !req.Status.Settled() {
		toRequest(w, r, id, codeChooseOne)
		return nil
	}
	ttl, err := permissionTTL(r.PostForm.Get(fieldTTL))
	if err != nil {
		return err
	}
	if _, err := h.vault.Permit(r.Context(), actor, tokenvault.Permit{AuthRequestID: id, ConnectionID: connection, TTL: ttl}); err != nil {
		return h.orResult(w, r, id, err)
	}
	toRequest(w, r, id, "")
	return nil
}

// decline answers POST /connect/{id}/decline.
func (h *handler) decline(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	id := r.PathValue("id")
	if _, err := h.vault.Decline(r.Context(), actor, id); err != nil {
		return h.orResult(w, r, id, err)
	}
	toRequest(w, r, id, "")
	return nil
}

// orResult leads to the request's page if somebody, perhaps this person in another
// window, decided first or the time is over. Every other error is returned.
func (h *handler) orResult(w http.ResponseWriter, r *http.Request, id string, err error) error {
	if !errors.Is(err, tokenvault.ErrConflict) && !errors.Is(err, tokenvault.ErrExpired) {
		return err
	}
	toRequest(w, r, id, "")
	return nil
}

func toRequest(w http.ResponseWriter, r *http.Request, id, code string) {
	to := "/connect/" + url.PathEscape(id)
	if code != "" {
		to += "?" + url.Values{fieldError: {code}}.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
