package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/ai-token-vault/tokenvault/server"
)

type serveCmd struct{}

// Help explains what the first start does.
func (serveCmd) Help() string {
	return `The first start creates the data directory, the database and the root key, and
says so. Back the root key up: without it stored credentials cannot be read.

In mode local it prints a one-time link; the browser that opens it is the user's
from then on. Stop the server with SIGTERM or Ctrl-C: it finishes what is under
way first.`
}

// tuneGC lets the heap grow to five times what is live, unless the environment says
// otherwise. A server has little that lives and makes much that does not: collecting
// at twice the live heap, Go's default, costs a fifth of its time.
func tuneGC() {
	const percent = 400
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// Run serves until the process is told to stop.
func (serveCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	tuneGC()
	s, err := server.New(ctx, cfg, server.NewLogger(std.err, cfg.LogLevel, cfg.LogFormat))
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(std.out, format+"\n", args...) }
	if s.Opened.CreatedDir != "" {
		say("Created data directory %s", s.Opened.CreatedDir)
	}
	if s.Opened.CreatedKey != "" {
		say("Created root key %s: back it up, without it stored credentials cannot be read", s.Opened.CreatedKey)
	}
	if s.MetricsURL() != "" {
		say("Metrics are at %s", s.MetricsURL())
	}
	say("Serving %s", s.URL)
	link, err := s.SignInLink()
	if err != nil {
		return err
	}
	if link != "" {
		say("Sign in with this link, once, within 15 minutes: %s", link)
	}
	return s.Run(ctx)
}
