package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	driveTimeout = 3 * time.Minute
	lastSteps    = 10 * time.Second // for the last entries to be read
)

// drive clicks through the demo by a headless browser and checks what came of it.
func (d *demo) drive(ctx context.Context, watch *watcher) error {
	ctx, cancel := context.WithTimeout(ctx, driveTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join("e2e", "demo.mjs")) //nolint:gosec // a script of this repository
	cmd.Env = append(os.Environ(), "SIGN_IN_URL="+d.signInURL, "CHAT_URL="+d.chat.url, "MODE="+string(d.mode), "VAULT_URL="+d.vaultURL,
		"PAGES_FILE="+filepath.Join(d.dir, "pages.txt"), "BANK_URL="+d.bank.Bank, "BANK_USER="+d.bank.User, "BANK_PASSWORD="+d.bank.Password.Reveal())
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	err := cmd.Run()
	if ctx.Err() != nil {
		return reason(ctx, errors.New("the browser did not finish in time"))
	}
	if err == nil {
		select {
		case <-watch.seen:
		case <-ctx.Done():
		case <-time.After(lastSteps):
		}
	}
	if step := watch.missing(); step != "" {
		return errors.Join(fmt.Errorf("step %q did not happen", step), err)
	}
	if err != nil {
		return fmt.Errorf("the browser failed: %w", err)
	}
	return d.findLeaks(ctx, watch)
}

// findLeaks looks for every secret in everything that was written or shown.
func (d *demo) findLeaks(ctx context.Context, watch *watcher) error {
	secrets, err := d.allSecrets(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.dir, "stdout.txt"), []byte(watch.printed.String()), 0o600); err != nil {
		return err
	}
	folders := []string{d.dir}
	if d.database != nil {
		folders = append(folders, d.database.Dir())
	}
	found := 0
	for _, folder := range folders {
		n, err := leakingFiles(folder, secrets)
		if err != nil {
			return err
		}
		found += n
	}
	if found > 0 {
		return fmt.Errorf("%d files hold a secret", found)
	}
	return nil
}

// leakingFiles counts and names the files below a folder that hold a secret.
func leakingFiles(folder string, secrets []tokenvault.Secret) (found int, err error) {
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
			return nil // a database's files come and go
		}
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // in our own temporary directory
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if leaks(text, secrets) {
			found++
			_, _ = fmt.Fprintln(os.Stderr, "demo: a secret was found in", filepath.Base(path))
		}
		return err
	})
	return found, err
}

// allSecrets returns what the provider issued, the client secret, and the API
// keys.
func (d *demo) allSecrets(ctx context.Context) ([]tokenvault.Secret, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.control+"/issued", http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	var issued []string
	if err := json.NewDecoder(res.Body).Decode(&issued); err != nil {
		return nil, err
	}
	if len(issued) < 4 {
		return nil, errors.New("the provider does not tell what it issued: nothing could be looked for")
	}
	secrets := d.secrets
	for _, text := range issued {
		secrets = append(secrets, tokenvault.NewSecret(text))
	}
	return secrets, nil
}

func leaks(text []byte, secrets []tokenvault.Secret) bool {
	for _, s := range secrets {
		raw := []byte(s.Reveal())
		for _, form := range [][]byte{
			raw, []byte(hex.EncodeToString(raw)), []byte(base64.RawStdEncoding.EncodeToString(raw)), []byte(base64.RawURLEncoding.EncodeToString(raw)),
		} {
			if bytes.Contains(text, form) {
				return true
			}
		}
	}
	return false
}
