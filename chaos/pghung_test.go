package chaos

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/ai-token-vault/tokenvault/internal/testop"
)

const (
	hungProvider = "hung"
	// hungCallers are more than what is sent to one host at a time.
	hungCallers = 70
	mostAtOnce  = 64
)

// R15: a provider hangs, with more refreshes than are sent to it at a time. The
// callers of another provider get every refresh that they ask for, from the same
// servers. The hung provider's grants live on: in the long form also when it hangs
// until all of them have given up.
func TestR15AHungProviderTakesNobodysTurn(t *testing.T) {
	hung := testop.Start(t, testop.Options{AccessTTL: "3600"})
	w := newReplicas(t, testop.Options{}, provider{hungProvider, hung})
	w.noUpkeep(t)
	l := w.newLoad(t, false)
	up := w.upReplicas(t, 2)
	for i := range hungCallers {
		w.connectAt(t, hungProvider, fmt.Sprintf("hung-%d", i))
	}
	var n tally
	for range min(roundsOr(1), 5) { // a long one takes a minute
		w.hang(t, &n, l, up, hung)
	}
	l.finish(t, "pg-hung", &n)
}

func (w *world) hang(t *testing.T, n *tally, l *load, up []*process, hung *testop.OP) {
	t.Helper()
	n.faults++
	before := hung.Refreshes(t).Granted
	hung.Fault(t, "/token", "hold_before", never)
	w.exec(t, `UPDATE connections SET expires_at = 'epoch' WHERE provider_id = ?`, hungProvider)
	var answers []<-chan answer
	for i := range hungCallers {
		answers = append(answers, w.askFor(t, up[0], hungProvider, fmt.Sprintf("hung-%d", i)))
	}
	until(t, "the provider hangs", func() bool { return hung.Refreshes(t).Held >= mostAtOnce })
	l.begin(t)
	l.more(t)
	l.more(t)
	l.end()
	l.account(t, n, nil)
	for _, p := range up {
		if status := p.get(t, "/readyz"); status != http.StatusOK {
			n.unexplained++
			t.Errorf("readyz while a provider hangs: %d", status)
		}
	}
	if !long() { // else it hangs until all are given up
		hung.Release(t)
	}
	var again []string
	for _, answered := range answers {
		switch a := <-answered; {
		case a.err == nil && a.token.Version > 1:
		case forNow(a.err):
			again = append(again, a.user)
		default:
			n.unexplained++
			t.Errorf("%s at the provider that hangs: %v", a.user, a.err)
		}
	}
	hung.Release(t)
	for _, user := range again {
		until(t, "the provider is asked again", func() bool { return (<-w.askFor(t, up[0], hungProvider, user)).err == nil })
	}
	if r := hung.Refreshes(t); r.Granted-before != hungCallers || r.Refused != 0 {
		n.unexplained++
		t.Errorf("the provider that hangs says %+v, %d tokens replaced before", r, before)
	}
	t.Logf("%d of %d callers at the provider that hangs came again", len(again), hungCallers)
}
