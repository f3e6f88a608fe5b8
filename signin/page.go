package signin

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// A view is what the page shows.
type view struct {
	Title, Text string
	Alert       bool
	// Token and Next go into the form; without a token there is none.
	Token, Next, Button string
	// Link is a path to go on to; empty: none.
	Link, LinkText string
	Style          template.CSS
}

// A page renders the one page there is. Its style is inline, named by hash
// in the policy, so that the page loads nothing.
type page struct {
	template *template.Template
	policy   string
}

func newPage() *page {
	sum := sha256.Sum256([]byte(pageCSS))
	style := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	return &page{
		template: template.Must(template.New("local").Parse(pageHTML)),
		policy: "default-src 'none'; style-src " + style +
			"; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	}
}

func (p *page) setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

func (p *page) answer(status int, view view) http.Handler {
	view.Style = template.CSS(pageCSS) //nolint:gosec // embedded, not from a request
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var page bytes.Buffer
		if err := p.template.Execute(&page, view); err != nil {
			http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write(page.Bytes())
	})
}
