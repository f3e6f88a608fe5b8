package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// A server with metrics and traces answers Prometheus on an address of its own and
// delivers its spans before it ends.
func TestServeObserved(t *testing.T) {
	var exports atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			exports.Add(1)
		}
	}))
	t.Cleanup(collector.Close)
	data := filepath.Join(t.TempDir(), "data")
	env := []string{
		"TOKENVAULT_DATA_DIR=" + data, "TOKENVAULT_LISTEN=127.0.0.1:0", "TOKENVAULT_METRICS_LISTEN=127.0.0.1:0", "TOKENVAULT_LOG_LEVEL=debug",
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL,
	}
	r := running{process: start(t, env, "serve"), data: data, env: env}
	lines := r.readUntil(t, linkText)
	metrics, found := strings.CutPrefix(lines[2], "Metrics are at ")
	server, served := strings.CutPrefix(lines[3], "Serving ")
	if !found || !served {
		t.Fatalf("it says %q", lines)
	}
	if status := get(t, server+"/healthz"); status != http.StatusOK {
		t.Fatalf("GET /healthz: %d", status)
	}
	if status := get(t, server+"/metrics"); status != http.StatusNotFound {
		t.Errorf("GET /metrics where everybody is served: %d", status)
	}
	res, err := http.Get(metrics)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || !strings.Contains(string(text), `tokenvault_http_requests_total{code="200",route="GET /healthz"} 1`) {
		t.Errorf("GET %s: %s, %v", metrics, text, err)
	}
	got := r.finish(t, syscall.SIGTERM)
	if got.status != 0 || exports.Load() == 0 {
		t.Errorf("after SIGTERM: %+v; %d exports", got, exports.Load())
	}
	if !regexp.MustCompile(`msg=request .*route="GET /healthz" .*trace_id=[0-9a-f]{32} `).MatchString(got.err) {
		t.Errorf("the log does not name the trace of a request: %s", got.err)
	}
}
