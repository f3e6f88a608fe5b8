//go:build linux

package chromium

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

// serveEnv makes the test binary a server that runs a browser, to be killed.
const serveEnv = "CHROMIUM_TEST_SERVE"

func TestMain(m *testing.M) {
	if parent := os.Getenv(serveEnv); parent != "" {
		serveForever(parent)
	}
	os.Exit(m.Run())
}

// patience bounds every wait for a browser. It is generous: the machine may be busy.
const patience = time.Minute

// testUser is who runs the browsers of tests.
func testUser() string {
	if os.Geteuid() == 0 {
		return "nobody"
	}
	return ""
}

// newConfig configures browsers whose profiles are in a directory of the test's own,
// in memory as theirs always are.
func newConfig(t *testing.T, opts Options) *config {
	t.Helper()
	opts.User = testUser()
	if opts.ProfileDir == "" {
		opts.ProfileDir = profileDir(t)
	}
	c, err := configure(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func profileDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(shm, "tv-test-") //nolint:usetesting // in memory, with a short path
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // for the browser's user to reach its own
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A browser is one that was booted, and a page of it.
type browser struct {
	*machine
	conn *cdp.Conn
	page string // session
}

func boot(t *testing.T, c *config) *browser {
	t.Helper()
	m, err := c.boot(t.Context(), 1280, 800)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{machine: m, conn: cdp.New(m.transport)}
	t.Cleanup(func() {
		if err := m.end(context.Background()); err != nil {
			t.Errorf("the browser's end: %v", err)
		}
	})
	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	b.call(t, "", "Target.getTargets", nil, &targets)
	for _, target := range targets.TargetInfos {
		if target.Type == "page" {
			var attached struct{ SessionID string }
			b.call(t, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
			b.page = attached.SessionID
		}
	}
	return b
}

func (b *browser) call(t *testing.T, session, method string, params, result any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.conn.Call(ctx, session, method, params, result); err != nil {
		t.Fatalf("%s: %v", method, b.blame(ctx, err))
	}
}

// eval returns what an expression, or its promise, comes to, as JSON.
func (b *browser) eval(t *testing.T, expression string) string {
	t.Helper()
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Text string }
	}
	b.call(t, b.page, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		t.Fatalf("%s: %s", expression, got.ExceptionDetails.Text)
	}
	return string(got.Result.Value)
}

// open goes to a URL and returns the error that the browser tells, if it does.
func (b *browser) open(t *testing.T, url string) string {
	t.Helper()
	b.call(t, b.page, "Page.enable", nil, nil)
	var got struct{ ErrorText string }
	b.call(t, b.page, "Page.navigate", map[string]any{"url": url}, &got)
	eventually(t, "the page is loaded", func() bool { return b.eval(t, "document.readyState") == `"complete"` })
	return got.ErrorText
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("in vain waited that %s", what)
		}
	}
}

// site serves a page and returns its host:port.
func site(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func page(html string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, html)
	}
}

// processesOf returns the ids of living processes that name the profile, or that are
// of one of their groups.
func processesOf(dir string) map[int]bool {
	found, groups := map[int]bool{}, map[int]bool{}
	eachProcess(func(_ int, proc string) {
		if _, group := stat(proc); group != 0 && marked(proc, dir) {
			groups[group] = true
		}
	})
	eachProcess(func(pid int, proc string) {
		if state, group := stat(proc); groups[group] && state != "Z" && state != "X" {
			found[pid] = true
		}
	})
	return found
}

// profilesIn returns what is in a directory of profiles.
func profilesIn(t *testing.T, parent string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(parent, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// serveForever runs a browser, says where, and waits to be killed.
func serveForever(parent string) {
	ctx := context.Background()
	c, err := configure(ctx, Options{User: testUser(), ProfileDir: parent})
	if err == nil {
		var m *machine
		if m, err = c.boot(ctx, 1280, 800); err == nil {
			conn := cdp.New(m.transport)
			if err = conn.Call(ctx, "", "Browser.getVersion", nil, nil); err == nil {
				fmt.Println(m.profile.dir)
				select {}
			}
		}
	}
	_, _ = fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// startServer starts this binary as a server, and returns it with the profile of its
// browser.
func startServer(t *testing.T, parent string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+parent)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not say where its browser is: %v", err)
	}
	return cmd, strings.TrimSpace(line)
}

// listeners returns the inodes of all TCP sockets that listen.
func listeners(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" {
				found["socket:["+f[9]+"]"] = f[1]
			}
		}
	}
	return found
}

// udp counts packets that arrive on a free port of loopback.
func udp(t *testing.T) (port int, count func() int) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	packets := make(chan int, 1)
	packets <- 0
	go func() {
		for b := make([]byte, 2048); ; {
			if _, _, err := conn.ReadFrom(b); err != nil {
				return
			}
			packets <- <-packets + 1
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).Port, func() int { n := <-packets; packets <- n; return n } //nolint:errcheck // its own type
}
