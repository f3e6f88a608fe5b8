package pages

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/ai-token-vault/tokenvault"
)

// fieldAttempt names the attempt whose code a person enters at the provider.
const fieldAttempt = "attempt"

// code is the page with what a person enters at the provider. Its form asks whether
// they did; the script sends it every now and then.
type code struct {
	frame
	Agent, Lead    string
	Code           string
	URL, Host      string
	Open, Wait     string
	Warning        string
	Action         string
	Attempt        string
	Seconds        int // until the script asks
	Submit         string
	DeclineAction  string
	Decline        string
	DeclineMeaning string
}

func (code) templateName() string { return "code" }

func codeView(req tokenvault.AuthRequest, d tokenvault.Device) (code, error) {
	u, err := url.Parse(d.VerificationURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return code{}, errors.New("the provider's verification URL is not http or https")
	}
	path := "/connect/" + url.PathEscape(req.ID)
	return code{
		frame: frame{Heading: codeHeading(req.ProviderName), Tone: "ask", Tell: tell{RequestID: req.ID, Remember: true}},
		Agent: req.AgentID, Lead: askLead(req.AgentID, req.Owner.UserID == "", req.ProviderName),
		Code: d.UserCode, URL: u.String(), Host: u.Host, Open: textOpen, Wait: codeWait(req.ProviderName), Warning: textCodeWarning,
		Action: path + "/poll", Attempt: d.Attempt.Reveal(), Seconds: int(d.Interval.Seconds()) + 1, Submit: textEntered,
		DeclineAction: path + "/decline", Decline: textDecline, DeclineMeaning: declineMeaning(req.AgentID != ""),
	}, nil
}

// startDevice opens an attempt, binds it to the browser, and shows the code.
func (h *handler) startDevice(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor, in tokenvault.StartConnect, req tokenvault.AuthRequest) error {
	d, err := h.vault.StartDevice(r.Context(), actor, in)
	if err != nil {
		return h.orResult(w, r, req.ID, err)
	}
	h.setCookie(w, d.CookieName, d.CookieValue, int(d.CookieMaxAge.Seconds()))
	return h.showCode(w, req, d)
}

func (h *handler) showCode(w http.ResponseWriter, req tokenvault.AuthRequest, d tokenvault.Device) error {
	view, err := codeView(req, d)
	if err != nil {
		return err
	}
	h.pages.answer(w, http.StatusOK, view)
	return nil
}

// poll answers POST /connect/{id}/poll: whether the person entered the code. Only
// the browser that began may ask, which its cookie says.
func (h *handler) poll(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	id, attempt := r.PathValue("id"), r.PostForm.Get(fieldAttempt)
	in := tokenvault.PollDevice{AuthRequestID: id, Attempt: tokenvault.NewSecret(attempt)}
	name := h.vault.AttemptCookie(attempt)
	if cookie, err := r.Cookie(name); err == nil {
		in.Browser = tokenvault.NewSecret(cookie.Value)
	}
	polled, err := h.vault.PollDevice(r.Context(), actor, in)
	if err == nil && polled.Device != nil {
		return h.showCode(w, polled.Request, *polled.Device)
	}
	if err == nil {
		h.setCookie(w, name, tokenvault.Secret{}, -1)
		h.finish(w, r, polled.Request, polled.ReturnURL)
		return nil
	}
	_, refused := errors.AsType[*tokenvault.ProviderError](err)
	switch {
	case errors.Is(err, tokenvault.ErrStateInvalid), errors.Is(err, tokenvault.ErrExpired):
		toRequest(w, r, id, codeCodeOver) // of a request that is over, the result is shown
	case errors.Is(err, tokenvault.ErrAccountMismatch):
		toRequest(w, r, id, codeAccountMismatch)
	case refused:
		toRequest(w, r, id, codeServiceError)
	default:
		return h.orResult(w, r, id, err)
	}
	return nil
}

// setCookie sets the cookie of an attempt; a negative age deletes it.
func (h *handler) setCookie(w http.ResponseWriter, name string, value tokenvault.Secret, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value.Reveal(), Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(h.vault.PublicURL(), "https:"),
	})
}
