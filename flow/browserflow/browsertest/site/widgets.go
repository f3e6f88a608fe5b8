package site

import "net/http"

// widgets adds pages that ask a person for something. Each says in its title what it
// got.
func widgets(mux *http.ServeMux) {
	for path, body := range map[string]string{
		"/select": `<select id="language" aria-label="Language" onchange="document.title = 'picked ' + value">
	<option value="en">English<option value="de">Deutsch<option value="fr">Français<option value="es">Español
</select>`,
		"/dialogs": `<button id="alert" onclick="alert('Mind the gap'); document.title = 'alerted'">Alert</button>
<button id="confirm" onclick="document.title = 'confirmed ' + confirm('Sure?')">Confirm</button>
<button id="prompt" onclick="document.title = 'entered ' + prompt('Your name?', 'nobody')">Prompt</button>`,
		"/upload": `<input type="file" id="file" aria-label="File" multiple onchange="(async () => {
	document.title = 'got ' + (await Promise.all([...files].map(async (f) => f.name + '=' + (await f.text())))).join();
})()">`,
		"/text": `<input id="text" aria-label="Text" autofocus oninput="document.title = 'text ' + value">
<p id="paragraph">Recovery code 4711</p>`,
		"/passkey":  `<p>Passkeys</p><script>document.title = "passkeys " + typeof PublicKeyCredential</script>`,
		"/download": `<a id="link" href="/download/file" download>Download</a>`,
		"/tall":     `<div style="height: 5000px">Scroll</div><script>onscroll = () => { document.title = "scrolled " + (scrollY > 100) }</script>`,
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { show(w, http.StatusOK, path[1:], body) })
	}
	mux.HandleFunc("GET /download/file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Disposition", `attachment; filename="statement.txt"`)
		_, _ = w.Write([]byte("content"))
	})
}
