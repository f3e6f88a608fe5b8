package pages

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"

	"github.com/ai-token-vault/tokenvault"
)

// named is a text with the name that the script knows it by.
type named struct{ Name, Text string }

// browser is the page on which a person signs in, in a browser on the server.
type browser struct {
	frame
	Agent, Lead, Where                string
	NoScript                          string
	API, Session, Self                string
	Texts                             []named
	FinishAction, CancelAction        string
	Finish, Cancel, TimeLeft, Meaning string
	Bar, Back, Reload, Keyboard, Tabs string
	Screen, Leave, Open               string
	Copied, CopiedClose               string
	Says, Answer, OK                  string
	WantsPassword, Name, Password     string
	WantsFiles, Files                 string
}

func (browser) templateName() string { return "browser" }

func (h *handler) browserView(l tokenvault.BrowserLogin) browser {
	req, name := l.Request, l.Provider.Name
	self := browserPath(req.ID)
	return browser{
		frame: frame{Heading: browserHeading(name), Tone: "live", Tell: tell{RequestID: req.ID, Remember: true}},
		Agent: req.AgentID, Lead: askLead(req.AgentID, req.Owner.UserID == "", name), Where: textBrowserWhere,
		NoScript: textNoScript, API: h.vault.Mount(), Session: l.ID, Self: self, Texts: browserTexts(),
		FinishAction: self + "/finish", CancelAction: self + "/cancel",
		Finish: textFinish, Cancel: textCancel, TimeLeft: textTimeLeft, Meaning: browserMeaning(req.AgentID != ""),
		Bar: textBar, Back: textBack, Reload: textReload, Keyboard: textKeyboard, Tabs: textTabs,
		Screen: browserScreen(name), Leave: textLeave, Open: textOpenElsewhere, Copied: textCopied, CopiedClose: textCopiedClose,
		Says: textSays, Answer: textAnswer, OK: textOK, WantsPassword: textWantsPassword, Name: textName, Password: textPassword,
		WantsFiles: textWantsFiles, Files: textFiles,
	}
}

func browserPath(id string) string { return "/connect/" + url.PathEscape(id) + "/browser" }

// startLogin starts the browser, or joins the login under way, and leads to it.
func (h *handler) startLogin(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor, in tokenvault.StartConnect) error {
	again := in.NewAccount // the one under way is for the account that the request names
	_, err := h.vault.StartLogin(r.Context(), actor, tokenvault.StartLogin{StartConnect: in, Again: again})
	if errors.Is(err, tokenvault.ErrUnavailable) {
		toRequest(w, r, in.AuthRequestID, codeNoBrowser)
		return nil
	}
	if err != nil {
		return h.orResult(w, r, in.AuthRequestID, err)
	}
	http.Redirect(w, r, browserPath(in.AuthRequestID), http.StatusSeeOther)
	return nil
}

// showBrowser answers GET /connect/{id}/browser: the live view, or what came of it.
func (h *handler) showBrowser(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	id := r.PathValue("id")
	req, err := h.vault.AuthRequest(r.Context(), actor, id)
	if err != nil {
		return err
	}
	l, err := h.vault.LoginOf(r.Context(), actor, id)
	if errors.Is(err, tokenvault.ErrNotFound) { // none was begun, or it was long ago
		toRequest(w, r, req.ID, "")
		return nil
	}
	if err != nil {
		return err
	}
	if r.URL.Query().Get(fieldError) == codeAccountMismatch && l.Status.Phase == tokenvault.BrowserEnded {
		l.Notice = tokenvault.LoginOtherAccount // told by the process that ran it
	}
	return h.showLogin(w, r, l)
}

func (h *handler) showLogin(w http.ResponseWriter, r *http.Request, l tokenvault.BrowserLogin) error {
	switch {
	case l.Request.Status.Settled():
		h.finish(w, r, l.Request, l.ReturnURL)
	case l.Notice == tokenvault.LoginOtherAccount:
		toRequest(w, r, l.Request.ID, codeAccountMismatch)
	case l.Status.Phase == tokenvault.BrowserEnded:
		toRequest(w, r, l.Request.ID, "")
	default:
		w.Header().Set("Content-Security-Policy", h.livePolicy())
		h.pages.answer(w, http.StatusOK, h.browserView(l))
	}
	return nil
}

// finishLogin answers POST /connect/{id}/browser/finish, for browsers without the
// script.
func (h *handler) finishLogin(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	id := r.PathValue("id")
	l, err := h.vault.LoginOf(r.Context(), actor, id)
	if err == nil {
		l, err = h.vault.FinishLogin(r.Context(), actor, l.ID)
	}
	switch {
	case errors.Is(err, tokenvault.ErrConflict): // another process runs it: it notices by itself
		http.Redirect(w, r, browserPath(id), http.StatusSeeOther)
		return nil
	case err != nil:
		return err
	case !l.Request.Status.Settled() && l.Status.Phase != tokenvault.BrowserEnded:
		h.message(w, http.StatusConflict, codeNotSignedIn)
		return nil
	}
	return h.showLogin(w, r, l)
}

// cancelLogin answers POST /connect/{id}/browser/cancel.
func (h *handler) cancelLogin(w http.ResponseWriter, r *http.Request, actor tokenvault.Actor) error {
	id := r.PathValue("id")
	l, err := h.vault.LoginOf(r.Context(), actor, id)
	if err == nil {
		l, err = h.vault.CancelLogin(r.Context(), actor, l.ID)
	}
	if err != nil {
		return h.orResult(w, r, id, err)
	}
	toRequest(w, r, cmp.Or(l.Request.ID, id), "")
	return nil
}
