package server

import (
	"context"
	"net/http"
	"strings"
)

// endWaits ends requests that wait for a person when draining ends. All others
// are left to finish. Who gets no other answer is told to ask again.
func endWaits(draining context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !waits(r) {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(draining, cancel)()
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(recorder, r.WithContext(ctx))
		if draining.Err() != nil && !recorder.written {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "The server is stopping: try again", http.StatusServiceUnavailable)
		}
	})
}

// waits reports whether the request is a long poll or a stream of events.
func waits(r *http.Request) bool {
	return r.URL.RawQuery != "" && r.URL.Query().Has("wait") || strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}
