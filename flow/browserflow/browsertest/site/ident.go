package site

import "net/http"

// ident is an identity provider: it asks for a name only, and gives its word in a
// pop-up by a message, else by a redirect.
func (s *Site) ident() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		popup := ""
		if r.URL.Query().Has("popup") {
			popup = `<input type="hidden" name="popup" value="1">`
		}
		show(w, http.StatusOK, "Ident", `<h1>Ident</h1>
<form method="post" action="/authorize">`+popup+`
	<input id="name" name="name" placeholder="Name" aria-label="Name" autofocus>
	<button id="submit">Continue</button>
</form>`)
	})
	mux.HandleFunc("POST /authorize", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "ident_session", Value: s.issue(forIdent), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		code := s.issue(forCode)
		if r.PostFormValue("popup") == "" {
			redirect(s.Bank+"/federated?code="+code)(w, r)
			return
		}
		show(w, http.StatusOK, "Ident", `<p>One moment.</p>
<script>
	localStorage.setItem("ident_name", "alice");
	opener.postMessage({ code: "`+code+`" }, "`+s.Bank+`");
	close();
</script>`)
	})
	return mux
}

// gate passes a redirect on, and is the third party of a frame, with a cookie for
// that place only (CHIPS).
func (s *Site) gate() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pass", func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to == s.Ident+"/authorize" {
			redirect(to)(w, r)
			return
		}
		http.NotFound(w, r)
	})
	mux.HandleFunc("GET /offer", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{
			Name: "__Host-offer", Value: "seen", Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode, Partitioned: true,
		})
		show(w, http.StatusOK, "Offer", `<p>An offer.</p><script>localStorage.setItem("offer_seen", "1")</script>`)
	})
	return mux
}
