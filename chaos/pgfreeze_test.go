package chaos

import (
	"syscall"
	"testing"

	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// R7: a replica is frozen while it refreshes, its lease runs out, another one takes
// over, and it wakes up: it stores nothing, and releases nothing of its own. A strict
// provider has ended the grant by then, and its owner is told so; one with a grace
// period has not.
//
// The database is told that the lease has run out. The frozen replica's own clock has
// not moved on, so that it does try to store what it holds.
func TestR7AFrozenReplicaIsFenced(t *testing.T) {
	var n tally
	for _, grace := range []bool{false, true} {
		w := newReplicas(t, testop.Options{Grace: grace})
		w.noUpkeep(t)
		up := w.upReplicas(t, 2)
		w.connect(t, "ada")
		for range roundsOr(2) {
			w.freeze(t, &n, up, grace)
		}
		w.verified(t, &n)
	}
	n.report(t, "pg-sigstop")
}

func (w *world) freeze(t *testing.T, n *tally, up []*process, grace bool) {
	t.Helper()
	n.faults++
	before := w.stored(t, "ada").version
	w.expire(t, "ada")
	w.op.Fault(t, "/token", "hold_after_commit", 1)
	frozen := w.ask(t, up[0], "ada")
	until(t, "the provider has renewed the token", func() bool { return w.op.Refreshes(t).Held == 1 })
	_ = up[0].Process.Signal(syscall.SIGSTOP)
	w.op.Release(t)
	w.op.Idle(t) // the answer waits for the frozen replica
	w.passLeasesOf(t, up[0])
	other := <-w.ask(t, up[1], "ada")
	taken := w.stored(t, "ada")
	_ = up[0].Process.Signal(syscall.SIGCONT)
	late := <-frozen
	if late.err == nil && (other.err != nil || late.token.AccessToken.Reveal() != other.token.AccessToken.Reveal()) {
		n.unexplained++
		t.Errorf("grace %t: the frozen replica released what it did not store", grace)
	}
	if now := w.stored(t, "ada"); now != taken {
		n.unexplained++
		t.Errorf("grace %t: the frozen replica changed %+v to %+v", grace, taken, now)
	}
	switch {
	case grace && other.err == nil && taken.version == before+1 && w.accepted(t, "ada", other.token.AccessToken):
	case !grace && other.asks() && taken.status == "needs_reauth" && taken.reason == "lost_response":
		n.lost++
		w.connect(t, "ada")
	default:
		n.unexplained++
		t.Errorf("grace %t: who took over got %v and stored %+v", grace, other.err, taken)
	}
}
