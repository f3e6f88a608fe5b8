package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/httpapi"
)

const (
	connections = 64
	httpTurns   = 9
	httpWindow  = time.Second

	httpGoal  = 0.25
	cpuGoal   = 5.5
	auditHTTP = 0.85
)

// A requester makes the request of one measure.
type requester func(ctx context.Context, base string) (*http.Request, error)

func getHello(ctx context.Context, base string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodGet, base+"/", http.NoBody)
}

func (b *bench) postResolve(ctx context.Context, base string) (*http.Request, error) {
	body := strings.NewReader(`{"scopes":["repo"],"release":"token"}`)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/credentials/github/resolve", body)
	if err == nil {
		r.Header.Set("Authorization", "Bearer "+b.seeded.nextKey().Reveal())
		r.Header.Set("Content-Type", "application/json")
	}
	return r, err
}

// A contestant is a server that takes turns with others.
type contestant struct {
	*process
	client  *http.Client
	request requester
	rates   []float64 // requests per second, by turn
	costs   []float64 // CPU time per request in µs, by turn
}

// http compares the shipped binary with its default configuration, over HTTP with
// key and audit, with the floor; and the API with audit with the API without.
func (b *bench) http(ctx context.Context) ([]result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	data := filepath.Dir(b.seeded.path)
	var all []*contestant
	for _, c := range []struct {
		request requester
		command []string
	}{
		{getHello, []string{b.hello}},
		{b.postResolve, append([]string{b.binary}, b.serveArgs()...)},
		{b.postResolve, []string{self, "-serve", data, "-audit=true"}},
		{b.postResolve, []string{self, "-serve", data, "-audit=false"}},
	} {
		p, err := launch(ctx, c.command[0], c.command[1:]...)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		all = append(all, &contestant{process: p, request: c.request, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}})
	}
	for turn := range httpTurns + 1 { // the first warms up
		for _, c := range all {
			if err := c.turn(ctx, turn > 0); err != nil {
				return nil, err
			}
		}
	}
	hello, ours, audited, silent := all[0], all[1], all[2], all[3]
	return []result{
		{
			name: "http_resolve_rate", ratio: median(ratios(ours.rates, hello.rates)), goal: httpGoal, atLeast: true,
			detail: fmt.Sprintf("%.0f/s against %.0f/s of net/http", median(ours.rates), median(hello.rates)),
		},
		{
			name: "http_resolve_cpu", ratio: median(ratios(ours.costs, hello.costs)), goal: cpuGoal,
			detail: fmt.Sprintf("%.0f µs of CPU per request against %.0f µs of net/http", median(ours.costs), median(hello.costs)),
		},
		{
			name: "http_audit_rate", ratio: median(ratios(audited.rates, silent.rates)), goal: auditHTTP, atLeast: true,
			detail: fmt.Sprintf("%.0f/s with audit, %.0f/s without", median(audited.rates), median(silent.rates)),
		},
	}, nil
}

func ratios(a, b []float64) []float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / b[i]
	}
	return all
}

// turn loads the server for one window.
func (c *contestant) turn(ctx context.Context, counts bool) error {
	before, err := c.cpu()
	if err != nil {
		return err
	}
	begun := time.Now()
	var answers atomic.Int64
	var group errgroup.Group
	for range connections {
		group.Go(func() error {
			for time.Since(begun) < httpWindow {
				if err := once(ctx, c.client, c.base, c.request); err != nil {
					return err
				}
				answers.Add(1)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	took := time.Since(begun)
	after, err := c.cpu()
	if counts {
		n := float64(answers.Load())
		c.rates, c.costs = append(c.rates, n/took.Seconds()), append(c.costs, float64((after-before).Microseconds())/n)
	}
	return err
}

func once(ctx context.Context, client *http.Client, base string, request requester) error {
	r, err := request(ctx, base)
	if err != nil {
		return err
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New("status " + strconv.Itoa(res.StatusCode))
	}
	return nil
}

// serveAPI serves the API of a seeded directory with or without audit, which the
// shipped binary does not offer.
func serveAPI(ctx context.Context, dir, dsn string, audit bool) error {
	opts := seedOptions{dir: dir}
	mode := tokenvault.AuditOff
	if audit {
		mode = tokenvault.AuditSync
	}
	opts.audit = mode
	if dsn != "" {
		at, err := newPool(ctx, dsn)
		if err != nil {
			return err
		}
		opts.pg = at
	}
	s, err := open(ctx, opts)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("Serving http://%s\n", listener.Addr())
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: httpapi.NewV1Handler(s.vault, nil)}
	go func() { <-ctx.Done(); _ = srv.Close() }()
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return s.close(context.WithoutCancel(ctx))
}
