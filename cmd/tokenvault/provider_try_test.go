package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault/internal/testop"
	"github.com/ai-token-vault/tokenvault/internal/testpg"
)

// tried is a data directory with a provider of the test's and its app.
type tried struct {
	op  *testop.OP
	env []string
}

const tryProvider = `id: test
name: Test
authMethod: oauth2
hosts: ["%[2]s"]
oauth2:
  issuer: %[1]s
  issRequired: true
  authorizationUrl: %[1]s/auth
  tokenUrl: %[1]s/token
  revocationUrl: %[1]s/token/revocation
  userInfoUrl: %[1]s/me
  jwksUrl: %[1]s/jwks
  alwaysScopes: [openid, email, offline_access]
  authorizationParams: {prompt: consent}
`

func newTried(t *testing.T, edit *strings.Replacer) tried {
	t.Helper()
	op := testop.Start(t, testop.Options{})
	hostPort := strings.TrimPrefix(op.Issuer, "http://")
	file := filepath.Join(t.TempDir(), "test.yaml")
	if err := os.WriteFile(file, []byte(edit.Replace(fmt.Sprintf(tryProvider, op.Issuer, hostPort))), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := testpg.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	tr := tried{op: op, env: []string{
		"TOKENVAULT_DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "TOKENVAULT_PROVIDER_FILES=" + file, "TOKENVAULT_ALLOW_HOSTS=" + hostPort,
		"TOKENVAULT_LISTEN=" + fmt.Sprintf("127.0.0.1:%d", port), "TOKENVAULT_CLIENT_SECRET=secret-of-vault-basic-7f3a9c51d2",
	}}
	out := succeed(t, tr.env, "app", "set", "test", "--client-id", "vault-basic")
	op.Callbacks(t, out[strings.LastIndex(out, "http"):])
	return tr
}

// wait returns what the process still says until it ends by itself.
func (p *process) wait(t *testing.T) outcome {
	t.Helper()
	rest, err := io.ReadAll(p.out)
	if err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // the status tells
	return outcome{string(rest), p.stderr.String(), p.cmd.ProcessState.ExitCode()}
}

func TestProviderTry(t *testing.T) {
	tr := newTried(t, strings.NewReplacer())
	p := start(t, tr.env, "provider", "try", "test", "--scopes", "email")
	lines := p.readUntil(t, "Waiting …")
	link := lines[len(lines)-3]
	callback := testop.NewPerson(t, "alice").Authorize(t, link)
	if status := open(t, callback, "state", "forged"); status != http.StatusBadRequest {
		t.Errorf("a forged return: status %d", status)
	}
	if status := open(t, callback, "", ""); status != http.StatusOK {
		t.Errorf("the return: status %d", status)
	}
	rest := p.wait(t)
	if rest.status != 0 {
		t.Fatalf("status %d: %s\n%s", rest.status, rest.out, rest.err)
	}
	said := strings.Join(lines, "\n") + rest.out
	for _, want := range []string{
		"ok    entry      Test", "ok    metadata   ", "ok    page       ", "ok    app        client vault-basic with a secret",
		"ok    token      ", "ok    connect    ", "ok    account    alice@example.test (alice)", "ok    scopes     ", "ok    expiry     in ",
		"ok    refresh    renewed, version 2", "ok    revoke     the provider ended the grant",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "FAIL") {
		t.Errorf("it says\n%s", said)
	}
	for _, secret := range tr.op.Issued(t) {
		if strings.Contains(said+rest.err, secret) {
			t.Error("it prints a secret")
		}
	}
	if left := succeed(t, tr.env, "audit", "list"); !strings.Contains(left, "connection.revoked_at_provider") {
		t.Errorf("the audit log: %s", left)
	}
}

// open opens a URL with a query parameter replaced, and returns the status.
func open(t *testing.T, u *url.URL, name, value string) int {
	t.Helper()
	c := *u
	if name != "" {
		q := c.Query()
		q.Set(name, value)
		c.RawQuery = q.Encode()
	}
	res, err := http.Get(c.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestProviderTrySaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		args     []string
		env      string
		want     []string
	}{
		"nothing":          {"", "", nil, "", []string{"ok    token "}},
		"another endpoint": {"/token\n", "/elsewhere\n", nil, "", []string{"FAIL  metadata   tokenUrl should be http", "check tokenUrl"}},
		"iss left out":     {"  issRequired: true\n", "", nil, "", []string{"FAIL  metadata   issRequired should be true"}},
		"no such page":     {"/auth\n", "/auth\n", nil, "TOKENVAULT_ALLOW_HOSTS=", []string{"FAIL  page ", "is not reached", "FAIL  token "}},
		"another secret":   {"", "", nil, "TOKENVAULT_CLIENT_SECRET=another-secret", []string{"FAIL  token ", "invalid_client", "check client id and secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			old := c.old
			if old == "" {
				old = "id: test"
				c.new = old
			}
			tr := newTried(t, strings.NewReplacer(old, c.new))
			if strings.HasPrefix(c.env, "TOKENVAULT_CLIENT_SECRET") {
				succeed(t, append(tr.env, c.env), "app", "set", "test", "--client-id", "vault-basic")
			}
			got := execute(t, append(tr.env, c.env), append([]string{"provider", "try", "test", "--no-browser"}, c.args...)...)
			failed := strings.Contains(strings.Join(c.want, ""), "FAIL")
			if (got.status != 0) != failed {
				t.Errorf("status %d: %s", got.status, got.out)
			}
			for _, want := range c.want {
				if !strings.Contains(got.out, want) {
					t.Errorf("it does not say %q:\n%s%s", want, got.out, got.err)
				}
			}
		})
	}
}
