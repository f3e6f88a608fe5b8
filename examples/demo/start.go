package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/testpg"
)

const (
	providerID     = "demo"
	clientID       = "vault-basic"
	publicClientID = "vault-public"
	clientSecret   = "secret-of-vault-basic-7f3a9c51d2"
	accessTTL      = "8" // seconds, so that a refresh can be seen
)

// demo is what runs, and where.
type demo struct {
	dir     string
	binary  string
	pageDir string // of the chat, built
	fail    context.CancelCauseFunc

	mode        mode
	signing     *ecdsa.PrivateKey // the application's
	database    *testpg.Server    // nil: the SQLite file
	databaseEnv []string
	provider    *process
	issuer      string
	control     string // the provider's control server
	login       *process
	loginIssuer string
	vault       *process
	bank        *bank
	vaultURL    string // for browsers
	apiURL      string // for programs, which may not know the name
	signInURL   string
	chat        *chat
	auditKey    tokenvault.Secret
	secrets     []tokenvault.Secret // what must be found nowhere
}

// start brings everything up, in the order in which one needs the other.
func (d *demo) start(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.startProvider, d.writeProvider, d.startBank, d.choosePort, d.startLogin, d.startChat, d.registerApp, d.startVault} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) stop() error {
	if d.chat != nil {
		d.chat.stop()
	}
	err := errors.Join(d.vault.stop(), d.provider.stop(), d.login.stop())
	if d.bank != nil {
		err = errors.Join(err, d.bank.stop())
	}
	if d.database != nil {
		d.database.Close()
	}
	return err
}

// startDatabase starts a PostgreSQL server. Servers that share a database are given
// their root key.
func (d *demo) startDatabase(ctx context.Context) error {
	server, err := testpg.New()
	if err != nil {
		return err
	}
	d.database = server
	dsn, err := server.NewDatabase(ctx)
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: see package crypto/rand
	text := base64.StdEncoding.EncodeToString(key)
	d.secrets = append(d.secrets, tokenvault.NewSecret(text))
	d.databaseEnv = []string{"TOKENVAULT_DATABASE_URL=" + dsn, "TOKENVAULT_ROOT_KEY=" + text}
	return nil
}

// startProvider starts the independent OAuth server.
func (d *demo) startProvider(ctx context.Context) error {
	p, where, err := d.launchOP(ctx, "the OAuth server", "localhost")
	if err != nil {
		return err
	}
	d.provider, d.issuer, d.control = p, where.Issuer, where.Control
	return nil
}

// opAddress is where an OAuth server is.
type opAddress struct{ Issuer, Control string }

func (d *demo) launchOP(ctx context.Context, name, host string) (*process, opAddress, error) {
	var where opAddress
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "node", "oidc-op.mjs") // ended by stop
	cmd.Dir = filepath.Join("e2e", "providers")
	if _, err := os.Stat(filepath.Join(cmd.Dir, "node_modules")); err != nil {
		return nil, where, errors.New("the OAuth server is not installed: run 'make deps', from the repository's folder")
	}
	cmd.Env = append(os.Environ(), "PORT=0", "CTRL_PORT=0", "HOST_NAME="+host, "ACCESS_TTL="+accessTTL)
	p, err := launch(name, filepath.Join(d.dir, "provider.log"), cmd)
	if err != nil {
		return nil, where, err
	}
	ready, err := p.line("{")
	p.watch(ctx, d.fail)
	if err == nil {
		err = json.Unmarshal([]byte("{"+ready), &where)
	}
	if err != nil {
		return nil, where, errors.Join(err, p.stop())
	}
	return p, where, nil
}

func (d *demo) providerHost() string { return strings.TrimPrefix(d.issuer, "http://") }

// writeProvider describes the OAuth server to the vault.
func (d *demo) writeProvider(context.Context) error {
	text := fmt.Sprintf(`id: %[1]s
name: Demo ID
service: demo
description: The independent OAuth server of this demo.
authMethod: oauth2
hosts: ["%[2]s"]
verified: unverified
oauth2:
  issuer: %[3]s
  issRequired: true
  authorizationUrl: %[3]s/auth
  tokenUrl: %[3]s/token
  revocationUrl: %[3]s/token/revocation
  userInfoUrl: %[3]s/me
  jwksUrl: %[3]s/jwks
  alwaysScopes: [openid, offline_access]
  authorizationParams: {prompt: consent}
`, providerID, d.providerHost(), d.issuer)
	return os.WriteFile(d.providerFile(), []byte(text), 0o600)
}

func (d *demo) providerFile() string { return filepath.Join(d.dir, "demo.yaml") }
func (d *demo) dataDir() string      { return filepath.Join(d.dir, "data") }

// choosePort decides where the vault will be.
func (d *demo) choosePort(context.Context) error {
	port, err := testpg.FreePort()
	d.apiURL, d.vaultURL = fmt.Sprintf("http://127.0.0.1:%d", port), fmt.Sprintf("http://%s:%d", d.mode.vaultName(), port)
	return err
}

// command returns a call of the vault's binary.
func (d *demo) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), d.binary, args...) //nolint:gosec // the binary that is demonstrated
	cmd.Env = append(os.Environ(),
		"TOKENVAULT_DATA_DIR="+d.dataDir(), "TOKENVAULT_PROVIDER_FILES="+d.providerFile()+","+d.bankFile(),
		"TOKENVAULT_ALLOW_HOSTS="+strings.Join([]string{d.providerHost(), strings.TrimPrefix(d.loginIssuer, "http://")}, ","),
		"TOKENVAULT_LISTEN="+strings.TrimPrefix(d.apiURL, "http://"), "TOKENVAULT_PUBLIC_URL="+d.vaultURL,
		"TOKENVAULT_LOG_LEVEL=debug", "TOKENVAULT_LOG_FORMAT=json")
	cmd.Env = append(cmd.Env, d.databaseEnv...)
	cmd.Env = append(cmd.Env, d.browserEnv()...)
	return cmd
}

// registerApp does what an administrator does: it registers the vault at the
// provider, and the provider's client at the vault.
func (d *demo) registerApp(ctx context.Context) error {
	set := d.command("app", "set", providerID, "--client-id", clientID, "--secret-file", "-")
	set.Stdin = strings.NewReader(clientSecret + "\n")
	out, err := output(set)
	if err != nil {
		return err
	}
	_, redirectURL, _ := strings.Cut(strings.TrimSpace(out), "provider: ")
	return putCallbacks(ctx, d.control, redirectURL)
}

// putCallbacks registers a redirect URL at an OAuth server.
func putCallbacks(ctx context.Context, control, redirectURL string) error {
	body, err := json.Marshal([]string{redirectURL})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, control+"/callbacks", bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

func output(cmd *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// newKey creates an API key by the command line.
func (d *demo) newKey(args ...string) (tokenvault.Secret, error) {
	out, err := output(d.command(append([]string{"apikey", "create"}, args...)...))
	key := tokenvault.NewSecret(strings.TrimSpace(out))
	d.secrets = append(d.secrets, key)
	return key, err
}

// startVault starts the server that is demonstrated.
func (d *demo) startVault(ctx context.Context) error {
	settings, err := d.settings()
	if err != nil {
		return err
	}
	serve := d.command("serve", "--mode", string(d.mode), "--origins", d.chat.url, "--return-urls", d.chat.url+"/")
	serve.Env = append(serve.Env, settings...)
	p, err := launch("the vault", filepath.Join(d.dir, "vault.log"), serve)
	if err != nil {
		return err
	}
	d.vault = p
	defer p.watch(ctx, d.fail)
	if d.mode != modeLocal {
		d.signInURL = d.chat.url + "/login"
		_, err = p.line("Serving ")
		return err
	}
	d.signInURL, err = p.line("Sign in with this link, once, within 15 minutes: ")
	return err
}

// startChat starts the host application: a chat page with an agent.
func (d *demo) startChat(ctx context.Context) error {
	agent, err := d.newKey("assistant", "--user", d.mode.user())
	if err != nil {
		return err
	}
	backend, err := d.newKey("chat", "--kind", "backend")
	if err != nil {
		return err
	}
	if d.auditKey, err = d.newKey("auditor", "--kind", "admin"); err != nil {
		return err
	}
	if d.signing, err = newSigningKey(); err != nil {
		return err
	}
	d.chat, err = newChat(ctx, d, agent, backend)
	return err
}
