package server

import (
	"log/slog"
	"net/http"
	"time"
)

// logRequests writes one line per request. Paths are written as the route that
// matched, and queries not at all: both can hold what must not be logged.
func logRequests(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(recorder, r)
		level := slog.LevelDebug
		if recorder.status >= http.StatusInternalServerError && r.Context().Err() == nil {
			level = slog.LevelError
		}
		if !log.Enabled(r.Context(), level) {
			return
		}
		log.LogAttrs(r.Context(), level, "request", slog.String("method", r.Method), slog.String("route", r.Pattern),
			slog.Int("status", recorder.status), slog.Duration("took", time.Since(begun)))
	})
}

type statusRecorder struct {
	http.ResponseWriter
	status  int
	written bool
}

// WriteHeader remembers the status.
func (s *statusRecorder) WriteHeader(status int) {
	s.status, s.written = status, true
	s.ResponseWriter.WriteHeader(status)
}

// Write remembers that there is an answer.
func (s *statusRecorder) Write(text []byte) (int, error) {
	s.written = true
	return s.ResponseWriter.Write(text)
}

// Unwrap lets http.ResponseController flush server-sent events.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
