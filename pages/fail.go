package pages

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/ai-token-vault/tokenvault"
)

// fail shows an error. Which page an error leads to is this table and nothing
// else.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, tokenvault.ErrUnauthenticated) {
		h.challenge(w, r)
		return
	}
	status, code := http.StatusInternalServerError, codeInternal
	tooFast, limited := errors.AsType[*tokenvault.RateLimitError](err)
	_, fromProvider := errors.AsType[*tokenvault.ProviderError](err)
	switch {
	case limited:
		status, code = http.StatusTooManyRequests, codeRateLimited
		w.Header().Set("Retry-After", retryAfter(tooFast))
	case errors.Is(err, tokenvault.ErrNotFound), errors.Is(err, tokenvault.ErrDenied):
		status, code = http.StatusNotFound, codeNotFound
	case errors.Is(err, tokenvault.ErrInvalid):
		status, code = http.StatusBadRequest, codeInvalid
	case errors.Is(err, tokenvault.ErrNoApp):
		status, code = http.StatusConflict, codeNoApp
	case errors.Is(err, tokenvault.ErrExpired):
		status, code = http.StatusGone, codeExpired
	case errors.Is(err, tokenvault.ErrConflict):
		status, code = http.StatusConflict, codeConflict
	case errors.Is(err, tokenvault.ErrUnavailable), errors.Is(err, tokenvault.ErrClosed):
		status, code = http.StatusServiceUnavailable, codeUnavailable
	case fromProvider:
		status, code = http.StatusBadGateway, codeProviderError
	}
	if status >= http.StatusInternalServerError {
		h.log.ErrorContext(r.Context(), "a page could not be served", slog.String("page", r.Pattern), slog.Any("error", err))
	}
	h.message(w, status, code)
}

// challenge sends a person to sign in, or says where to.
func (h *handler) challenge(w http.ResponseWriter, r *http.Request) {
	if c, ok := h.auth.(tokenvault.Challenger); ok {
		if to := c.SignInURL(returnPath(r)); to != "" {
			http.Redirect(w, r, to, http.StatusSeeOther)
			return
		}
	}
	h.message(w, http.StatusUnauthorized, codeSignIn)
}

// returnPath is the page to come back to after signing in: the same one, or for a
// POST the page with its form.
func returnPath(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return r.URL.RequestURI()
	}
	if strings.HasPrefix(r.URL.Path, accountsPath+"/") {
		return accountsPath
	}
	if id := r.PathValue("id"); id != "" {
		return "/connect/" + url.PathEscape(id)
	}
	query := url.Values{}
	for _, name := range []string{fieldProvider, fieldThread, fieldReturnTo, fieldConnection, fieldOrg} {
		if value := r.PostForm.Get(name); value != "" {
			query.Set(name, value)
		}
	}
	return "/connect/new?" + query.Encode()
}

// showError explains why a return from a provider led nowhere. It says nothing of
// anybody's, so nobody needs to be signed in.
func (h *handler) showError(w http.ResponseWriter, r *http.Request) {
	code := knownCode(r.URL.Query().Get("code"))
	view := messageView(code)
	view.Tell = tell{Type: tellError, Error: code, Origins: h.origins()}
	h.pages.answer(w, http.StatusOK, view)
}

func (h *handler) message(w http.ResponseWriter, status int, code string) {
	h.pages.answer(w, status, messageView(code))
}
