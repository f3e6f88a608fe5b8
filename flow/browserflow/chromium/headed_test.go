//go:build linux

package chromium

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest"
)

// screen starts a display without a screen, for the test, and makes it the default.
func screen(t *testing.T) {
	t.Helper()
	said, saying, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = said.Close() }()
	cmd := exec.CommandContext(t.Context(), "Xvfb", "-displayfd", "3", "-screen", "0", "1400x1000x24", "-nolisten", "tcp", "-ac")
	cmd.ExtraFiles = []*os.File{saying}
	if err := cmd.Start(); err != nil {
		t.Fatalf("Xvfb does not start: make deps installs it: %v", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_ = saying.Close()
	number, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb did not name its display: %v", err)
	}
	t.Setenv("DISPLAY", ":"+strings.TrimSpace(number))
	t.Setenv("WAYLAND_DISPLAY", "")
}

// With a window on the display, a session is as any other, but that the vault does not
// show it.
func TestHeaded(t *testing.T) {
	screen(t)
	browsertest.Sessions(t, browsertest.Adapter{New: func(t *testing.T, allow []string) tokenvault.Browser {
		return newBrowser(t, Options{AllowHosts: allow, Headed: true})
	}})
	host := site(t, page("<title>login</title>"))
	b := newBrowser(t, Options{AllowHosts: []string{host}, Headed: true})
	s := openSession(t, b, login("a", host, "/"))
	if _, viewable := s.(tokenvault.Viewable); viewable || !s.LiveViewURL().IsZero() {
		t.Error("a session with a window is shown by the vault too")
	}
}

// Without a display, the browser says what is missing.
func TestHeadedWithoutDisplay(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	c := newConfig(t, Options{Headed: true})
	if _, err := c.try(t.Context()); err == nil || !strings.Contains(err.Error(), "display") && !strings.Contains(err.Error(), "X server") {
		t.Errorf("err = %v, want what is missing", err)
	}
}
