// Package testpg runs a PostgreSQL server of its own, for tests and the demo:
// Debian's binaries, a cluster in a temporary directory, a free port on loopback.
package testpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A Server is a running PostgreSQL.
type Server struct {
	// Port is its port on 127.0.0.1.
	Port int

	bin, data string
	settings  []string
	as        *syscall.Credential // whom the server runs as; nil: whoever runs the tests
	databases atomic.Int64
}

// Main runs the tests of m with a server, and ends it afterwards. Use it in
// TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(testpg.Main(m, &server)) }
func Main(m *testing.M, server **Server) int {
	s, err := New()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "testpg:", err)
		return 1
	}
	*server = s
	defer s.Close()
	// A transaction of autovacuum's, in any database, keeps readers of the log from
	// what was written beside it. Tests look at once.
	if err := s.exec(context.Background(), "postgres", `ALTER SYSTEM SET autovacuum = off`, `SELECT pg_reload_conf()`); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "testpg:", err)
		return 1
	}
	return m.Run()
}

// Close ends the server and removes what it kept.
func (s *Server) Close() {
	_ = s.control("stop", "-m", "immediate")
	_ = os.RemoveAll(filepath.Dir(s.data))
}

// New initializes a cluster and starts a server on it, with settings such as
// "shared_buffers=1GB" beside those of the tests.
func New(settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "testpg-")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, data: filepath.Join(dir, "data"), settings: settings}
	if err := s.initialize(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// binaries returns the directory of the newest installed version: Debian keeps it
// off the path.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed: run 'make deps'")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// initialize makes a cluster. PostgreSQL refuses to run as root, so that a root's
// tests run it as the user postgres.
func (s *Server) initialize(dir string) error {
	if os.Geteuid() == 0 {
		who, err := user.Lookup("postgres")
		if err != nil {
			return fmt.Errorf("there is no user postgres to run the server as: %w", err)
		}
		uid, _ := strconv.ParseUint(who.Uid, 10, 32)
		gid, _ := strconv.ParseUint(who.Gid, 10, 32)
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} // parsed as 32 bits
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return err
		}
	}
	return s.run("initdb", "-D", s.data, "-U", "postgres", "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8", "--no-instructions")
}

// Start starts the server, also again after [Server.Stop], on the same port.
func (s *Server) Start() error {
	if s.Port == 0 {
		var err error
		if s.Port, err = FreePort(); err != nil {
			return err
		}
	}
	// What a crash of the server needs is in the system's cache: only a crash of the
	// machine needs fsync, and no test has one.
	settings := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200 "+
		"-c fsync=off -c log_parameter_max_length_on_error=0", s.Port)
	if len(s.settings) > 0 { // the last of a name counts
		settings += " -c " + strings.Join(s.settings, " -c ")
	}
	return s.control("start", "-w", "-l", s.Log(), "-o", settings)
}

// Stop ends the server at once, as a crash would.
func (s *Server) Stop() error { return s.control("stop", "-w", "-m", "immediate") }

// Dir is the folder with all that the server keeps.
func (s *Server) Dir() string { return filepath.Dir(s.data) }

// Log is the file of the server's log.
func (s *Server) Log() string { return s.data + ".log" }

func (s *Server) control(args ...string) error {
	return s.run("pg_ctl", append([]string{"-s", "-D", s.data}, args...)...)
}

func (s *Server) run(program string, args ...string) error {
	cmd := exec.CommandContext(context.Background(), filepath.Join(s.bin, program), args...) //nolint:gosec // Debian's binaries
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out.Bytes())
	}
	return nil
}

// Superuser returns the connection string of the superuser for a database.
func (s *Server) Superuser(database string) string { return s.dsn("postgres", database) }

func (s *Server) dsn(role, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), Path: database}
	return u.String()
}

// Database creates a database and a role that owns it and may create roles, but is
// no superuser: what a host would give us. It returns the role's connection
// string.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	dsn, err := s.NewDatabase(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// NewDatabase is [Server.Database] outside of tests.
func (s *Server) NewDatabase(ctx context.Context) (string, error) {
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	err := s.exec(ctx, "postgres", "CREATE ROLE "+name+" LOGIN CREATEROLE", "CREATE DATABASE "+name+" OWNER "+name)
	return s.dsn(name, name), err
}

// Copy creates a copy of a database of [Server.Database] that nobody is connected
// to, and returns the connection string of its owner.
func (s *Server) Copy(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name, owner := fmt.Sprintf("test%d", s.databases.Add(1)), u.User.Username()
	s.Exec(t, "postgres", "CREATE DATABASE "+name+" OWNER "+owner+" TEMPLATE "+strings.TrimPrefix(u.Path, "/"))
	return s.dsn(owner, name)
}

// Exec runs statements as the superuser, each on its own.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	if err := s.exec(context.WithoutCancel(t.Context()), database, statements...); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) exec(ctx context.Context, database string, statements ...string) error {
	conn, err := pgx.Connect(ctx, s.Superuser(database))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, text := range statements {
		if _, err := conn.Exec(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", strings.SplitN(text, "\n", 2)[0], err)
		}
	}
	return nil
}

// Dump writes a database of [Server.Database] to a file, as pg_dump does while it is
// used, and returns the file.
func (s *Server) Dump(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.Dir(), fmt.Sprintf("dump%d", s.databases.Add(1)))
	if err := s.run("pg_dump", "--format=custom", "--file="+file, "--dbname="+s.Superuser(strings.TrimPrefix(u.Path, "/"))); err != nil {
		t.Fatal(err)
	}
	return file
}

// Restore puts a dump in the place of the database it was made of. Nobody may be
// connected to it.
func (s *Server) Restore(t testing.TB, dsn, file string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	s.Exec(t, "postgres", "DROP DATABASE "+name, "CREATE DATABASE "+name+" OWNER "+u.User.Username())
	if err := s.run("pg_restore", "--exit-on-error", "--dbname="+s.Superuser(name), file); err != nil {
		t.Fatal(err)
	}
}
