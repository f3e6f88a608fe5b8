// Command bench measures the hot path as ratios against floors that are measured
// in the same run, on the shipped binary with its default configuration. It
// prints one line per measure:
//
//	BENCH <name> ratio=<x> goal=<y> <ok|short>
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	hello := flag.Bool("hello", false, "serve the HTTP floor (used by bench itself)")
	binary := flag.String("binary", "bin/tokenvault", "the binary to measure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := func() error { return measure(ctx, *binary) }
	if *hello {
		run = func() error { return serveHello(ctx) }
	}
	if err := run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A result is one measure against its goal. For a cost the ratio must be at most
// the goal, for a rate at least.
type result struct {
	name        string
	ratio, goal float64
	atLeast     bool
	detail      string
}

func (r result) print() {
	verdict := "short"
	if r.atLeast && r.ratio >= r.goal || !r.atLeast && r.ratio <= r.goal {
		verdict = "ok"
	}
	fmt.Printf("BENCH %s ratio=%.2f goal=%.2f %s (%s)\n", r.name, r.ratio, r.goal, verdict, r.detail)
}

func measure(ctx context.Context, binary string) (err error) {
	dir, err := os.MkdirTemp("", "tokenvault-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	s, err := seedStore(ctx, data)
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	library, err := s.resolveRatio(ctx)
	if err != nil {
		return fmt.Errorf("library: %w", err)
	}
	library.print()
	if err := s.close(ctx); err != nil {
		return err
	}
	http, err := httpRatio(ctx, binary, data, s.key)
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	http.print()
	return nil
}
