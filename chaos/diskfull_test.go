//go:build chaos

package chaos

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

// R8, R9: the disk of the data directory fills up while refreshes are under way, and
// has space again some seconds later. Nothing is lost: what was obtained is stored
// then, and what cannot be begun sends no refresh token.
func TestR8AFullDiskLosesNothing(t *testing.T) {
	disk, again := smallDisk(t)
	if again {
		return
	}
	w := newWorld(t, filepath.Join(disk.dir, "data"))
	l := &ledger{versions: map[string]int64{}, first: make(chan struct{}), once: &sync.Once{}}
	users := make([]string, grants)
	for i := range users {
		users[i] = fmt.Sprintf("user-%d", i)
		w.connect(t, users[i])
	}
	w.op.Fault(t, "/token", "delay_after_commit:100", never)
	var n tally
	for range max(rounds()/5, 1) {
		w.fullRound(t, l, users, disk)
		n.faults++
		n.lost += w.mend(t, l, users, &n)
	}
	n.unexplained += l.stale + w.missingReleases(t, l.runs)
	n.report(t, "disk-full-refresh")
	if n.lost > 0 {
		t.Errorf("%d grants lost by a full disk", n.lost)
	}
}

// fullRound lets all tokens expire and be asked for, and fills the disk while the
// provider is asked.
func (w *world) fullRound(t *testing.T, l *ledger, users []string, disk disk) {
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
	disk.fill(t, server)
	moment, err := rand.Int(rand.Reader, big.NewInt(6000))
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Duration(moment.Int64()) * time.Millisecond)
	disk.free(t, server)
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
			l.release(user, run, token.Version, w.accepted(t, user, token.AccessToken))
			return
		}
		if _, asked := errors.AsType[*tokenvault.AuthRequiredError](err); asked {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}
