package postgres

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

// Whoever adds a table with owners decides whether the host's tables hold it, and
// what its deletions do to it.
func TestEveryOwnerBoundTableHasHostKeys(t *testing.T) {
	s := openAt(t, newTemplate(t).dsn, nil)
	rows, err := s.pool.Query(t.Context(), `SELECT DISTINCT table_name FROM information_schema.columns
		WHERE table_schema = 'tokenvault' AND column_name IN ('user_id', 'organization_id') AND table_name NOT LIKE 'hot\_%'`)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	decided := map[string]bool{
		"attempts":       true, // they go with their auth requests
		"jobs":           true, // they outlive owners, to end their grants
		"audit":          true, // so do entries of the log
		"host_deletions": true, // they are about owners who are gone
		"webhooks":       true, // an organization with one has a data key
		"deliveries":     true, // they tell of a row that is held, and go with DeleteOwner
	}
	for _, table := range keyedTables() {
		decided[table.name] = true
	}
	delete(decided, "data_keys") // by their space
	slices.Sort(found)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(decided)), found); diff != "" {
		t.Errorf("tables with owners (-decided +found):\n%s", diff)
	}
}

// linked returns a host with a user, an organization and a store on keys.
func linked(t *testing.T, onDelete OnDelete) (h *host, s *Store, member, organization tokenvault.Owner) {
	t.Helper()
	h = newHost(t, KeyText)
	h.migrate(t, h.keys(onDelete))
	h.exec(t, `INSERT INTO app.users VALUES ('alice')`)
	h.exec(t, `INSERT INTO app."Orgs" VALUES ('acme')`)
	return h, openAt(t, h.dsn, nil), tokenvault.Owner{Tenant: "t1", OrganizationID: "acme", UserID: "alice"},
		tokenvault.Owner{Tenant: "t1", OrganizationID: "acme"}
}

// A connection that a user shared is the organization's. It outlives the user, who
// is forgotten.
func TestAHostKeyOfASharer(t *testing.T) {
	for _, onDelete := range []OnDelete{OnDeleteRestrict, OnDeleteCascade} {
		t.Run(string(onDelete), func(t *testing.T) {
			h, s, member, organization := linked(t, onDelete)
			if err := inhabit(t, s, member, "1"); err != nil {
				t.Fatal(err)
			}
			shared, err := s.Transfer(t.Context(), tokenvault.Transfer{
				From: member, To: organization, ConnectionID: "cn_1", Version: 2, SharedBy: "alice", Record: record("org:acme"),
			})
			if err != nil || shared.SharedBy != "alice" {
				t.Fatal(shared.SharedBy, err)
			}
			_, err = h.conn.Exec(t.Context(), `DELETE FROM app.users`)
			if onDelete == OnDeleteRestrict {
				if err == nil || !strings.Contains(err.Error(), "call_delete_owner_before_deleting_the_") {
					t.Errorf("err = %v", err)
				}
				deleteOwner(t, s, tokenvault.Owner{Tenant: "t1", UserID: "alice"})
				_, err = h.conn.Exec(t.Context(), `DELETE FROM app.users`)
			}
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.GetConnection(t.Context(), organization, "cn_1")
			if err != nil || c.Status != tokenvault.ConnectionActive || c.SharedBy != "" {
				t.Errorf("the connection is %s, shared by %q, %v", c.Status, c.SharedBy, err)
			}
		})
	}
}

// A refresh that is under way when the host deletes its owner is stored, so that the
// newest token is the one that is ended, and makes nothing usable again.
func TestARefreshDuringTheHostsDeletionIsKept(t *testing.T) {
	h, s, member, _ := linked(t, OnDeleteCascade)
	if err := inhabit(t, s, member, "1"); err != nil {
		t.Fatal(err)
	}
	claim := tokenvault.RefreshClaim{Owner: member, ConnectionID: "cn_1", Version: 1, Lease: time.Minute}
	turn, err := s.BeginRefresh(t.Context(), claim)
	if err != nil || !turn.Held {
		t.Fatal(turn.Held, err)
	}
	h.exec(t, `DELETE FROM app.users`)
	renewed := record("org:acme")
	renewed.Blob = []byte("renewed")
	if _, err := s.CommitRefresh(t.Context(), tokenvault.RefreshCommit{Owner: member, ConnectionID: "cn_1", Fence: turn.Fence, Record: renewed}); err != nil {
		t.Fatal(err)
	}
	owned, err := s.ListOwned(t.Context(), member, tokenvault.Page{Limit: 10})
	if err != nil || len(owned) != 1 || string(owned[0].Record.Blob) != "renewed" || owned[0].Status != tokenvault.ConnectionNeedsReauth {
		t.Fatalf("owned: %+v, %v", owned, err)
	}
	claim.Version = 2
	if turn, err := s.BeginRefresh(t.Context(), claim); err != nil || turn.Held {
		t.Errorf("another turn: %t, %v", turn.Held, err)
	}
	if gone, err := s.HostDeletions(t.Context(), "t1", 10); err != nil || !cmp.Equal(gone, []tokenvault.Owner{member}) {
		t.Errorf("deletions: %+v, %v", gone, err)
	}
	deleteOwner(t, s, member)
	if left := h.left(t, member); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Somebody new under the id of somebody who was deleted gets nothing of theirs, and
// waits until it is gone.
func TestAnIDThatTheHostUsesAgainStartsAnew(t *testing.T) {
	h, s, member, organization := linked(t, OnDeleteCascade)
	if err := inhabit(t, s, member, "1"); err != nil {
		t.Fatal(err)
	}
	if err := inhabit(t, s, organization, "2"); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{`DELETE FROM app."Orgs"`, `INSERT INTO app."Orgs" VALUES ('acme')`} {
		h.exec(t, query)
	}
	if err := inhabit(t, s, member, "3"); !errors.Is(err, tokenvault.ErrUnavailable) {
		t.Errorf("stored beside what is being deleted: %v", err)
	}
	gone, err := s.HostDeletions(t.Context(), "t1", 10)
	if err != nil || !cmp.Equal(gone, []tokenvault.Owner{organization, member}) {
		t.Errorf("deletions: %+v, %v", gone, err)
	}
	deleteOwner(t, s, organization) // and its members' rows in it
	if gone, err := s.HostDeletions(t.Context(), "t1", 10); err != nil || len(gone) > 0 {
		t.Errorf("deletions: %+v, %v", gone, err)
	}
	if _, err := s.CreateDataKey(t.Context(), tokenvault.DataKey{Tenant: "t1", Space: "org:acme", Version: 2, Wrapped: []byte("new")}, tokenvault.Event{}); err != nil {
		t.Error(err)
	}
	h.exec(t, `DELETE FROM app."Orgs"`)
	if gone, err := s.HostDeletions(t.Context(), "t1", 10); err != nil || !cmp.Equal(gone, []tokenvault.Owner{organization}) {
		t.Errorf("an organization of which there is only a data key: %+v, %v", gone, err)
	}
}

// A server's role that is not the one that migrates needs its grants and nothing
// else.
func TestHostKeysBindTheServersRole(t *testing.T) {
	h := newHost(t, KeyText)
	database := databaseOf(t, h.dsn)
	server.Exec(t, "postgres", `CREATE ROLE `+database+`_app LOGIN`)
	if _, err := Migrate(t.Context(), h.dsn, &MigrateOptions{AppRole: database + "_app", HostKeys: h.keys(OnDeleteCascade)}); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, strings.Replace(h.dsn, database+"@", database+"_app@", 1), &Options{HostKeys: h.keys(OnDeleteCascade)})
	owner := tokenvault.Owner{Tenant: "t1", UserID: "alice"}
	if err := inhabit(t, s, owner, "1"); !errors.Is(err, tokenvault.ErrUnknownOwner) {
		t.Errorf("a stranger: %v", err)
	}
	h.exec(t, `INSERT INTO app.users VALUES ('alice')`)
	if err := inhabit(t, s, owner, "2"); err != nil {
		t.Fatal(err)
	}
	h.exec(t, `DELETE FROM app.users`)
	deleteOwner(t, s, owner)
	if left := h.left(t, owner); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
