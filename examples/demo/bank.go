package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

const bankID = "bank"

// bank is a service without OAuth: a password, and a one-time code.
type bank struct {
	process *process
	dir     string
	Bank    string
	User    string
	// Password is the user's own. The vault never keeps it.
	Password   tokenvault.Secret
	AllowHosts []string
	Providers  []json.RawMessage

	mu sync.Mutex // protects a question to the process and its answer
}

// startBank starts the bank and describes it to the vault.
func (d *demo) startBank(ctx context.Context) error {
	// Not in the folder that is searched for secrets: the program has its user's password in it.
	dir, err := os.MkdirTemp("", "tokenvault-bank-")
	if err != nil {
		return err
	}
	program := filepath.Join(dir, "bank")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./flow/browserflow/browsertest/site/serve") //nolint:gosec // of this repository
	if _, err := output(build); err != nil {
		return err
	}
	p, err := launch("the bank", filepath.Join(d.dir, "bank.log"), exec.CommandContext(context.WithoutCancel(ctx), program)) //nolint:gosec // built above; ended by stop
	if err != nil {
		return err
	}
	d.bank = &bank{process: p, dir: dir}
	text, err := p.line("{")
	if err == nil {
		err = json.Unmarshal([]byte("{"+text), d.bank)
	}
	if err != nil || len(d.bank.Providers) == 0 {
		return errors.Join(errors.New("the bank does not say where it is"), err)
	}
	d.secrets = append(d.secrets, d.bank.Password)
	return os.WriteFile(d.bankFile(), d.bank.Providers[0], 0o600) // JSON is YAML
}

func (d *demo) bankFile() string { return filepath.Join(d.dir, bankID+".yaml") }

// browserEnv has the vault start browsers, as another user than root.
func (d *demo) browserEnv() []string {
	env := []string{"TOKENVAULT_BROWSER=chromium", "TOKENVAULT_BROWSER_ALLOW_HOSTS=" + strings.Join(d.bank.AllowHosts, ",")}
	if d.database != nil {
		env = append(env, "TOKENVAULT_NODE_URL="+d.apiURL)
	}
	if os.Getuid() == 0 {
		env = append(env, "TOKENVAULT_BROWSER_USER=nobody")
	}
	return env
}

// stop ends the bank, which ends with its input.
func (b *bank) stop() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(b.process.stdin.Close(), b.process.cmd.Wait(), os.RemoveAll(b.dir))
}

// code is what the bank sent to the user's phone.
func (b *bank) code() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := io.WriteString(b.process.stdin, "code\n"); err != nil {
		return "", err
	}
	quoted, err := b.process.line(`"`)
	return strings.TrimSuffix(quoted, `"`), err
}

// phone shows the one-time code of now.
func (b *bank) phone(w http.ResponseWriter, _ *http.Request) {
	code, err := b.code()
	if err != nil {
		http.Error(w, "the bank does not answer", http.StatusBadGateway)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, code)
}

var balanceText = regexp.MustCompile(`id="balance">([^<]{1,20})<`)

// balance is the agent's other tool: it reads a page of the bank, signed in as the
// user was in the browser.
func (a *agent) balance(ctx context.Context, runID string, pause func(tokenvault.AuthRequest)) (string, error) {
	token, err := a.vault.ResolveWait(ctx, client.ResolveRequest{
		ProviderID: bankID, Release: tokenvault.ReleaseToken, RunID: runID,
		Format: client.FormatCookieHeader, URL: a.bank + "/account",
	}, pause)
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.bank+"/account", http.NoBody)
	if err != nil {
		return "", err
	}
	r.Header.Set("Cookie", token.CookieHeader.Reveal())
	r.Header.Set("User-Agent", token.UserAgent)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	page, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", err
	}
	found := balanceText.FindSubmatch(page)
	if found == nil {
		return "", fmt.Errorf("the bank's page does not show a balance: status %d", res.StatusCode)
	}
	return "Your balance is " + string(found[1]) + ".", nil
}
