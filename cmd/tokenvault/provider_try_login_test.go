package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	bank "github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest/site"
)

// triedLogin is the environment to try the bank's definition in, changed by edit.
func triedLogin(t *testing.T, edit func(s *bank.Site, l *tokenvault.Login)) []string {
	t.Helper()
	s, err := bank.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	p := s.Provider()
	edit(s, p.Login)
	text, err := json.Marshal(p) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.NewReplacer(`"usageMode":"",`, "", `"verified":""`, `"verified":"unverified"`).Replace(string(text)))
	file := filepath.Join(t.TempDir(), "bank.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"TOKENVAULT_DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "TOKENVAULT_PROVIDER_FILES=" + file,
		"TOKENVAULT_BROWSER=chromium", "TOKENVAULT_BROWSER_ALLOW_HOSTS=" + strings.Join(s.AllowHosts(), ","),
	}
	if os.Getuid() == 0 {
		env = append(env, "TOKENVAULT_BROWSER_USER=nobody")
	}
	return env
}

func TestALoginIsTriedWithoutAPerson(t *testing.T) {
	out := succeed(t, triedLogin(t, func(*bank.Site, *tokenvault.Login) {}), "provider", "try", "bank")
	for _, want := range []string{"ok    entry", "ok    browser", "ok    page", "at http://127.0.0.1:", "ok    signs", "ok    stranger", "note  login"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

func TestALoginThatCountsStrangersIsFound(t *testing.T) {
	got := execute(t, triedLogin(t, func(s *bank.Site, l *tokenvault.Login) {
		l.Probe = &tokenvault.LoginProbe{URL: s.Bank + "/login"}
		l.Signs = []tokenvault.LoginSign{{Strategy: tokenvault.SignProbe}}
	}), "provider", "try", "bank")
	out := got.out
	if got.status == 0 {
		t.Error("nothing was found")
	}
	for _, want := range []string{"FAIL  signs", "before anybody signed in", "FAIL  stranger", "takes a stranger for signed in"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

func TestALoginThatRefusesBrowsersSaysWhatToUse(t *testing.T) {
	got := execute(t, []string{"TOKENVAULT_DATA_DIR=" + filepath.Join(t.TempDir(), "data")}, "provider", "try", "google-browser")
	if got.status == 0 || !strings.Contains(got.out, "uses OAuth") {
		t.Errorf("the output is %s", got.out)
	}
}

// display starts a display without a screen, and returns its name.
func display(t *testing.T) string {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp", "-ac")
	x.ExtraFiles = []*os.File{write}
	if err := x.Start(); err != nil {
		t.Fatalf("Xvfb does not start: make deps installs it: %v", err)
	}
	_ = write.Close()
	t.Cleanup(func() {
		_ = x.Process.Kill()
		_ = x.Wait()
	})
	number, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb names no display: %v", err)
	}
	return ":" + strings.TrimSpace(number)
}

// The window is there for a person; the page of this test signs in by itself, after the
// signs were looked for.
func TestALoginIsTriedInAWindow(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		c, err := r.Cookie("sid")
		signedIn := err == nil && c.Value == "full"
		switch {
		case r.URL.Path == "/enter":
			http.SetCookie(w, &http.Cookie{Name: "sid", Value: "full", Path: "/", HttpOnly: true})
			http.Redirect(w, r, "/home", http.StatusSeeOther)
		case r.URL.Path == "/me" && signedIn:
			_, _ = fmt.Fprint(w, `{"id":"7","name":"Ada"}`)
		case r.URL.Path == "/home" && signedIn:
			_, _ = fmt.Fprint(w, "<title>home</title>")
		case r.URL.Path == "/login":
			_, _ = fmt.Fprint(w, `<title>login</title><script>setTimeout(() => { location = "/enter" }, 9000)</script>`)
		default:
			http.Error(w, "sign in first", http.StatusUnauthorized)
		}
	}))
	t.Cleanup(service.Close)
	env := triedLogin(t, func(_ *bank.Site, l *tokenvault.Login) {
		*l = tokenvault.Login{
			URL: service.URL + "/login", Domains: []string{strings.TrimPrefix(service.URL, "http://"), l.Domains[0]},
			Signs: []tokenvault.LoginSign{{Strategy: tokenvault.SignCookie, Pattern: "sid"}},
			Probe: &tokenvault.LoginProbe{URL: service.URL + "/me", AccountID: []string{"id"}, AccountLabel: []string{"name"}},
		}
	})
	for i, setting := range env {
		if strings.HasPrefix(setting, "TOKENVAULT_BROWSER_ALLOW_HOSTS=") {
			env[i] = setting + "," + strings.TrimPrefix(service.URL, "http://")
		}
	}
	t.Setenv("DISPLAY", display(t))
	out := succeed(t, append(env, "TOKENVAULT_BROWSER_HEADED=true", "DISPLAY="+os.Getenv("DISPLAY")), "provider", "try", "bank", "--timeout", "2m")
	if !strings.Contains(out, "proven in a fresh browser, as Ada") || !strings.Contains(out, "ok    signs") {
		t.Errorf("the output is %s", out)
	}
}
