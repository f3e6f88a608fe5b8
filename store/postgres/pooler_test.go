package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/storetest"
)

func TestStoreBehindPgBouncer(t *testing.T) {
	d := newTemplate(t)
	through := server.Pooler(t)
	storetest.Run(t, func(t *testing.T, clock func() time.Time) tokenvault.Store {
		return openAt(t, through(d.copy(t)), &Options{Clock: clock, Pooler: true})
	})
}

// A host's pool keeps what the host set, and the store works on it.
func TestStoreOnAHostsPool(t *testing.T) {
	d := newTemplate(t)
	storetest.Run(t, func(t *testing.T, clock func() time.Time) tokenvault.Store {
		config, err := pgxpool.ParseConfig(d.copy(t))
		if err != nil {
			t.Fatal(err)
		}
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
		config.ConnConfig.RuntimeParams["search_path"] = "elsewhere"
		config.ConnConfig.RuntimeParams["default_transaction_isolation"] = "serializable"
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		s, err := New(t.Context(), pool, &Options{Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}

// LISTEN through a pooler in transaction mode succeeds and delivers nothing.
func TestListeningThroughPgBouncerIsFoundDeaf(t *testing.T) {
	direct := newTemplate(t).dsn
	through := server.Pooler(t)(direct)
	deaf := openAt(t, through, &Options{Pooler: true})
	if heard, err := deaf.listenOnce(t.Context(), func(string) {}); heard || !errors.Is(err, errDeaf) {
		t.Errorf("heard = %t, err = %v, want errDeaf", heard, err)
	}
	hears := openAt(t, through, &Options{Pooler: true, ListenDSN: direct})
	ctx, cancel := context.WithCancel(t.Context())
	heard, done := make(chan string), make(chan error, 1)
	go func() {
		done <- hears.Listen(ctx, func(id string) {
			select {
			case heard <- id:
			case <-ctx.Done():
			}
		})
	}()
	for told := false; !told; {
		if err := hears.notify(t.Context(), "ar_1"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-heard:
			told = true
		case <-time.After(50 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
