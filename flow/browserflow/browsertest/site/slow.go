package site

import (
	"encoding/json"
	"net/http"
	"time"
)

// slow adds a single-page login. The cookie comes some time after the click, and the
// page says that it is done some time after that, without another document.
func (s *Site) slow(mux *http.ServeMux) {
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, _ *http.Request) {
		show(w, http.StatusOK, "Sign in", `<h1>Harbour Bank</h1>
<div id="app">
	<input id="user" placeholder="Email" aria-label="Email" autofocus>
	<input id="password" type="password" placeholder="Password" aria-label="Password">
	<button id="submit">Sign in</button>
	<p role="alert" id="alert"></p>
</div>
<script>
	const app = document.getElementById("app");
	document.getElementById("submit").onclick = async () => {
		const body = JSON.stringify({ user: document.getElementById("user").value, password: document.getElementById("password").value });
		document.title = "One moment";
		const answer = await fetch("/slow/session", { method: "POST", body });
		if (!answer.ok) {
			document.title = "Sign in";
			document.getElementById("alert").textContent = "That is not right.";
			return;
		}
		const { email } = await (await fetch("/slow/profile")).json();
		history.pushState({}, "", "/slow/home");
		document.title = "Home";
		app.textContent = "Welcome, " + email;
	};
</script>`)
	})
	mux.HandleFunc("POST /slow/session", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ User, Password string }
		if json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&in) != nil || in.User != User || in.Password != Password {
			s.count(false)
			http.Error(w, "not right", http.StatusUnauthorized)
			return
		}
		if s.wait(r) {
			s.setSession(w)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	mux.HandleFunc("GET /slow/profile", func(w http.ResponseWriter, r *http.Request) {
		if s.wait(r) {
			s.accountJSON(w, r)
		}
	})
}

// wait makes a request slow. It reports false if nobody waits for the answer.
func (s *Site) wait(r *http.Request) bool {
	select {
	case <-time.After(s.SlowBy):
		return true
	case <-r.Context().Done():
		return false
	}
}
