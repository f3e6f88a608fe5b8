package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/ai-token-vault/tokenvault"
)

const scope = "github.com/ai-token-vault/tokenvault/telemetry"

// Options configures [New].
type Options struct {
	// Version is the version that is told to who looks.
	Version string
	// Logger receives that traces cannot be delivered. Default: nothing is logged.
	Logger *slog.Logger
	// Environ returns an environment variable; default [os.Getenv]. The
	// OpenTelemetry SDK reads OTEL_TRACES_SAMPLER, OTEL_BSP_…, OTEL_SERVICE_NAME and
	// OTEL_RESOURCE_ATTRIBUTES by itself.
	Environ func(string) string
}

// Telemetry is an Observer of vaults and of HTTP handlers. It is safe for
// concurrent use. Close it after what it observes.
type Telemetry struct {
	registry *prometheus.Registry
	metrics  *metrics
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider // nil: traces are off
}

var _ tokenvault.Observer = (*Telemetry)(nil)

// New returns telemetry. Traces are off unless an endpoint is set in the
// environment, and [Traced] says so. The variables are those of OpenTelemetry's
// specification, each also with TRACES_ after OTLP_, which wins:
//
//	OTEL_EXPORTER_OTLP_ENDPOINT     such as http://127.0.0.1:4318; /v1/traces is added, but not to the TRACES_ one
//	OTEL_EXPORTER_OTLP_HEADERS      name=value,…; values are secrets, and percent-encoded
//	OTEL_EXPORTER_OTLP_TIMEOUT      milliseconds for one export; default 10000
//	OTEL_EXPORTER_OTLP_CERTIFICATE  file of the CA certificates to trust, as PEM
//	OTEL_EXPORTER_OTLP_PROTOCOL     must be http/protobuf, the default
//	OTEL_TRACES_EXPORTER=none, OTEL_SDK_DISABLED=true   traces are off
//
// New fails if one of them cannot be used, and names it.
func New(opts Options) (*Telemetry, error) {
	if opts.Environ == nil {
		opts.Environ = os.Getenv
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Telemetry{registry: prometheus.NewRegistry(), tracer: noop.NewTracerProvider().Tracer(scope)}
	t.metrics = newMetrics(t.registry, opts.Version)
	target, err := targetOf(opts.Environ)
	if err != nil {
		return nil, err
	}
	if target != nil {
		if t.provider, err = newProvider(target, opts); err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
		t.tracer = t.provider.Tracer(scope)
	}
	return t, nil
}

// Traced reports whether the environment asks for traces.
func Traced(environ func(string) string) bool {
	target, err := targetOf(environ)
	return target != nil || err != nil
}

// Metrics answers GET with the metrics in Prometheus's formats. It asks nobody who
// calls: serve it where only Prometheus can.
func (t *Telemetry) Metrics() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{})
}

// Watch adds the state of v to the metrics. Call it for one vault only.
func (t *Telemetry) Watch(v interface{ Stats() tokenvault.Stats }) {
	watchStats(t.registry, v.Stats)
}

// Close delivers the spans that are left.
func (t *Telemetry) Close(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Begin implements [tokenvault.Observer].
func (t *Telemetry) Begin(ctx context.Context, op tokenvault.Operation) (context.Context, func(tokenvault.Outcome)) {
	begun := time.Now()
	ctx, span := t.startSpan(ctx, op)
	return ctx, func(outcome tokenvault.Outcome) {
		t.metrics.operation(op, outcome, time.Since(begun))
		endSpan(span, outcome)
	}
}
