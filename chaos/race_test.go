package chaos

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ai-token-vault/tokenvault/client"
)

// Two processes, one SQLite file, 100 callers, one expired credential; the first
// caller gives up while the provider is asked.
func TestOneRefreshForAllCallersOfTwoProcesses(t *testing.T) {
	w := newWorld(t, filepath.Join(t.TempDir(), "data"))
	agents := []*client.Client{w.agent(t, w.serve(t)), w.agent(t, w.serve(t))}
	var n tally
	for _, milliseconds := range []int{5, 200, 12_000} {
		user := fmt.Sprintf("race-%d", milliseconds)
		w.connect(t, user)
		w.expire(t, user)
		before := w.tokenRequests(t)
		w.op.Fault(t, "/token", fmt.Sprintf("delay_before:%d", milliseconds), 1)
		tokens := w.race(t, agents, user, before)
		n.faults++
		if asked := w.tokenRequests(t) - before; asked != 1 {
			n.unexplained++
			t.Errorf("%d ms: the provider was asked %d times", milliseconds, asked)
		}
		for _, token := range tokens {
			if token.Version != tokens[0].Version || token.AccessToken.Reveal() != tokens[0].AccessToken.Reveal() {
				n.unexplained++
				t.Errorf("%d ms: callers got different tokens", milliseconds)
			}
		}
		// The grant lives on: nothing was used twice.
		w.expire(t, user)
		token, err := agents[0].Resolve(t.Context(), request(user, "after"))
		if err != nil || !w.accepted(t, user, token.AccessToken) {
			n.unexplained++
			t.Errorf("%d ms: after the race: %v", milliseconds, err)
		}
	}
	n.report(t, "race")
}

// race lets 100 callers ask at once, as many at each process. The first gives up when
// the provider has been asked. It returns what the others got.
func (w *world) race(t *testing.T, agents []*client.Client, user string, before int) []*client.Token {
	t.Helper()
	impatient, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	var all sync.WaitGroup
	started := make(chan struct{})
	tokens := make([]*client.Token, 100)
	for i := range tokens {
		ctx := t.Context()
		if i == 0 {
			ctx = impatient
		}
		all.Go(func() {
			if i != 0 {
				<-started
			}
			token, err := agents[i%len(agents)].Resolve(ctx, request(user, fmt.Sprint(i)))
			if tokens[i] = token; i != 0 && err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	for w.tokenRequests(t) == before { // the first one's request is on its way
		continue
	}
	close(started)
	giveUp()
	all.Wait()
	return tokens[1:]
}
