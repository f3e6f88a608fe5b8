package main

import (
	"bufio"
	"bytes"
	"database/sql"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stuckAfter ends a process that no longer moves. It is generous: the machine may
// be busy with other tests.
const stuckAfter = 2 * time.Minute

// A process is a running command.
type process struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	stderr *bytes.Buffer // read it after finish
}

// start runs the command until it ends or the test does.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: command(t, env, args...), stderr: &bytes.Buffer{}}
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(stuckAfter, func() { _ = p.cmd.Process.Kill() })
	t.Cleanup(func() {
		stuck.Stop()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

// readUntil returns the lines up to the first that has part in it.
func (p *process) readUntil(t *testing.T, part string) []string {
	t.Helper()
	var lines []string
	for {
		line, err := p.out.ReadString('\n')
		if err != nil {
			_ = p.cmd.Wait()
			t.Fatalf("it ends before it says %q: %q, %s", part, lines, p.stderr)
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
		if strings.Contains(line, part) {
			return lines
		}
	}
}

// finish sends the signal, and returns what the process still says, once it ended.
func (p *process) finish(t *testing.T, signal os.Signal) outcome {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(p.out)
	if err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // the status tells
	return outcome{string(rest), p.stderr.String(), p.cmd.ProcessState.ExitCode()}
}

const linkText = "Sign in with this link, once, within 15 minutes: "

// A running server in mode local, with the directory of its data.
type running struct {
	*process
	url, data string
	env       []string // for commands beside it
	lines     []string // what it says at its start
}

func serve(t *testing.T, data string) running {
	t.Helper()
	env := []string{"TOKENVAULT_DATA_DIR=" + data, "TOKENVAULT_LISTEN=127.0.0.1:0"}
	r := running{process: start(t, env, "serve"), data: data, env: env}
	r.lines = r.readUntil(t, linkText)
	for _, line := range r.lines {
		if url, ok := strings.CutPrefix(line, "Serving "); ok {
			r.url = url
		}
	}
	return r
}

func TestServe(t *testing.T) {
	data := filepath.Join(t.TempDir(), "new", "data")
	r := serve(t, data)
	want := []string{
		"Created data directory " + data,
		"Created root key " + filepath.Join(data, "root-key.json") + ": back it up, without it stored credentials cannot be read",
		"Serving " + r.url,
	}
	if diff := cmp.Diff(want, r.lines[:len(r.lines)-1]); diff != "" {
		t.Errorf("the first start says (-want +got):\n%s", diff)
	}
	if link := r.lines[len(r.lines)-1]; !strings.HasPrefix(link, linkText+r.url+"/signin/local?token=") {
		t.Errorf("the link is %q", link)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status := get(t, r.url+path); status != http.StatusOK {
			t.Errorf("GET %s: %d", path, status)
		}
	}
	mustDrain(t, r)
	again := serve(t, data)
	if len(again.lines) != 2 {
		t.Errorf("a later start says %q", again.lines)
	}
	mustDrain(t, again)
}

func get(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// mustDrain ends the server as a supervisor does.
func mustDrain(t *testing.T, r running) {
	t.Helper()
	got := r.finish(t, syscall.SIGTERM)
	if got.status != 0 || got.out != "" || !strings.Contains(got.err, "msg=draining") || strings.Contains(got.err, "level=ERROR") {
		t.Errorf("after SIGTERM: %+v", got)
	}
	if _, err := os.Stat(filepath.Join(r.data, "tokenvault.db-wal")); err == nil {
		t.Error("the write-ahead log is left behind")
	}
}

func TestServeInUse(t *testing.T) {
	r := serve(t, filepath.Join(t.TempDir(), "data"))
	other := t.TempDir()
	address := strings.TrimPrefix(r.url, "http://")
	mustRefuse(t, other, []string{"TOKENVAULT_DATA_DIR=" + filepath.Join(other, "data")}, []string{"serve", "--listen", address},
		"listen: "+address+" cannot be bound", "address already in use", "name another address with --listen")
}

// connecting returns the environment of a connect with the key.
func (r running) connecting(key string) []string {
	return []string{"TOKENVAULT_SERVER=" + r.url, "TOKENVAULT_API_KEY=" + key}
}

func TestConnectRefused(t *testing.T) {
	r := serve(t, filepath.Join(t.TempDir(), "data"))
	create := func(env []string, more ...string) string {
		return succeed(t, env, append([]string{"apikey", "create", "agent", "--user", "local"}, more...)...)
	}
	valid, revoked := create(r.env), create(r.env)
	succeed(t, r.env, "apikey", "revoke", strings.Split(revoked, "_")[1])
	refused := []string{"the server at " + r.url + " refuses the API key", "see 'tokenvault apikey list'"}
	for _, tc := range []struct {
		name, provider, key string
		want                []string
	}{
		{"no key", "github", "hunter2", refused},
		{"cut short", "github", valid[:len(valid)-1], refused},
		{"of another vault", "github", create([]string{"TOKENVAULT_DATA_DIR=" + filepath.Join(t.TempDir(), "other")}), refused},
		{"expired", "github", create(r.env, "--ttl", "1ns"), refused},
		{"revoked", "github", revoked, refused},
		{"two lines", "github", valid + "\n" + valid, []string{"--api-key-file: must be the key's text alone"}},
		{"unknown provider", "githb", valid, []string{`unknown provider "githb"`, "see 'tokenvault provider list'"}},
		{"no app", "github", valid, []string{`no app is registered for "github"`, "'tokenvault app set github --client-id"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mustRefuse(t, t.TempDir(), r.connecting(tc.key), []string{"connect", tc.provider}, tc.want...)
		})
	}
	if n := authRequests(t, r); n != 0 {
		t.Errorf("%d auth requests were opened", n)
	}
	mustDrain(t, r)
}

// authRequests counts them in the database.
func authRequests(t *testing.T, r running) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(r.data, "tokenvault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM auth_requests`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestConnectServer(t *testing.T) {
	for server, want := range map[string]string{
		"vault.example.com":        "--server: must be an origin such as",
		"http://vault.example.com": "--server: must be https, except on a loopback name",
		"http://127.0.0.1:1":       "no server can be reached at http://127.0.0.1:1: start one with 'tokenvault serve'",
	} {
		mustRefuse(t, t.TempDir(), []string{"TOKENVAULT_API_KEY=hunter2"}, []string{"connect", "github", "--server", server}, want)
	}
}

// A waiting agent keeps neither itself nor the server from stopping.
func TestConnectWaits(t *testing.T) {
	r := serve(t, filepath.Join(t.TempDir(), "data"))
	key := succeed(t, r.env, "apikey", "create", "agent", "--user", "local")
	succeed(t, r.env, "app", "set", "github", "--client-id", "client-1")
	agents := []*process{start(t, r.connecting(key), "connect", "github"), start(t, r.connecting(key), "connect", "github")}
	for _, agent := range agents {
		lines := agent.readUntil(t, "Waiting")
		if !strings.Contains(lines[0], ": open "+r.url+"/connect/") {
			t.Errorf("the agent is told %q", lines[0])
		}
	}
	if n := authRequests(t, r); n != 1 {
		t.Errorf("two agents that ask for the same open %d auth requests", n)
	}
	wider := start(t, r.connecting(key), "connect", "github", "--release", "token")
	wider.readUntil(t, "Waiting")
	if n := authRequests(t, r); n != 2 {
		t.Errorf("with one that asks for the token itself, %d auth requests are open, want 2", n)
	}
	interrupted(t, wider)
	interrupted(t, agents[0])
	mustDrain(t, r)
	interrupted(t, agents[1])
}

func TestConnectOpensTheLink(t *testing.T) {
	r := serve(t, filepath.Join(t.TempDir(), "data"))
	key := succeed(t, r.env, "apikey", "create", "agent", "--user", "local")
	succeed(t, r.env, "app", "set", "github", "--client-id", "client-1")
	dir := t.TempDir()
	opened := filepath.Join(dir, "opened")
	for _, name := range []string{"xdg-open", "open"} {
		script := "#!/bin/sh\nprintf %s \"$1\" > " + opened + ".new && /bin/mv " + opened + ".new " + opened + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	agent := start(t, append(r.connecting(key), "PATH="+dir), "connect", "github", "--open")
	agent.readUntil(t, "Waiting")
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C { // until the agent is killed as stuck
		if link, err := os.ReadFile(opened); err == nil {
			if !strings.HasPrefix(string(link), r.url+"/connect/ar_") {
				t.Errorf("opened %q", link)
			}
			break
		}
	}
	interrupted(t, agent)

	agent = start(t, append(r.connecting(key), "PATH="+t.TempDir()), "connect", "github", "--open")
	agent.readUntil(t, "open the link yourself")
	interrupted(t, agent)
}

func interrupted(t *testing.T, agent *process) {
	t.Helper()
	got := agent.finish(t, os.Interrupt)
	want := outcome{"", "tokenvault: error: github: stopped waiting; the link stays valid: run the command again to wait on\n", 1}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("the interrupted agent (-want +got):\n%s", diff)
	}
}
