package chaos

import (
	"testing"

	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// pgRounds is how often a fault happens to replicas.
func pgRounds() int { return roundsOr(3) }

// Replicas are replaced one after the other under load, as in a deployment: no call
// fails, and nothing is lost.
func TestARollingRestartFailsNoCall(t *testing.T) {
	w := newReplicas(t, testop.Options{})
	l := w.newLoad(t, false)
	w.op.Fault(t, "/token", "delay_after_commit:50", never)
	up := w.upReplicas(t, 3)
	var n tally
	for round := range pgRounds() {
		l.begin(t)
		i := round % len(up)
		joining := w.replica(t)
		w.front.add(joining)
		w.leave(t, up[i])
		up[i] = joining
		l.end()
		n.faults++
		l.account(t, &n, nil)
	}
	l.finish(t, "pg-sigterm", &n)
}

// R4: replicas are killed under load. What the killed one was refreshing may be lost,
// and is told as such; the others take over whatever is not.
func TestR4AKilledReplicaLosesOnlyWhatItWasRefreshing(t *testing.T) {
	w := newReplicas(t, testop.Options{})
	l := w.newLoad(t, true)
	w.op.Fault(t, "/token", "delay_after_commit:50", never)
	up := w.upReplicas(t, 3)
	var n tally
	for round := range pgRounds() {
		l.begin(t)
		i := round % len(up)
		suspects := w.die(t, up[i])
		up[i] = w.replicaIn(t, up[i].dir, w.binary)
		w.front.add(up[i])
		l.end()
		n.faults++
		l.account(t, &n, suspects)
	}
	l.finish(t, "pg-sigkill", &n)
}
