//go:build linux

package chromium

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

func TestBrowserIsUnprivilegedAndSandboxed(t *testing.T) {
	b := boot(t, newConfig(t, Options{}))
	b.open(t, "data:text/html,<title>there</title>")
	if got := b.eval(t, "document.title"); got != `"there"` {
		t.Fatalf("title = %s", got)
	}
	sandboxed := 0
	for pid := range processesOf(b.profile.dir) {
		proc := filepath.Join("/proc", strconv.Itoa(pid))
		status, err := os.ReadFile(filepath.Join(proc, "status"))
		if err != nil {
			continue // it ended meanwhile
		}
		command, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		for line := range strings.Lines(string(status)) {
			f := strings.Fields(line)
			switch {
			case f[0] == "Uid:" && (f[1] == "0" || f[2] == "0"):
				t.Errorf("process %d runs as root: %s", pid, line)
			case f[0] == "CapEff:" && os.Geteuid() == 0 && strings.Trim(f[1], "0") != "" && !strings.Contains(string(command), "zygote"):
				t.Errorf("process %d has capabilities: %s", pid, line)
			case f[0] == "Seccomp:" && f[1] == "2" && strings.Contains(string(command), "--type=renderer"):
				sandboxed++
			}
		}
		if strings.Contains(string(command), "crashpad_handler\x00") && !strings.Contains(string(command), "--database="+b.profile.dir) {
			t.Errorf("dumps are written elsewhere than in the profile: %q", command)
		}
	}
	if sandboxed == 0 {
		t.Error("no renderer runs under seccomp")
	}
}

// B2: nothing of the browser listens.
func TestB2NoListeningPort(t *testing.T) {
	b := boot(t, newConfig(t, Options{}))
	listening := listeners(t)
	processes := processesOf(b.profile.dir)
	if len(processes) < 2 {
		t.Fatalf("found %d processes of the browser, want more", len(processes))
	}
	for pid := range processes {
		fds, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
		for _, fd := range fds {
			target, err := os.Readlink(fd)
			if err == nil && listening[target] != "" {
				t.Errorf("process %d of the browser listens on %s", pid, listening[target])
			}
		}
	}
}

func TestEndLeavesNothing(t *testing.T) {
	c := newConfig(t, Options{})
	b := boot(t, c)
	dir := b.profile.dir
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("profile: %v, %v; want it closed to others", info.Mode(), err)
	}
	if err := b.end(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := processesOf(dir); len(left) > 0 {
		t.Errorf("%d processes are left", len(left))
	}
	if left := profilesIn(t, c.parent); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if err := b.conn.Call(t.Context(), "", "Browser.getVersion", nil, nil); !errors.Is(err, cdp.ErrClosed) {
		t.Errorf("a call after the end: %v", err)
	}
}

// B5: whoever dies, and however, takes the browser along; what is left of it goes
// when the server starts again, and nothing of a server that lives.
func TestB5ServerKilled(t *testing.T) {
	parent := profileDir(t)
	alive, kept := startServer(t, parent)
	server, dir := startServer(t, parent)
	if len(processesOf(dir)) < 2 {
		t.Fatal("the browser has no processes")
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	eventually(t, "no process of its browser is left", func() bool { return len(processesOf(dir)) == 0 })
	swept, err := sweep(t.Context(), parent)
	if err != nil || swept != 1 {
		t.Errorf("swept %d, %v; want one", swept, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the profile is still there: %v", err)
	}
	if len(processesOf(kept)) < 2 || alive.ProcessState != nil {
		t.Error("the sweep ended another server's browser")
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("the sweep took another server's profile: %v", err)
	}
}

// B5: a browser that is killed is told at once.
func TestB5BrowserKilled(t *testing.T) {
	c := newConfig(t, Options{})
	b := boot(t, c)
	if err := b.process.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-b.conn.Done()
	if err := b.end(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := processesOf(b.profile.dir); len(left) > 0 {
		t.Errorf("%d processes are left", len(left))
	}
	if left := profilesIn(t, c.parent); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestSweepKeepsWhatIsNotOurs(t *testing.T) {
	parent := profileDir(t)
	other := filepath.Join(parent, "elsewhere")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(parent, profilePrefix+"1"+lockSuffix)
	if err := os.Symlink(filepath.Join(other, "x"), link); err != nil {
		t.Fatal(err)
	}
	stale, err := newProfile(parent, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(stale.dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := stale.lock.Close(); err != nil { // as if its process had died
		t.Fatal(err)
	}
	if swept, err := sweep(t.Context(), parent); err != nil || swept != 1 {
		t.Errorf("swept %d, %v; want one", swept, err)
	}
	if got := profilesIn(t, parent); len(got) != 2 || got[0] != other || got[1] != link {
		t.Errorf("left: %q, want what is not ours", got)
	}
}

func TestBootFailures(t *testing.T) {
	c := newConfig(t, Options{})
	no := *c
	no.path = "/nonexistent/chromium"
	if _, err := no.boot(t.Context(), 800, 600); err == nil {
		t.Error("a program that does not exist was started")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.boot(over, 800, 600); !errors.Is(err, context.Canceled) {
		t.Errorf("a start that was given up: %v", err)
	}
	broken := *c
	broken.path = "/bin/false"
	if _, err := broken.try(t.Context()); err == nil || !strings.Contains(err.Error(), "ended at once") {
		t.Errorf("a program that ends: %v", err)
	}
	if left := profilesIn(t, c.parent); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestWhoRunsBrowsers(t *testing.T) {
	if _, err := findAccount("nobody-of-this-name"); err == nil {
		t.Error("a user that does not exist was accepted")
	}
	if os.Geteuid() != 0 {
		return
	}
	for _, name := range []string{"", "root"} {
		if _, err := findAccount(name); err == nil {
			t.Errorf("root ran a browser as %q", name)
		}
	}
	if _, err := configure(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "browser-user") {
		t.Errorf("err = %v, want what to set", err)
	}
}

func TestWhy(t *testing.T) {
	for words, want := range map[string]string{
		"": "it said nothing",
		"[1:1:0101/000000.0:ERROR:dbus/bus.cc:405] Failed to connect to the bus\n[1:1:0101/000000.0:ERROR:x.cc:1] Missing X server\n": "Missing X server",
		"[1:1:0101/000000.0:FATAL:zygote_host_impl_linux.cc:128] No usable sandbox! If you are running on Ubuntu":                     sandboxFix,
	} {
		p := &process{words: &head{}}
		p.words.keep([]byte(words))
		if got := p.why(); !strings.Contains(got, want) {
			t.Errorf("why(%q) = %q, want %q", words, got, want)
		}
	}
	h := &head{}
	h.keep([]byte(strings.Repeat("x", 2*headOfWords)))
	if len(h.text()) != headOfWords {
		t.Errorf("kept %d bytes, want %d", len(h.text()), headOfWords)
	}
	h.forget()
	h.keep([]byte("typed"))
	if h.text() != "" {
		t.Errorf("kept %q after it was told to forget", h.text())
	}
}

func TestDiagnose(t *testing.T) {
	for _, f := range Diagnose(t.Context(), Options{User: testUser(), ProfileDir: profileDir(t)}) {
		if !f.OK && f.Subject != "fonts" {
			t.Errorf("%s: %s", f.Subject, f.Text)
		}
	}
	for subject, opts := range map[string]Options{
		"chromium": {Path: "/nonexistent/chromium", User: testUser()},
		"user":     {User: "nobody-of-this-name"},
		"start":    {Path: "/bin/true", User: testUser()},
		"profiles": {User: testUser(), ProfileDir: os.TempDir()},
	} {
		found := false
		for _, f := range Diagnose(t.Context(), opts) {
			found = found || f.Subject == subject && !f.OK
		}
		if !found {
			t.Errorf("nothing was found wrong with %s", subject)
		}
	}
}
