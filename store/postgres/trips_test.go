package postgres

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// Whoever makes a command take more round trips has to change this test.
func TestRoundTrips(t *testing.T) {
	dsn := newTemplate(t).dsn
	fill(t, openAt(t, dsn, nil), "t1")
	p := newProxy(t, dsn)
	s := openAt(t, p.dsn, &Options{MaxConns: 1})
	ctx, owner := t.Context(), tokenvault.Owner{Tenant: "t1", UserID: "alice"}
	version := int64(1)
	var turn tokenvault.RefreshTurn
	for _, c := range []struct {
		name string
		most int64
		run  func() error
	}{
		{"find usable", 1, func() error {
			_, err := s.FindUsable(ctx, tokenvault.FindQuery{Owner: owner, AgentID: "agent", ProviderID: "github"})
			return err
		}},
		{"append audit", 2, func() error {
			return s.AppendAudit(ctx, []tokenvault.Event{{Kind: tokenvault.EventReleased, Tenant: "t1"}, {Kind: tokenvault.EventReleased, Tenant: "t1"}})
		}},
	} {
		t.Run(c.name, func(t *testing.T) { p.count(t, c.most, c.run) })
	}
	begin := func() (err error) {
		turn, err = s.BeginRefresh(ctx, tokenvault.RefreshClaim{Owner: owner, ConnectionID: "cn_1", Version: version, Lease: time.Minute})
		return err
	}
	commit := func() error {
		c, err := s.CommitRefresh(ctx, tokenvault.RefreshCommit{
			Owner: owner, ConnectionID: "cn_1", Fence: turn.Fence, Record: turn.Connection.Record,
			Event: tokenvault.Event{Kind: tokenvault.EventRefreshed, Tenant: "t1", Owner: owner},
		})
		version = c.Version
		return err
	}
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	if err := commit(); err != nil {
		t.Fatal(err)
	}
	t.Run("begin refresh", func(t *testing.T) { p.once(t, 3, begin) })
	t.Run("commit refresh", func(t *testing.T) { p.once(t, 4, commit) })
}

// count runs a command that is warm.
func (p *proxy) count(t *testing.T, most int64, run func() error) {
	t.Helper()
	if err := run(); err != nil {
		t.Fatal(err)
	}
	p.once(t, most, run)
}

func (p *proxy) once(t *testing.T, most int64, run func() error) {
	t.Helper()
	before := p.trips.Load()
	if err := run(); err != nil {
		t.Fatal(err)
	}
	if n := p.trips.Load() - before; n != most {
		t.Errorf("%d round trips, want %d", n, most)
	}
}
