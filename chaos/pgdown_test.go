package chaos

import (
	"errors"
	"net/http"
	"syscall"
	"testing"

	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// R8: PostgreSQL crashes after the provider has replaced refresh tokens and before
// the answers come. Both replicas put what they got on disk. One of them is killed
// then, and has nothing but its disk; the other one is not. Nothing is lost, and
// callers of the other replica get what the first one stores when it is back.
func TestR8ADatabaseThatCrashesAfterTheCommitLosesNothing(t *testing.T) {
	w := newReplicas(t, testop.Options{})
	w.noUpkeep(t)
	l := w.newLoad(t, true)
	up := w.upReplicas(t, 2)
	var n tally
	for range roundsOr(1) {
		w.crashAfterCommit(t, l, up)
		n.faults++
		l.account(t, &n, nil)
		l.begin(t) // and all goes on
		l.end()
		l.account(t, &n, nil)
	}
	l.finish(t, "pg-down-after-commit", &n)
}

func (w *world) crashAfterCommit(t *testing.T, l *load, up []*process) {
	t.Helper()
	w.op.Fault(t, "/token", "hold_after_commit", len(l.users))
	var answers [2][]<-chan answer
	for i, user := range l.users {
		l.expire(user)
		answers[i%2] = append(answers[i%2], w.ask(t, up[i%2], user))
	}
	until(t, "the provider has renewed all tokens", func() bool { return w.op.Refreshes(t).Held == len(l.users) })
	// Leases must not run out because the machine is slow.
	w.exec(t, `UPDATE connections SET lease_until = lease_until + interval '1 hour' WHERE marked`)
	w.stopDatabase(t)
	w.op.Release(t)
	until(t, "all are spooled", func() bool { return up[0].spooled(t)+up[1].spooled(t) == len(l.users) })
	up[0].end(t, syscall.SIGKILL)
	w.startDatabase(t)
	for _, answered := range answers[0] {
		if a := <-answered; a.err == nil {
			t.Errorf("%s got a token that is not stored", a.user)
		}
	}
	for i, user := range l.users {
		if i%2 == 0 { // they wait for the lease of the killed one, or for what it spooled
			answers[1] = append(answers[1], w.ask(t, up[1], user))
		}
	}
	w.front.remove(up[0])
	up[0] = w.replicaIn(t, up[0].dir, w.binary)
	w.front.add(up[0])
	for _, answered := range answers[1] {
		a := <-answered
		for a.err != nil && forNow(a.err) { // gave up after the time of a lease
			a = <-w.ask(t, up[1], a.user)
		}
		l.got(t, a)
	}
	until(t, "the spools are empty", func() bool { return up[0].spooled(t)+up[1].spooled(t) == 0 })
}

// R9: PostgreSQL is down before a refresh: no refresh token is sent, and callers are
// told to come back.
func TestR9ADatabaseThatIsDownSpendsNothing(t *testing.T) {
	w := newReplicas(t, testop.Options{})
	w.noUpkeep(t)
	l := w.newLoad(t, true)
	up := w.upReplicas(t, 2)
	var n tally
	for range roundsOr(1) {
		for _, user := range l.users {
			l.expire(user)
		}
		before := w.tokenRequests(t)
		w.stopDatabase(t)
		var answers []<-chan answer
		for i, user := range l.users {
			answers = append(answers, w.ask(t, up[i%2], user))
		}
		for _, answered := range answers {
			a := <-answered
			refused, ok := errors.AsType[*client.Error](a.err)
			if !ok || refused.Status != http.StatusServiceUnavailable || refused.RetryAfter == 0 {
				n.unexplained++
				t.Errorf("%s: %v, want 503 with Retry-After", a.user, a.err)
			}
		}
		for _, p := range up {
			if status := p.get(t, "/readyz"); status != http.StatusServiceUnavailable {
				n.unexplained++
				t.Errorf("readyz: %d, want 503", status)
			}
		}
		if sent := w.tokenRequests(t) - before; sent != 0 {
			n.unexplained++
			t.Errorf("%d refresh tokens were sent without a database", sent)
		}
		w.startDatabase(t)
		n.faults++
		for i, user := range l.users {
			l.got(t, <-w.ask(t, up[i%2], user))
		}
		l.account(t, &n, nil)
	}
	l.finish(t, "pg-down-before", &n)
}

// R8: PostgreSQL crashes at any moment, under load, and comes back: the replicas go
// on by themselves, and nothing is lost.
//
// A crash takes the answer to a commit with it. A lease that was committed so is held
// by nobody, and has to run out; which ones these are is seen when all replicas have
// ended, which finishes every refresh that is under way.
func TestR8CrashesOfTheDatabaseUnderLoadLoseNothing(t *testing.T) {
	w := newReplicas(t, testop.Options{})
	l := w.newLoad(t, true)
	w.op.Fault(t, "/token", "delay_after_commit:50", never)
	up := w.upReplicas(t, 3)
	var n tally
	for range pgRounds() {
		l.begin(t)
		w.crash(t)
		l.more(t)
		l.abort()
		n.faults++
		for _, p := range up {
			w.leave(t, p)
		}
		w.passLeases(t)
		for i, p := range up {
			up[i] = w.replicaIn(t, p.dir, w.binary)
			w.front.add(up[i])
		}
		l.begin(t)
		l.end()
		l.account(t, &n, nil)
	}
	l.finish(t, "pg-crash", &n)
}

// crash ends PostgreSQL at once and starts it again, while callers use the world's
// own connections to it.
func (w *world) crash(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { _ = w.pg.Start() }) // an error says that it runs
	if err := w.pg.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := w.pg.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "all our own connections are new ones", func() bool { return w.db.PingContext(t.Context()) == nil })
}
