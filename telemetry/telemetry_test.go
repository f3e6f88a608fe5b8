package telemetry_test

import (
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/telemetry"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	parent  = "b7ad6b7169203331"
	resolve = "/v1/credentials/mail/resolve"
	body    = `{"scopes":["canary.scope"],"release":"token","runId":"canary-run","threadId":"canary-thread"}`
)

// traced is an environment that asks for traces at c.
func traced(c *collector) map[string]string {
	return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=canary%2Dheader, other=1"}
}

// walk takes every way that a credential takes. Whatever a caller, a user or a
// provider chooses has "canary" in it.
func walk(t *testing.T, r *rig) {
	t.Helper()
	header := http.Header{
		"Authorization": {"Bearer " + r.key(t).Reveal()}, "Traceparent": {"00-" + traceID + "-" + parent + "-01"},
		"Tracestate": {"vendor=canary"}, "Baggage": {"user=canary"}, "User-Agent": {"canary"},
	}
	step := func(want int, method, target, body string) {
		t.Helper()
		if got := r.call(t, method, target, body, header); got != want {
			t.Fatalf("%s %s: %d, not %d", method, target, got, want)
		}
	}
	step(http.StatusPreconditionRequired, http.MethodPost, resolve, body)
	connect(t, r)
	step(http.StatusOK, http.MethodPost, resolve, body)
	r.clock.now = r.clock.now.Add(2 * time.Hour)
	r.flow.fail = true
	step(http.StatusServiceUnavailable, http.MethodPost, resolve, body)
	r.flow.fail = false
	step(http.StatusOK, http.MethodPost, resolve, body)
	step(http.StatusBadRequest, http.MethodPost, resolve, `{"canary":1}`)
	step(http.StatusNotFound, http.MethodPost, "/v1/credentials/canary@mail.example/resolve", body)
	step(http.StatusNotFound, http.MethodGet, "/v1/canary?token=canary", "")
	step(http.StatusMethodNotAllowed, "CANARY", resolve, "")
	header.Set("Authorization", "Bearer tv_canary")
	step(http.StatusUnauthorized, http.MethodPost, resolve, body)
}

func connect(t *testing.T, r *rig) {
	t.Helper()
	owner := tokenvault.Owner{Tenant: "default", UserID: "canary-user"}
	user := tokenvault.Actor{Kind: tokenvault.ActorUser, ID: owner.UserID, Owner: owner}
	agent := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "canary-agent", Owner: owner}
	_, err := r.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"canary.scope"}, Release: tokenvault.ReleaseToken})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatal(err)
	}
	to, err := r.StartConnect(t.Context(), user, tokenvault.StartConnect{AuthRequestID: required.Request.ID})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.FinishConnect(t.Context(), user, tokenvault.Return{
		AppID: r.AppID("", "mail"), State: tokenvault.NewSecret(u.Query().Get("state")), Code: tokenvault.NewSecret("canary-code"), Browser: to.CookieValue,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestK6NothingOfAnybodyIsInMetricsTracesAndLogs(t *testing.T) {
	c := newCollector(t)
	r := newRig(t, traced(c))
	walk(t, r)
	if err := r.telemetry.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.header.Get("Api-Key"); got != "canary-header" {
		t.Errorf("the collector's key arrives as %q", got)
	}
	for where, text := range map[string]string{"metrics": r.scrape(t), "traces": c.raw.String(), "log": r.log.String()} {
		if i := strings.Index(strings.ToLower(text), "canary"); i >= 0 {
			t.Errorf("a canary is in the %s: %q", where, text[max(0, i-60):min(len(text), i+60)])
		}
	}
}

func TestMetrics(t *testing.T) {
	r := newRig(t, nil)
	walk(t, r)
	text := r.scrape(t)
	for _, line := range []string{
		`tokenvault_operations_total{operation="resolve",outcome="ok",provider="mail"} 2`,
		`tokenvault_operations_total{operation="resolve",outcome="auth_required",provider="mail"} 2`,
		`tokenvault_operations_total{operation="resolve",outcome="not_found",provider=""} 1`,
		`tokenvault_operations_total{operation="resolve",outcome="provider_error",provider="mail"} 1`,
		`tokenvault_operations_total{operation="provider.refresh",outcome="provider_error",provider="mail"} 1`,
		`tokenvault_operations_total{operation="provider.exchange",outcome="ok",provider="mail"} 1`,
		`tokenvault_operation_duration_seconds_count{operation="refresh",provider="mail"} 2`,
		`tokenvault_http_requests_total{code="200",route="POST /v1/credentials/{providerId}/resolve"} 2`,
		`tokenvault_http_requests_total{code="428",route="POST /v1/credentials/{providerId}/resolve"} 1`,
		`tokenvault_http_requests_total{code="405",route="unknown"} 1`,
		`tokenvault_audit_queue_entries 0`,
		`tokenvault_audit_failing 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the metrics do not have %s", line)
		}
	}
	for _, name := range []string{`tokenvault_build_info{`, `version="1.2.3"`, "go_goroutines ", "process_resident_memory_bytes ", "tokenvault_audit_commit_entries_count "} {
		if !strings.Contains(text, name) {
			t.Errorf("the metrics do not have %s", name)
		}
	}
	if strings.Contains(r.log.String(), "traces") {
		t.Errorf("traces are off, and the log says %s", r.log)
	}
}

// R15: a provider that keeps failing is named while it is left alone.
func TestR15AFailingProviderIsMeasured(t *testing.T) {
	r := newRig(t, nil)
	connect(t, r)
	r.clock.now = r.clock.now.Add(2 * time.Hour)
	r.flow.fail = true
	agent := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "canary-agent", Owner: tokenvault.Owner{Tenant: "default", UserID: "canary-user"}}
	for !strings.Contains(r.scrape(t), "tokenvault_provider_failing{") {
		_, err := r.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"canary.scope"}, Release: tokenvault.ReleaseToken})
		if _, ok := errors.AsType[*tokenvault.ProviderError](err); !ok || errors.Is(err, tokenvault.ErrProviderUnavailable) {
			t.Fatalf("err = %v, want the provider's own", err)
		}
	}
	_, err := r.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"canary.scope"}, Release: tokenvault.ReleaseToken})
	if !errors.Is(err, tokenvault.ErrProviderUnavailable) {
		t.Errorf("err = %v, want that the provider is left alone", err)
	}
	text := r.scrape(t)
	for _, line := range []string{
		`tokenvault_provider_failing{provider="mail"} 1`,
		`tokenvault_operations_total{operation="refresh",outcome="provider_unavailable",provider="mail"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the metrics do not have %s", line)
		}
	}
}

func TestTracesNestInTheCallers(t *testing.T) {
	c := newCollector(t)
	r := newRig(t, traced(c))
	key := r.key(t)
	connect(t, r)
	header := http.Header{"Authorization": {"Bearer " + key.Reveal()}, "Traceparent": {"00-" + traceID + "-" + parent + "-01"}, "Tracestate": {"vendor=1"}}
	r.clock.now = r.clock.now.Add(2 * time.Hour)
	if status := r.call(t, http.MethodPost, resolve, body, header); status != http.StatusOK {
		t.Fatal(status)
	}
	if err := r.telemetry.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, kept := parent, c.spans[:0]
	for _, s := range c.spans {
		if hex.EncodeToString(s.GetTraceId()) == traceID {
			kept = append(kept, s)
		}
	}
	c.spans = kept // without those of the connect
	for _, name := range []string{"POST /v1/credentials/{providerId}/resolve", "tokenvault.resolve", "tokenvault.refresh", "tokenvault.provider.refresh"} {
		s := c.named(t, name)
		if got := hex.EncodeToString(s.GetParentSpanId()); got != want {
			t.Errorf("%s is below %s, not %s", name, got, want)
		}
		if s.GetTraceState() != "" {
			t.Errorf("%s has the caller's trace state", name)
		}
		want = hex.EncodeToString(s.GetSpanId())
	}
}

func TestLogsNameTheTrace(t *testing.T) {
	r := newRig(t, nil)
	header := http.Header{"Authorization": {"Bearer " + r.key(t).Reveal()}, "Traceparent": {"00-" + traceID + "-" + parent + "-01"}}
	connect(t, r)
	r.clock.now = r.clock.now.Add(2 * time.Hour)
	r.flow.fail = true
	if status := r.call(t, http.MethodPost, resolve, body, header); status != http.StatusServiceUnavailable {
		t.Fatal(status)
	}
	if !strings.Contains(r.log.String(), `"trace_id":"`+traceID+`"`) {
		t.Errorf("the log does not name the trace: %s", r.log)
	}
}

func TestUndeliveredTracesAreToldAndHurtNobody(t *testing.T) {
	c := newCollector(t)
	c.status = http.StatusForbidden
	r := newRig(t, traced(c))
	connect(t, r)
	if err := r.telemetry.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := r.log.String()
	if !strings.Contains(text, "traces cannot be delivered") || !strings.Contains(text, "status 403") || strings.Contains(text, c.URL) {
		t.Errorf("the log says %s", text)
	}
}

func TestEnvironment(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, tc := range []struct {
		name    string
		environ map[string]string
		traced  bool
		wrong   string // the variable that the error names
	}{
		{"nothing", nil, false, ""},
		{"endpoint", map[string]string{endpoint: "http://127.0.0.1:4318"}, true, ""},
		{"traces endpoint", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector.example/x"}, true, ""},
		{"disabled", map[string]string{endpoint: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, false, ""},
		{"no exporter", map[string]string{endpoint: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		{"other exporter", map[string]string{endpoint: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "zipkin"}, true, "OTEL_TRACES_EXPORTER"},
		{"no URL", map[string]string{endpoint: "hunter2"}, true, endpoint},
		{"user in the URL", map[string]string{endpoint: "http://me:hunter2@127.0.0.1"}, true, endpoint},
		{"gRPC", map[string]string{endpoint: "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, true, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{"timeout", map[string]string{endpoint: "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "hunter2"}, true, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"},
		{"headers", map[string]string{endpoint: "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_HEADERS": "hunter2"}, true, "OTEL_EXPORTER_OTLP_HEADERS"},
		{"no file", map[string]string{endpoint: "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere"}, true, "OTEL_EXPORTER_OTLP_CERTIFICATE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			environ := func(name string) string { return tc.environ[name] }
			if got := telemetry.Traced(environ); got != tc.traced {
				t.Errorf("Traced is %v", got)
			}
			made, err := telemetry.New(telemetry.Options{Environ: environ})
			switch {
			case tc.wrong == "" && err != nil:
				t.Error(err)
			case tc.wrong != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.wrong+": ") || strings.Contains(err.Error(), "hunter2")):
				t.Errorf("the error is %v", err)
			}
			if made != nil {
				if err := made.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
