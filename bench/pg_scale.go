package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	hotGoal   = 1.2
	listGoal  = 1.5
	sweepGoal = 1.5
	sizeGoal  = 4    // GB a million
	entryGoal = 1000 // bytes
	sweeps    = 200
	lookBatch = 100
)

// scale compares a million connections with 10,000, for the same users.
func (p *pgBench) scale(ctx context.Context) ([]result, error) {
	if err := p.grow(ctx); err != nil {
		return nil, err
	}
	few, err := p.few.newVault(tokenvault.AuditOff)
	if err != nil {
		return nil, err
	}
	defer func() { _ = few.Close(ctx) }()
	many, err := p.many.newVault(tokenvault.AuditOff)
	if err != nil {
		return nil, err
	}
	defer func() { _ = many.Close(ctx) }()
	resolve := func(v *tokenvault.Vault) func() error {
		i := 0
		return func() error {
			i++
			_, err := v.Resolve(ctx, agentOf(hotUser(i%hotUsers)), p.few.request())
			return err
		}
	}
	list := func(v *tokenvault.Vault) func() error {
		i := 0
		return func() error {
			i++
			_, err := v.Connections(ctx, userOf(agentOf(hotUser(i%hotUsers))), tokenvault.Page{Limit: lookBatch})
			return err
		}
	}
	sweep := func(s tokenvault.Store) func() error {
		return func() error {
			if _, err := s.ExpireAuthRequests(ctx, lookBatch); err != nil {
				return err
			}
			_, err := s.ClaimConnections(ctx, tokenvault.DefaultTenant, lookBatch, time.Hour)
			return err
		}
	}
	var results []result
	for _, m := range []struct {
		name      string
		goal      float64
		n         int
		few, many func() error
	}{
		{"pg_hot_resolve_1m", hotGoal, rounds, resolve(few), resolve(many)},
		{"pg_list_1m", listGoal, rounds / 3, list(few), list(many)},
		{"pg_sweep_1m", sweepGoal, sweeps, sweep(p.few.store), sweep(p.many.store)},
	} {
		if _, _, err := inTurn(hotUsers, m.few, m.many); err != nil { // fills the caches
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		small, large, err := inTurn(m.n, m.few, m.many)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		results = append(results, result{
			name: m.name, ratio: float64(large) / float64(small), goal: m.goal,
			detail: fmt.Sprintf("p50 %s at %d connections, %s at %d", large, manyRows, small, fewRows),
		})
	}
	return results, nil
}

// grow adds what is missing to a million.
func (p *pgBench) grow(ctx context.Context) error {
	if p.grown {
		return nil
	}
	p.grown = true
	return p.add(ctx, manyName, manyRows-fewRows)
}

// size returns what a million connections take on disk, with their permissions and
// auth requests and all indexes.
func (p *pgBench) size(ctx context.Context) ([]result, error) {
	if err := p.grow(ctx); err != nil {
		return nil, err
	}
	var connections, permissions, requests, indexes int64
	err := p.ask(ctx, manyName, `SELECT pg_table_size('tokenvault.connections'), pg_total_relation_size('tokenvault.permissions'),
		pg_total_relation_size('tokenvault.auth_requests'), pg_indexes_size('tokenvault.connections')`, &connections, &permissions, &requests, &indexes)
	if err != nil {
		return nil, err
	}
	var entry float64
	err = p.ask(ctx, p.few.pool.Config().ConnConfig.Database, `SELECT pg_total_relation_size('tokenvault.audit')::float8 / count(*) FROM tokenvault.audit`, &entry)
	if err != nil {
		return nil, err
	}
	gb := func(n int64) float64 { return float64(n) / 1e9 }
	return []result{{
		name: "pg_audit_entry", ratio: entry, goal: entryGoal, detail: "bytes on disk, with its indexes",
	}, {
		name: "pg_size_1m", ratio: gb(connections + permissions + requests + indexes), goal: sizeGoal,
		detail: fmt.Sprintf("GB: connections %.2f and their indexes %.2f, permissions %.2f, settled auth requests %.2f",
			gb(connections), gb(indexes), gb(permissions), gb(requests)),
	}}, nil
}
