package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func concurrencyCases() []testCase {
	return []testCase{
		{"parallel calls join one request", joinTogether},
		{"of concurrent settlements one wins", settleRace},
		{"of concurrent returns one takes the attempt", advanceRace},
		{"of concurrent claims one gets the turn", beginRace},
		{"a turn is committed once", commitRace},
		{"revoking together is one revocation", revokeRace},
		{"a job is handed out to one worker", claimRace},
		{"a data key is created once", dataKeyRace},
		{"of concurrent versions of an app one is stored", appRace},
		{"a commit and a reconnect leave one credential", healRace},
		{"a reader sees all of a settlement or nothing", readersSeeWhole},
		{"a reader of the log misses nothing", logReaders},
		{"a webhook that is deleted is in nobody's way", deleteHookRace},
		{"a delivery is sent again once at a time", redeliverRace},
	}
}

// racers is how many calls of one kind run at once.
const racers = 16

// race runs call at once for each of the racers.
func race(call func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range racers {
		all.Go(func() {
			<-start
			call(i)
		})
	}
	close(start)
	all.Wait()
}

// oneWins races calls of which exactly one may succeed; the others must fail with
// lost.
func oneWins(t *testing.T, lost error, call func(i int) error) {
	t.Helper()
	errs := make([]error, racers)
	race(func(i int) { errs[i] = call(i) })
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
		} else if !errors.Is(err, lost) {
			t.Errorf("a loser got %v, want %v", err, lost)
		}
	}
	if winners != 1 {
		t.Errorf("%d of %d calls succeeded, want 1", winners, racers)
	}
}

func joinTogether(t *testing.T, f *fixture) {
	req := f.request(alice())
	ids, joined := make([]string, racers), make([]bool, racers)
	race(func(i int) {
		mine := req
		mine.ID = fmt.Sprintf("ar_race_%d", i)
		got, was, err := f.OpenOrJoin(t.Context(), tokenvault.NewAuthRequest{
			Request: mine, TTL: time.Hour, Event: f.event(tokenvault.EventAuthRequested, alice()),
		})
		if err != nil {
			t.Errorf("OpenOrJoin: %v", err)
		}
		ids[i], joined[i] = got.ID, was
	})
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("parallel calls got the requests %q", ids)
	}
	opened := 0
	for _, was := range joined {
		if !was {
			opened++
		}
	}
	if events := f.events(t, acme); opened != 1 || len(events) != 1 {
		t.Errorf("%d calls opened a request with %d events, want 1 and 1", opened, len(events))
	}
}

func settleRace(t *testing.T, f *fixture) {
	req := f.open(t, alice())
	cmds := make([]tokenvault.Settlement, racers)
	for i := range cmds {
		cmds[i] = f.connecting(req, f.fresh(alice(), f.id("acc")))
	}
	oneWins(t, tokenvault.ErrConflict, func(i int) error {
		_, err := f.Settle(t.Context(), cmds[i])
		return err
	})
	settled := f.getRequest(t, req)
	if ids := f.list(t, alice()); len(ids) != 1 || ids[0] != settled.ConnectionID {
		t.Errorf("connections %q after a race for a request that ended with %q", ids, settled.ConnectionID)
	}
}

func advanceRace(t *testing.T, f *fixture) {
	cmd := f.begin(t)
	oneWins(t, tokenvault.ErrStateInvalid, func(int) error {
		_, err := f.AdvanceAttempt(t.Context(), cmd.Attempt.StateHash, tokenvault.AttemptBegun, tokenvault.AttemptConsumed)
		return err
	})
}

func beginRace(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc").Connection
	turns := make([]tokenvault.RefreshTurn, racers)
	race(func(i int) { turns[i] = f.claimAny(t, c, time.Minute) })
	held := 0
	for _, turn := range turns {
		if turn.Held {
			held++
		} else if turn.RetryIn <= 0 || turn.Connection.Version != 1 {
			t.Errorf("a loser is to look again in %s at version %d, want later and 1", turn.RetryIn, turn.Connection.Version)
		}
	}
	if held != 1 {
		t.Errorf("%d of %d claims got the turn, want 1", held, racers)
	}
}

func commitRace(t *testing.T, f *fixture) {
	turn := f.claim(t, f.connect(t, alice(), "acc").Connection, time.Minute)
	cmds := make([]tokenvault.RefreshCommit, racers)
	for i := range cmds {
		cmds[i] = f.commit(turn)
	}
	oneWins(t, tokenvault.ErrFenced, func(i int) error {
		_, err := f.CommitRefresh(t.Context(), cmds[i])
		return err
	})
	if c := f.get(t, alice(), turn.Connection.ID); c.Version != 2 {
		t.Errorf("version = %d after one commit, want 2", c.Version)
	}
}

func revokeRace(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	before := len(f.events(t, acme))
	cmds := make([]tokenvault.Revocation, racers)
	for i := range cmds {
		cmds[i] = f.revocation(c)
		cmds[i].Job = f.job(c)
	}
	race(func(i int) {
		if _, err := f.Revoke(t.Context(), cmds[i]); err != nil {
			t.Errorf("Revoke: %v", err)
		}
	})
	if written := len(f.events(t, acme)) - before; written != 1 {
		t.Errorf("%d events of one revocation", written)
	}
	if jobs := f.claimJobs(t); len(jobs) != 1 {
		t.Errorf("%d jobs of one revocation", len(jobs))
	}
}

func claimRace(t *testing.T, f *fixture) {
	want := f.enqueue(t, racers)
	claimed := make([][]tokenvault.Job, racers)
	race(func(i int) {
		jobs, err := f.ClaimJobs(t.Context(), 3, time.Minute)
		if err != nil {
			t.Errorf("ClaimJobs: %v", err)
		}
		claimed[i] = jobs
	})
	got := append(slices.Concat(claimed...), f.claimJobs(t)...) // a claim may find what others hold, and return less
	ids := make([]string, 0, len(got))
	for _, j := range got {
		ids = append(ids, j.ID)
	}
	slices.Sort(ids)
	if len(ids) != len(want) || len(slices.Compact(ids)) != len(want) {
		t.Errorf("%d jobs were handed out, want each of %d once", len(got), len(want))
	}
}

func dataKeyRace(t *testing.T, f *fixture) {
	keys := make([]tokenvault.DataKey, racers)
	race(func(i int) {
		key := tokenvault.DataKey{Tenant: acme, Space: "org:eng", Version: 1, Wrapped: tokenvault.Sealed(f.id("wrapped"))}
		var err error
		if keys[i], err = f.CreateDataKey(t.Context(), key, tokenvault.Event{}); err != nil {
			t.Errorf("CreateDataKey: %v", err)
		}
	})
	for _, key := range keys {
		equal(t, "the data key of every caller", key, keys[0])
	}
}

func appRace(t *testing.T, f *fixture) {
	app := f.app("eng")
	f.put(t, app)
	app.Version = 2
	oneWins(t, tokenvault.ErrConflict, func(int) error {
		_, err := f.PutApp(t.Context(), app, tokenvault.Event{})
		return err
	})
}

// Either order of a refresh's commit and a reconnect is right; a credential that
// is neither's, or a version that counts one of them twice, is not.
func healRace(t *testing.T, f *fixture) {
	turn := f.claim(t, f.connect(t, alice(), "acc").Connection, time.Minute)
	commit, reconnect := f.commit(turn), f.connecting(f.open(t, alice()), f.renewed(turn.Connection))
	var commitErr, settleErr error
	race(func(i int) {
		switch i {
		case 0:
			_, commitErr = f.CommitRefresh(t.Context(), commit)
		case 1:
			_, settleErr = f.Settle(t.Context(), reconnect)
		}
	})
	c := f.get(t, alice(), turn.Connection.ID)
	switch {
	case commitErr == nil && errors.Is(settleErr, tokenvault.ErrConflict):
		equal(t, "the refreshed credential", c.Record, commit.Record)
	case settleErr == nil && errors.Is(commitErr, tokenvault.ErrFenced):
		equal(t, "the reconnected credential", c.Record, reconnect.Connection.Record)
	default:
		t.Errorf("commit: %v; reconnect: %v; want one to win", commitErr, settleErr)
	}
	if c.Version != 2 {
		t.Errorf("version = %d, want 2", c.Version)
	}
}

func readersSeeWhole(t *testing.T, f *fixture) {
	cmds := make([]tokenvault.Settlement, racers)
	for i := range cmds {
		cmds[i] = f.full(t, f.fresh(member(fmt.Sprintf("user%d", i)), "acc"))
	}
	race(func(i int) {
		owner := cmds[i/2].Owner
		if i%2 == 0 {
			if _, err := f.Settle(t.Context(), cmds[i/2]); err != nil {
				t.Errorf("Settle: %v", err)
			}
			return
		}
		for settled := false; !settled; {
			req, err := f.GetAuthRequest(t.Context(), owner, cmds[i/2].AuthRequestID)
			if err != nil {
				t.Errorf("GetAuthRequest: %v", err)
				return
			}
			settled = req.Status.Settled()
			found, err := f.FindUsable(t.Context(), tokenvault.FindQuery{Owner: owner, AgentID: agent, ProviderID: provider})
			if err != nil {
				t.Errorf("FindUsable: %v", err)
				return
			}
			if n := len(found.Candidates); settled && n == 0 || n == 1 && found.Candidates[0].Permission == nil {
				t.Errorf("settled = %t with %d connections: a reader saw half of a settlement", settled, n)
			}
		}
	})
}

// Whoever reads the log page by page while others write, from where they stopped,
// reads every entry once.
func logReaders(t *testing.T, f *fixture) {
	const each = 20
	var writers, reader sync.WaitGroup
	done := make(chan struct{})
	var read []string
	reader.Go(func() {
		page := tokenvault.EventQuery{Page: tokenvault.Page{Limit: 7}}
		for last := false; ; {
			events, err := f.ListAudit(t.Context(), acme, page)
			if err != nil {
				t.Errorf("ListAudit: %v", err)
				return
			}
			for _, e := range events {
				read = append(read, e.RunID)
				page.After = e.ID
			}
			if len(events) == 0 && last {
				return
			}
			select {
			case <-done:
				last = true
			default:
			}
		}
	})
	for range racers {
		writers.Go(func() {
			for range each {
				if err := f.AppendAudit(t.Context(), []tokenvault.Event{f.event(tokenvault.EventReleased, alice())}); err != nil {
					t.Errorf("AppendAudit: %v", err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	reader.Wait()
	slices.Sort(read)
	if total := len(read); total != racers*each || len(slices.Compact(read)) != total {
		t.Errorf("the reader got %d entries, want each of %d once", total, racers*each)
	}
}
