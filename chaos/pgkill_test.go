package chaos

import (
	"context"
	"syscall"
	"testing"
	"time"

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

// A replica that is told to end stores what a provider has renewed for a caller who
// has hung up long since.
func TestSIGTERMWaitsForWhatNobodyWaitsFor(t *testing.T) {
	w := newReplicas(t, testop.Options{})
	w.noUpkeep(t)
	w.connect(t, "ada")
	var n tally
	for range roundsOr(1) {
		p, before := w.replica(t), w.stored(t, "ada").version
		w.expire(t, "ada")
		w.op.Fault(t, "/token", "hold_after_commit", 1)
		ctx, hangUp := context.WithCancel(t.Context())
		answered := make(chan error, 1)
		agent := w.agent(t, p)
		go func() {
			_, err := agent.Resolve(ctx, request("ada", "gone"))
			answered <- err
		}()
		until(t, "the provider has renewed the token", func() bool { return w.op.Refreshes(t).Held == 1 })
		hangUp()
		if err := <-answered; err == nil {
			t.Error("there was an answer before there could be one")
		}
		_ = p.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
			t.Error("the server ended with a refresh under way")
		case <-time.After(time.Second): // it need not end sooner
		}
		w.op.Release(t)
		p.end(t, 0)
		n.faults++
		if s := w.stored(t, "ada"); s.version != before+1 || s.marked || !p.ProcessState.Success() {
			n.unexplained++
			t.Errorf("after version %d: %+v, %v", before, s, p.ProcessState)
		}
	}
	w.verified(t, &n)
	n.report(t, "pg-drain")
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
