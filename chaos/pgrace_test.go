package chaos

import (
	"fmt"
	"testing"

	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// Four processes, one PostgreSQL database, 100 callers, a credential that expires
// again and again; the first caller gives up while the provider is asked. The
// provider's own books say that each expiry is one refresh and that no refresh token
// came twice.
func TestOneRefreshForAllCallersOfFourReplicas(t *testing.T) {
	w := newReplicas(t, testop.Options{})
	w.noUpkeep(t)
	var agents []*client.Client
	for _, p := range w.upReplicas(t, 4) {
		agents = append(agents, w.agent(t, p))
	}
	latencies := map[int]int{5: pgRounds(), 200: pgRounds()} // milliseconds to expiries
	if long() {
		latencies[12_000] = 3
	}
	var n tally
	for milliseconds, expiries := range latencies {
		user := fmt.Sprintf("race-%d", milliseconds)
		w.connect(t, user)
		for range expiries {
			w.raceOnce(t, &n, agents, user, milliseconds)
		}
		// The grant lives on: nothing was used twice.
		w.expire(t, user)
		token, err := agents[0].Resolve(t.Context(), request(user, "after"))
		if err != nil || !w.accepted(t, user, token.AccessToken) {
			n.unexplained++
			t.Errorf("%d ms: after the race: %v", milliseconds, err)
		}
	}
	w.verified(t, &n)
	n.report(t, "pg-race")
}

func (w *world) raceOnce(t *testing.T, n *tally, agents []*client.Client, user string, milliseconds int) {
	t.Helper()
	w.expire(t, user)
	requests, before, version := w.tokenRequests(t), w.op.Refreshes(t), w.stored(t, user).version
	w.op.Fault(t, "/token", fmt.Sprintf("delay_before:%d", milliseconds), 1)
	tokens := w.race(t, agents, user, requests)
	n.faults++
	after := w.op.Refreshes(t)
	if asked := w.tokenRequests(t) - requests; asked != 1 || after.Granted-before.Granted != 1 || after.Refused != 0 {
		n.unexplained++
		t.Errorf("%d ms: the provider was asked %d times, and says %+v after %+v", milliseconds, asked, after, before)
	}
	for _, token := range tokens {
		if token == nil || token.Version != version+1 || token.AccessToken.Reveal() != tokens[0].AccessToken.Reveal() {
			n.unexplained++
			t.Errorf("%d ms: a caller got another token than version %d, or none", milliseconds, version+1)
		}
	}
}
