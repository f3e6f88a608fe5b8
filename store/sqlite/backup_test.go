package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

// Two keys that are always written together are together in every backup.
func TestABackupIsOneMoment(t *testing.T) {
	s := openNew(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	begun := make(chan struct{})
	writers.Go(func() {
		for i := uint32(1); ctx.Err() == nil; i++ {
			events := []tokenvault.Event{
				{Kind: tokenvault.EventReleased, Tenant: "t", RunID: fmt.Sprint(i)}, {Kind: tokenvault.EventReleased, Tenant: "t", RunID: fmt.Sprint(i)},
			}
			if err := s.AppendAudit(context.WithoutCancel(ctx), events); err != nil {
				t.Error(err)
			}
			if i == 1 {
				close(begun)
			}
		}
	})
	<-begun
	for i := range 3 {
		path := filepath.Join(t.TempDir(), "backup.db")
		if err := s.Backup(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if err := Check(t.Context(), path); err != nil {
			t.Error(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
		}
		if err := s.Backup(t.Context(), path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("backup %d was replaced: %v", i, err)
		}
		copied, err := Open(t.Context(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		var all, runs int
		if err := copied.reader.QueryRow(`SELECT count(*), count(DISTINCT run_id) FROM audit`).Scan(&all, &runs); err != nil || all != 2*runs || all == 0 {
			t.Errorf("%d entries of %d commits, %v", all, runs, err)
		}
		if err := copied.Close(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	writers.Wait()
}

func TestWhatIsNoBackupIsRefused(t *testing.T) {
	s := openNew(t, nil)
	good := filepath.Join(t.TempDir(), "good.db")
	if err := s.Backup(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	damaged := []byte(strings.Repeat("x", 4096))
	for name, content := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "cut short": text[:len(text)/2],
		"overwritten": append(append(append([]byte{}, text[:8192]...), damaged...), text[8192+4096:]...),
	} {
		path := filepath.Join(t.TempDir(), "bad.db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Check(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names the file", name, err)
		}
		if now, _ := os.ReadFile(path); string(now) != string(content) {
			t.Errorf("%s: the check changed the file", name)
		}
	}
}

func TestAnOpenDatabaseIsNotExcluded(t *testing.T) {
	s := openNew(t, nil)
	if _, err := Exclude(s.path); !errors.Is(err, tokenvault.ErrConflict) {
		t.Fatalf("Exclude of an open database: %v, want ErrConflict", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	release, err := Exclude(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), s.path, nil); !errors.Is(err, tokenvault.ErrUnavailable) {
		t.Errorf("Open of an excluded database: %v, want ErrUnavailable", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), s.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

// The write-ahead log of the database of before is not applied to the restored one.
func TestTheReplacedDatabaseKeepsItsLog(t *testing.T) {
	dir := t.TempDir()
	path, with := filepath.Join(dir, "tokenvault.db"), filepath.Join(dir, "restoring.db")
	for name, text := range map[string]string{path: "old", path + "-wal": "old log", with: "new"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := Replace(path, with)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path: "new", kept: "old", kept + "-wal": "old log"} {
		if text, err := os.ReadFile(name); string(text) != want {
			t.Errorf("%s holds %q, %v; want %q", name, text, err, want)
		}
	}
	for _, name := range []string{path + "-wal", with} {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
}

// Rotation seals every table again: none may be missing from the list.
func TestEveryTableWithSealedRecordsIsListed(t *testing.T) {
	s := openNew(t, nil)
	listed := map[string]bool{}
	for _, table := range tokenvault.SealedTables() {
		in, err := sealedIn(table)
		if err != nil {
			t.Fatal(err)
		}
		listed[in.table] = true
	}
	rows, err := s.reader.Query(`SELECT t.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND c.name = 'sealed'`)
	names, err := collect(rows, err, func(from row) (name string, err error) { return name, from.Scan(&name) })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !listed[name] {
			t.Errorf("table %s holds sealed records and has no row in sealedIn", name)
		}
	}
	if len(names) != len(listed) {
		t.Errorf("%d tables with sealed records, %d are listed", len(names), len(listed))
	}
}
