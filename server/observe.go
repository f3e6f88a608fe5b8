package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/ai-token-vault/tokenvault/telemetry"
)

// openTelemetry returns what observes the server, or nil if neither metrics nor
// traces are asked for, and the listener of the metrics, if there is one.
func openTelemetry(ctx context.Context, cfg Config, log *slog.Logger) (*telemetry.Telemetry, net.Listener, error) {
	if cfg.MetricsListen == "" && !telemetry.Traced(os.Getenv) {
		return nil, nil, nil
	}
	t, err := telemetry.New(telemetry.Options{Version: cfg.Version, Logger: log})
	if err != nil || cfg.MetricsListen == "" {
		return t, nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.MetricsListen)
	if err != nil {
		return nil, nil, fmt.Errorf("metrics-listen: %s cannot be bound (%w): stop what runs there, or name another address with --metrics-listen", cfg.MetricsListen, bindReason(err))
	}
	return t, listener, nil
}

// MetricsURL is where Prometheus finds the metrics; empty if they are not served.
func (s *Server) MetricsURL() string {
	if s.metrics == nil {
		return ""
	}
	return "http://" + s.metrics.Addr().String() + "/metrics"
}

// serveMetrics answers Prometheus on a listener of its own until stop is called.
func (s *Server) serveMetrics() (stop func()) {
	if s.metrics == nil {
		return func() {}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.telemetry.Metrics())
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: readTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	go func() {
		err := srv.Serve(s.metrics)
		if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) { // whichever is closed first
			s.log.Error("metrics are not served any more", slog.Any("error", err))
		}
	}()
	return func() { _ = srv.Close() }
}

// closeTelemetry ends what openTelemetry began, for a server that never ran or has
// ended.
func (s *Server) closeTelemetry(ctx context.Context) error {
	var errs []error
	if s.metrics != nil {
		if err := s.metrics.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.telemetry != nil {
		errs = append(errs, s.telemetry.Close(ctx))
	}
	return errors.Join(errs...)
}
