package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/internal/testop"
	"github.com/ai-token-vault/tokenvault/internal/testpg"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/server"
)

// A pgSite is a site whose vault is in a PostgreSQL database.
type pgSite struct {
	*site
	pg   *testpg.Server
	dsn  string
	conn *pgx.Conn // the superuser's: to change rows behind the vault's back
}

func onPostgres(t *testing.T) *pgSite {
	t.Helper()
	pg, err := testpg.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Close)
	return onDatabase(t, pg, pg.Database(t))
}

func onDatabase(t *testing.T, pg *testpg.Server, dsn string, flags ...string) *pgSite {
	t.Helper()
	p := &pgSite{pg: pg, dsn: dsn}
	key := filepath.Join(t.TempDir(), "root-key.json")
	if _, err := keyring.Create(key); err != nil {
		t.Fatal(err)
	}
	p.site = strict(t, testop.Options{}, append([]string{"--key-file=" + key, "--database-url-file=" + write(t, "url", p.dsn)}, flags...)...)
	return p
}

// look connects as the superuser until the test ends or close is called.
func (p *pgSite) look(t *testing.T) (closed func()) {
	t.Helper()
	u, err := url.Parse(p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	if p.conn, err = pgx.Connect(t.Context(), p.pg.Superuser(strings.TrimPrefix(u.Path, "/"))); err != nil {
		t.Fatal(err)
	}
	closed = sync.OnceFunc(func() { _ = p.conn.Close(context.Background()) })
	t.Cleanup(closed)
	return closed
}

func (p *pgSite) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := p.conn.Exec(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func (p *pgSite) expire(t *testing.T, user string) {
	t.Helper()
	p.exec(t, `UPDATE tokenvault.connections SET expires_at = 'epoch' WHERE user_id = $1`, user)
}

// reason returns why a user's connection needs its owner; empty if it does not.
func (p *pgSite) reason(t *testing.T, user string) (reason string) {
	t.Helper()
	err := p.conn.QueryRow(t.Context(), `SELECT reason FROM tokenvault.connections WHERE user_id = $1`, user).Scan(&reason)
	if err != nil {
		t.Fatal(err)
	}
	return reason
}

// K7: a PostgreSQL database is restored after the provider has replaced refresh
// tokens. Each of the old ones is sent at most once, whichever replica is asked;
// what the provider refuses is told as a lost response; what nobody used since works
// on.
func TestK7ARestoredDatabaseIsNoReuseStorm(t *testing.T) {
	p := onPostgres(t)
	closed := p.look(t)
	used := []string{"ada", "bob", "cid"}
	agents := map[string]*client.Client{}
	for _, user := range append(used, "idle") {
		agents[user] = p.agent(t, user)
		p.browser(t, user).connect(t, mustAsk(t, agents[user]), user)
		mustResolve(t, agents[user])
	}
	dump := p.pg.Dump(t, p.dsn)
	for range 3 {
		for _, user := range used {
			p.expire(t, user)
			mustResolve(t, agents[user])
		}
	}
	log := server.NewLogger(io.Discard, "error", "text")
	if _, err := server.RestoreDatabase(t.Context(), p.cfg, false, log); !errors.Is(err, tokenvault.ErrConflict) {
		t.Fatalf("under a running server: %v, want ErrConflict", err)
	}
	p.stop()
	closed()
	p.pg.Restore(t, p.dsn, dump)
	done, err := server.RestoreDatabase(t.Context(), p.cfg, false, log)
	if err != nil || done.Uncertain != 4 || done.Unreadable != 0 {
		t.Fatalf("restored %+v, %v", done, err)
	}

	p.look(t)
	for _, user := range append(used, "idle") {
		p.expire(t, user)
	}
	before := p.tokenRequests(t)
	p.serve(t)
	replica := p.replica(t)
	for range 2 { // a second wave sends nothing either
		p.storm(t, replica, append(used, "idle"))
	}
	if sent := p.tokenRequests(t) - before; sent != len(used)+1 {
		t.Errorf("%d refresh tokens were sent, want each of %d once", sent, len(used)+1)
	}
	for _, user := range used {
		if why := p.reason(t, user); why != string(tokenvault.ReauthLostResponse) {
			t.Errorf("%s: reason %q, want lost_response", user, why)
		}
		p.browser(t, user).connect(t, mustAsk(t, agents[user]), user) // and is healed in place
	}
	for _, user := range append(used, "idle") {
		if token := mustResolve(t, agents[user]); !p.accepted(t, token) {
			t.Errorf("%s: the provider refuses the token", user)
		}
	}
	if report, err := p.VerifyAudit(t.Context(), p.admin); err != nil || report.Broken != nil {
		t.Errorf("the audit log: %+v, %v", report, err)
	}
}

// replica serves the same database at another address.
func (p *pgSite) replica(t *testing.T) *site {
	t.Helper()
	port, err := testpg.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	other := *p.site
	other.cfg.Listen, other.cfg.PublicURL = fmt.Sprintf("127.0.0.1:%d", port), p.url
	other.serve(t)
	other.url = "http://" + other.cfg.Listen
	return &other
}

// storm lets 10 callers ask each of two replicas for every user at once.
func (p *pgSite) storm(t *testing.T, replica *site, users []string) {
	t.Helper()
	var all sync.WaitGroup
	for _, user := range users {
		for _, agent := range []*client.Client{p.agent(t, user), replica.agent(t, user)} {
			for range 10 {
				all.Go(func() {
					_, err := agent.Resolve(t.Context(), ask())
					if _, asks := errors.AsType[*tokenvault.AuthRequiredError](err); err != nil && !asks {
						t.Errorf("%s: %v", user, err)
					}
				})
			}
		}
	}
	all.Wait()
}
