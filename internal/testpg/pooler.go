package testpg

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const poolerBinary = "/usr/sbin/pgbouncer"

// Pooler starts a PgBouncer in transaction mode before the server, for as long as
// the test runs. It returns a function that leads a connection string of the
// server through it.
func (s *Server) Pooler(t testing.TB) func(dsn string) string {
	t.Helper()
	if _, err := os.Stat(poolerBinary); err != nil {
		t.Fatal("PgBouncer is not installed: run 'make deps'")
	}
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(s.Dir(), fmt.Sprintf("pgbouncer%d.ini", port))
	text := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%d\nunix_socket_dir=\n"+
		"auth_type=trust\nauth_file=%s\npool_mode=transaction\nmax_client_conn=1000\ndefault_pool_size=10\nserver_idle_timeout=1\nlogfile=%s.log\n",
		s.Port, port, s.users(t), config)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil { //nolint:gosec // another user reads it; it holds no secret
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), poolerBinary, "-q", config) //nolint:gosec // Debian's binary
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: s.as}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	through := func(dsn string) string {
		return strings.Replace(dsn, ":"+strconv.Itoa(s.Port)+"/", ":"+strconv.Itoa(port)+"/", 1)
	}
	for try := 0; ; try++ {
		conn, err := pgx.Connect(t.Context(), through(s.Superuser("postgres")))
		if err == nil {
			_ = conn.Close(t.Context())
			return through
		}
		if try == 100 {
			t.Fatalf("PgBouncer does not answer: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// users writes the file of those whom the pooler lets in: all roles of the server.
func (s *Server) users(t testing.TB) string {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, s.Superuser("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var lines string
	if err := conn.QueryRow(ctx, `SELECT string_agg(format('"%s" ""', rolname), E'\n') FROM pg_roles WHERE rolcanlogin`).Scan(&lines); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.Dir(), "pgbouncer.users")
	if err := os.WriteFile(file, []byte(lines+"\n"), 0o644); err != nil { //nolint:gosec // another user reads it; it holds no secret
		t.Fatal(err)
	}
	return file
}
