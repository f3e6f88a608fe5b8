// Package telemetry shows what a vault does: metrics for Prometheus, traces for
// OpenTelemetry.
//
// # Metrics
//
//	tokenvault_operations_total{operation,provider,outcome}         what was done, and how it ended
//	tokenvault_operation_duration_seconds{operation,provider}       how long it took
//	tokenvault_audit_commit_entries                                 audit entries per durable commit
//	tokenvault_audit_queue_entries                                  entries that wait for their commit
//	tokenvault_browser_logins                                       logins that run in browsers of this process
//	tokenvault_browser_sessions                                     browsers of this process that are open for agents
//	tokenvault_audit_failing                                        1 while nothing is released for it
//	tokenvault_provider_failing{provider}                           1 while its token endpoint is left alone
//	tokenvault_http_requests_total{route,code}                      answers, by route pattern and status
//	tokenvault_http_request_duration_seconds{route}                 long polls are long on purpose
//	tokenvault_build_info{version,go_version}                       1
//
// and those of the Go runtime and the process (go_…, process_…). Operations and
// outcomes are those of [tokenvault.Operation] and [tokenvault.Outcome].
//
// # Traces
//
// Traces are exported by OTLP over HTTP in protobuf if OTEL_EXPORTER_OTLP_ENDPOINT
// or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set; see [New]. A request is one span,
// with the vault's operations nested in it. The trace of a caller is continued
// (W3C traceparent); of a caller's tracestate and baggage nothing is taken, and
// nothing at all is sent on to providers.
//
// # What is never in them
//
// Labels, span names and attributes are words from fixed lists: route patterns,
// provider ids of the catalog, operations, outcomes, status codes. No owner, agent,
// connection, path, query, address or error text is among them.
package telemetry
