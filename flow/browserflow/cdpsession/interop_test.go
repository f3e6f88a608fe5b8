package cdpsession_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// A state signs in where it is used: in Playwright, in chromedp, and, as
// [TestALoginIsSeenCapturedAndRestored] shows, with net/http.
func TestOtherProgramsAreSignedInWithTheState(t *testing.T) {
	b := newBank(t)
	r := start(t, b.provider(byCookie), tokenvault.BrowserState{})
	r.title("login")
	r.goTo(b.URL + "/enter")
	r.title("kept")
	r.awaits()
	state, _ := r.capture()

	dir := t.TempDir()
	file := filepath.Join(dir, "state.json")
	if err := os.WriteFile(file, []byte(state.StorageState.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	e2e, err := filepath.Abs("../../../e2e")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "chromedp")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = filepath.Join(e2e, "states", "chromedp")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}

	playwright := []string{"node", filepath.Join(e2e, "states", "use.mjs")}
	if got := use(t, dir, append(playwright, file, b.URL+"/home", "kept")); got != "kept" {
		t.Errorf("Playwright shows %s", got)
	}
	const tokens = `{"local":"local-canary ü","session":null,"idb":"idb-canary"}`
	if got := use(t, dir, append(playwright, file, b.URL+"/tokens", "{")); got != tokens {
		t.Errorf("Playwright shows %s, want %s", got, tokens)
	}
	if got := use(t, dir, []string{binary, file, b.URL + "/home", "kept"}); got != "kept" {
		t.Errorf("chromedp shows %s", got)
	}
}

// use runs a program in a process group of its own, and returns its last line.
func use(t *testing.T, dir string, command []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "TMPDIR=" + dir, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var words strings.Builder // what it says beside
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", filepath.Base(command[0]), err, out, words.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
