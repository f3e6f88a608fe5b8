package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/httpapi"
	"github.com/ai-token-vault/tokenvault/pages"
	"github.com/ai-token-vault/tokenvault/signin"
	"github.com/ai-token-vault/tokenvault/telemetry"
)

const (
	headerTimeout   = 10 * time.Second
	readTimeout     = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 15 * time.Second
	closeTimeout    = 40 * time.Second
)

// A Server is a vault with its HTTP server. Make one with [New], then [Server.Run].
type Server struct {
	// Opened is the vault that is served.
	Opened *Opened
	// URL is where browsers reach the server.
	URL string

	cfg       Config
	files     userFiles
	log       *slog.Logger
	listener  net.Listener
	local     *signin.Local // nil unless mode is local
	handler   http.Handler
	telemetry *telemetry.Telemetry // nil: nothing is observed
	metrics   net.Listener         // nil: metrics are not served
}

// New binds the address, opens the vault and builds the handlers. Nothing is
// served before Run.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	files, err := readUserFiles(cfg)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %s cannot be bound (%w): stop the server that runs there, or name another address with --listen", cfg.Listen, bindReason(err))
	}
	if cfg.PublicURL == "" {
		cfg.PublicURL = "http://" + listener.Addr().String()
	}
	s := &Server{cfg: cfg, files: files, log: slog.New(telemetry.Logs(log.Handler())), listener: listener, URL: cfg.PublicURL}
	if s.telemetry, s.metrics, err = openTelemetry(ctx, cfg, log); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if s.Opened, err = s.open(ctx); err != nil {
		return nil, errors.Join(err, listener.Close(), s.closeTelemetry(ctx))
	}
	if err := s.build(); err != nil {
		return nil, errors.Join(err, listener.Close(), s.Opened.Close(ctx), s.closeTelemetry(ctx))
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) (*Opened, error) {
	var observer tokenvault.Observer
	if s.telemetry != nil {
		observer = s.telemetry
	}
	browser, err := openBrowser(ctx, s.cfg, s.log)
	if err != nil {
		return nil, err
	}
	opened, err := open(ctx, s.cfg, s.log, observer, browser)
	if err != nil && browser != nil {
		err = errors.Join(err, browser.Close())
	}
	if err == nil && s.telemetry != nil {
		s.telemetry.Watch(opened.Vault)
	}
	return opened, err
}

// bindReason is the system's error without the operation and the address.
func bindReason(err error) error {
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		return failed.Err
	}
	return err
}

func (s *Server) build() error {
	v, mux := s.Opened.Vault, http.NewServeMux()
	auth, err := s.authenticator(mux)
	if err != nil {
		return err
	}
	proxies, err := s.cfg.trustedProxies()
	if err != nil {
		return err
	}
	api := &httpapi.Options{Logger: s.log, Limits: httpapi.Limits{
		PerKey: s.cfg.LimitKey, PerUser: s.cfg.LimitUser, Failures: s.cfg.LimitFailures, Waits: s.cfg.LimitWaits,
	}}
	mux.Handle(v.Mount()+"/", httpapi.NewHandler(v, auth, api))
	mux.Handle("/v1/", httpapi.NewV1Handler(v, api))
	mux.Handle("GET /healthz", httpapi.Health())
	mux.Handle("GET /readyz", httpapi.Ready(v))
	page := pages.NewHandler(v, auth, &pages.Options{Logger: s.log, Limits: pages.Limits{
		PerUser: s.cfg.LimitUser, Starts: s.cfg.LimitConnects,
	}})
	mux.Handle("/connect/", page)
	mux.Handle("/assets/", page)
	mux.Handle("GET /{$}", http.RedirectHandler("/connect/accounts", http.StatusSeeOther))
	s.handler = logRequests(mux, s.log)
	if s.telemetry != nil {
		s.handler = s.telemetry.Handler(s.handler)
	}
	s.handler = fromProxies(proxies, s.handler)
	return nil
}

// SignInLink returns a one-time link by which the local user's browser is
// recognised from then on; empty in other modes.
func (s *Server) SignInLink() (string, error) {
	if s.local == nil {
		return "", nil
	}
	return s.local.SignInLink(s.URL)
}

// Run serves until ctx ends, then drains: waiting calls are answered, refreshes
// under way are finished, and the audit log is flushed.
func (s *Server) Run(ctx context.Context) error {
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer endRequests()
	srv := &http.Server{
		Handler: endWaits(ctx, s.handler), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		BaseContext: func(net.Listener) context.Context { return requests },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	worked := make(chan error, 1)
	go func() { worked <- s.Opened.Vault.Run(background) }()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.listener) }()

	defer s.serveMetrics()()

	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		s.log.Info("draining")
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err = srv.Shutdown(stop)
	}
	stopBackground()
	err = errors.Join(err, <-worked)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(err, s.Opened.Close(closing), s.closeTelemetry(closing))
}
