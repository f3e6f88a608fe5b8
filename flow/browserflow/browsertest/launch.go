// Package browsertest has what tests of browser logins share: a real browser, and
// sites to sign in to.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

// Path is where Debian and its relatives have Chromium itself. The command of that
// name is a script that adds flags.
const Path = "/usr/lib/chromium/chromium"

const nobody = 65534

// Launch starts a browser of a test's own, with a pipe and nothing around it, and
// ends it with the test. Programs use flow/browserflow/chromium instead.
func Launch(t testing.TB, flags ...string) *cdp.Conn {
	t.Helper()
	profile, err := os.MkdirTemp("/dev/shm", "browsertest-") //nolint:usetesting // in memory, and another user's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(profile); err != nil {
			t.Errorf("the profile is not gone: %v", err)
		}
	})
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), Path, append([]string{ //nolint:gosec // the browser of the test; ended by the clean-up
		"--headless", "--remote-debugging-pipe", "--user-data-dir=" + profile, "--no-first-run", "--disable-gpu", "--disable-sync",
		"--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-breakpad", "--mute-audio",
		"--disable-blink-features=AutomationControlled", "--window-size=1280,800", "--password-store=basic",
	}, append(flags, "about:blank")...)...)
	cmd.Env = []string{"HOME=" + profile, "TMPDIR=" + profile, "PATH=/usr/bin:/bin", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chown(profile, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	transport, files, err := cdp.NewPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		t.Fatalf("Chromium does not start: make deps installs it: %v", err)
	}
	for _, file := range files {
		_ = file.Close()
	}
	conn := cdp.New(transport)
	t.Cleanup(func() {
		_ = conn.Close()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		<-conn.Done()
	})
	t.Logf("browser %s", strconv.Itoa(cmd.Process.Pid))
	return conn
}
