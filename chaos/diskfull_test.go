//go:build chaos && linux

package chaos

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

const inNamespace = "CHAOS_IN_NAMESPACE"

// R8, R9: the disk of the data directory fills up while refreshes are under way, and
// has space again some seconds later. Nothing is lost: what was obtained is stored
// then, and what cannot be begun sends no refresh token.
func TestR8AFullDiskLosesNothing(t *testing.T) {
	if os.Geteuid() != 0 && os.Getenv(inNamespace) == "" {
		unshare(t)
		return
	}
	disk := tinyDisk(t)
	w := newWorld(t, filepath.Join(disk, "data"))
	l := &ledger{versions: map[string]int64{}, first: make(chan struct{}), once: &sync.Once{}}
	users := make([]string, grants)
	for i := range users {
		users[i] = fmt.Sprintf("user-%d", i)
		w.connect(t, users[i])
	}
	w.op.Fault(t, "/token", "delay_after_commit:100", never)
	var n tally
	for range rounds() / 5 {
		w.fullRound(t, l, users, filepath.Join(disk, "filler"))
		n.faults++
		n.lost += w.mend(t, l, users, &n)
	}
	n.unexplained += l.stale + w.missingReleases(t, l)
	n.report(t, "disk-full")
	if n.lost > 0 {
		t.Errorf("%d grants lost by a full disk", n.lost)
	}
}

// unshare runs this test again where it may mount.
func unshare(t *testing.T) {
	t.Helper()
	again := exec.CommandContext(t.Context(), "unshare", "-rm", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1") //nolint:gosec // this test itself
	again.Env = append(os.Environ(), inNamespace+"=1")
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	if err := again.Run(); err != nil {
		t.Errorf("as root of a namespace: %v", err)
	}
}

// tinyDisk mounts a disk of 24 MiB until the test ends.
func tinyDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tokenvault", dir, "tmpfs", 0, "size=24m,mode=700"); err != nil {
		t.Fatalf("mount a tmpfs: %v: this test needs root, or 'unshare -rm'", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fullRound lets all tokens expire and be asked for, and fills the disk while the
// provider is asked.
func (w *world) fullRound(t *testing.T, l *ledger, users []string, filler string) {
	t.Helper()
	server := w.serve(t)
	agent := w.agent(t, server)
	for _, user := range users {
		w.expire(t, user)
	}
	before := w.tokenRequests(t)
	var workers sync.WaitGroup
	for _, user := range users {
		workers.Go(func() { w.insist(t, l, agent, user) })
	}
	for w.tokenRequests(t) == before {
		continue
	}
	fill(t, filler)
	moment, err := rand.Int(rand.Reader, big.NewInt(6000))
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Duration(moment.Int64()) * time.Millisecond)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	workers.Wait()
	server.end(t, syscall.SIGTERM)
}

// insist asks until there is a token, or the owner is asked, which mend counts.
func (w *world) insist(t *testing.T, l *ledger, agent *client.Client, user string) {
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		run := rand.Text()
		token, err := agent.Resolve(ctx, request(user, run))
		cancel()
		if err == nil {
			l.release(user, run, token.Version, w.accepted(t, token.AccessToken))
			return
		}
		if _, asked := errors.AsType[*tokenvault.AuthRequiredError](err); asked {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}

// fill writes until the disk has no byte left.
func fill(t *testing.T, filler string) {
	t.Helper()
	f, err := os.Create(filler) //nolint:gosec // in the test's own directory
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}
