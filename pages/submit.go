package pages

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/ai-token-vault/tokenvault"
)

// fieldPrefix tells what a person enters from the form's own fields.
const fieldPrefix = "field."

// An input is one thing to enter. What was entered is never shown again.
type input struct {
	ID, Name, Type, Label string
	Help, HelpURL         string
	Error                 string
}

// DescribedBy names what belongs to the input, for those who cannot see it.
func (i input) DescribedBy() string {
	var ids []string
	if i.Error != "" {
		ids = append(ids, i.ID+"-error")
	}
	if i.Help != "" {
		ids = append(ids, i.ID+"-help")
	}
	return strings.Join(ids, " ")
}

func inputs(fields []tokenvault.KeyField) []input {
	list := make([]input, 0, len(fields))
	for _, f := range fields {
		kind := "text"
		if f.Secret {
			kind = "password"
		}
		list = append(list, input{
			ID: "field-" + f.Name, Name: fieldPrefix + f.Name, Type: kind, Label: f.Label, Help: f.Help, HelpURL: f.HelpURL,
		})
	}
	return list
}

// enter makes v a form for what the provider issued.
func (v *ask) enter(plan tokenvault.ConnectPlan) {
	name := plan.Provider.Name
	v.Action = "/connect/" + url.PathEscape(plan.Request.ID) + "/submit"
	v.InputsTitle, v.Inputs, v.Where = inputsTitle(name), inputs(plan.Provider.APIKey.Fields), textWhere
	v.ScopesTitle, v.Next, v.Submit = "", textSubmitNext, textSubmit
}

// planView shows a plan; for another account than the plan's if other.
func planView(plan tokenvault.ConnectPlan, returnTo string, other bool) ask {
	if other {
		plan.Way, plan.Account = plan.Connecting, tokenvault.Account{}
		plan.Request.Reason = tokenvault.ReasonMissing
	}
	view := askView(plan, returnTo)
	if other {
		view.Why = ""
		if plan.Request.ConnectionID != "" {
			view.Why = textBeside
		}
		view.Hidden = append(view.Hidden, field{fieldAccount, accountNew})
	}
	return view
}

// toEnter leads to the form of a request.
func toEnter(w http.ResponseWriter, r *http.Request, id, returnTo, account string) {
	q := url.Values{}
	if returnTo != "" {
		q.Set(fieldReturnTo, returnTo)
	}
	if account == accountNew {
		q.Set(fieldAccount, accountNew)
	}
	to := url.URL{Path: "/connect/" + id, RawQuery: q.Encode()}
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// submit answers POST /connect/{id}/submit: what the person entered goes to the
// vault, which asks the service about it, and nowhere else.
func (h *handler) submit(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	id, returnTo := r.PathValue("id"), r.PostForm.Get(fieldReturnTo)
	plan, err := h.vault.PlanConnect(r.Context(), actor, id)
	if err != nil {
		return h.orResult(w, r, id, err)
	}
	if err := h.vault.CheckReturnURL(returnTo); err != nil {
		return err
	}
	in := tokenvault.SubmitConnect{
		AuthRequestID: id, NewAccount: r.PostForm.Get(fieldAccount) == accountNew, Values: map[string]tokenvault.Secret{},
	}
	if in.PermissionTTL, err = permissionTTL(r.PostForm.Get(fieldTTL)); err != nil {
		return err
	}
	if key := plan.Provider.APIKey; key != nil {
		for _, f := range key.Fields {
			in.Values[f.Name] = tokenvault.NewSecret(r.PostForm.Get(fieldPrefix + f.Name))
		}
	}
	return h.connect(w, r, actor, plan, in, returnTo)
}

// connect settles a request for which nobody has to go anywhere.
func (h *handler) connect(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor, plan tokenvault.ConnectPlan, in tokenvault.SubmitConnect, returnTo string) error {
	req, err := h.vault.SubmitConnect(r.Context(), actor, in)
	if err != nil {
		return h.askAgain(w, r, planView(plan, returnTo, in.NewAccount), plan.Request.ID, err)
	}
	h.finish(w, r, req, returnTo)
	return nil
}

// askAgain shows the form once more, with what is wrong where it is wrong.
func (h *handler) askAgain(w http.ResponseWriter, r *http.Request, view ask, id string, err error) error {
	wrong, atField := errors.AsType[*tokenvault.FieldError](err)
	failed, fromProvider := errors.AsType[*tokenvault.ProviderError](err)
	status := http.StatusUnprocessableEntity
	switch {
	case atField:
		view.Alert = codeText(codeRefused)
		view.fail(wrong)
	case errors.Is(err, tokenvault.ErrAccountMismatch):
		status, view.Alert = http.StatusConflict, codeText(codeAccountMismatch)
		view.offerOther(id)
	case fromProvider:
		status, view.Alert = http.StatusBadGateway, codeText(codeServiceError)
		if failed.Transient {
			status, view.Alert = http.StatusServiceUnavailable, codeText(codeServiceAway)
		}
		h.log.Warn("a credential could not be tried", slog.Any("error", err))
	default:
		return h.orResult(w, r, id, err)
	}
	h.pages.answer(w, status, view)
	return nil
}

// fail shows an error at its field.
func (v *ask) fail(wrong *tokenvault.FieldError) {
	for i := range v.Inputs {
		if v.Inputs[i].Name == fieldPrefix+wrong.Field {
			v.Inputs[i].Error = fieldText(v.Inputs[i].Label, wrong.Reason)
		}
	}
}

// finish leads on once a request is settled here: back to the application, or to
// the result.
func (h *handler) finish(w http.ResponseWriter, r *http.Request, req tokenvault.AuthRequest, returnTo string) {
	to, err := url.Parse(returnTo)
	if err != nil || returnTo == "" {
		toRequest(w, r, req.ID, "")
		return
	}
	q := to.Query()
	q.Set("authRequestId", req.ID)
	q.Set("status", string(req.Status))
	to.RawQuery = q.Encode()
	if to.Host == "" {
		http.Redirect(w, r, to.String(), http.StatusSeeOther)
		return
	}
	h.pages.answer(w, http.StatusOK, backView(req, to))
}
