package postgres

import (
	"context"
	"database/sql"
	"io/fs"
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/storetest"
)

// R18: this binary goes on, with every promise, on the schema of a later one, which
// has more columns, tables and indexes: replicas are replaced one after the other.
func TestR18TheStoreRunsOnALaterSchema(t *testing.T) {
	d := newTemplate(t)
	names := tables(t, openCopy(t, d.dsn))
	database := databaseOf(t, d.dsn)
	for _, name := range names {
		server.Exec(t, database, `ALTER TABLE tokenvault.`+name+` ADD COLUMN of_a_later_version text NOT NULL DEFAULT ''`,
			`CREATE INDEX ON tokenvault.`+name+` (tenant, of_a_later_version)`)
	}
	server.Exec(t, database, `CREATE TABLE tokenvault.of_a_later_version (tenant text)`,
		`INSERT INTO tokenvault.`+versionTable+` (version_id, is_applied) VALUES (99999, true)`)
	storetest.Run(t, func(t *testing.T, clock func() time.Time) tokenvault.Store { return d.open(t, clock) })
}

// openCopy opens a copy, so that the database itself has no connections and can be
// copied.
func openCopy(t *testing.T, dsn string) *Store {
	t.Helper()
	return openAt(t, server.Copy(t, dsn), nil)
}

// destructive is what the binary of the version before would miss or be refused by.
var destructive = regexp.MustCompile(`(?i)\bDROP\s+(TABLE|COLUMN|VIEW|FUNCTION|SCHEMA|ROLE)|\bRENAME\b|\bALTER\s+COLUMN\s+\w+\s+(TYPE|SET\s+DATA|SET\s+NOT\s+NULL|DROP\s+DEFAULT)|` +
	`\bADD\s+COLUMN\s[^;,]*\bNOT\s+NULL\b(?:[^;,D]|D[^E])*[;,]|\bTRUNCATE\b`)

// R18: a step only adds, so that the binary of the version before goes on.
func TestR18StepsOnlyAdd(t *testing.T) {
	for _, text := range []string{
		"ALTER TABLE a DROP COLUMN b;", "ALTER TABLE a RENAME b TO c;", "alter table a alter column b type int;",
		"ALTER TABLE a ADD COLUMN b text NOT NULL;", "DROP TABLE a;",
	} {
		if !destructive.MatchString(text) {
			t.Errorf("%s is not seen", text)
		}
	}
	if text := "ALTER TABLE a ADD COLUMN b text NOT NULL DEFAULT '';"; destructive.MatchString(text) {
		t.Errorf("%s is refused", text)
	}
	files, err := fs.ReadDir(migrations, "migrations")
	if err != nil || len(files) < 2 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		text, err := fs.ReadFile(migrations, "migrations/"+file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if version, err := goose.NumericComponent(file.Name()); err != nil || version > 2 && destructive.Match(text) {
			t.Errorf("%s: %v: it takes away what the version before needs: %q", file.Name(), err, destructive.Find(text))
		}
	}
}

// R18: a step that cannot lock a table is undone, so that nobody waits behind it, and
// taken again.
func TestR18AStepWaitsForATableInTurns(t *testing.T) {
	dsn := server.Database(t)
	err := withProvider(dsn, nil, func(db *sql.DB, p *goose.Provider, _ string) error {
		if _, err := db.ExecContext(t.Context(), `CREATE SCHEMA tokenvault`); err != nil {
			return err
		}
		_, err := p.UpTo(t.Context(), 2)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	using := begin(t, databaseOf(t, dsn), `SELECT FROM tokenvault.connections`)
	migrated := make(chan error, 1)
	go func() {
		_, err := Migrate(context.WithoutCancel(t.Context()), dsn, nil)
		migrated <- err
	}()
	waits := func() bool {
		var n int
		if err := using.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE relation = 'tokenvault.connections'::regclass AND NOT granted`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	becomes(t, waits)
	becomes(t, func() bool { return !waits() })
	if err := using.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-migrated; err != nil {
		t.Error(err)
	}
}

// R18: a read that a change of the tables is in a deadlock with, and that is chosen
// to fail, is made again.
func TestR18AReadGivesWayToAStep(t *testing.T) {
	d := newTemplate(t)
	s := openCopy(t, d.dsn)
	changing := begin(t, s.pool.Config().ConnConfig.Database, `SET LOCAL deadlock_timeout = '1min'`, `LOCK TABLE tokenvault.data_keys, tokenvault.permissions`)
	read := make(chan error, 1)
	go func() {
		_, err := s.FindUsable(context.WithoutCancel(t.Context()), tokenvault.FindQuery{
			Owner: tokenvault.Owner{Tenant: "a", UserID: "ada"}, ProviderID: "github", AgentID: "agent",
		})
		read <- err
	}()
	becomes(t, func() bool {
		var n int
		if err := changing.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE relation::regclass::text LIKE 'tokenvault.%' AND NOT granted`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n > 0
	})
	if _, err := changing.Exec(t.Context(), `LOCK TABLE tokenvault.connections`); err != nil {
		t.Fatal(err)
	}
	if err := changing.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}

// begin begins a transaction of the superuser's.
func begin(t *testing.T, database string, statements ...string) pgx.Tx {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.Superuser(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range statements {
		if _, err := tx.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	return tx
}
