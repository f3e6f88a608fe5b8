package telemetry

import (
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Handler returns next, observed: each request is counted under the pattern of its
// route and is a span, in the caller's trace if it sent a traceparent.
func (t *Telemetry) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		ctx := propagation.TraceContext{}.Extract(r.Context(), parentOnly(r.Header))
		ctx, span := t.tracer.Start(ctx, "HTTP", trace.WithSpanKind(trace.SpanKindServer))
		r = r.WithContext(ctx)
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			route := routeOf(r)
			t.metrics.request(route, recorder.status, time.Since(begun))
			span.SetName(route)
			span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", recorder.status))
			if recorder.status >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, "")
			}
			span.End()
		}()
		next.ServeHTTP(recorder, r)
	})
}

// routeOf returns the pattern that matched, which the handler below has put into
// the request.
func routeOf(r *http.Request) string {
	if r.Pattern == "" {
		return "unknown"
	}
	return r.Pattern
}

// parentOnly lets the propagator see the traceparent and nothing else of what a
// caller sent: a tracestate would be exported with every span, whatever it says.
type parentOnly http.Header

// Get returns the header traceparent.
func (h parentOnly) Get(key string) string {
	if key != "traceparent" {
		return ""
	}
	return http.Header(h).Get(key)
}

// Set does nothing: nothing is sent.
func (parentOnly) Set(string, string) {}

// Keys names the header.
func (parentOnly) Keys() []string { return []string{"traceparent"} }

type statusRecorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status.
func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController flush server-sent events.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
