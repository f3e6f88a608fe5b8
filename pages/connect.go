package pages

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ai-token-vault/tokenvault"
)

// The names of form fields and query parameters.
const (
	fieldProvider   = "providerId"
	fieldThread     = "threadId"
	fieldReturnTo   = "returnTo"
	fieldConnection = "connectionId"
	fieldError      = "error"
	fieldName       = "name"
	fieldTTL        = "permissionTtl"
	fieldOrg        = "organization"
	fieldAccount    = "account" // accountNew: another one than the request names

	accountNew = "new"
)

const maxReturnTo = 2048

// show answers GET /connect/{id}: what is asked, or how it ended.
func (h *handler) show(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	req, err := h.vault.AuthRequest(r.Context(), actor, r.PathValue("id"))
	if err != nil {
		return err
	}
	if req.Status.Settled() {
		return h.showResult(w, r, actor, req)
	}
	plan, err := h.vault.PlanConnect(r.Context(), actor, req.ID)
	if errors.Is(err, tokenvault.ErrConflict) || errors.Is(err, tokenvault.ErrExpired) {
		// It was settled in between.
		if now, again := h.vault.AuthRequest(r.Context(), actor, req.ID); again == nil && now.Status.Settled() {
			return h.showResult(w, r, actor, now)
		}
	}
	if errors.Is(err, tokenvault.ErrDenied) { // a member's, of what the organization shares
		h.pages.answer(w, http.StatusOK, administratorView(req))
		return nil
	}
	if actor.Kind == tokenvault.ActorVisitor && errors.Is(err, tokenvault.ErrUnauthenticated) {
		h.message(w, http.StatusForbidden, codeNoProof)
		return nil
	}
	if err != nil {
		return err
	}
	returnTo := r.URL.Query().Get(fieldReturnTo)
	if len(returnTo) > maxReturnTo {
		return &tokenvault.FieldError{Field: fieldReturnTo, Reason: "is too long"}
	}
	other := plan.Connecting != tokenvault.WayConfirm && r.URL.Query().Get(fieldAccount) == accountNew
	view := planView(plan, returnTo, other)
	if actor.Kind == tokenvault.ActorVisitor { // who cannot be proven decides nothing here
		view.DeclineAction, view.DeclineMeaning = "", textVisitor
	}
	if code := r.URL.Query().Get(fieldError); code != "" {
		view.Alert = codeText(knownCode(code))
		if code == codeAccountMismatch && (plan.Way == tokenvault.WayRedirect || plan.Way == tokenvault.WayDevice || plan.Way == tokenvault.WayBrowser) && req.ConnectionID != "" {
			view.offerOther(req.ID)
		}
	}
	h.pages.answer(w, http.StatusOK, view)
	return nil
}

// showResult shows how a request ended. The owner may see which account it was.
func (h *handler) showResult(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor, req tokenvault.AuthRequest) error {
	var account string
	if req.Status == tokenvault.AuthConnected && actor.Kind == tokenvault.ActorUser {
		var err error
		if account, err = h.accountLabel(r, actor, req.ConnectionID); err != nil {
			return err
		}
	}
	view := resultView(req, account)
	view.Tell.Origins = h.origins()
	if req.Status == tokenvault.AuthConnected && actor.Kind == tokenvault.ActorUser {
		view.MoreURL, view.More = accountsPath, textMore
	}
	h.pages.answer(w, http.StatusOK, view)
	return nil
}

// accountLabel returns how the account of a connection is called; empty if that
// is not known, or the connection was revoked since.
func (h *handler) accountLabel(r *http.Request, actor tokenvault.Actor, connectionID string) (string, error) {
	all, err := h.vault.Connections(r.Context(), actor, tokenvault.Page{Limit: 1000})
	if err != nil {
		return "", err
	}
	for _, c := range all {
		if c.ID == connectionID {
			return cmp.Or(c.Account.Label, c.Account.ID), nil
		}
	}
	return "", nil
}

// showNew answers GET /connect/new: a person connects an account of their own
// accord. Nothing is stored before they confirm.
func (h *handler) showNew(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	in := readNew(r.URL.Query())
	if err := in.check(); err != nil {
		return err
	}
	if in.organization && !actor.OrgAdmin {
		h.message(w, http.StatusForbidden, codeAdministrator)
		return nil
	}
	p, err := h.vault.Provider(r.Context(), actor, in.providerID)
	if err != nil {
		return h.orUnknown(w, err)
	}
	h.pages.answer(w, http.StatusOK, newView(p, h.vault.WayTo(p), in))
	return nil
}

// orUnknown shows that there is no such provider, with a text of its own, if that
// is what err says.
func (h *handler) orUnknown(w http.ResponseWriter, err error) error {
	if !errors.Is(err, tokenvault.ErrNotFound) {
		return err
	}
	h.message(w, http.StatusNotFound, codeUnknownProvider)
	return nil
}

// newConnect is what /connect/new is given.
type newConnect struct {
	providerID, threadID, returnTo string

	connectionID string // the connection to renew; empty: a new one
	organization bool   // for the organization itself
}

func readNew(values url.Values) newConnect {
	return newConnect{
		values.Get(fieldProvider), values.Get(fieldThread), values.Get(fieldReturnTo),
		values.Get(fieldConnection), values.Get(fieldOrg) == "true",
	}
}

// fields are what a form or a link repeats of in.
func (in newConnect) fields() []field {
	organization := ""
	if in.organization {
		organization = "true"
	}
	all := []field{
		{fieldProvider, in.providerID},
		{fieldThread, in.threadID},
		{fieldReturnTo, in.returnTo},
		{fieldConnection, in.connectionID},
		{fieldOrg, organization},
	}
	return slices.DeleteFunc(all, func(f field) bool { return f.Value == "" })
}

// check refuses early what the vault would refuse after the person confirmed.
func (in newConnect) check() error {
	switch {
	case len(in.connectionID) > 255 || hasControl(in.connectionID):
		return &tokenvault.FieldError{Field: fieldConnection, Reason: "must be at most 255 bytes without control characters"}
	case len(in.threadID) > 255 || hasControl(in.threadID):
		return &tokenvault.FieldError{Field: fieldThread, Reason: "must be at most 255 bytes without control characters"}
	case len(in.returnTo) > maxReturnTo || hasControl(in.returnTo):
		return &tokenvault.FieldError{Field: fieldReturnTo, Reason: "must be a URL of at most 2048 bytes"}
	}
	return nil
}

func hasControl(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// origins is how the script is given the origins that may be told.
func (h *handler) origins() string { return strings.Join(h.vault.Origins(), " ") }
