package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func TestOpenTwiceKeepsTheData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	first := openAt(t, path, nil)
	want := connect(t, first, alice, "cn_1", []byte("sealed"))
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := openAt(t, path, nil).GetConnection(t.Context(), alice, "cn_1")
	if err != nil || got.UpdatedAt != want.UpdatedAt {
		t.Errorf("after the second open: %+v, %v", got, err)
	}
}

func TestOpenAtOnceMigratesOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			s, err := Open(t.Context(), path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(s.Ping(t.Context()), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	var applied int
	s := openAt(t, path, nil)
	if err := s.reader.QueryRow(`SELECT count(*) FROM goose_db_version WHERE version_id = 1`).Scan(&applied); err != nil || applied != 1 {
		t.Errorf("the first migration was applied %d times, %v", applied, err)
	}
}

func TestOpenAfterACrashInTheFirstMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	rawExec(t, path, `CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now'))); INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1)`)
	if err := openAt(t, path, nil).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "vault.db"), nil)
	connect(t, s, alice, "cn_1", []byte("sealed"))
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 4 {
		t.Fatalf("files = %v, %v, want the database, its log, its index and the lock", files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

func TestPathsWithOddCharactersWork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c=d&e#f%20g.db")
	openAt(t, path, nil)
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	corrupt := filepath.Join(dir, "corrupt.db")
	if err := os.WriteFile(corrupt, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign.db")
	rawExec(t, foreign, `CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('x')`)
	newer := filepath.Join(dir, "newer.db")
	if err := openAt(t, newer, nil).Close(); err != nil {
		t.Fatal(err)
	}
	rawExec(t, newer, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, 1)`)

	for _, test := range []struct {
		name, path  string
		unavailable bool
		says        []string
	}{
		{"nothing", "", false, []string{"path of a file"}},
		{"memory", ":memory:", false, []string{"path of a file"}},
		{"directory", dir, false, []string{dir, "is a directory", "name a file in it"}},
		{"parent is a file", filepath.Join(file, "vault.db"), true, []string{file, "writable", "choose another path"}},
		{"parent is missing", filepath.Join(dir, "no", "vault.db"), true, []string{"no/vault.db", "choose another path"}},
		{"cannot be written", "/proc/vault.db", true, []string{"/proc/vault.db", "writable", "choose another path"}},
		{"corrupt", corrupt, false, []string{corrupt, "not a database", "restore"}},
		{"foreign", foreign, false, []string{foreign, "another program", "choose another path"}},
		{"newer", newer, false, []string{newer, "version 4711", "knows versions up to", "upgrade the binary"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, _ := os.ReadFile(test.path)
			s, err := Open(t.Context(), test.path, nil)
			if err == nil {
				t.Fatal("opened", s.Close())
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("error %q does not say %q", err, says)
				}
			}
			if errors.Is(err, tokenvault.ErrUnavailable) != test.unavailable {
				t.Errorf("ErrUnavailable = %v: %v", !test.unavailable, err)
			}
			if after, _ := os.ReadFile(test.path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

// rawExec runs SQL on the file without this package.
func rawExec(t testing.TB, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(query)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
