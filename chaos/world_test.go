package chaos

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/internal/testop"
	"github.com/ai-token-vault/tokenvault/server"
)

const (
	providerID   = "idp"
	clientSecret = "secret-of-vault-basic-7f3a9c51d2"
	never        = 1 << 30
)

// rounds is how often a fault happens. CHAOS_ROUNDS shortens the long forms.
func rounds() int { return roundsOr(5) }

func roundsOr(few int) int {
	if !long() {
		return few
	}
	if n, err := strconv.Atoi(os.Getenv("CHAOS_ROUNDS")); err == nil {
		return n
	}
	return 50
}

func long() bool { return os.Getenv("CHAOS") != "" }

// A tally is what became of a case.
type tally struct{ faults, lost, unexplained int }

func (n *tally) report(t *testing.T, name string) {
	t.Helper()
	fmt.Printf("CHAOS %s faults=%d lost=%d unexplained=%d\n", name, n.faults, n.lost, n.unexplained)
	if n.unexplained > 0 {
		t.Errorf("%s: %d unexplained", name, n.unexplained)
	}
}

// A world is one data directory or PostgreSQL database, the provider, and whoever
// runs on them.
type world struct {
	op      *testop.OP
	dir     string // the data directory
	binary  string
	env     []string
	cfg     server.Config
	opened  *server.Opened // for what a person and an administrator do
	key     tokenvault.Secret
	db      *sql.DB
	backend tokenvault.Actor
	beside  []provider

	database // the zero database is SQLite
}

func newWorld(t *testing.T, dir string) *world {
	t.Helper()
	w := &world{op: testop.Start(t, testop.Options{AccessTTL: "3600"}), dir: dir, binary: build(t)}
	w.cfg = w.config(t)
	w.open(t)
	w.register(t)
	return w
}

// open opens the data directory until the test ends.
func (w *world) open(t *testing.T) {
	t.Helper()
	opened, err := server.Open(t.Context(), w.cfg, server.NewLogger(os.Stderr, "error", "text"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close(context.Background()) })
	w.opened = opened
	w.look(t)
}

// look connects to the database behind the vault's back.
func (w *world) look(t *testing.T) {
	t.Helper()
	driver, dsn := "sqlite", "file:"+w.cfg.DatabasePath()+"?_pragma=busy_timeout(10000)"
	if w.pg != nil {
		driver, dsn = "pgx", w.superuser
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
}

// define writes the definition of a provider to a file.
func define(t *testing.T, id string, op *testop.OP) (file, host string) {
	t.Helper()
	host = strings.TrimPrefix(op.Issuer, "http://")
	text := fmt.Sprintf(`{id: %[3]s, name: Example ID, service: %[3]s, description: An independent OAuth server., authMethod: oauth2,
hosts: ["%[1]s"], verified: unverified, oauth2: {issuer: "%[2]s", issRequired: true, authorizationUrl: "%[2]s/auth", tokenUrl: "%[2]s/token",
userInfoUrl: "%[2]s/me", jwksUrl: "%[2]s/jwks", alwaysScopes: [openid, offline_access], authorizationParams: {prompt: consent}}}`,
		host, op.Issuer, id)
	file = filepath.Join(t.TempDir(), id+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, host
}

// A provider is one that is there beside the strict one.
type provider struct {
	id string
	op *testop.OP
}

func (w *world) config(t *testing.T) server.Config {
	t.Helper()
	var files, hosts []string
	for _, p := range append(w.beside, provider{providerID, w.op}) {
		file, host := define(t, p.id, p.op)
		files, hosts = append(files, file), append(hosts, host)
	}
	const page = "http://127.0.0.1:1/connected"
	w.env = append(os.Environ(), "TOKENVAULT_DATA_DIR="+w.dir, "TOKENVAULT_PROVIDER_FILES="+strings.Join(files, ","), "TOKENVAULT_ALLOW_HOSTS="+strings.Join(hosts, ","),
		"TOKENVAULT_LISTEN=127.0.0.1:0", "TOKENVAULT_MODE=verifier", "TOKENVAULT_VERIFY_URL="+page, "TOKENVAULT_LOG_LEVEL=error")
	return server.Config{
		DataDir: w.dir, Tenant: "default", Audit: "sync", PublicURL: "http://127.0.0.1:1", Mount: tokenvault.DefaultMount,
		Mode: "verifier", VerifyURL: page, ProviderFiles: files, AllowHosts: hosts,
	}
}

// register makes the app, and a key that may act for everybody.
func (w *world) register(t *testing.T) {
	t.Helper()
	for _, p := range append(w.beside, provider{providerID, w.op}) {
		w.app(t, p.id, p.op)
	}
	var err error
	_, w.key, err = w.opened.Vault.CreateAPIKey(t.Context(), w.opened.Admin(), tokenvault.APIKeyInput{Name: "agents", Kind: tokenvault.ActorBackend})
	if err != nil {
		t.Fatal(err)
	}
	w.backend = tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "agents"}
}

// app makes the app at a provider.
func (w *world) app(t *testing.T, provider string, op *testop.OP) {
	t.Helper()
	app, err := w.opened.Vault.SetApp(t.Context(), w.opened.Admin(), tokenvault.AppInput{
		ProviderID: provider, ClientID: "vault-basic", ClientSecret: tokenvault.NewSecret(clientSecret),
	})
	if err != nil {
		t.Fatal(err)
	}
	op.Callbacks(t, w.opened.Vault.CallbackURL(app))
}

// connect connects, or connects again, a user's account, as the user would.
func (w *world) connect(t *testing.T, user string) {
	t.Helper()
	w.connectAt(t, providerID, user)
}

func (w *world) connectAt(t *testing.T, provider, user string) {
	t.Helper()
	owner := tokenvault.Owner{Tenant: "default", UserID: user}
	agent, person := w.backend, tokenvault.Actor{Kind: tokenvault.ActorUser, ID: user, Owner: owner}
	agent.Owner = owner
	v := w.opened.Vault
	_, err := v.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: provider, Release: tokenvault.ReleaseToken})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("%s: %v, want an AuthRequiredError", user, err)
	}
	to, err := v.StartConnect(t.Context(), person, tokenvault.StartConnect{AuthRequestID: required.Request.ID})
	if err != nil {
		t.Fatal(err)
	}
	q := testop.NewPerson(t, user).Authorize(t, to.URL).Query()
	_, err = v.FinishConnect(t.Context(), person, tokenvault.Return{
		AppID: v.AppID("", provider), State: tokenvault.NewSecret(q.Get("state")), Code: tokenvault.NewSecret(q.Get("code")),
		Iss: q.Get("iss"), Browser: to.CookieValue,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// exec changes rows behind the vault's back.
func (w *world) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := w.db.ExecContext(t.Context(), w.sql(query), args...); err != nil {
		t.Fatal(err)
	}
}

// expire makes a user's access token one that has expired.
func (w *world) expire(t *testing.T, user string) {
	t.Helper()
	w.exec(t, `UPDATE connections SET expires_at = `+w.past()+` WHERE user_id = ?`, user)
}

// passLeases lets the time of all leases pass, so that nobody has to wait for what
// a killed process held.
func (w *world) passLeases(t *testing.T) {
	t.Helper()
	w.exec(t, `UPDATE connections SET lease_until = `+w.past())
}

// A stored is what the database says of a user's connection.
type stored struct {
	status, reason string
	version        int64
	marked         bool
}

func (w *world) stored(t *testing.T, user string) (s stored) {
	t.Helper()
	row := w.db.QueryRowContext(t.Context(), w.sql(`SELECT status, reason, version, marked FROM connections WHERE user_id = ?`), user)
	if err := row.Scan(&s.status, &s.reason, &s.version, &s.marked); err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) tokenRequests(t *testing.T) int {
	t.Helper()
	return w.op.Stats(t)["POST /token"]
}

// accepted reports whether the provider takes an access token for a user's.
func (w *world) accepted(t *testing.T, user string, token tokenvault.Secret) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.op.Issuer+"/me", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token.Reveal())
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var who struct {
		Sub string `json:"sub"`
	}
	return res.StatusCode == http.StatusOK && json.NewDecoder(res.Body).Decode(&who) == nil && who.Sub == user
}

// A process is a running server.
type process struct {
	*exec.Cmd
	name  string // of its database sessions, if these are of PostgreSQL
	dir   string // its own data directory, if it has one
	url   string
	ended chan struct{}
}

// serve starts a server and returns when it serves.
func (w *world) serve(t *testing.T) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(context.WithoutCancel(t.Context()), w.binary, "serve")}
	p.Env = w.env
	return p.start(t)
}

func (p *process) start(t *testing.T) *process {
	t.Helper()
	p.ended, p.Stderr = make(chan struct{}), t.Output()
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "Serving "); ok {
			p.url = address
			break
		}
	}
	go func() {
		for lines.Scan() {
			continue
		}
		_ = p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.end(t, syscall.SIGKILL) })
	if _, err := url.Parse(p.url); err != nil || p.url == "" {
		t.Fatal("the server did not start")
	}
	return p
}

// end sends a signal and waits until the process is gone.
func (p *process) end(t *testing.T, with syscall.Signal) {
	t.Helper()
	_ = p.Process.Signal(with)
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		_ = p.Process.Kill()
		t.Errorf("the server did not end on %v", with)
	}
}

// agent returns a client of the server.
func (w *world) agent(t *testing.T, p *process) *client.Client {
	t.Helper()
	c, err := client.New(p.url, w.key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func request(user, run string) client.ResolveRequest {
	return client.ResolveRequest{ProviderID: providerID, Release: tokenvault.ReleaseToken, RunID: run, Owner: &client.Owner{UserID: user}}
}
