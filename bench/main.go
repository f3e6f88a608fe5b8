// Command bench measures tokenvault as ratios against floors that are measured in
// the same run: the same SQL statement, net/http's hello, an HTTPS round trip, one
// commit per write. What is compared takes turns, and the ratio is the median of
// the turns' ratios. It prints one line per measure:
//
//	BENCH <name> ratio=<x> goal=<y> <ok|short> (<detail>)
//
// A cost is ok at or below its goal, a rate at or above. Sizes are absolute, in
// the unit that the detail names. It needs Linux, whose /proc tells what a process
// costs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

func main() {
	binary := flag.String("binary", "bin/tokenvault", "the binary to measure")
	serve := flag.String("serve", "", "serve this data directory (used by bench itself)")
	audit := flag.Bool("audit", true, "with -serve: write audit entries")
	dsn := flag.String("dsn", "", "with -serve: of a PostgreSQL database in place of the directory's")
	only := flag.String("only", "", "a regular expression: the groups of measures to take; default all")
	store := flag.String("store", "sqlite", "sqlite, or postgres: measure on a PostgreSQL that is started for it")
	live := flag.String("view", "", "serve a vault with browsers, with its key in this directory (used by bench itself)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() error { return measureOn(ctx, *binary, *store, *only) }
	if *serve != "" {
		run = func() error { return serveAPI(ctx, *serve, *dsn, *audit) }
	}
	if *live != "" {
		run = func() error { return serveView(ctx, *live) }
	}
	if err := run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A result is one measure against its goal.
type result struct {
	name        string
	ratio, goal float64
	atLeast     bool // a rate: the ratio must be at least the goal
	detail      string
}

func (r result) print() {
	verdict := "short"
	if r.atLeast && r.ratio >= r.goal || !r.atLeast && r.ratio <= r.goal {
		verdict = "ok"
	}
	fmt.Printf("BENCH %s ratio=%.2f goal=%.2f %s (%s)\n", r.name, r.ratio, r.goal, verdict, r.detail)
}

// A bench is what the measures share.
type bench struct {
	wanted    *regexp.Regexp // by the names of measures
	dir       string         // for what they write
	binary    string
	hello     string     // the floor's binary
	statement *statement // that a resolve runs
	seeded    *seeded
}

// A measure gives results.
type measure struct {
	name string
	run  func(context.Context) ([]result, error)
}

func (b *bench) runAll(ctx context.Context, all []measure) error {
	for _, m := range all {
		if !b.wanted.MatchString(m.name) {
			continue
		}
		results, err := m.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		for _, r := range results {
			r.print()
		}
	}
	return nil
}

func measureOn(ctx context.Context, binary, store, only string) (err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tokenvault-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{wanted: wanted, dir: dir, binary: binary, hello: filepath.Join(dir, "hello")}
	if err := b.build(ctx); err != nil {
		return err
	}
	if store == "postgres" {
		return measurePostgres(ctx, b)
	}
	if b.seeded, err = seed(ctx, seedOptions{dir: filepath.Join(dir, "data")}); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	err = b.runAll(ctx, []measure{
		{"counters", b.counters},
		{"library", b.library},
		{"concurrent", b.concurrent},
		{"refresh", b.refresh},
		{"footprint", b.footprint},
		{"http", b.http},
		{"browser", b.browser},
	})
	return errors.Join(err, b.seeded.close(ctx))
}

// build builds the floor as our binary is built.
func (b *bench) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.hello, "./bench/hello") //nolint:gosec // our own program
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the floor: %w\n%s", err, out)
	}
	return nil
}
