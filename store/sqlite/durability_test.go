package sqlite

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func TestPragmasHoldOnEveryConnection(t *testing.T) {
	s := openNew(t, nil)
	for name, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000", "secure_delete": "1",
	} {
		var writer, reader string
		if err := errors.Join(
			s.writer.QueryRow("PRAGMA "+name).Scan(&writer), s.reader.QueryRow("PRAGMA "+name).Scan(&reader)); err != nil {
			t.Fatal(err)
		}
		if writer != want || reader != want {
			t.Errorf("%s: writer %q, reader %q, want %q", name, writer, reader, want)
		}
	}
	if _, err := s.reader.Exec(`UPDATE health SET checked_at = 1`); err == nil {
		t.Error("a reader wrote")
	}
}

// What was returned is in the file, also if this process never closes it: a copy
// of its files is what a crash would leave.
func TestACommitSurvivesACrash(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "vault.db"), nil)
	connect(t, s, alice, "cn_1", []byte("sealed"))
	turn, err := s.BeginRefresh(t.Context(), tokenvault.RefreshClaim{Owner: alice, ConnectionID: "cn_1", Version: 1, Lease: time.Nanosecond})
	if err != nil || !turn.Held {
		t.Fatal(turn, err)
	}
	crashed := t.TempDir()
	for _, name := range []string{"vault.db", "vault.db-wal"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(crashed, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, err := openAt(t, filepath.Join(crashed, "vault.db"), nil).BeginRefresh(t.Context(),
		tokenvault.RefreshClaim{Owner: alice, ConnectionID: "cn_1", Version: 1, Lease: time.Minute})
	if err != nil || !again.Held || !again.Uncertain || again.Fence <= turn.Fence {
		t.Errorf("turn after the crash = %+v, %v, want held, uncertain and a later fence", again, err)
	}
}

func TestARevokedCredentialIsGoneFromTheFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	s := openAt(t, path, nil)
	canary := []byte("the sealed form of a credential that is revoked")
	connect(t, s, alice, "cn_1", canary)
	if !inFiles(t, path, canary) {
		t.Fatal("the canary is not in the files: this test proves nothing")
	}
	if _, err := s.Revoke(t.Context(), tokenvault.Revocation{Owner: alice, ConnectionID: "cn_1"}); err != nil {
		t.Fatal(err)
	}
	if inFiles(t, path, canary) {
		t.Error("the sealed credential is still in the files")
	}
	var timeout int
	if err := s.writer.QueryRow(`PRAGMA busy_timeout`).Scan(&timeout); err != nil || timeout != 10000 {
		t.Errorf("the writer is left with a busy timeout of %d ms, %v", timeout, err)
	}
}

func inFiles(t *testing.T, path string, text []byte) bool {
	t.Helper()
	var found bool
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(content, text)
	}
	return found
}

func TestAuditEntriesStay(t *testing.T) {
	s := openNew(t, nil)
	ctx := t.Context()
	add := func() {
		if err := s.AppendAudit(ctx, []tokenvault.Event{{Kind: tokenvault.EventReleased, Tenant: "t1"}}); err != nil {
			t.Fatal(err)
		}
	}
	add()
	heads, err := s.UnsignedAudit(ctx, "t1")
	if err != nil {
		t.Fatal(err)
	}
	heads[0].MAC = []byte("mac")
	if err := s.SignAudit(ctx, heads); err != nil {
		t.Fatal(err)
	}
	refused := func(queries ...string) {
		t.Helper()
		for _, query := range queries {
			if _, err := s.writer.Exec(query); err == nil || !strings.Contains(err.Error(), "are never") {
				t.Errorf("%s: err = %v", query, err)
			}
		}
	}
	refused(`UPDATE audit SET detail = 'x'`, `DELETE FROM audit`, `UPDATE audit SET seq = 2 WHERE seq = 1`,
		`UPDATE audit_heads SET hash = 'x'`, `UPDATE audit_heads SET hash = 'x', cut = x'00'`, `DELETE FROM audit_heads`)
	events, err := s.ListAudit(ctx, "t1", tokenvault.EventQuery{})
	if err != nil || len(events) != 1 || events[0].ID != "ev_0000000000000001" {
		t.Errorf("events = %+v, %v", events, err)
	}
	if _, err := s.ListAudit(ctx, "t1", tokenvault.EventQuery{Page: tokenvault.Page{After: "1; --"}}); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("a foreign id as page.After: err = %v, want ErrInvalid", err)
	}

	// A cut lets go what it names and nothing else.
	add()
	heads[0].Cut = []byte("cut")
	if n, err := s.PruneAudit(ctx, tokenvault.AuditPruning{Head: heads[0], Event: tokenvault.Event{Kind: tokenvault.EventAuditPruned, Tenant: "t1"}}); err != nil || n != 1 {
		t.Errorf("PruneAudit = %d, %v", n, err)
	}
	refused(`DELETE FROM audit WHERE position = 2`, `UPDATE audit_heads SET cut = NULL`, `UPDATE audit_heads SET cut = x'01'`, `DELETE FROM audit_heads`)
}

// A commit of many entries reads the end of their chain once.
func TestTheEndOfAChainIsReadOnceInATransaction(t *testing.T) {
	s := openNew(t, nil)
	event := tokenvault.Event{Kind: tokenvault.EventReleased, Tenant: "t1"}
	err := s.write(t.Context(), "append audit", func(tx *tx) error {
		if err := tx.appendEvents(t.Context(), event); err != nil {
			return err
		}
		tx.audit.chains["t1"] = chainEnd{position: 41} // which is not what the file says
		return tx.appendEvents(t.Context(), event, event)
	})
	events, listErr := s.ListAudit(t.Context(), "t1", tokenvault.EventQuery{})
	if err := errors.Join(err, listErr); err != nil || len(events) != 3 || events[1].Position != 42 || events[2].Position != 43 {
		t.Errorf("events = %+v, %v: the end was read again", events, err)
	}
}

func TestUnavailable(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, s *Store){
		"full":      func(t *testing.T, s *Store) { writerExec(t, s, `PRAGMA max_page_count = 1`) },
		"read-only": func(t *testing.T, s *Store) { writerExec(t, s, `PRAGMA query_only = 1`) },
		"locked": func(t *testing.T, s *Store) {
			other := openAt(t, s.path, nil)
			held, err := other.writer.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = held.Rollback() })
			writerExec(t, s, `PRAGMA busy_timeout = 1`)
		},
		"closed": func(t *testing.T, s *Store) {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openNew(t, nil)
			spoil(t, s)
			big := strings.Repeat("x", 1<<16)
			err := s.AppendAudit(t.Context(), []tokenvault.Event{{Kind: tokenvault.EventReleased, Tenant: "t1", Detail: big}})
			if !errors.Is(err, tokenvault.ErrUnavailable) {
				t.Fatalf("err = %v, want ErrUnavailable", err)
			}
			if len(err.Error()) > 500 {
				t.Errorf("the error holds what was submitted: %d bytes", len(err.Error()))
			}
			if name != "full" {
				if err := s.Ping(t.Context()); !errors.Is(err, tokenvault.ErrUnavailable) {
					t.Errorf("ping: %v, want ErrUnavailable", err)
				}
			}
		})
	}
}

func writerExec(t *testing.T, s *Store, query string) {
	t.Helper()
	if _, err := s.writer.Exec(query); err != nil {
		t.Fatal(err)
	}
}

func TestACanceledCallChangesNothingAndHurtsNoOther(t *testing.T) {
	s := openNew(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.AppendAudit(ctx, []tokenvault.Event{{Kind: tokenvault.EventReleased, Tenant: "t1"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want context.Canceled", err)
	}
	if _, err := s.FindUsable(ctx, tokenvault.FindQuery{Owner: alice}); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want context.Canceled", err)
	}
	events, err := s.ListAudit(t.Context(), "t1", tokenvault.EventQuery{Page: tokenvault.Page{Limit: 10}})
	if err := errors.Join(err, s.Ping(t.Context())); err != nil || len(events) != 0 {
		t.Errorf("events = %v, %v", events, err)
	}
}

// Close waits for a call under way, which else would leave the write-ahead log.
func TestCloseWaitsForCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "vault.db")
		s := openAt(t, path, nil)
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		underWay, err := s.writer.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		if len(closed) != 0 {
			t.Error("the store is closed in the middle of a call")
		}
		if err := errors.Join(underWay.Close(), <-closed); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the write-ahead log is left behind: %v", err)
		}
	})
}
