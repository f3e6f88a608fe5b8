package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed templates/*.html assets
var files embed.FS

// A view is what one template shows.
type view interface{ templateName() string }

// An asset is a file whose name changes with its content.
type asset struct {
	content     []byte
	contentType string
}

type renderer struct {
	templates *template.Template
	assets    map[string]asset // by public name

	liveView    []byte // under a name of its own: modules import it, of other origins too
	liveViewTag string // its entity tag
}

func newRenderer() *renderer {
	const script = "text/javascript; charset=utf-8"
	r := &renderer{assets: make(map[string]asset)}
	types := map[string]string{
		"pages.css": "text/css; charset=utf-8", "pages.js": script, "browser.js": script, "icon.svg": "image/svg+xml",
	}
	public := make(map[string]string, len(types))
	for name, contentType := range types {
		content, err := files.ReadFile("assets/" + name)
		if err != nil {
			panic(err) // embedded: the build would have failed
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(name)
		public[name] = strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:6]) + ext
		r.assets[public[name]] = asset{content, contentType}
	}
	var err error
	if r.liveView, err = files.ReadFile("assets/liveview.js"); err != nil {
		panic(err) // embedded: the build would have failed
	}
	sum := sha256.Sum256(r.liveView)
	r.liveViewTag = `"` + hex.EncodeToString(sum[:6]) + `"`
	funcs := template.FuncMap{"asset": func(name string) string { return "/assets/" + public[name] }}
	r.templates = template.Must(template.New("").Funcs(funcs).ParseFS(files, "templates/*.html"))
	return r
}

// answer renders before it writes, so that no page is cut off by an error.
func (r *renderer) answer(w http.ResponseWriter, status int, v view) {
	var page bytes.Buffer
	if err := r.templates.ExecuteTemplate(&page, v.templateName(), v); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}

// liveViewName is the script that other modules import.
const liveViewName = "liveview.js"

// asset answers GET /assets/{name}.
func (r *renderer) asset(w http.ResponseWriter, req *http.Request) {
	if req.PathValue("name") == liveViewName {
		h := w.Header()
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("Cache-Control", "public, no-cache")
		h.Set("ETag", r.liveViewTag)
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		http.ServeContent(w, req, liveViewName, time.Time{}, bytes.NewReader(r.liveView))
		return
	}
	a, ok := r.assets[req.PathValue("name")]
	if !ok {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.content)
}
