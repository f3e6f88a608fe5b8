package pages

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/ai-token-vault/tokenvault"
)

const accountsPath = "/connect/accounts"

// showAccounts answers GET /connect/accounts: what a person has connected, what is
// shared with them, and which agents they allowed to use it.
func (h *handler) showAccounts(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	if actor.Kind != tokenvault.ActorUser {
		return tokenvault.ErrUnauthenticated // accounts are shown to nobody who is not proven
	}
	connections, err := h.vault.Connections(r.Context(), actor, tokenvault.Page{})
	if err != nil {
		return err
	}
	permissions, err := h.vault.Permissions(r.Context(), actor, tokenvault.Page{})
	if err != nil {
		return err
	}
	find := func(id string) (tokenvault.Provider, error) { return h.vault.Provider(r.Context(), actor, id) }
	view := accountsView(find, actor, connections, permissions)
	if code := r.URL.Query().Get(fieldError); code != "" {
		view.Alert = codeText(knownCode(code))
	}
	h.pages.answer(w, http.StatusOK, view)
	return nil
}

// A change is what a person does with a connection or a permission of the id.
type change func(r *http.Request, actor tokenvault.Actor, id string) error

// changing answers a POST below /connect/accounts, and leads back there.
func (h *handler) changing(do change) http.Handler {
	return h.user(func(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
		if actor.Kind != tokenvault.ActorUser {
			return tokenvault.ErrUnauthenticated
		}
		to := accountsPath
		switch err := do(r, actor, r.PathValue("id")); {
		case errors.Is(err, tokenvault.ErrAccountTaken):
			to += "?" + url.Values{fieldError: {codeAccountTaken}}.Encode()
		case isName(err):
			to += "?" + url.Values{fieldError: {codeName}}.Encode()
		case err != nil:
			return err
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	})
}

// isName reports whether err says that a name cannot be one.
func isName(err error) bool {
	field, ok := errors.AsType[*tokenvault.FieldError](err)
	return ok && field.Field == fieldName
}

func (h *handler) rename(r *http.Request, actor tokenvault.Actor, id string) error {
	_, err := h.vault.Rename(r.Context(), actor, id, r.PostForm.Get(fieldName))
	return err
}

func (h *handler) share(r *http.Request, actor tokenvault.Actor, id string) error {
	_, err := h.vault.Share(r.Context(), actor, id)
	return err
}

func (h *handler) unshare(r *http.Request, actor tokenvault.Actor, id string) error {
	_, err := h.vault.Unshare(r.Context(), actor, id)
	return err
}

func (h *handler) disconnect(r *http.Request, actor tokenvault.Actor, id string) error {
	return h.vault.Revoke(r.Context(), actor, id)
}

func (h *handler) withdraw(r *http.Request, actor tokenvault.Actor, id string) error {
	return h.vault.WithdrawPermission(r.Context(), actor, id)
}
