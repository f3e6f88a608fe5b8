package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
)

// settle stores something of every kind for owners of two tenants, on a schema
// without keys.
func (h *host) settle(t *testing.T) (owners []tokenvault.Owner) {
	t.Helper()
	h.migrate(t, HostKeys{})
	first, second, _ := ids(KeyUUID)
	s := openAt(t, h.dsn, nil)
	for i, owner := range []tokenvault.Owner{
		{Tenant: "t1", UserID: first}, {Tenant: "t1", OrganizationID: second}, {Tenant: "t2", OrganizationID: second, UserID: first},
	} {
		if err := inhabit(t, s, owner, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		owners = append(owners, owner)
	}
	return owners
}

func (h *host) link(t *testing.T, keys HostKeys) error {
	t.Helper()
	_, err := Migrate(t.Context(), h.dsn, &MigrateOptions{HostKeys: keys})
	return err
}

func (h *host) state(t *testing.T) []HostKeyState {
	t.Helper()
	states, err := ListHostKeys(t.Context(), h.dsn, nil)
	if err != nil {
		t.Fatal(err)
	}
	return states
}

// unfilled counts rows with an owner that a key does not hold.
func (h *host) unfilled(t *testing.T) (n int) {
	t.Helper()
	for _, table := range []string{"auth_requests", "connections", "permissions", "api_keys"} {
		n += h.count(t, `SELECT count(*) FROM tokenvault.`+table+` WHERE (user_id = '') <> (user_ref IS NULL) OR (organization_id = '') <> (organization_ref IS NULL)`)
	}
	n += h.count(t, `SELECT count(*) FROM tokenvault.apps WHERE (organization_id = '') <> (organization_ref IS NULL)`)
	n += h.count(t, `SELECT count(*) FROM tokenvault.providers WHERE (organization_id = '') <> (organization_ref IS NULL)`)
	return n + h.count(t, `SELECT count(*) FROM tokenvault.data_keys WHERE (space LIKE 'org:%') <> (organization_ref IS NOT NULL)`)
}

// count asks as the superuser.
func (h *host) count(t *testing.T, query string) (n int) {
	t.Helper()
	s := openAt(t, server.Superuser(databaseOf(t, h.dsn)), nil)
	defer func() { _ = s.Close() }()
	if err := s.pool.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Keys are made over rows of all tenants, by as many who migrate at once as like,
// and leave row-level security as it was.
func TestHostKeysAreMadeOverRows(t *testing.T) {
	h := newHost(t, KeyUUID)
	owners := h.settle(t)
	policies := h.count(t, `SELECT count(*) FROM pg_policies`)
	first, second, _ := ids(KeyUUID)
	for _, tenant := range []string{"t0", "t2"} { // more than one batch
		server.Exec(t, databaseOf(t, h.dsn), fmt.Sprintf(`INSERT INTO tokenvault.auth_requests (tenant, id, user_id, request_key, scopes, status, created_at, expires_at)
			SELECT '%s', 'ar_of_' || n, '%s', n, '{}', 'pending', now(), now() FROM generate_series(1, %d) AS n`, tenant, first, linkBatch))
	}
	h.exec(t, `INSERT INTO app.users (id) VALUES ($1)`, first)
	h.exec(t, `INSERT INTO app."Orgs" VALUES ($1)`, second)
	var migrators sync.WaitGroup
	for range 3 {
		migrators.Go(func() {
			if err := h.link(t, h.keys("")); err != nil {
				t.Error(err)
			}
		})
	}
	migrators.Wait()
	if n := h.unfilled(t); n > 0 {
		t.Errorf("%d rows are not held by a key", n)
	}
	if n := h.count(t, `SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND confrelid IN ('app.users'::regclass, 'app."Orgs"'::regclass) AND convalidated`); n != 12 {
		t.Errorf("%d validated keys", n)
	}
	if n := h.count(t, `SELECT count(*) FROM pg_policies`); n != policies {
		t.Errorf("%d policies, want the %d of before", n, policies)
	}
	want := []HostKeyState{
		{Of: "user", Key: HostKey{Table: "app.users", Column: "id", Type: KeyUUID, OnDelete: OnDeleteRestrict}, Ready: true},
		{Of: "organization", Key: HostKey{Table: "app.Orgs", Column: "orgId", Type: KeyUUID, OnDelete: OnDeleteRestrict}, Ready: true},
	}
	if diff := cmp.Diff(want, h.state(t)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	s := openAt(t, h.dsn, nil)
	for _, owner := range owners {
		query, args := h.deletion(owner)
		if _, err := h.conn.Exec(t.Context(), query, args...); err == nil {
			t.Errorf("the host deleted %+v", owner)
		}
	}
	for _, owner := range append(owners, tokenvault.Owner{Tenant: "t2", OrganizationID: second}, // its data key too
		tokenvault.Owner{Tenant: "t0", UserID: first}, tokenvault.Owner{Tenant: "t2", UserID: first}) {
		deleteOwner(t, s, owner)
	}
	for _, owner := range owners {
		query, args := h.deletion(owner)
		h.exec(t, query, args...)
	}
}

// What keeps a key from being made is said before anything is changed, if it can be
// known; when it is mended, the same command goes on. So it does with an index that
// was not finished.
func TestHostKeysAreRefusedUntilRowsFit(t *testing.T) {
	for name, readable := range map[string]bool{"readable": true, "not readable": false} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, KeyUUID)
			h.settle(t)
			if readable {
				server.Exec(t, databaseOf(t, h.dsn), `GRANT SELECT (id) ON app.users TO `+databaseOf(t, h.dsn))
			}
			first, second, _ := ids(KeyUUID)
			h.exec(t, `INSERT INTO app."Orgs" VALUES ($1)`, second)
			err := h.link(t, h.keys(""))
			if err == nil || !strings.Contains(err.Error(), "owner delete") || strings.Contains(err.Error(), first) {
				t.Fatalf("err = %v", err)
			}
			if begun := h.state(t); (len(begun) == 0) != readable || slices.ContainsFunc(begun, func(s HostKeyState) bool { return s.Ready }) {
				t.Errorf("keys: %+v", begun)
			}
			if s, err := Open(t.Context(), h.dsn, &Options{HostKeys: h.keys("")}); err == nil || !strings.Contains(err.Error(), "migrate up") {
				t.Errorf("opened %v, %v, without the keys", s, err)
			}
			server.Exec(t, databaseOf(t, h.dsn), `UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('tokenvault.connections_user_ref')`)
			h.exec(t, `INSERT INTO app.users (id) VALUES ($1)`, first)
			if err := h.link(t, h.keys("")); err != nil {
				t.Fatal(err)
			}
			if n := h.unfilled(t); n > 0 {
				t.Errorf("%d rows are not held by a key", n)
			}
			if n := h.count(t, `SELECT count(*) FROM pg_index WHERE indexrelid = 'tokenvault.connections_user_ref'::regclass AND indisvalid`); n != 1 {
				t.Error("the index is of no use")
			}
		})
	}
}

func TestHostKeysOfAnotherTypeAreRefused(t *testing.T) {
	h := newHost(t, KeyBigint)
	h.settle(t) // with uuids
	err := h.link(t, h.keys(""))
	if err == nil || !strings.Contains(err.Error(), "1 user ids of the vault are no bigint") {
		t.Errorf("err = %v", err)
	}
	if states := h.state(t); len(states) > 0 {
		t.Errorf("keys: %+v", states)
	}
}

func TestHostKeysThatCannotBeAreRefused(t *testing.T) {
	h := newHost(t, KeyUUID)
	h.migrate(t, HostKeys{})
	server.Exec(t, databaseOf(t, h.dsn), `CREATE TABLE app.odd (at timestamptz PRIMARY KEY, many bigint, part bigint)`,
		`CREATE UNIQUE INDEX ON app.odd (part) WHERE part > 0`, `CREATE TABLE app.closed (id uuid PRIMARY KEY)`)
	for _, tc := range []struct {
		key  HostKey
		want string
	}{
		{HostKey{Table: "app.nothing"}, "no column"},
		{HostKey{Table: "users"}, `"public"."users"`},
		{HostKey{Table: "app.users", Column: "uuid"}, "no column"},
		{HostKey{Table: "app.users", Type: KeyBigint}, "is uuid, not bigint"},
		{HostKey{Table: "app.odd", Column: "at"}, "timestamp with time zone"},
		{HostKey{Table: "app.odd", Column: "many"}, "nor unique"},
		{HostKey{Table: "app.odd", Column: "part"}, "nor unique"},
		{HostKey{Table: "app.closed"}, "GRANT REFERENCES"},
		{HostKey{Table: `app.users"; --`}, "user-table: must be"},
		{HostKey{Table: "a.b.c"}, "user-table: must be"},
		{HostKey{}, "user-table: must be"},
		{HostKey{Table: "app.users", Column: "id) --"}, "user-column: must be"},
		{HostKey{Table: "app.users", Type: "money"}, "user-type: must be"},
		{HostKey{Table: "app.users", OnDelete: "explode"}, "on-delete: must be"},
	} {
		if err := h.link(t, HostKeys{User: &tc.key}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.key, err, tc.want)
		}
	}
	if states := h.state(t); len(states) > 0 {
		t.Errorf("keys: %+v", states)
	}
}

// A key is not put in the place of another; dropped, it leaves nothing behind, and
// another can be made.
func TestHostKeysAreChangedByHand(t *testing.T) {
	h := newHost(t, KeyUUID)
	h.settle(t)
	first, second, _ := ids(KeyUUID)
	h.exec(t, `INSERT INTO app.users (id) VALUES ($1)`, first)
	h.exec(t, `INSERT INTO app."Orgs" VALUES ($1)`, second)
	before := h.objects(t)
	h.migrate(t, HostKeys{User: h.keys("").User})
	h.migrate(t, h.keys(OnDeleteRestrict)) // the other one beside it
	h.migrate(t, HostKeys{})               // and none that is asked for changes nothing
	if n := len(h.state(t)); n != 2 {
		t.Errorf("%d keys", n)
	}
	other := h.keys(OnDeleteCascade)
	if err := h.link(t, other); err == nil || !strings.Contains(err.Error(), "migrate drop-keys") {
		t.Errorf("another key: %v", err)
	}
	if s, err := Open(t.Context(), h.dsn, &Options{HostKeys: other}); err == nil || !strings.Contains(err.Error(), "migrate drop-keys") {
		t.Errorf("opened %v, %v, with other keys", s, err)
	}
	for range 2 {
		if err := DropHostKeys(t.Context(), h.dsn, nil); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, h.objects(t)); diff != "" {
		t.Errorf("left behind (-want +got):\n%s", diff)
	}
	h.exec(t, `DELETE FROM app.users`)
	h.exec(t, `INSERT INTO app.users (id) VALUES ($1)`, first)
	h.migrate(t, other)
	h.exec(t, `DELETE FROM app.users`)
	if n := h.count(t, `SELECT count(*) FROM tokenvault.host_deletions`); n != 2 {
		t.Errorf("%d deletions, want one of each tenant's", n)
	}
}

// objects are the columns, triggers, functions, indexes and policies of the schema.
func (h *host) objects(t *testing.T) (names []string) {
	t.Helper()
	s := openAt(t, server.Superuser(databaseOf(t, h.dsn)), nil)
	defer func() { _ = s.Close() }()
	err := s.pool.QueryRow(t.Context(), `SELECT array_agg(name ORDER BY name) FROM (
			SELECT table_name || '.' || column_name AS name FROM information_schema.columns WHERE table_schema = 'tokenvault'
			UNION SELECT tgname || ' on ' || tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal
			UNION SELECT proname || '()' FROM pg_proc WHERE pronamespace = 'tokenvault'::regnamespace
			UNION SELECT 'index ' || indexname FROM pg_indexes WHERE schemaname = 'tokenvault'
			UNION SELECT policyname || ' of ' || tablename FROM pg_policies) AS o`).Scan(&names)
	if err != nil || len(names) < 100 {
		t.Fatal(len(names), err)
	}
	return names
}

// A host that holds one of its rows for long keeps nobody waiting, and the keys are
// made once it is done.
func TestHostKeysAreMadeBesideOthersWork(t *testing.T) {
	h := newHost(t, KeyUUID)
	h.settle(t)
	first, second, _ := ids(KeyUUID)
	h.exec(t, `INSERT INTO app."Orgs" VALUES ($1)`, second)
	tx, err := h.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO app.users (id) VALUES ($1)`, first); err != nil {
		t.Fatal(err)
	}
	s, made := openAt(t, h.dsn, nil), make(chan error, 1)
	go func() { made <- h.link(t, h.keys("")) }()
	becomes(t, func() bool { return len(h.state(t)) > 0 }) // it was begun
	if _, err := s.FindUsable(t.Context(), tokenvault.FindQuery{Owner: tokenvault.Owner{Tenant: "t1", UserID: first}, ProviderID: "github"}); err != nil {
		t.Error(err)
	}
	if err := s.AppendAudit(t.Context(), released()); err != nil {
		t.Error(err)
	}
	select {
	case err := <-made:
		t.Fatalf("made beside an open transaction: %v", err)
	default:
	}
	if err := tx.Commit(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	if n := h.unfilled(t); n > 0 {
		t.Errorf("%d rows are not held by a key", n)
	}
}

// The statements for people make the same as the command.
func TestHostKeysByHand(t *testing.T) {
	made, byHand := newHost(t, KeyUUID), newHost(t, KeyUUID)
	made.migrate(t, made.keys(OnDeleteCascade))
	keys := byHand.keys(OnDeleteCascade)
	if _, err := SQL(&MigrateOptions{HostKeys: keys}); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("without types: %v", err)
	}
	keys.User.Type, keys.Organization.Type = KeyUUID, KeyUUID
	text, err := SQL(&MigrateOptions{HostKeys: keys})
	if err != nil {
		t.Fatal(err)
	}
	server.Exec(t, databaseOf(t, byHand.dsn), `SET ROLE `+databaseOf(t, byHand.dsn), text)
	if diff := cmp.Diff(made.objects(t), byHand.objects(t)); diff != "" {
		t.Errorf("objects (-made +by hand):\n%s", diff)
	}
	if diff := cmp.Diff(made.state(t), byHand.state(t)); diff != "" {
		t.Errorf("keys (-made +by hand):\n%s", diff)
	}
	openAt(t, byHand.dsn, &Options{HostKeys: keys})
}

// becomes waits until the condition holds.
func becomes(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(end) {
			t.Fatal("it does not come to be")
		}
		<-time.After(20 * time.Millisecond)
	}
}
