package postgres

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/testpg"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
)

var (
	faultOwner = tokenvault.Owner{Tenant: tokenvault.DefaultTenant, UserID: "alice"}
	faultAdmin = tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: tokenvault.DefaultTenant}}
)

func released() []tokenvault.Event {
	return []tokenvault.Event{{Kind: tokenvault.EventReleased, Tenant: tokenvault.DefaultTenant, Owner: faultOwner}}
}

// unbroken verifies the log of a vault, which has want entries.
func unbroken(t *testing.T, s *Store, want int64) {
	t.Helper()
	sealer, _, err := keyring.Load(filepath.Join(t.TempDir(), "root-key.json"), tokenvault.Secret{}, tokenvault.Secret{}, false)
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := tokenvault.NewCatalog()
	if err != nil {
		t.Fatal(err)
	}
	v, err := tokenvault.New(s, sealer, catalog, &tokenvault.Options{PublicURL: "https://vault.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close(context.WithoutCancel(t.Context())) }()
	report, err := v.VerifyAudit(t.Context(), faultAdmin)
	if err != nil || report.Broken != nil {
		t.Errorf("report = %+v, %v", report, err)
	}
	var n int64
	tx := bound(t, s, tokenvault.DefaultTenant)
	defer func() { _ = tx.Rollback(t.Context()) }()
	if err := tx.QueryRow(t.Context(), `SELECT count(*) FROM tokenvault.audit WHERE kind = 'credential.released'`).Scan(&n); err != nil || n != want {
		t.Errorf("%d entries, %v, want %d", n, err, want)
	}
}

// A store goes on after its server was killed and started again, without a failed
// call once the server is back.
func TestAStoreOutlivesItsServer(t *testing.T) {
	own, err := testpg.New()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	dsn := own.Database(t)
	if _, err := Migrate(t.Context(), dsn, nil); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, dsn, nil)
	heard := make(chan string, 1000)
	listening, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Listen(listening, func(id string) { heard <- id }) }()
	defer func() { cancel(); <-done }()
	record := func() error { return s.AppendAudit(t.Context(), released()) }
	for range 2 {
		for range 4 {
			if err := record(); err != nil {
				t.Fatal(err)
			}
		}
		if err := own.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := record(); !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("append without a server: %v", err)
		}
		if _, err := s.FindUsable(t.Context(), tokenvault.FindQuery{Owner: faultOwner}); !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("find without a server: %v", err)
		}
		if err := own.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.FindUsable(t.Context(), tokenvault.FindQuery{Owner: faultOwner}); err != nil {
			t.Errorf("find with the server back: %v", err)
		}
	}
	unbroken(t, s, 8)
	for told := false; !told; {
		if err := s.notify(t.Context(), "ar_1"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-heard:
			told = true
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// A server that goes away while the connection lies idle costs no call.
func TestADeadConnectionIsNotMissed(t *testing.T) {
	dsn := newTemplate(t).dsn
	s := openAt(t, dsn, nil)
	for range 3 {
		if err := s.AppendAudit(t.Context(), released()); err != nil {
			t.Fatal(err)
		}
		server.Exec(t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+databaseOf(t, dsn)+`'`)
		if _, err := s.FindUsable(t.Context(), tokenvault.FindQuery{Owner: faultOwner}); err != nil {
			t.Error(err)
		}
		server.Exec(t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+databaseOf(t, dsn)+`'`)
	}
	unbroken(t, s, 3)
}

func databaseOf(t testing.TB, dsn string) string {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return config.Database
}

// A commit whose answer is lost breaks no chain: what it wrote stands, and the chain
// is not used again.
func TestALostCommitBreaksNoChain(t *testing.T) {
	dsn := newTemplate(t).dsn
	p := newProxy(t, dsn)
	s := openAt(t, p.dsn, nil)
	for range 3 {
		if err := s.AppendAudit(t.Context(), released()); err != nil {
			t.Fatal(err)
		}
		p.losing.Store(true)
		if err := s.AppendAudit(t.Context(), released()); !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("err = %v, want ErrUnavailable", err)
		}
	}
	unbroken(t, s, 6)
}

// A refresh whose commit was stored but not answered is found fenced with the
// record in place, from which the vault knows that it was stored.
func TestALostCommitOfARefreshIsFoundStored(t *testing.T) {
	dsn := newTemplate(t).dsn
	fill(t, openAt(t, dsn, nil), "t1")
	p := newProxy(t, dsn)
	s, owner := openAt(t, p.dsn, nil), tokenvault.Owner{Tenant: "t1", UserID: "alice"}
	turn, err := s.BeginRefresh(t.Context(), tokenvault.RefreshClaim{Owner: owner, ConnectionID: "cn_1", Version: 1, Lease: time.Minute})
	if err != nil || !turn.Held {
		t.Fatal(turn.Held, err)
	}
	renewed := tokenvault.SealedRecord{KeySpace: "space", KeyVersion: 1, Blob: []byte("renewed")}
	cmd := tokenvault.RefreshCommit{Owner: owner, ConnectionID: "cn_1", Fence: turn.Fence, Record: renewed}
	p.losing.Store(true)
	if _, err := s.CommitRefresh(t.Context(), cmd); !errors.Is(err, tokenvault.ErrUnavailable) {
		t.Errorf("err = %v, want ErrUnavailable", err)
	}
	if _, err := s.CommitRefresh(t.Context(), cmd); !errors.Is(err, tokenvault.ErrFenced) {
		t.Errorf("err = %v, want ErrFenced", err)
	}
	c, err := s.GetConnection(t.Context(), owner, "cn_1")
	if err != nil || c.Version != 2 || !cmp.Equal(c.Record, renewed) {
		t.Errorf("connection %+v, %v", c, err)
	}
}

func TestAReadOnlyServerIsUnavailable(t *testing.T) {
	dsn := newTemplate(t).dsn
	server.Exec(t, "postgres", `ALTER DATABASE `+databaseOf(t, dsn)+` SET default_transaction_read_only = on`)
	s := openAt(t, dsn, nil)
	if err := s.AppendAudit(t.Context(), released()); !errors.Is(err, tokenvault.ErrUnavailable) {
		t.Errorf("append: %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, tokenvault.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	if _, err := s.FindUsable(t.Context(), tokenvault.FindQuery{Owner: faultOwner}); err != nil {
		t.Errorf("find: %v", err)
	}
}

// A lock that is never given back hangs nobody for ever, and neither does a server
// that says nothing.
func TestALockHangsNobody(t *testing.T) {
	dsn := newTemplate(t).dsn
	s := openAt(t, dsn, nil)
	holder, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := holder.Exec(t.Context(), `LOCK TABLE tokenvault.audit, tokenvault.connections`); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendAudit(t.Context(), released()); !errors.Is(err, tokenvault.ErrUnavailable) {
		t.Errorf("append: %v", err)
	}
	s.most = time.Second
	if _, err := s.FindUsable(t.Context(), tokenvault.FindQuery{Owner: faultOwner}); !errors.Is(err, tokenvault.ErrUnavailable) || !errors.Is(err, errSlow) {
		t.Errorf("find: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.FindUsable(gone, tokenvault.FindQuery{Owner: faultOwner}); !errors.Is(err, context.Canceled) {
		t.Errorf("find for a caller that is gone: %v", err)
	}
}
