package site

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

func (s *Site) bank() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", redirect("/account"))
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("GET /code", s.codePage)
	mux.HandleFunc("POST /code", s.code)
	mux.HandleFunc("GET /by-redirect", s.byRedirect)
	mux.HandleFunc("GET /federated", s.federated)
	mux.HandleFunc("GET /account", s.account)
	mux.HandleFunc("GET /account.json", s.accountJSON)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("GET /basic", s.basic)
	s.slow(mux)
	s.stored(mux)
	widgets(mux)
	return mux
}

func (s *Site) loginPage(w http.ResponseWriter, r *http.Request) {
	if s.cookie(r, "bank_session", forSession) {
		redirect("/account")(w, r)
		return
	}
	s.showLogin(w, http.StatusOK, "")
}

func (s *Site) showLogin(w http.ResponseWriter, status int, alert string) {
	show(w, status, "Sign in", `<h1>Harbour Bank</h1>`+alert+`
<form method="post" action="/login">
	<input id="user" name="user" placeholder="Email" aria-label="Email" autocomplete="username" autofocus>
	<input id="password" name="password" type="password" placeholder="Password" aria-label="Password" autocomplete="current-password">
	<button id="submit">Sign in</button>
</form>
<button id="popup" onclick="open('`+s.Ident+`/authorize?popup=1', 'ident', 'width=480,height=600')">Sign in with Ident</button>
<a id="redirect" href="/by-redirect">Sign in with Ident, without a pop-up</a>
<script>
	localStorage.setItem("bank_visited", "1");
	addEventListener("message", (e) => {
		if (e.origin === "`+s.Ident+`") location = "/federated?code=" + e.data.code;
	});
</script>`)
}

// login takes the password. A device that is known needs no code.
func (s *Site) login(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("user") != User || r.PostFormValue("password") != Password {
		s.count(false)
		s.showLogin(w, http.StatusUnauthorized, `<p role="alert" id="wrong">That is not right.</p>`)
		return
	}
	if s.cookie(r, "bank_device", forDevice) {
		s.signIn(w, r)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "bank_pending", Value: s.issue(forPassword), Path: "/code", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	redirect("/code")(w, r)
}

func (s *Site) codePage(w http.ResponseWriter, _ *http.Request) { showCode(w, http.StatusOK, "") }

func showCode(w http.ResponseWriter, status int, alert string) {
	show(w, status, "One-time code", `<h1>One more step</h1>`+alert+`
<form method="post" action="/code">
	<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" placeholder="Six digits" aria-label="One-time code" autofocus>
	<button id="submit">Continue</button>
</form>`)
}

func (s *Site) code(w http.ResponseWriter, r *http.Request) {
	if !s.cookie(r, "bank_pending", forPassword) {
		redirect("/login")(w, r)
		return
	}
	if !s.rightCode(r.PostFormValue("code")) {
		s.count(false)
		showCode(w, http.StatusUnauthorized, `<p role="alert" id="wrong">That code is not right.</p>`)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "bank_pending", Path: "/code", MaxAge: -1})
	s.signIn(w, r)
}

// signIn makes the visitor signed in, and their device known.
func (s *Site) signIn(w http.ResponseWriter, r *http.Request) {
	s.setSession(w)
	redirect("/account")(w, r)
}

func (s *Site) setSession(w http.ResponseWriter) {
	s.count(true)
	http.SetCookie(w, &http.Cookie{Name: "bank_session", Value: s.issue(forSession), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.SetCookie(w, &http.Cookie{
		Name: "bank_device", Value: s.issue(forDevice), Path: "/", MaxAge: int((30 * 24 * time.Hour).Seconds()),
		HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode,
	})
}

// byRedirect starts a login that passes through all three hosts.
func (s *Site) byRedirect(w http.ResponseWriter, r *http.Request) {
	redirect(s.Gate+"/pass?to="+url.QueryEscape(s.Ident+"/authorize"))(w, r)
}

// federated takes the identity provider's word.
func (s *Site) federated(w http.ResponseWriter, r *http.Request) {
	if !s.take(r.URL.Query().Get("code"), forCode) {
		s.count(false)
		s.showLogin(w, http.StatusUnauthorized, `<p role="alert" id="wrong">Ident did not say who you are.</p>`)
		return
	}
	s.signIn(w, r)
}

// account is shown to who is signed in only. It keeps something in every storage,
// and has a third party's frame, which does as well.
func (s *Site) account(w http.ResponseWriter, r *http.Request) {
	if !s.cookie(r, "bank_session", forSession) {
		redirect("/login")(w, r)
		return
	}
	show(w, http.StatusOK, "Account", `<h1 id="hello">Welcome, Alice</h1>
<p>Balance: <strong id="balance">1,234.56</strong></p>
<p id="kept"></p>
<form method="post" action="/logout"><button>Sign out</button></form>
<iframe title="Offers" src="`+s.Gate+`/offer" width="300" height="60"></iframe>
<script>
	document.getElementById("kept").textContent = "local " + !!localStorage.bank_token + ", session " + !!sessionStorage.bank_tab;
	localStorage.setItem("bank_token", localStorage.bank_token ?? crypto.randomUUID());
	sessionStorage.setItem("bank_tab", sessionStorage.bank_tab ?? crypto.randomUUID());
</script>`)
}

func (s *Site) accountJSON(w http.ResponseWriter, r *http.Request) {
	if !s.cookie(r, "bank_session", forSession) {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	person := s.person
	s.mu.Unlock()
	writeJSON(w, map[string]any{"id": person, "email": person + "@example.com", "balance": "1234.56"})
}

func (s *Site) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie("bank_session"); err == nil {
		s.take(c.Value, forSession)
	}
	http.SetCookie(w, &http.Cookie{Name: "bank_session", Path: "/", MaxAge: -1})
	redirect("/login")(w, r)
}

// basic is signed in to by the server's own request for a name and password (RFC
// 7617).
func (s *Site) basic(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if user != User || password != Password {
		s.count(false)
		w.Header().Set("WWW-Authenticate", `Basic realm="Vault door", charset="UTF-8"`)
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	s.signIn(w, r)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v)
}
