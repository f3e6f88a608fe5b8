package main

import (
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault/internal/testpg"
)

// A pgVault is a database for the command.
type pgVault struct {
	pg             *testpg.Server
	database, role string
	env            []string
}

func newPGVault(t *testing.T) *pgVault {
	t.Helper()
	pg, err := testpg.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Close)
	dsn := pg.Database(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	v := &pgVault{pg: pg, database: strings.TrimPrefix(u.Path, "/"), role: u.User.Username()}
	v.env = []string{"TOKENVAULT_DATABASE_URL=" + dsn, "TOKENVAULT_ROOT_KEY=" + base64.StdEncoding.EncodeToString(key), "TOKENVAULT_DATA_DIR=" + filepath.Join(t.TempDir(), "data")}
	return v
}

// wantLine fails unless a line of the text has all the words, in their order.
func wantLine(t *testing.T, text string, words ...string) {
	t.Helper()
	for line := range strings.Lines(text) {
		rest, all := line, true
		for _, word := range words {
			var found bool
			_, rest, found = strings.Cut(rest, word)
			all = all && found
		}
		if all {
			return
		}
	}
	t.Errorf("no line with %q in:\n%s", words, text)
}

// The keys to the host's tables from the first look at them to their end.
func TestMigrateMakesAndDropsHostKeys(t *testing.T) {
	v := newPGVault(t)
	v.pg.Exec(t, v.database, `CREATE SCHEMA auth`, `CREATE TABLE auth.users (id uuid PRIMARY KEY)`, `CREATE TABLE public.org (id bigint UNIQUE)`,
		`GRANT USAGE ON SCHEMA auth TO `+v.role, `GRANT REFERENCES ON auth.users, public.org TO `+v.role)
	keys := append(v.env, "TOKENVAULT_USER_TABLE=auth.users", "TOKENVAULT_ORGANIZATION_TABLE=org", "TOKENVAULT_ON_DELETE=cascade")

	wantLine(t, succeed(t, keys, "check"), "note", "steps of its schema to come")
	plan := succeed(t, keys, "migrate", "plan")
	wantLine(t, plan, "Step 5", "host_keys")
	wantLine(t, plan, "Key of users to auth.users (id), of any type, on delete cascade")
	wantLine(t, plan, "steps and 2 keys to come")
	wantLine(t, succeed(t, keys, "migrate", "up"), "Made the key of organizations to public.org (id)")
	for range 2 { // again changes nothing
		wantLine(t, succeed(t, keys, "migrate", "plan"), "0 steps and 0 keys to come")
		wantLine(t, succeed(t, keys, "migrate", "up"), "The schema is up to date")
	}
	status := succeed(t, v.env, "migrate", "status")
	wantLine(t, status, "users", "auth.users (id), uuid, on delete cascade", "in force")
	wantLine(t, status, "organizations", "public.org (id), bigint, on delete cascade", "in force")
	wantLine(t, succeed(t, keys, "check"), "The server can start")

	for _, args := range [][]string{{"migrate", "up"}, {"migrate", "plan"}, {"apikey", "list"}} {
		got := execute(t, keys, append(args, "--on-delete=restrict")...)
		if got.status == 0 || !strings.Contains(got.err, "migrate drop-keys") {
			t.Errorf("%s with another key: status %d: %s", args, got.status, got.err)
		}
	}
	wantLine(t, succeed(t, v.env, "migrate", "drop-keys"), "no keys")
	wantLine(t, succeed(t, v.env, "migrate", "status"), "(none)")
	wantLine(t, succeed(t, keys, "migrate", "up", "--on-delete=restrict"), "auth.users (id)", "restrict")
}

func TestMigrateSQLPrintsHostKeys(t *testing.T) {
	env := []string{"TOKENVAULT_DATABASE_URL=postgres://nobody@127.0.0.1:1/none"}
	text := succeed(t, env, "migrate", "sql", "--user-table=auth.users", "--user-type=uuid")
	wantLine(t, text, `FOREIGN KEY (user_ref) REFERENCES "auth"."users" ("id") ON DELETE RESTRICT`)
	if got := execute(t, env, "migrate", "sql", "--user-table=auth.users"); got.status == 0 || !strings.Contains(got.err, "user-type") {
		t.Errorf("without a type: status %d: %s", got.status, got.err)
	}
}

// Settings without effect are mistakes.
func TestHostKeySettingsAreChecked(t *testing.T) {
	onPostgres := "TOKENVAULT_DATABASE_URL=postgres://nobody@127.0.0.1:1/none"
	for _, tc := range []struct {
		env  []string
		flag string
		want string
	}{
		{nil, "--user-table=users", "user-table, organization-table: are for a PostgreSQL database"},
		{[]string{onPostgres}, "--user-type=uuid", "user-type: has no effect without user-table"},
		{[]string{onPostgres}, "--organization-column=id", "organization-column: has no effect"},
		{[]string{onPostgres}, "--on-delete=cascade", "on-delete: has no effect"},
		{[]string{onPostgres}, "--user-table=a.b.c", "user-table: must be"},
	} {
		if got := execute(t, tc.env, "app", "list", tc.flag); got.status == 0 || !strings.Contains(got.err, tc.want) {
			t.Errorf("%s: status %d: %s", tc.flag, got.status, got.err)
		}
	}
}

// The server's role should be bound by row-level security.
func TestCheckTellsOfABypass(t *testing.T) {
	v := newPGVault(t)
	succeed(t, v.env, "migrate", "up")
	if out := succeed(t, v.env, "check"); strings.Contains(out, "row-level security") {
		t.Errorf("of a role that is bound: %s", out)
	}
	v.env[0] = "TOKENVAULT_DATABASE_URL=" + v.pg.Superuser(v.database)
	wantLine(t, succeed(t, v.env, "check"), "note", "row-level security does not bind it")
}
