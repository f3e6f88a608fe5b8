package main

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// K6: no command prints a secret that it was given or that is stored. A new API key
// is printed once, by the command that makes it.
func TestK6CommandsPrintNoSecret(t *testing.T) {
	dir := t.TempDir()
	clientSecret, rootKey := rand.Text(), make([]byte, 32)
	_, _ = rand.Read(rootKey)
	root := base64.StdEncoding.EncodeToString(rootKey)
	env := []string{"TOKENVAULT_DATA_DIR=" + filepath.Join(dir, "data"), "TOKENVAULT_ROOT_KEY=" + root, "TOKENVAULT_LOG_LEVEL=debug"}
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte(clientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	try := func(args ...string) string {
		got := execute(t, env, args...)
		said.WriteString(got.out + got.err)
		return strings.TrimSpace(got.out)
	}
	try("app", "set", "github", "--client-id", "id", "--secret-file", file)
	created := execute(t, env, "apikey", "create", "agent", "--user", "alice")
	key := strings.TrimSpace(created.out)
	said.WriteString(created.err)
	try("app", "set", "githb", "--client-id", "id", "--secret-file", file) // refused
	try("apikey", "revoke", key)
	try("connect", key) // these are typed by mistake
	try(key)
	env = append(env, "TOKENVAULT_API_KEY="+key)
	for _, args := range [][]string{
		{"app", "list"},
		{"apikey", "list"},
		{"key", "list"},
		{"check"},
		{"provider", "show", "github"},
		{"connect", "github", "--server", "http://127.0.0.1:1"},
		{"app", "delete", "github"},
		{"apikey", "revoke", strings.Split(key, "_")[1]},
		{"version"},
	} {
		try(args...)
	}
	if !strings.Contains(said.String(), "github") || len(key) < 60 {
		t.Fatalf("the commands did not work: %s%s", created.err, said.String())
	}
	for name, secret := range map[string]string{"client secret": clientSecret, "root key": root, "API key": key, "API key's secret": strings.Split(key, "_")[2]} {
		if strings.Contains(said.String(), secret) {
			t.Errorf("a command printed the %s", name)
		}
	}
}
