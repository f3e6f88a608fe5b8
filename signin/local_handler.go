package signin

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/limit"
)

const maxForm = 4 << 10

// Handler serves the sign-in page at [LocalPath]:
//
//	GET  /signin/local?token=…&next=…   a page with one button; changes nothing
//	POST /signin/local                  spends the token, sets the cookie
//
// next is a path on the vault's own origin to go to afterwards.
func (l *Local) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+LocalPath, l.show)
	mux.HandleFunc("POST "+LocalPath, l.redeem)
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(l.page.answer(http.StatusForbidden, textCrossSite()))
	refused := l.page.answer(http.StatusMisdirectedRequest, textWrongHost())
	guarded := csrf.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.page.setHeaders(w.Header())
		if !isLoopbackHost(r.Host) {
			refused.ServeHTTP(w, r)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		guarded.ServeHTTP(w, r)
	})
}

func (l *Local) show(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	token, next := query.Get("token"), query.Get("next")
	if !safePath(next) {
		next = ""
	}
	if token != "" && l.tooFast(w, r) {
		return
	}
	switch {
	case token != "" && l.sessions.linkValid(token, time.Now()):
		view := textSignIn()
		view.Token, view.Next = token, next
		l.page.answer(http.StatusOK, view).ServeHTTP(w, r)
	case l.signedIn(r):
		view := textSignedIn()
		view.Link = next
		l.page.answer(http.StatusOK, view).ServeHTTP(w, r)
	case token != "":
		if r.Header.Get("Sec-Fetch-Site") != "cross-site" { // another site's page cannot read the answer: it guesses nothing
			l.badLinks.Take(limit.Address(r.RemoteAddr))
		}
		l.page.answer(http.StatusForbidden, textBadLink()).ServeHTTP(w, r)
	default:
		l.page.answer(http.StatusUnauthorized, textNoLink()).ServeHTTP(w, r)
	}
}

// tooFast refuses a client that tried too many links that are none.
func (l *Local) tooFast(w http.ResponseWriter, r *http.Request) bool {
	wait := l.badLinks.Spent(limit.Address(r.RemoteAddr))
	if wait <= 0 {
		return false
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	l.page.answer(http.StatusTooManyRequests, textTooFast()).ServeHTTP(w, r)
	return true
}

func (l *Local) signedIn(r *http.Request) bool {
	_, err := l.Authenticate(r)
	return err == nil
}

func (l *Local) redeem(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		l.page.answer(http.StatusBadRequest, textBadLink()).ServeHTTP(w, r)
		return
	}
	if l.tooFast(w, r) {
		return
	}
	secret, err := l.sessions.redeem(r.PostForm.Get("token"), time.Now())
	if errors.Is(err, errLink) {
		l.badLinks.Take(limit.Address(r.RemoteAddr))
		l.log.WarnContext(r.Context(), "a sign-in link was refused: it is unknown, was used, or is too old")
		l.page.answer(http.StatusForbidden, textBadLink()).ServeHTTP(w, r)
		return
	}
	if err != nil {
		l.log.ErrorContext(r.Context(), "the session of a browser cannot be kept", slog.Any("error", err))
		l.page.answer(http.StatusServiceUnavailable, textNotKept()).ServeHTTP(w, r)
		return
	}
	l.log.InfoContext(r.Context(), "a browser was signed in by a sign-in link")
	next := r.PostForm.Get("next")
	if !safePath(next) {
		next = LocalPath
	}
	http.SetCookie(w, l.cookie(secret))
	http.Redirect(w, r, next, http.StatusSeeOther)
}
