package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestDrain(t *testing.T) {
	draining, drain := context.WithCancel(t.Context())
	drain()
	for _, tc := range []struct {
		name, target, accept string
		answer               bool // the handler answers by itself
		ended                bool // it is told to end
		status               int
	}{
		{"long poll", "/v1/auth-requests/a?wait=25s", "", true, true, http.StatusTeapot},
		{"long poll without an answer", "/v1/auth-requests/a?wait=25s", "", false, true, http.StatusServiceUnavailable},
		{"events", "/v1/auth-requests/a", "text/event-stream", true, true, http.StatusTeapot},
		{"any other", "/v1/credentials/github/resolve", "application/json", true, false, http.StatusTeapot},
	} {
		t.Run(tc.name, func(t *testing.T) {
			handler := endWaits(draining, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tc.ended {
					<-r.Context().Done()
				}
				if err := r.Context().Err(); (err != nil) != tc.ended {
					t.Errorf("the request's context: %v", err)
				}
				if tc.answer {
					w.WriteHeader(http.StatusTeapot)
				}
			}))
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tc.target, nil)
			r.Header.Set("Accept", tc.accept)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tc.status {
				t.Errorf("status %d, not %d", w.Code, tc.status)
			}
		})
	}
}
