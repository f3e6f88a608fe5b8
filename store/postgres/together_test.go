package postgres

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ai-token-vault/tokenvault"
)

// A crowd is hot reads that wait, since no round trip is free.
type crowd struct {
	*Store
	results chan crowdResult
	size    int
}

type crowdResult struct {
	query tokenvault.FindQuery
	found tokenvault.Found
	err   error
}

func crowdAt(t *testing.T, s *Store, queries ...tokenvault.FindQuery) *crowd {
	t.Helper()
	c := &crowd{Store: s, results: make(chan crowdResult), size: len(queries)}
	for s.hot.begin(tokenvault.FindQuery{}) == nil { // until none is free, and one waits
		continue
	}
	s.hot.leave(s.hot.waiting[0])
	for _, q := range queries {
		go func() {
			found, err := s.FindUsable(t.Context(), q)
			c.results <- crowdResult{q, found, err}
		}()
	}
	c.await(t, len(queries))
	return c
}

// await returns when so many wait.
func (c *crowd) await(t *testing.T, n int) {
	t.Helper()
	for t.Context().Err() == nil {
		c.hot.mu.Lock()
		waiting := len(c.hot.waiting)
		c.hot.mu.Unlock()
		if waiting == n {
			return
		}
		runtime.Gosched()
	}
}

// check ends one round trip of another, and checks every answer.
func (c *crowd) check(t *testing.T) {
	t.Helper()
	c.nextTogether()
	for range c.size {
		r := <-c.results
		want := 0
		if r.query.Owner.UserID == "alice" {
			want = 2
		}
		switch poisoned := strings.Contains(r.query.ConnectionID, "\x00"); {
		case poisoned && r.err == nil, !poisoned && r.err != nil, !poisoned && len(r.found.Candidates) != want:
			t.Errorf("%+v: %d connections, %v", r.query, len(r.found.Candidates), r.err)
		case want > 0 && !poisoned && (r.found.Now.IsZero() || r.found.Candidates[0].ID != "cn_1" || r.found.Candidates[0].Permission == nil):
			t.Errorf("%+v: %+v", r.query, r.found)
		}
	}
}

func hotQueries(n int) (queries []tokenvault.FindQuery) {
	for i := range n {
		user := fmt.Sprint("user-", i)
		if i%2 == 0 {
			user = "alice"
		}
		queries = append(queries, tokenvault.FindQuery{Owner: tokenvault.Owner{Tenant: "t1", UserID: user}, AgentID: "agent", ProviderID: "github"})
	}
	return queries
}

func TestReadsThatWaitShareARoundTrip(t *testing.T) {
	dsn := newTemplate(t).dsn
	fill(t, openAt(t, dsn, nil), "t1")
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeExec} {
		t.Run(mode.String(), func(t *testing.T) {
			p := newProxy(t, dsn)
			config, err := pgxpool.ParseConfig(p.dsn)
			if err != nil {
				t.Fatal(err)
			}
			config.MaxConns, config.ConnConfig.DefaultQueryExecMode = 1, mode
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			s, err := New(t.Context(), pool, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				c := crowdAt(t, s, hotQueries(mostTogether)...)
				before := p.trips.Load()
				c.check(t)
				if n := p.trips.Load() - before; i > 0 && n != 1 { // the first one prepares
					t.Errorf("%d reads in %d round trips, want 1", mostTogether, n)
				}
				c.settled(t)
			}
			crowdAt(t, s, hotQueries(mostTogether+1)...).check(t) // those of the next round trip are answered too
		})
	}
}

// settled returns when the round trip of the crowd has ended, and one is free.
func (c *crowd) settled(t *testing.T) {
	t.Helper()
	for t.Context().Err() == nil {
		c.hot.mu.Lock()
		free, waiting := c.hot.free, len(c.hot.waiting)
		c.hot.mu.Unlock()
		if free == 1 && waiting == 0 {
			return
		}
		runtime.Gosched()
	}
}

// A read that the database refuses fails for itself alone.
func TestARefusedReadFailsAlone(t *testing.T) {
	s := openAt(t, newTemplate(t).dsn, nil)
	fill(t, s, "t1")
	queries := hotQueries(9)
	queries[4].ConnectionID = "\x00"
	c := crowdAt(t, s, queries...)
	c.check(t)
}

// Who gives up leaves, and nobody else notices.
func TestAWaitingReadIsGivenUp(t *testing.T) {
	s := openAt(t, newTemplate(t).dsn, nil)
	fill(t, s, "t1")
	c := crowdAt(t, s, hotQueries(4)...)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := s.FindUsable(ctx, hotQueries(1)[0])
		gone <- err
	}()
	c.await(t, 5)
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v", err)
	}
	c.await(t, 4)
	c.check(t)
}

// Connections that died are replaced, for many reads as for one.
func TestWaitingReadsOutliveTheirConnection(t *testing.T) {
	dsn := newTemplate(t).dsn
	s := openAt(t, dsn, nil)
	fill(t, s, "t1")
	c := crowdAt(t, s, hotQueries(8)...)
	server.Exec(t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tokenvault'`)
	c.check(t)
}
