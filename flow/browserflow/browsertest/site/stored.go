package site

import (
	"io"
	"net/http"
	"strings"
)

// stored adds a login that leaves no cookie: its token is kept in IndexedDB, in the
// form that Firebase Authentication keeps it.
func (s *Site) stored(mux *http.ServeMux) {
	mux.HandleFunc("GET /stored", func(w http.ResponseWriter, _ *http.Request) {
		show(w, http.StatusOK, "Stored", `<h1>Harbour Bank</h1>
<div id="app">
	<input id="password" type="password" placeholder="Password" aria-label="Password" autofocus>
	<button id="submit">Sign in</button>
</div>
<script>
	const key = "firebase:authUser:harbour:[DEFAULT]";
	const asked = (request) => new Promise((yes, no) => { request.onsuccess = () => yes(request.result); request.onerror = () => no(request.error); });
	const store = async (mode) => {
		const request = indexedDB.open("firebaseLocalStorageDb", 1);
		request.onupgradeneeded = () => request.result.createObjectStore("firebaseLocalStorage", { keyPath: "fbase_key" });
		return (await asked(request)).transaction("firebaseLocalStorage", mode).objectStore("firebaseLocalStorage");
	};
	const show = async () => {
		const kept = await asked((await store("readonly")).get(key));
		if (!kept) return;
		const answer = await fetch("/stored/account", { headers: { Authorization: "Bearer " + kept.value.stsTokenManager.accessToken } });
		if (!answer.ok) return;
		document.getElementById("app").textContent = "Welcome, " + (await answer.json()).email;
		document.title = "Stored home";
		history.replaceState({}, "", "/stored/home");
	};
	document.getElementById("submit").onclick = async () => {
		const answer = await fetch("/stored/token", { method: "POST", body: document.getElementById("password").value });
		if (!answer.ok) return;
		const { accessToken } = await answer.json();
		await asked((await store("readwrite")).put({ fbase_key: key, value: {
			uid: "alice", email: "alice@example.com", emailVerified: true, stsTokenManager: { accessToken, refreshToken: "r", expirationTime: Date.now() + 3600e3 },
		} }));
		await show();
	};
	show();
</script>`)
	})
	mux.Handle("GET /stored/home", redirect("/stored"))
	mux.HandleFunc("POST /stored/token", func(w http.ResponseWriter, r *http.Request) {
		var password strings.Builder
		if _, err := io.Copy(&password, http.MaxBytesReader(w, r.Body, 1<<10)); err != nil || password.String() != Password {
			s.count(false)
			http.Error(w, "not right", http.StatusUnauthorized)
			return
		}
		s.count(true)
		writeJSON(w, map[string]any{"accessToken": s.issue(forBearer)})
	})
	mux.HandleFunc("GET /stored/account", func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || !s.holds(token, forBearer) {
			http.Error(w, "sign in first", http.StatusUnauthorized)
			return
		}
		writeJSON(w, map[string]any{"id": "alice", "email": User})
	})
}
