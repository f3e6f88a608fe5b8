package chaos

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/internal/testop"
	"github.com/ai-token-vault/tokenvault/internal/testpg"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/server"
)

// A database is what SQLite and PostgreSQL do not have in common.
type database struct {
	pg        *testpg.Server // nil: SQLite
	dsn       string
	superuser string // connection string
	front     *front
	replicas  int // so far
}

// sql numbers the parameters of a query as the database wants it.
func (d *database) sql(query string) string {
	for n := 1; d.pg != nil && strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", fmt.Sprintf("$%d", n), 1)
	}
	return query
}

// past is a time that has passed.
func (d *database) past() string {
	if d.pg != nil {
		return "'epoch'"
	}
	return "1"
}

// newReplicas returns a world on a PostgreSQL database, with a proxy before those
// who serve it.
func newReplicas(t *testing.T, opts testop.Options, beside ...provider) *world {
	t.Helper()
	opts.AccessTTL = "3600"
	w := &world{op: testop.Start(t, opts), beside: beside, dir: filepath.Join(t.TempDir(), "operator"), binary: build(t)}
	w.pg = sharedPostgres(t)
	w.dsn = w.pg.Database(t)
	u, err := url.Parse(w.dsn)
	if err != nil {
		t.Fatal(err)
	}
	w.superuser = w.pg.Superuser(strings.TrimPrefix(u.Path, "/")) + "?search_path=tokenvault"
	w.front = newFront(t)
	w.cfg = w.config(t)
	key := filepath.Join(t.TempDir(), "root-key.json")
	if _, err := keyring.Create(key); err != nil {
		t.Fatal(err)
	}
	w.cfg.KeyFile, w.cfg.PublicURL = key, w.front.URL
	w.cfg.Database = server.Database{DatabaseURL: tokenvault.NewSecret(w.dsn), DatabaseSchema: "tokenvault", DatabaseMigration: "auto"}
	w.env = append(w.env, "TOKENVAULT_KEY_FILE="+key, "TOKENVAULT_PUBLIC_URL="+w.front.URL)
	w.open(t)
	w.register(t)
	w.exec(t, noteHolder)
	return w
}

// noteHolder has the database note which replica holds a lease, by the name of its
// sessions.
const noteHolder = `
ALTER TABLE tokenvault.connections ADD COLUMN held_by text NOT NULL DEFAULT '';
CREATE FUNCTION tokenvault.note_holder() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.fence <> OLD.fence THEN
        NEW.held_by := CASE WHEN NEW.marked AND NEW.lease_until > clock_timestamp() THEN current_setting('application_name') ELSE '' END;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER note_holder BEFORE UPDATE ON tokenvault.connections FOR EACH ROW EXECUTE FUNCTION tokenvault.note_holder();`

// noUpkeep keeps background work from refreshing what a test has expired before its
// callers do.
func (w *world) noUpkeep(t *testing.T) {
	t.Helper()
	w.exec(t, `
CREATE FUNCTION tokenvault.no_upkeep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.look_at := '2100-01-01';
    RETURN NEW;
END
$$;
CREATE TRIGGER no_upkeep BEFORE INSERT OR UPDATE ON tokenvault.connections FOR EACH ROW EXECUTE FUNCTION tokenvault.no_upkeep();`)
}

// replica starts a server with a data directory of its own.
func (w *world) replica(t *testing.T) *process {
	t.Helper()
	w.replicas++
	return w.replicaIn(t, filepath.Join(t.TempDir(), fmt.Sprintf("replica-%d", w.replicas)), w.binary)
}

// replicaIn starts a server with the data directory of an earlier one, or a new
// directory.
func (w *world) replicaIn(t *testing.T, dir, binary string) *process {
	t.Helper()
	port, err := testpg.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	listen := fmt.Sprintf("127.0.0.1:%d", port)
	p := &process{Cmd: exec.CommandContext(context.WithoutCancel(t.Context()), binary, "serve"), dir: dir}
	p.name = filepath.Base(dir) + "-" + listen
	p.Env = append(w.env, "TOKENVAULT_DATA_DIR="+dir, "TOKENVAULT_LISTEN="+listen, "TOKENVAULT_DATABASE_URL="+w.dsn+"?application_name="+p.name)
	p.start(t)
	p.url = "http://" + listen
	return p
}

// upReplicas starts servers behind the front.
func (w *world) upReplicas(t *testing.T, n int) (started []*process) {
	t.Helper()
	for range n {
		p := w.replica(t)
		w.front.add(p)
		started = append(started, p)
	}
	return started
}

// spooled returns how many credentials a replica has in its spool.
func (p *process) spooled(t *testing.T) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(p.dir, "spool", "*.spooled"))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// leave takes a replica out of service and ends it by SIGTERM, as a deployment does.
func (w *world) leave(t *testing.T, p *process) {
	t.Helper()
	w.front.remove(p)
	// Connections are accepted in about the order in which they were made, that of each
	// processor's own: those of before have been, when a few more are.
	for range 8 {
		if status := p.get(t, "/healthz"); status != http.StatusOK {
			t.Errorf("a server that is about to leave: health is %d", status)
		}
	}
	p.end(t, syscall.SIGTERM)
	if !p.ProcessState.Success() {
		t.Errorf("a server that was told to end: %v", p.ProcessState)
	}
}

// die kills a replica and lets the time of its leases pass. It returns whose grants
// may be lost: those that it was refreshing.
func (w *world) die(t *testing.T, p *process) (suspects map[string]bool) {
	t.Helper()
	p.end(t, syscall.SIGKILL)
	w.front.remove(p)
	w.afterDeath(t, p)
	suspects = w.heldBy(t, p)
	w.passLeasesOf(t, p)
	return suspects
}

// afterDeath returns when nothing that a killed replica has sent is under way: no
// statement at the database, no request at the provider. A lease lasts longer than
// that.
func (w *world) afterDeath(t *testing.T, p *process) {
	t.Helper()
	until(t, "its sessions end", func() bool {
		return w.count(t, `SELECT count(*) FROM pg_stat_activity WHERE application_name = ?`, p.name) == 0
	})
	w.op.Idle(t)
}

// heldBy returns the users whose connections a replica holds the lease of.
func (w *world) heldBy(t *testing.T, p *process) map[string]bool {
	t.Helper()
	users := map[string]bool{}
	rows, err := w.db.QueryContext(t.Context(), `SELECT user_id FROM connections WHERE marked AND held_by = $1`, p.name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var user string
		if err := rows.Scan(&user); err != nil {
			t.Fatal(err)
		}
		users[user] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return users
}

func (w *world) passLeasesOf(t *testing.T, p *process) {
	t.Helper()
	w.exec(t, `UPDATE connections SET lease_until = 'epoch' WHERE held_by = ?`, p.name)
}

func (w *world) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := w.db.QueryRowContext(t.Context(), w.sql(query), args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// stopDatabase ends PostgreSQL at once, as a crash would, until it is started again
// or the test ends.
func (w *world) stopDatabase(t *testing.T) {
	t.Helper()
	_ = w.db.Close()
	t.Cleanup(func() { _ = w.pg.Start() }) // an error says that it runs
	if err := w.pg.Stop(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) startDatabase(t *testing.T) {
	t.Helper()
	if err := w.pg.Start(); err != nil {
		t.Fatal(err)
	}
	w.look(t)
}

// get returns the status of an answer of the server.
func (p *process) get(t *testing.T, path string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	fresh := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := fresh.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// until polls until something holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline.Done():
			t.Fatalf("waited two minutes in vain until %s", what)
		}
	}
}

// An answer is what a caller got.
type answer struct {
	user, run string
	token     *client.Token
	err       error
}

// asks reports whether the owner has to act.
func (a answer) asks() bool {
	_, asks := errors.AsType[*tokenvault.AuthRequiredError](a.err)
	return asks
}

// ask has a caller ask a replica for a user's credential.
func (w *world) ask(t *testing.T, p *process, user string) <-chan answer {
	t.Helper()
	return w.askFor(t, p, providerID, user)
}

func (w *world) askFor(t *testing.T, p *process, provider, user string) <-chan answer {
	t.Helper()
	agent, answered := w.agent(t, p), make(chan answer, 1)
	go func() {
		run := rand.Text()
		wanted := request(user, run)
		wanted.ProviderID = provider
		token, err := agent.Resolve(t.Context(), wanted)
		answered <- answer{user, run, token, err}
	}()
	return answered
}
