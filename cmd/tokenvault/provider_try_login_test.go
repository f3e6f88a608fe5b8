package main

import (
	"encoding/json"
	"os"
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
