package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const (
	pgHTTPGoal  = 0.2
	pgAuditHTTP = 0.5
)

// http compares the shipped binary on PostgreSQL, with its default configuration,
// over HTTP with key and audit, with the floor; and the API with audit with the API
// without.
func (p *pgBench) http(ctx context.Context) ([]result, error) {
	dsnFile := filepath.Join(p.dir, "dsn")
	if err := os.WriteFile(dsnFile, []byte(p.few.pool.dsn), 0o600); err != nil {
		return nil, err
	}
	p.seeded = p.few
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var all []*contestant
	for _, c := range []struct {
		request requester
		command []string
	}{
		{getHello, []string{p.hello}},
		{p.postResolve, []string{p.binary, "serve", "--data-dir", p.data(), "--database-url-file", dsnFile, "--listen", "127.0.0.1:0"}},
		{p.postResolve, []string{self, "-serve", p.data(), "-dsn", p.few.pool.dsn, "-audit=true"}},
		{p.postResolve, []string{self, "-serve", p.data(), "-dsn", p.few.pool.dsn, "-audit=false"}},
	} {
		server, err := launch(ctx, c.command[0], c.command[1:]...)
		if err != nil {
			return nil, err
		}
		defer server.stop()
		all = append(all, &contestant{process: server, request: c.request, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}})
	}
	var database []float64 // CPU per request in µs, of the shipped binary's turns
	for turn := range httpTurns + 1 {
		for i, c := range all {
			before, err := p.cpu()
			if err != nil {
				return nil, err
			}
			if err := c.turn(ctx, turn > 0); err != nil {
				return nil, err
			}
			after, err := p.cpu()
			if err != nil {
				return nil, err
			}
			if i == 1 && turn > 0 {
				requests := c.rates[len(c.rates)-1] * httpWindow.Seconds()
				database = append(database, float64((after-before)/time.Microsecond)/requests)
			}
		}
	}
	memory, err := all[1].rss()
	if err != nil {
		return nil, err
	}
	hello, ours, audited, silent := all[0], all[1], all[2], all[3]
	return []result{
		{
			name: "pg_http_resolve_rate", ratio: median(ratios(ours.rates, hello.rates)), goal: pgHTTPGoal, atLeast: true,
			detail: fmt.Sprintf("%.0f/s against %.0f/s of net/http; %.0f µs of CPU per request, the database %.0f; %.0f MiB",
				median(ours.rates), median(hello.rates), median(ours.costs), median(database), memory),
		},
		{
			name: "pg_http_silent_rate", ratio: median(ratios(silent.rates, hello.rates)), goal: pgHTTPGoal, atLeast: true,
			detail: fmt.Sprintf("%.0f/s without audit against %.0f/s of net/http", median(silent.rates), median(hello.rates)),
		},
		{
			name: "pg_http_audit_rate", ratio: median(ratios(audited.rates, silent.rates)), goal: pgAuditHTTP, atLeast: true,
			detail: fmt.Sprintf("%.0f/s with audit, %.0f/s without", median(audited.rates), median(silent.rates)),
		},
	}, nil
}
