package chaos

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

// callersEach is how many callers ask for one user's credential at the same time.
const callersEach = 2

// A load is callers who let credentials expire and ask for them, at whichever
// replica the front chooses, until they are told to stop.
type load struct {
	w     *world
	agent *client.Client
	users []string
	// forgiving says that a call may fail for now and is made again, as when a server
	// is killed or the database is down.
	forgiving bool

	mu          sync.Mutex
	versions    map[string]int64 // the newest that was released to anybody
	runs        []string         // of every release
	asked       map[string]bool  // users that have to connect again
	retried     int              // calls that failed for now
	unexplained int

	started   chan struct{} // closed at the first release of a round
	once      *sync.Once
	settle    chan struct{} // closed when impatient callers stop
	stop      chan struct{} // closed when all do
	giveUp    context.CancelFunc
	impatient sync.WaitGroup
	callers   sync.WaitGroup
}

// newLoad connects a user for each grant.
func (w *world) newLoad(t *testing.T, forgiving bool) *load {
	t.Helper()
	agent, err := client.New(w.front.URL, w.key, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &load{w: w, agent: agent, forgiving: forgiving, versions: map[string]int64{}, asked: map[string]bool{}}
	l.round()
	for i := range grants {
		l.users = append(l.users, fmt.Sprintf("user-%d", i))
		w.connect(t, l.users[i])
	}
	return l
}

// begin starts the callers and returns some time after the first release.
func (l *load) begin(t *testing.T) {
	t.Helper()
	l.round()
	var ctx context.Context
	ctx, l.giveUp = context.WithCancel(t.Context())
	for _, user := range l.users {
		for range callersEach {
			l.callers.Go(func() { l.call(ctx, t, user) })
		}
		l.impatient.Go(func() { l.hangUp(ctx, t, user) })
	}
	<-l.started
	someTime(t)
}

func (l *load) round() {
	l.started, l.once = make(chan struct{}), &sync.Once{}
	l.settle, l.stop = make(chan struct{}), make(chan struct{})
}

// someTime lets up to 300 ms pass, so that faults come at every moment of a refresh.
func someTime(t *testing.T) {
	t.Helper()
	moment, err := rand.Int(rand.Reader, big.NewInt(300))
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Duration(moment.Int64()) * time.Millisecond)
}

// end stops the callers. Each patient one makes one more call: what the fault left
// is met, and what impatient ones began is waited for.
func (l *load) end() {
	close(l.settle)
	l.impatient.Wait()
	close(l.stop)
	l.callers.Wait()
	l.giveUp()
}

// abort has all callers give up at once.
func (l *load) abort() {
	l.giveUp()
	l.impatient.Wait()
	l.callers.Wait()
}

// more waits for as many further releases as there are users.
func (l *load) more(t *testing.T) {
	t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.runs)
	}
	enough := count() + len(l.users)
	until(t, "credentials are released again", func() bool { return count() >= enough })
}

// hangUp asks for a user's credential again and again, and hangs up soon each time:
// what it has begun goes on without anybody who waits for it.
func (l *load) hangUp(ctx context.Context, t *testing.T, user string) {
	t.Helper()
	for ctx.Err() == nil {
		select {
		case <-l.settle:
			return
		default:
		}
		known, run := l.expire(user), rand.Text()
		soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		token, err := l.agent.Resolve(soon, request(user, run))
		cancel()
		if err == nil {
			l.release(t, user, run, known, token)
		}
	}
}

func (l *load) call(ctx context.Context, t *testing.T, user string) {
	t.Helper()
	for last := false; !last && ctx.Err() == nil; {
		select {
		case <-l.stop:
			last = true
		default:
		}
		if !l.use(ctx, t, user) {
			return
		}
	}
}

// use lets a user's token expire, gets a new one, and tries it. It reports whether
// the user need not connect again.
func (l *load) use(ctx context.Context, t *testing.T, user string) bool {
	t.Helper()
	for ctx.Err() == nil {
		known := l.expire(user)
		run := rand.Text()
		token, err := l.resolve(ctx, user, run)
		_, asks := errors.AsType[*tokenvault.AuthRequiredError](err)
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil:
			l.release(t, user, run, known, token)
			return true
		case asks:
			l.mu.Lock()
			defer l.mu.Unlock()
			l.asked[user] = true
			return false
		case !l.forgiving || !forNow(err):
			l.mu.Lock()
			defer l.mu.Unlock()
			l.unexplained++
			t.Errorf("%s: a call failed: %v; the proxy: %v", user, err, l.w.front.why())
			return false
		}
		l.mu.Lock()
		l.retried++
		l.mu.Unlock()
		<-time.After(50 * time.Millisecond)
	}
	return false
}

func (l *load) resolve(ctx context.Context, user, run string) (*client.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return l.agent.Resolve(ctx, request(user, run))
}

// expire lets a user's token expire, unless the database is down, and returns the
// newest version that anybody has got before.
func (l *load) expire(user string) int64 {
	l.mu.Lock()
	known := l.versions[user]
	l.mu.Unlock()
	_, _ = l.w.db.Exec(l.w.sql(`UPDATE connections SET expires_at = `+l.w.past()+` WHERE user_id = ?`), user)
	return known
}

// forNow reports whether a call that failed may work soon: the server is gone, or
// says that it is unavailable.
func forNow(err error) bool {
	if refused, ok := errors.AsType[*client.Error](err); ok {
		return refused.Status == http.StatusBadGateway || refused.Status == http.StatusServiceUnavailable
	}
	return !errors.Is(err, context.DeadlineExceeded) // no answer came
}

func (l *load) release(t *testing.T, user, run string, known int64, token *client.Token) {
	t.Helper()
	accepted := l.w.accepted(t, user, token.AccessToken)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !accepted || token.Version < known {
		l.unexplained++
		t.Errorf("%s got version %d after %d; the provider takes it: %t", user, token.Version, known, accepted)
	}
	l.versions[user] = max(l.versions[user], token.Version)
	l.runs = append(l.runs, run)
	l.once.Do(func() { close(l.started) })
}

// got takes what a caller got who asked for once.
func (l *load) got(t *testing.T, a answer) {
	t.Helper()
	if a.err == nil {
		l.release(t, a.user, a.run, l.versions[a.user], a.token)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unexplained++
	t.Errorf("%s: %v", a.user, a.err)
}

// account compares what callers were told with what is stored, what is audited, and
// what the provider counted, while nobody calls. Grants of suspects may be lost, if
// their owners are told so; these connect again.
func (l *load) account(t *testing.T, n *tally, suspects map[string]bool) {
	t.Helper()
	w := l.w
	for _, user := range l.users {
		switch s := w.stored(t, user); {
		case s.status == "active" && !s.marked && s.version >= l.versions[user] && !l.asked[user]:
		case s.status == "needs_reauth" && s.reason == "lost_response" && s.version >= l.versions[user] && suspects[user]:
			n.lost++
			w.connect(t, user)
		default:
			n.unexplained++
			t.Errorf("%s: stored %+v, version %d was released, asked to connect again: %t, may be lost: %t",
				user, s, l.versions[user], l.asked[user], suspects[user])
		}
	}
	clear(l.asked)
	n.unexplained += l.unexplained
	l.unexplained = 0
	l.books(t, n)
	w.verified(t, n)
}

// verified checks the audit log.
func (w *world) verified(t *testing.T, n *tally) {
	t.Helper()
	report, err := w.opened.Vault.VerifyAudit(t.Context(), w.opened.Admin())
	if err != nil || report.Broken != nil {
		n.unexplained++
		t.Errorf("the audit log: %v, %v", report.Broken, err)
	}
}

// books compares the provider's books with ours: what it replaced and we did not
// store is lost, and it got no other refresh token twice.
func (l *load) books(t *testing.T, n *tally) {
	t.Helper()
	stored := l.w.count(t, `SELECT count(*) FROM audit WHERE kind = 'credential.refreshed' AND provider_id = ?`, providerID)
	if r := l.w.op.Refreshes(t); r.Granted-stored != n.lost || r.Reused != n.lost || r.Refused != n.lost {
		n.unexplained++
		t.Errorf("the provider says %+v, %d refreshes are stored, %d lost", r, stored, n.lost)
	}
}

// finish checks that every release of a load is audited, and reports.
func (l *load) finish(t *testing.T, name string, n *tally) {
	t.Helper()
	n.unexplained += l.w.missingReleases(t, l.runs)
	n.report(t, name)
	t.Logf("%d releases, %d calls made again", len(l.runs), l.retried)
}
