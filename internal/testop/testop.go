// Package testop starts the independent OAuth servers of e2e/providers for tests
// and walks through their pages as a person would.
package testop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// readyTimeout bounds the start of a provider. It is generous: the machine may be
// busy with other tests.
const readyTimeout = time.Minute

// An OP is a running provider.
type OP struct {
	Issuer  string `json:"issuer"`
	Control string `json:"control"` // empty if it has no control server

	process *exec.Cmd
}

// Options configures a provider.
type Options struct {
	Callback  string // redirect URI; default one that nobody listens on
	HostName  string // in the issuer; default 127.0.0.1
	AccessTTL string // seconds; default 60
	COOP      string // Cross-Origin-Opener-Policy of its pages
	Grace     bool   // take a refresh token again after it was used
}

// Callback is a redirect URI at which nobody listens: [OP.Authorize] stops before
// it.
const Callback = "http://127.0.0.1:1/callback"

// Start starts the strict provider: PKCE required, refresh tokens rotate, reuse
// ends the grant.
func Start(t testing.TB, opts Options) *OP {
	t.Helper()
	callback := opts.Callback
	if callback == "" {
		callback = Callback
	}
	env := []string{"PORT=0", "CTRL_PORT=0", "CALLBACK=" + callback, "COOP=" + opts.COOP}
	if opts.HostName != "" {
		env = append(env, "HOST_NAME="+opts.HostName)
	}
	if opts.AccessTTL != "" {
		env = append(env, "ACCESS_TTL="+opts.AccessTTL)
	}
	if opts.Grace {
		env = append(env, "GRACE=1")
	}
	return start(t, providers(t), []string{"node", "oidc-op.mjs"}, env)
}

// StartMock starts the provider that misbehaves as [OP.Mode] says.
func StartMock(t testing.TB) *OP {
	t.Helper()
	return start(t, providers(t), []string{"node", "mock-op.mjs"}, nil)
}

// StartZitadel starts the second strict provider, client "web" with secret
// "secret". Its user is test-user@127.0.0.1, password verysecure.
func StartZitadel(t testing.TB) *OP {
	t.Helper()
	dir := filepath.Join(providers(t), "zitadel")
	binary := filepath.Join(t.TempDir(), "zitadel")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".") //nolint:gosec // our own module
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the zitadel provider: %v\n%s", err, out)
	}
	return start(t, dir, []string{binary}, []string{"CALLBACK=" + Callback})
}

// providers returns the folder of the providers, with their packages installed.
func providers(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		found := filepath.Join(dir, "e2e", "providers")
		if _, err := os.Stat(filepath.Join(found, "package.json")); err == nil {
			if _, err := os.Stat(filepath.Join(found, "node_modules")); err != nil {
				t.Fatal("the test providers are not installed: run 'make deps'")
			}
			return found
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("e2e/providers was not found above the working directory")
	return ""
}

// start runs a provider until the test ends. The provider also ends by itself
// when its standard input closes, so that none outlives a killed test.
func start(t testing.TB, dir string, command, env []string) *OP {
	t.Helper()
	op := &OP{process: exec.CommandContext(context.WithoutCancel(t.Context()), command[0], command[1:]...)} //nolint:gosec // fixed by the functions above
	op.process.Dir = dir
	op.process.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	op.process.Stderr = &stderr
	stdin, err := op.process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := op.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := op.process.Start(); err != nil {
		t.Fatalf("start %s: %v", command[0], err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = op.process.Process.Kill()
		_ = op.process.Wait()
	})
	stuck := time.AfterFunc(readyTimeout, func() { _ = op.process.Process.Kill() })
	defer stuck.Stop()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, op) != nil {
		_ = op.process.Process.Kill()
		t.Fatalf("%v did not start: %s", command, stderr.String())
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return op
}

// Kill ends the provider at once, and returns when it is gone.
func (op *OP) Kill() {
	_ = op.process.Process.Kill()
	_ = op.process.Wait()
}

// Fault makes the next n requests to path misbehave.
func (op *OP) Fault(t testing.TB, path, mode string, n int) {
	t.Helper()
	op.control(t, http.MethodPost, "/faults", map[string]any{"path": path, "mode": mode, "n": n}, nil)
}

// Refreshes are what became of the refresh tokens that a provider from [Start] got.
type Refreshes struct {
	Granted int `json:"granted"` // and replaced
	Refused int `json:"refused"`
	Reused  int `json:"reused"` // refused, and the grant ended, since they had been used before
	Held    int `json:"held"`   // requests that a fault holds now
}

// Refreshes returns what became of refresh tokens so far.
func (op *OP) Refreshes(t testing.TB) (r Refreshes) {
	t.Helper()
	op.control(t, http.MethodGet, "/refreshes", nil, &r)
	return r
}

// Release ends the faults that hold requests, and lets these go on.
func (op *OP) Release(t testing.TB) {
	t.Helper()
	op.control(t, http.MethodPost, "/release", nil, nil)
}

// Idle returns when a provider from [Start] has handled all requests that it had got.
func (op *OP) Idle(t testing.TB) {
	t.Helper()
	op.control(t, http.MethodGet, "/idle", nil, nil)
}

// Callbacks replaces the redirect URIs of all clients of a provider from [Start].
func (op *OP) Callbacks(t testing.TB, urls ...string) {
	t.Helper()
	op.control(t, http.MethodPut, "/callbacks", urls, nil)
}

// Issued returns every secret that a provider from [Start] issued, its clients'
// secrets, and the PKCE verifiers that came.
func (op *OP) Issued(t testing.TB) (secrets []string) {
	t.Helper()
	op.control(t, http.MethodGet, "/issued", nil, &secrets)
	return secrets
}

// EndAccessTokens ends all access tokens of a provider from [Start], and no grant.
func (op *OP) EndAccessTokens(t testing.TB) {
	t.Helper()
	op.control(t, http.MethodDelete, "/access-tokens", nil, nil)
}

// Mode chooses the misbehaviour of a provider from [StartMock].
func (op *OP) Mode(t testing.TB, name string) {
	t.Helper()
	op.control(t, http.MethodPost, "/mode", map[string]string{"name": name}, nil)
}

// Modes are the misbehaviours of a provider from [StartMock], by what they spoil.
type Modes struct{ Token, IDToken, Callback []string }

// Modes returns every misbehaviour.
func (op *OP) Modes(t testing.TB) (m Modes) {
	t.Helper()
	op.control(t, http.MethodGet, "/modes", nil, &m)
	return m
}

// JWKS sets the keys of the client vault-jwt of a provider from [Start].
func (op *OP) JWKS(t testing.TB, jwks any) {
	t.Helper()
	op.control(t, http.MethodPut, "/jwks", jwks, nil)
}

// Stats returns how many requests came, by "METHOD /path".
func (op *OP) Stats(t testing.TB) map[string]int {
	t.Helper()
	stats := map[string]int{}
	op.control(t, http.MethodGet, "/stats", nil, &stats)
	return stats
}

func (op *OP) control(t testing.TB, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(method, op.Control+path, bytes.NewReader(body)) //nolint:noctx // ends with the test's providers
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("control %s: %v", path, err)
	}
	defer func() { _ = res.Body.Close() }()
	if out == nil {
		out = &map[string]any{}
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		t.Fatalf("control %s: %v", path, err)
	}
}
