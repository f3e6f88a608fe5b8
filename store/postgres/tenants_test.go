package postgres

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ai-token-vault/tokenvault"
)

// tables are those with a tenant.
func tables(t *testing.T, s *Store) []string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `SELECT table_name FROM information_schema.columns
		WHERE table_schema = 'tokenvault' AND column_name = 'tenant' AND table_name NOT LIKE 'hot\_%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) < 10 {
		t.Fatalf("tables with a tenant: %q, %v", names, err)
	}
	return names
}

// fill stores a row of each kind for a tenant.
func fill(t *testing.T, s *Store, tenant string) {
	t.Helper()
	ctx, owner := t.Context(), tokenvault.Owner{Tenant: tenant, UserID: "alice"}
	record := tokenvault.SealedRecord{KeySpace: "space", KeyVersion: 1, Blob: []byte("sealed")}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.CreateDataKey(ctx, tokenvault.DataKey{Tenant: tenant, Space: "space", Version: 1, Wrapped: []byte("wrapped")}, tokenvault.Event{})
	must(err)
	_, err = s.PutWebhook(ctx, tokenvault.WebhookPut{Webhook: tokenvault.SealedWebhook{ // it is told of what follows
		Webhook: tokenvault.Webhook{ID: "wh_1", Tenant: tenant, URL: "https://host.example/", Enabled: true, Version: 1}, Record: record,
	}})
	must(err)
	open := func(id string) tokenvault.AuthRequest {
		req, _, err := s.OpenOrJoin(ctx, tokenvault.NewAuthRequest{TTL: time.Hour, Request: tokenvault.AuthRequest{
			ID: id, Owner: owner, AgentID: "agent", ProviderID: "github", AuthMethod: tokenvault.AuthOAuth2,
			Reason: tokenvault.ReasonMissing, Scopes: []string{id}, Release: tokenvault.ReleaseInject,
		}, Event: tokenvault.Event{Kind: tokenvault.EventAuthRequested, Tenant: tenant, Owner: owner}})
		must(err)
		return req
	}
	must(s.BeginAttempt(ctx, tokenvault.NewAttempt{TTL: time.Hour, Attempt: tokenvault.Attempt{
		ID: "at_1", AuthRequestID: open("ar_1").ID, Owner: owner, StateHash: "hash of " + tenant, Private: record,
	}}))
	c := tokenvault.SettledConnection{}
	c.ID, c.Owner, c.ProviderID, c.AuthMethod, c.Version, c.Record = "cn_1", owner, "github", tokenvault.AuthOAuth2, 1, record
	_, err = s.Settle(ctx, tokenvault.Settlement{
		Owner: owner, AuthRequestID: open("ar_2").ID, Status: tokenvault.AuthConnected, Connection: &c,
		Permission: &tokenvault.Permission{ID: "pm_1", Owner: owner, AgentID: "agent", ConnectionID: "cn_1", Release: tokenvault.ReleaseInject},
	})
	must(err)
	c.ID, c.Account.ID = "cn_2", "other"
	_, err = s.Settle(ctx, tokenvault.Settlement{Owner: owner, AuthRequestID: open("ar_3").ID, Status: tokenvault.AuthConnected, Connection: &c})
	must(err)
	_, err = s.Revoke(ctx, tokenvault.Revocation{Owner: owner, ConnectionID: "cn_2", Job: &tokenvault.Job{
		ID: "jb_" + tenant, Kind: tokenvault.JobRevokeGrant, Owner: owner, Record: record,
	}})
	must(err)
	_, err = s.PutApp(ctx, tokenvault.SealedApp{App: tokenvault.App{ID: "app_1", Tenant: tenant, ProviderID: "github", Version: 1}, Record: record}, tokenvault.Event{})
	must(err)
	_, err = s.CreateAPIKey(ctx, tokenvault.APIKey{ID: "key_" + tenant, Kind: tokenvault.ActorAgent, Owner: owner, MAC: []byte("mac")}, tokenvault.Event{})
	must(err)
	_, err = s.PutProvider(ctx, tokenvault.ProviderPut{Provider: tokenvault.SealedProvider{Tenant: tenant, ID: "mine", Version: 1, Record: record}})
	must(err)
	must(s.write(ctx, "fill", tenant, func(t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO tv.host_deletions (tenant, user_id) VALUES ($1, 'bob')`, tenant)
		return err
	}))
	must(s.UseNonce(ctx, tokenvault.Nonce{Tenant: tenant, Hash: "nonce", TTL: time.Hour}))
	heads, err := s.UnsignedAudit(ctx, tenant)
	must(err)
	for i := range heads {
		heads[i].MAC = []byte("mac")
	}
	must(s.SignAudit(ctx, heads))
}

// A3: a transaction that forgot its tenant, or is another tenant's, sees nothing and
// changes nothing, whatever its statement says.
func TestA3ATransactionWithoutItsTenantSeesNothing(t *testing.T) {
	s := openAt(t, newTemplate(t).dsn, nil)
	fill(t, s, "t1")
	if bypass, err := s.Bypass(t.Context()); err != nil || bypass {
		t.Fatalf("the role is bound by no policy: %t, %v: the test proves nothing", bypass, err)
	}
	for _, table := range tables(t, s) {
		t.Run(table, func(t *testing.T) {
			for name, tenant := range map[string]string{"forgotten": "", "of another tenant": "t2"} {
				if n := count(t, s, table, tenant); n != 0 {
					t.Errorf("%s: %d rows", name, n)
				}
				if n := change(t, s, table, tenant); n != 0 {
					t.Errorf("%s: %d rows changed", name, n)
				}
			}
			if count(t, s, table, "t1") == 0 {
				t.Error("there is no row of the tenant: the test proves nothing")
			}
		})
	}
}

func bound(t *testing.T, s *Store, tenant string) pgx.Tx {
	t.Helper()
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if tenant != "" {
		if _, err := tx.Exec(t.Context(), sqlSetTenant, tenant); err != nil {
			t.Fatal(err)
		}
	}
	return tx
}

func count(t *testing.T, s *Store, table, tenant string) (n int) {
	t.Helper()
	tx := bound(t, s, tenant)
	defer func() { _ = tx.Rollback(t.Context()) }()
	if err := tx.QueryRow(t.Context(), `SELECT count(*) FROM tokenvault.`+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func change(t *testing.T, s *Store, table, tenant string) int64 {
	t.Helper()
	tx := bound(t, s, tenant)
	defer func() { _ = tx.Rollback(t.Context()) }()
	tag, err := tx.Exec(t.Context(), `UPDATE tokenvault.`+table+` SET tenant = tenant`)
	if err != nil {
		t.Fatal(err)
	}
	return tag.RowsAffected()
}

// The row of one tenant is not written in the transaction of another.
func TestA3AForeignRowIsNotWritten(t *testing.T) {
	s := openAt(t, newTemplate(t).dsn, nil)
	tx := bound(t, s, "t1")
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err := tx.Exec(t.Context(), `INSERT INTO tokenvault.nonces (tenant, hash, expires_at) VALUES ('t2', 'x', now())`)
	if err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("err = %v, want a violation of row-level security", err)
	}
}

// The role that looks across tenants is nobody's to take.
func TestNobodyBecomesTheSystem(t *testing.T) {
	s := openAt(t, newTemplate(t).dsn, nil)
	if _, err := s.pool.Exec(t.Context(), `SET ROLE tokenvault_system`); err == nil {
		t.Error("the server's role became tokenvault_system")
	}
}

// A role that is bound by no policy works, and whoever opens the store is warned,
// also on a pool that the host made.
func TestABypassIsTold(t *testing.T) {
	dsn := server.Database(t)
	if _, err := Migrate(t.Context(), dsn, nil); err != nil {
		t.Fatal(err)
	}
	database := databaseOf(t, dsn)
	server.Exec(t, database, `CREATE ROLE bypassing LOGIN BYPASSRLS IN ROLE `+database)
	for name, tc := range map[string]struct {
		dsn  string
		want bool
	}{
		"own role":  {dsn, false},
		"superuser": {server.Superuser(database), true},
		"BYPASSRLS": {strings.Replace(dsn, database+"@", "bypassing@", 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			pool, err := pgxpool.New(t.Context(), tc.dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			var log bytes.Buffer
			s, err := New(t.Context(), pool, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if bypass, err := s.Bypass(t.Context()); err != nil || bypass != tc.want {
				t.Errorf("Bypass = %t, %v", bypass, err)
			}
			if warned := strings.Contains(log.String(), "row-level security does not bind"); warned != tc.want {
				t.Errorf("warned: %t, in %q", warned, log.String())
			}
		})
	}
}

// The role of the server may be another one than that which migrates, and needs
// nothing but its grants. Later steps need no CREATEROLE.
func TestTheServersRoleIsGrantedWhatItNeeds(t *testing.T) {
	dsn := server.Database(t)
	owner := databaseOf(t, dsn)
	app := owner + "_app"
	server.Exec(t, "postgres", `CREATE ROLE `+app+` LOGIN`)
	opts := &MigrateOptions{AppRole: app}
	if _, err := Migrate(t.Context(), dsn, opts); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "postgres", `ALTER ROLE `+owner+` NOCREATEROLE`)
	if _, err := Migrate(t.Context(), dsn, opts); err != nil {
		t.Errorf("again, without CREATEROLE: %v", err)
	}
	s := openAt(t, strings.Replace(dsn, owner+"@", app+"@", 1), nil)
	fill(t, s, "t1")
	alice := tokenvault.Owner{Tenant: "t1", UserID: "alice"}
	for name, call := range map[string]func() error{
		"ping": func() error { return s.Ping(t.Context()) },
		"find": func() error {
			_, err := s.FindUsable(t.Context(), tokenvault.FindQuery{Owner: alice, ProviderID: "github"})
			return err
		},
		"claim":   func() error { _, err := s.ClaimJobs(t.Context(), 1, time.Minute); return err },
		"sweep":   func() error { _, err := s.ExpireAuthRequests(t.Context(), 1); return err },
		"any key": func() error { _, err := s.AnyDataKey(t.Context()); return err },
		"keys":    func() error { _, err := s.ListDataKeys(t.Context(), "", tokenvault.DataKey{}, 10); return err },
		"API key": func() error { _, err := s.GetAPIKey(t.Context(), "key_t1"); return err },
		"delete":  func() error { _, err := s.DeleteOwner(t.Context(), tokenvault.OwnerDeletion{Owner: alice}); return err },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, query := range []string{`DELETE FROM tokenvault.hot_connections`, `SET ROLE tokenvault_system`, `CREATE TABLE tokenvault.mine ()`} {
		if _, err := s.pool.Exec(t.Context(), query); err == nil {
			t.Errorf("the server's role may %s", query)
		}
	}
}
