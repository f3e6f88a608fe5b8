//go:build chaos

package chaos

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// R7: a process that is frozen while it refreshes, and wakes up after its lease
// was taken over, stores nothing. It takes as long as a lease; TestR7AZombieIsFenced
// of the root package is the short one.
func TestR7AFrozenProcessIsFenced(t *testing.T) {
	w := newWorld(t, filepath.Join(t.TempDir(), "data"))
	w.freezePastALease(t, w.serve(t), w.serve(t), "sigstop")
}

// The same with replicas, on the clock of PostgreSQL; TestR7AFrozenReplicaIsFenced is
// the short one.
func TestR7AReplicaFrozenPastItsLeaseIsFenced(t *testing.T) {
	w := newReplicas(t, testop.Options{})
	w.freezePastALease(t, w.replica(t), w.replica(t), "pg-sigstop-lease")
}

func (w *world) freezePastALease(t *testing.T, frozen, other *process, name string) {
	t.Helper()
	w.connect(t, "ada")
	w.expire(t, "ada")
	n := tally{faults: 1}
	w.op.Fault(t, "/token", "hold_after_commit", 1)
	answered := make(chan error, 1)
	go func() {
		_, err := w.agent(t, frozen).Resolve(context.WithoutCancel(t.Context()), request("ada", "frozen"))
		answered <- err
	}()
	until(t, "the provider has renewed the token", func() bool { return w.op.Refreshes(t).Held == 1 })
	_ = frozen.Process.Signal(syscall.SIGSTOP)
	w.op.Release(t)
	// Whoever takes over finds the mark, tries the token once, and learns that the
	// provider, which is strict, has ended the grant.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := w.agent(t, other).Resolve(ctx, request("ada", "other")); err == nil {
		t.Error("the grant was spent, and yet a token came")
	}
	taken := w.stored(t, "ada")
	if taken.status == "needs_reauth" && taken.reason == "lost_response" {
		n.lost++
	} else if taken.status != "needs_reauth" {
		n.unexplained++
		t.Errorf("after the take-over: %+v", taken)
	}
	_ = frozen.Process.Signal(syscall.SIGCONT)
	if err := <-answered; err == nil {
		n.unexplained++
		t.Error("the frozen process released a credential that it could not store")
	}
	if now := w.stored(t, "ada"); now != taken {
		n.unexplained++
		t.Errorf("the frozen process changed %+v to %+v", taken, now)
	}
	n.report(t, name)
}
