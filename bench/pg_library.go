package main

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

const pgResolveGoal = 1.4

// A pgFloor is the least that a resolve costs: its SQL statement by bare pgx, and one
// AES-GCM open of a credential's size.
type pgFloor struct {
	pool *pool
	aead cipher.AEAD
	blob []byte
}

func newPGFloor(p *pool) (*pgFloor, error) {
	aead, err := envelope.NewAEAD(make([]byte, envelope.KeySize))
	if err != nil {
		return nil, err
	}
	return &pgFloor{pool: p, aead: aead, blob: envelope.Seal(aead, 1, make([]byte, 200), nil)}, nil
}

// call reads the rows and decodes no column.
func (f *pgFloor) call(ctx context.Context) error {
	rows, err := f.pool.Query(ctx, f.pool.last.text, f.pool.last.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		found = len(rows.RawValues()) > 1
	}
	if err := rows.Err(); err != nil || !found {
		return errors.Join(err, errors.New("the floor finds no row"))
	}
	_, err = envelope.Open(f.aead, f.blob, nil)
	return err
}

// counters counts the round trips to the database, exactly.
func (p *pgBench) counters(ctx context.Context) ([]result, error) {
	silent, err := p.few.newVault(tokenvault.AuditOff)
	if err != nil {
		return nil, err
	}
	defer func() { _ = silent.Close(ctx) }()
	count := func(v *tokenvault.Vault) (float64, error) {
		if err := p.few.resolve(ctx, v); err != nil { // opens data key and connections
			return 0, err
		}
		before := p.few.pool.trips.Load()
		for range countedResolves {
			if err := p.few.resolve(ctx, v); err != nil {
				return 0, err
			}
		}
		return float64(p.few.pool.trips.Load()-before) / countedResolves, nil
	}
	plain, err := count(silent)
	if err != nil {
		return nil, err
	}
	audited, err := count(p.few.vault)
	if err != nil {
		return nil, err
	}
	return []result{
		{name: "pg_warm_resolve_round_trips", ratio: plain, goal: 1, detail: "per resolve, without audit"},
		{name: "pg_audited_resolve_round_trips", ratio: audited, goal: 3, detail: "per resolve of one caller, with the commit of its audit entry"},
	}, nil
}

// library compares a warm resolve with the floor, and one caller with 64.
func (p *pgBench) library(ctx context.Context) ([]result, error) {
	silent, err := p.few.newVault(tokenvault.AuditOff)
	if err != nil {
		return nil, err
	}
	defer func() { _ = silent.Close(ctx) }()
	if err := p.few.resolve(ctx, silent); err != nil { // whose statement the floor takes
		return nil, err
	}
	f, err := newPGFloor(p.few.pool)
	if err != nil {
		return nil, err
	}
	least, ours, err := inTurn(rounds, func() error { return f.call(ctx) }, func() error { return p.few.resolve(ctx, silent) })
	if err != nil {
		return nil, err
	}
	var floors, resolves, audits, silentRatios, auditRatios []float64
	for range turns {
		var rates [3]float64
		for i, call := range []func() error{
			func() error { return f.call(ctx) },
			func() error { return p.few.resolve(ctx, silent) },
			func() error { return p.few.resolve(ctx, p.few.vault) },
		} {
			if rates[i], err = together(call); err != nil {
				return nil, err
			}
		}
		floors, resolves, audits = append(floors, rates[0]), append(resolves, rates[1]), append(audits, rates[2])
		silentRatios, auditRatios = append(silentRatios, rates[0]/rates[1]), append(auditRatios, rates[0]/rates[2])
	}
	return []result{
		{
			name: "pg_library_resolve_p50", ratio: float64(ours) / float64(least), goal: pgResolveGoal,
			detail: fmt.Sprintf("resolve %s, same statement and open %s", ours, least),
		},
		{
			name: "pg_library_resolve_64", ratio: median(silentRatios), goal: pgResolveGoal,
			detail: fmt.Sprintf("floor %.0f/s, resolve without audit %.0f/s", median(floors), median(resolves)),
		},
		{
			name: "pg_library_audited_64", ratio: median(auditRatios), goal: auditGoal,
			detail: fmt.Sprintf("floor %.0f/s, audited resolve %.0f/s", median(floors), median(audits)),
		},
	}, nil
}
