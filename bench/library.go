package main

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

const (
	rounds  = 6000 // of single calls
	callers = 64
	turns   = 7                      // of loads
	window  = 400 * time.Millisecond // of one load

	resolveGoal = 1.5
	auditGoal   = 2.2
	groupGoal   = 4
)

// A floor is the least that a resolve costs: its SQL statement, every column read,
// and one AES-GCM open of a credential's size.
type floor struct {
	db   *sql.DB
	stmt *sql.Stmt
	args []any
	cols int
	aead cipher.AEAD
	blob []byte
}

func (b *bench) newFloor(ctx context.Context) (*floor, error) {
	f := &floor{args: b.statement.args}
	var err error
	if f.aead, err = envelope.NewAEAD(make([]byte, envelope.KeySize)); err != nil {
		return nil, err
	}
	f.blob = envelope.Seal(f.aead, 1, make([]byte, 200), nil)
	if f.db, err = sql.Open("sqlite", fileURL(b.seeded.path, "_pragma=query_only(1)")); err != nil {
		return nil, err
	}
	f.db.SetMaxOpenConns(4) // as many as the store has readers
	f.db.SetMaxIdleConns(4)
	if f.stmt, err = f.db.PrepareContext(ctx, b.statement.text); err != nil {
		return nil, errors.Join(err, f.db.Close())
	}
	rows, err := f.stmt.QueryContext(ctx, f.args...)
	if err != nil {
		return nil, errors.Join(err, f.db.Close())
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	f.cols = len(columns)
	return f, errors.Join(err, rows.Err())
}

// fileURL is the driver's name of a database in WAL mode with FULL commits.
func fileURL(path, more string) string {
	u := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate&" + more}
	return u.String()
}

func (f *floor) call(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // the driver would watch it, which the store saves
	rows, err := f.stmt.QueryContext(ctx, f.args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	dest := make([]any, f.cols)
	for i := range dest {
		dest[i] = new(sql.RawBytes)
	}
	found := false
	for rows.Next() {
		found = true
		if err := rows.Scan(dest...); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil || !found {
		return errors.Join(err, errors.New("the floor finds no row"))
	}
	_, err = envelope.Open(f.aead, f.blob, nil)
	return err
}

// library compares a warm resolve of one caller, without audit, with the floor,
// call by call in turn.
func (b *bench) library(ctx context.Context) ([]result, error) {
	f, err := b.newFloor(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.db.Close() }()
	silent, err := b.seeded.newVault(tokenvault.AuditOff)
	if err != nil {
		return nil, err
	}
	defer func() { _ = silent.Close(ctx) }()
	least, ours, err := inTurn(rounds, func() error { return f.call(ctx) }, func() error { return b.seeded.resolve(ctx, silent) })
	return []result{{
		name: "library_resolve_p50", ratio: float64(ours) / float64(least), goal: resolveGoal,
		detail: fmt.Sprintf("resolve %s, same statement and open %s", ours, least),
	}}, err
}

// inTurn runs two calls by turns and returns the median time of each.
func inTurn(n int, a, b func() error) (medianA, medianB time.Duration, err error) {
	as, bs, err := inTurnAll(n, a, b)
	if err != nil {
		return 0, 0, err
	}
	return median(as), median(bs), nil
}

// inTurnAll runs two calls by turns and returns all times.
func inTurnAll(n int, a, b func() error) (as, bs []time.Duration, err error) {
	for range n {
		begun := time.Now()
		if err := a(); err != nil {
			return nil, nil, err
		}
		between := time.Now()
		if err := b(); err != nil {
			return nil, nil, err
		}
		as, bs = append(as, between.Sub(begun)), append(bs, time.Since(between))
	}
	return as, bs, nil
}

func median[T time.Duration | float64](all []T) T { return quantile(all, 0.5) }

func quantile[T time.Duration | float64](all []T, q float64) T {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[int(q*float64(len(all)))]
}

// concurrent compares 64 callers of an audited resolve with 64 callers of the
// floor, and with 64 writers that commit each audit entry alone.
func (b *bench) concurrent(ctx context.Context) ([]result, error) {
	f, err := b.newFloor(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.db.Close() }()
	event := tokenvault.Event{Kind: tokenvault.EventReleased, Tenant: "default", ActorKind: tokenvault.ActorAgent, ActorID: "bench", Owner: b.seeded.agent.Owner, ProviderID: "github"}
	var least, ours, single, floorRatios, groupRatios []float64
	for range turns {
		var rates [3]float64
		for i, call := range []func() error{
			func() error { return f.call(ctx) },
			func() error { return b.seeded.resolve(ctx, b.seeded.vault) },
			func() error { return b.seeded.store.AppendAudit(ctx, []tokenvault.Event{event}) },
		} {
			if rates[i], err = together(call); err != nil {
				return nil, err
			}
		}
		least, ours, single = append(least, rates[0]), append(ours, rates[1]), append(single, rates[2])
		floorRatios, groupRatios = append(floorRatios, rates[0]/rates[1]), append(groupRatios, rates[1]/rates[2])
	}
	return []result{
		{
			name: "library_audited_64", ratio: median(floorRatios), goal: auditGoal,
			detail: fmt.Sprintf("floor %.0f/s, audited resolve %.0f/s", median(least), median(ours)),
		},
		{
			name: "group_commit_64", ratio: median(groupRatios), goal: groupGoal, atLeast: true,
			detail: fmt.Sprintf("audited resolve %.0f/s, one commit per entry %.0f/s", median(ours), median(single)),
		},
	}, nil
}

// together lets all callers call for one window, and returns calls per second.
func together(call func() error) (float64, error) {
	var calls atomic.Int64
	var group errgroup.Group
	begun := time.Now()
	for range callers {
		group.Go(func() error {
			for time.Since(begun) < window {
				if err := call(); err != nil {
					return err
				}
				calls.Add(1)
			}
			return nil
		})
	}
	err := group.Wait()
	return float64(calls.Load()) / time.Since(begun).Seconds(), err
}
