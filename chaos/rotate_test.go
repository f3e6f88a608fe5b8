package chaos

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// organizations is how many key spaces there are beside the users'. They make a
// rotation long enough to be killed in the middle.
const organizations = 200

// K4: both rotations, killed again and again while credentials are released and
// refreshed, end with everything under the new keys and nothing unreadable.
func TestK4KilledRotationsUnderTraffic(t *testing.T) {
	w := newWorld(t, filepath.Join(t.TempDir(), "data"))
	l := &ledger{versions: map[string]int64{}, first: make(chan struct{}), once: &sync.Once{}}
	var users []string
	for i := range grants {
		users = append(users, fmt.Sprintf("user-%d", i))
		w.connect(t, users[i])
	}
	for i := range organizations {
		_, err := w.opened.Vault.SetApp(t.Context(), w.opened.Admin(), tokenvault.AppInput{
			OrganizationID: fmt.Sprintf("org-%d", i), ProviderID: providerID, ClientID: "client", ClientSecret: tokenvault.NewSecret("secret"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	p := w.serve(t)
	agent := w.agent(t, p)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var workers sync.WaitGroup
	for _, user := range users {
		workers.Go(func() {
			for ctx.Err() == nil {
				w.use(ctx, t, l, agent, user)
			}
		})
	}
	<-l.first
	var n tally
	for _, kind := range []string{"data", "root"} {
		w.exec(t, `UPDATE data_keys SET created_at = created_at - 7200000000`) // old enough to be rotated
		for range rounds() {
			w.killRotation(t, kind)
			n.faults++
		}
		if out, err := w.command(t, "key", "rotate", kind).CombinedOutput(); err != nil {
			n.unexplained++
			t.Errorf("key rotate %s: %v\n%s", kind, err, out)
		}
	}
	stop()
	workers.Wait()
	n.unexplained += w.notRotated(t)
	if out, err := w.command(t, "key", "verify").CombinedOutput(); err != nil {
		n.unexplained += strings.Count(string(out), "FAIL")
		t.Errorf("key verify: %v\n%s", err, out)
	}
	p.end(t, syscall.SIGTERM)
	n.lost += w.mend(t, l, users, &n)
	n.unexplained += l.stale + w.missingReleases(t, l.runs)
	n.report(t, "rotation")
	if n.lost > 0 {
		t.Errorf("%d grants lost by rotation", n.lost)
	}
}

// command returns a command of the operator's on the world's data.
func (w *world) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), w.binary, args...)
	cmd.Env = w.env
	return cmd
}

// killRotation starts a rotation and kills it at some moment.
func (w *world) killRotation(t *testing.T, kind string) {
	t.Helper()
	cmd := w.command(t, "key", "rotate", kind)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	moment, err := rand.Int(rand.Reader, big.NewInt(300))
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(100*time.Millisecond + time.Duration(moment.Int64())*time.Millisecond)
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
}

// notRotated counts what is not under the newest data key of its space, and data
// keys that are there still, or that the primary root key did not seal.
func (w *world) notRotated(t *testing.T) (n int) {
	t.Helper()
	uses, err := w.opened.Vault.DataKeys(t.Context(), w.opened.Admin())
	if err != nil {
		t.Fatal(err)
	}
	newest := map[string]uint32{}
	for _, use := range uses {
		newest[use.Space] = max(newest[use.Space], use.Version)
	}
	for _, use := range uses {
		old := use.Version < newest[use.Space]
		switch {
		case old && (use.Space != "tenant" || use.Records > 0), use.Version == 1 && !old:
			n++
			t.Errorf("%s/%d still seals %d records", use.Space, use.Version, use.Records)
		case w.opened.Keyring.Outdated(use.Wrapped):
			n++
			t.Errorf("%s/%d is sealed by an old root key", use.Space, use.Version)
		}
	}
	if len(newest) < organizations {
		t.Errorf("%d key spaces: the case proves nothing", len(newest))
	}
	return n
}
