package telemetry

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/ai-token-vault/tokenvault"
)

// newProvider returns the source of spans, which delivers them to target.
func newProvider(target *target, opts Options) (*sdktrace.TracerProvider, error) {
	ctx := context.Background()
	who, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "tokenvault"), attribute.String("service.version", opts.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, newUploader(target, opts.Logger))
	if err != nil {
		return nil, err
	}
	return sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(who)), nil
}

// startSpan begins the span of op. The commit of audit entries has none: it is
// for many callers, each of which has the span of its wait.
func (t *Telemetry) startSpan(ctx context.Context, op tokenvault.Operation) (context.Context, trace.Span) {
	if t.provider == nil || op.Kind == tokenvault.OpAuditCommit {
		return ctx, nil
	}
	kind := trace.SpanKindInternal
	if strings.HasPrefix(string(op.Kind), "provider.") {
		kind = trace.SpanKindClient
	}
	ctx, span := t.tracer.Start(ctx, "tokenvault."+string(op.Kind), trace.WithSpanKind(kind))
	if op.ProviderID != "" {
		span.SetAttributes(attribute.String("tokenvault.provider", op.ProviderID))
	}
	return ctx, span
}

func endSpan(span trace.Span, outcome tokenvault.Outcome) {
	if span == nil {
		return
	}
	span.SetAttributes(attribute.String("tokenvault.outcome", string(outcome)))
	if slices.Contains(failures(), outcome) {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// failures are the outcomes that an operator has to look at.
func failures() []tokenvault.Outcome {
	return []tokenvault.Outcome{tokenvault.OutcomeInternal, tokenvault.OutcomeProviderError, tokenvault.OutcomeUncertain, "unavailable", "unsealable"}
}
