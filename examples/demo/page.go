package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// checkPage tells what to do if the chat's page has not been built: its source is
// TypeScript, in the folder page.
func (d *demo) checkPage() error {
	if _, err := os.Stat(filepath.Join(d.pageDir, "index.html")); err != nil {
		return errors.New("there is no page in " + d.pageDir + ": run 'make demo', which builds it, from the repository's folder")
	}
	return nil
}

// page serves the chat's page. Its policy lets it run nothing but its own files,
// and call nothing but the chat and the vault: by HTTP, and by WebSocket for the
// live view.
func (d *demo) page() http.Handler {
	policy := strings.Join([]string{
		"default-src 'self'", "img-src 'self' data: blob:",
		"connect-src 'self' " + d.vaultURL + " ws" + strings.TrimPrefix(d.vaultURL, "http"),
		"form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'",
	}, "; ")
	files := http.FileServerFS(os.DirFS(d.pageDir))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-cache")
		if r.URL.Path == "/login" {
			http.ServeFileFS(w, r, os.DirFS(d.pageDir), "index.html")
			return
		}
		files.ServeHTTP(w, r)
	})
}
