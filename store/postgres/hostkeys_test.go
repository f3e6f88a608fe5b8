package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/storetest"
)

// A host is an application whose tables are in the same database. It works as a role
// of its own, which may do nothing in the vault's schema.
type host struct {
	dsn  string // of the vault's role
	conn *pgx.Conn
}

// newHost creates tables of users and of organizations with ids of a type.
func newHost(t *testing.T, typ KeyType) *host {
	t.Helper()
	dsn := server.Database(t)
	name := databaseOf(t, dsn)
	role := name + "_host"
	server.Exec(t, "postgres", `CREATE ROLE `+role+` LOGIN`)
	server.Exec(t, name, `CREATE SCHEMA app AUTHORIZATION `+role, `SET ROLE `+role,
		`CREATE TABLE app.users (id `+string(typ)+` PRIMARY KEY, email text)`, `CREATE TABLE app."Orgs" ("orgId" `+string(typ)+` UNIQUE)`)
	h := &host{dsn: dsn}
	h.grant(t)
	var err error
	if h.conn, err = pgx.Connect(t.Context(), strings.Replace(dsn, name+"@", role+"@", 1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.conn.Close(context.Background()) })
	return h
}

// grant lets the vault refer to the host's tables, and not read them.
func (h *host) grant(t *testing.T) {
	t.Helper()
	name := databaseOf(t, h.dsn)
	server.Exec(t, name, `GRANT USAGE ON SCHEMA app TO `+name, `GRANT REFERENCES (id) ON app.users TO `+name,
		`GRANT REFERENCES ("orgId") ON app."Orgs" TO `+name)
}

func (h *host) keys(onDelete OnDelete) HostKeys {
	return HostKeys{
		User:         &HostKey{Table: "app.users", OnDelete: onDelete},
		Organization: &HostKey{Table: "app.Orgs", Column: "orgId", OnDelete: onDelete},
	}
}

func (h *host) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := h.conn.Exec(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func (h *host) migrate(t *testing.T, keys HostKeys) {
	t.Helper()
	if _, err := Migrate(t.Context(), h.dsn, &MigrateOptions{HostKeys: keys}); err != nil {
		t.Fatal(err)
	}
}

// ids returns two ids of a type as the database writes them, and one that is
// written otherwise; empty if there is none.
func ids(typ KeyType) (first, second, odd string) {
	switch typ {
	case KeyUUID:
		return "6a0d6b0e-0f5c-4a3e-9a58-0d0a4f1f0a01", "6a0d6b0e-0f5c-4a3e-9a58-0d0a4f1f0a02", "6A0D6B0E-0F5C-4A3E-9A58-0D0A4F1F0A01"
	case KeyBigint:
		return "9223372036854775807", "-2", "9223372036854775808"
	case KeyText:
	}
	return "ada@example.com", "bob's", ""
}

func record(space string) tokenvault.SealedRecord {
	return tokenvault.SealedRecord{KeySpace: space, KeyVersion: 1, Blob: []byte("sealed")}
}

// inhabit stores something of every kind for an owner.
func inhabit(t *testing.T, s *Store, owner tokenvault.Owner, id string) error {
	t.Helper()
	ctx, space := t.Context(), "user:00"
	if owner.OrganizationID != "" {
		space = "org:" + owner.OrganizationID
	}
	if _, err := s.CreateDataKey(ctx, tokenvault.DataKey{Tenant: owner.Tenant, Space: space, Version: 1, Wrapped: []byte("wrapped")}, tokenvault.Event{}); err != nil {
		return err
	}
	open := func(id string) (tokenvault.AuthRequest, error) {
		req, _, err := s.OpenOrJoin(ctx, tokenvault.NewAuthRequest{TTL: time.Hour, Request: tokenvault.AuthRequest{
			ID: "ar_" + id, Owner: owner, AgentID: "agent", ProviderID: "github", AuthMethod: tokenvault.AuthOAuth2,
			Reason: tokenvault.ReasonMissing, Scopes: []string{id}, Release: tokenvault.ReleaseInject,
		}})
		return req, err
	}
	req, err := open(id)
	if err != nil {
		return err
	}
	if _, err := open(id + "_pending"); err != nil {
		return err
	}
	c := tokenvault.SettledConnection{}
	c.ID, c.Owner, c.ProviderID, c.AuthMethod, c.Version, c.Record = "cn_"+id, owner, "github", tokenvault.AuthOAuth2, 1, record(space)
	c.Account.ID = id
	if _, err := s.Settle(ctx, tokenvault.Settlement{
		Owner: owner, AuthRequestID: req.ID, Status: tokenvault.AuthConnected, Connection: &c,
		Permission: &tokenvault.Permission{ID: "pm_" + id, Owner: owner, AgentID: "agent", ConnectionID: c.ID, Release: tokenvault.ReleaseInject},
	}); err != nil {
		return err
	}
	if _, err := s.CreateAPIKey(ctx, tokenvault.APIKey{ID: "key_" + id, Kind: tokenvault.ActorAgent, Owner: owner, MAC: []byte("mac")}, tokenvault.Event{}); err != nil {
		return err
	}
	if owner.OrganizationID == "" || owner.UserID != "" {
		return nil
	}
	app := tokenvault.SealedApp{App: tokenvault.App{ID: "app_" + id, Tenant: owner.Tenant, OrganizationID: owner.OrganizationID, ProviderID: "github", Version: 1}, Record: record(space)}
	if _, err := s.PutApp(ctx, app, tokenvault.Event{}); err != nil {
		return err
	}
	_, err = s.PutProvider(ctx, tokenvault.ProviderPut{Provider: tokenvault.SealedProvider{
		Tenant: owner.Tenant, OrganizationID: owner.OrganizationID, ID: "crm", Version: 1, Record: record(space),
	}})
	return err
}

// left returns how many rows of an owner there are, by table, as a superuser sees
// them.
func (h *host) left(t *testing.T, owner tokenvault.Owner) map[string]int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.Superuser(databaseOf(t, h.dsn)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	left := map[string]int{}
	for _, table := range keyedTables() {
		condition := `organization_id = $1 AND user_id = $2`
		switch table.name {
		case "data_keys":
			condition = `space = 'org:' || $1 AND $2 = '' AND length(wrapped) > 0`
		case "apps", "providers":
			condition = `organization_id = $1 AND $2 = '' AND organization_id <> ''`
		}
		var n int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM tokenvault.`+table.name+` WHERE `+condition, owner.OrganizationID, owner.UserID).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			left[table.name] = n
		}
	}
	return left
}

// deleteOwner deletes as the vault does.
func deleteOwner(t *testing.T, s *Store, owner tokenvault.Owner) {
	t.Helper()
	cmd := tokenvault.OwnerDeletion{Owner: owner, Event: tokenvault.Event{Kind: tokenvault.EventOwnerDeleted, Tenant: owner.Tenant, Owner: owner}}
	if owner.UserID == "" {
		cmd.KeySpace = "org:" + owner.OrganizationID
	}
	owned, err := s.ListOwned(t.Context(), owner, tokenvault.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range owned {
		cmd.Connections = append(cmd.Connections, tokenvault.OwnedConnection{ID: c.ID, Version: c.Version})
	}
	if done, err := s.DeleteOwner(t.Context(), cmd); !done || err != nil {
		t.Fatalf("DeleteOwner = %t, %v", done, err)
	}
}

// deletion is what the host does to an owner: to the organization, or else to the
// user.
func (h *host) deletion(owner tokenvault.Owner) (query string, args []any) {
	if owner.UserID == "" {
		return `DELETE FROM app."Orgs" WHERE "orgId"::text = $1`, []any{owner.OrganizationID}
	}
	return `DELETE FROM app.users WHERE id::text = $1`, []any{owner.UserID}
}

func eachType(t *testing.T, onDelete OnDelete, run func(t *testing.T, h *host, s *Store, user, organization tokenvault.Owner)) {
	t.Helper()
	for _, typ := range []KeyType{KeyUUID, KeyText, KeyBigint} {
		t.Run(string(typ), func(t *testing.T) {
			h := newHost(t, typ)
			h.migrate(t, h.keys(onDelete))
			first, second, _ := ids(typ)
			h.exec(t, fmt.Sprintf(`INSERT INTO app.users (id) VALUES ($1::text::%s)`, typ), first)
			h.exec(t, fmt.Sprintf(`INSERT INTO app."Orgs" VALUES ($1::text::%s)`, typ), second)
			run(t, h, openAt(t, h.dsn, &Options{HostKeys: h.keys(onDelete)}),
				tokenvault.Owner{Tenant: "t1", UserID: first}, tokenvault.Owner{Tenant: "t1", OrganizationID: second})
		})
	}
}

// everything is what inhabit leaves of an owner.
func everything(owner tokenvault.Owner) map[string]int {
	all := map[string]int{"auth_requests": 2, "connections": 1, "permissions": 1, "api_keys": 1}
	if owner.UserID == "" {
		all["apps"], all["providers"], all["data_keys"] = 1, 1, 1
	}
	return all
}

// The host cannot delete whom the vault has something of. The error that it gets
// says what to do, and once that is done it can.
func TestAHostKeyRestricts(t *testing.T) {
	eachType(t, OnDeleteRestrict, func(t *testing.T, h *host, s *Store, user, organization tokenvault.Owner) {
		for i, owner := range []tokenvault.Owner{user, organization} {
			if err := inhabit(t, s, owner, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			query, args := h.deletion(owner)
			_, err := h.conn.Exec(t.Context(), query, args...)
			if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != codeForeignKey || !strings.Contains(e.Message, "call_delete_owner_before_deleting_the_") {
				t.Errorf("deleting %+v: %v", owner, err)
			}
			if diff := cmp.Diff(everything(owner), h.left(t, owner)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			deleteOwner(t, s, owner)
			h.exec(t, query, args...)
			if left := h.left(t, owner); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		}
	})
}

// What the host deletes is of no use from its transaction on. What is left of it is
// found for DeleteOwner, which leaves nothing.
func TestAHostKeyCascades(t *testing.T) {
	eachType(t, OnDeleteCascade, func(t *testing.T, h *host, s *Store, user, organization tokenvault.Owner) {
		for i, owner := range []tokenvault.Owner{user, organization} {
			if err := inhabit(t, s, owner, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			query, args := h.deletion(owner)
			h.exec(t, query, args...)
			want := everything(owner)
			delete(want, "auth_requests")
			delete(want, "permissions")
			delete(want, "api_keys")
			if diff := cmp.Diff(want, h.left(t, owner)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			c, err := s.GetConnection(t.Context(), owner, fmt.Sprintf("cn_%d", i))
			if err != nil || c.Status != tokenvault.ConnectionNeedsReauth || c.Reason != tokenvault.ReauthOwnerDeleted || len(c.Record.Blob) == 0 {
				t.Errorf("the connection: %s, %q, %v", c.Status, c.Reason, err)
			}
			if err := inhabit(t, s, owner, "late"); !errors.Is(err, tokenvault.ErrUnavailable) && !errors.Is(err, tokenvault.ErrUnknownOwner) {
				t.Errorf("storing more: %v", err)
			}
			if gone, err := s.HostDeletions(t.Context(), "t1", 10); err != nil || !cmp.Equal(gone, []tokenvault.Owner{owner}) {
				t.Errorf("deletions: %+v, %v", gone, err)
			}
			if gone, err := s.HostDeletions(t.Context(), "t2", 10); err != nil || len(gone) > 0 {
				t.Errorf("deletions of another tenant: %+v, %v", gone, err)
			}
			deleteOwner(t, s, owner)
			if left := h.left(t, owner); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if gone, err := s.HostDeletions(t.Context(), "t1", 10); err != nil || len(gone) > 0 {
				t.Errorf("deletions after DeleteOwner: %+v, %v", gone, err)
			}
			if events, err := s.ListAudit(t.Context(), "t1", tokenvault.EventQuery{Kind: tokenvault.EventOwnerDeleted}); err != nil || len(events) != i+1 {
				t.Errorf("%d events, %v", len(events), err)
			}
		}
	})
}

// Nobody is stored whom the host does not have; what the caller sent is not quoted.
func TestAHostKeyRefusesStrangers(t *testing.T) {
	for _, typ := range []KeyType{KeyUUID, KeyText, KeyBigint} {
		t.Run(string(typ), func(t *testing.T) {
			h := newHost(t, typ)
			h.migrate(t, h.keys(OnDeleteRestrict))
			s := openAt(t, h.dsn, nil)
			first, second, odd := ids(typ)
			h.exec(t, fmt.Sprintf(`INSERT INTO app.users (id) VALUES ($1::text::%s)`, typ), first)
			strangers := []string{second}
			if odd != "" {
				strangers = append(strangers, odd, "x'; --")
			}
			for _, id := range strangers {
				for what, owner := range map[string]tokenvault.Owner{
					"user": {Tenant: "t1", UserID: id}, "organization": {Tenant: "t1", OrganizationID: id, UserID: first},
				} {
					err := inhabit(t, s, owner, "x")
					if !errors.Is(err, tokenvault.ErrUnknownOwner) || !errors.Is(err, tokenvault.ErrInvalid) || strings.Contains(err.Error(), id) {
						t.Errorf("%s %q: %v", what, id, err)
					} else if !strings.Contains(err.Error(), what) {
						t.Errorf("%q does not name the %s", err, what)
					}
				}
			}
			if err := inhabit(t, s, tokenvault.Owner{Tenant: "t1", UserID: first}, "1"); err != nil {
				t.Error(err)
			}
		})
	}
}

// Every promise holds on a schema with keys, for a store that knows nothing of them:
// such is the binary of the version before, while replicas are replaced (R18).
func TestR18TheStoreRunsWithHostKeys(t *testing.T) {
	h := newHost(t, KeyText)
	h.migrate(t, h.keys(OnDeleteCascade))
	h.know(t)
	_ = h.conn.Close(t.Context())
	d := &template{dsn: h.dsn}
	storetest.Run(t, func(t *testing.T, clock func() time.Time) tokenvault.Store { return d.open(t, clock) })
}

// know gives the host whomever the suite stores something for, just before.
func (h *host) know(t *testing.T) {
	t.Helper()
	statements := []string{`CREATE FUNCTION app.know() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		BEGIN
			INSERT INTO app.users SELECT id FROM jsonb_each_text(to_jsonb(NEW)) AS c (name, id) WHERE name IN ('user_id', 'shared_by') AND id <> '' ON CONFLICT DO NOTHING;
			INSERT INTO app."Orgs" SELECT id FROM jsonb_each_text(to_jsonb(NEW)) AS c (name, id) WHERE name = 'organization_id' AND id <> '' ON CONFLICT DO NOTHING;
			INSERT INTO app."Orgs" SELECT substr(id, 5) FROM jsonb_each_text(to_jsonb(NEW)) AS c (name, id) WHERE name = 'space' AND id LIKE 'org:%' ON CONFLICT DO NOTHING;
			RETURN NEW;
		END $$`}
	for _, table := range keyedTables() {
		statements = append(statements, `CREATE TRIGGER know BEFORE INSERT OR UPDATE ON tokenvault.`+table.name+` FOR EACH ROW EXECUTE FUNCTION app.know()`)
	}
	server.Exec(t, databaseOf(t, h.dsn), statements...)
}
