package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func refreshCases() []testCase {
	return []testCase{
		{"a turn tells the row as it is", turnIsWhole},
		{"nobody else gets a turn during a lease", leaseHolds},
		{"the turn after a lease that ran out is uncertain", leaseRunsOut},
		{"a commit is the next version", commitStores},
		{"a commit ends the turn", commitEnds},
		{"a commit of unknown lifetime never expires", commitUnknownLifetime},
		{"a commit after the next turn began is fenced", commitTooLate},
		{"a commit after the lease, with no next turn, is stored", commitLate},
		{"a turn that nobody began is fenced", commitForeignFence},
		{"another version gets no turn and the new credential", otherVersion},
		{"a failure ends the turn and keeps the connection", failKeeps},
		{"a failure with a reason needs the owner", failWithReason},
		{"a failure that keeps the mark makes the next turn uncertain", failKeepsMark},
		{"a failure that holds off delays the next turn", failHoldsOff},
		{"a failure after the next turn began is fenced", failTooLate},
		{"a failure is reported once", failTwice},
		{"an unknown connection is not found", refreshUnknown},
	}
}

// fail ends turn with the reason, which may be empty.
func (f *fixture) fail(t *testing.T, turn tokenvault.RefreshTurn, reason tokenvault.ReauthReason) {
	t.Helper()
	cmd := f.failure(turn)
	cmd.Reason = reason
	if err := f.FailRefresh(t.Context(), cmd); err != nil {
		t.Fatalf("FailRefresh: %v", err)
	}
}

func (f *fixture) refusesCommit(t *testing.T, turn tokenvault.RefreshTurn) {
	t.Helper()
	f.refuses(t, tokenvault.ErrFenced, func() error {
		_, err := f.CommitRefresh(t.Context(), f.commit(turn))
		return err
	})
}

func turnIsWhole(t *testing.T, f *fixture) {
	key := f.dataKey(t, acme, 1)
	c := f.connect(t, alice(), "acc")
	turn := f.claim(t, c.Connection, time.Minute)
	if turn.Fence == 0 {
		t.Error("Fence = 0, want the number of the turn")
	}
	want := tokenvault.RefreshTurn{Held: true, Fence: turn.Fence, Connection: c, WrappedKey: key.Wrapped, Now: f.now()}
	equal(t, "BeginRefresh", turn, want)
}

func leaseHolds(t *testing.T, f *fixture) {
	key := f.dataKey(t, acme, 1)
	c := f.connect(t, alice(), "acc")
	f.claim(t, c.Connection, time.Minute)
	f.advance(20 * time.Second)
	turn := f.claimAny(t, c.Connection, time.Minute)
	if turn.Held || turn.RetryIn != 40*time.Second {
		t.Errorf("turn: held = %t, retry in %s, want to look again in 40s", turn.Held, turn.RetryIn)
	}
	equal(t, "connection", turn.Connection.Connection, c.Connection)
	equal(t, "wrapped key", turn.WrappedKey, key.Wrapped)
	if !turn.Now.Equal(f.now()) {
		t.Errorf("Now = %s, want %s", turn.Now, f.now())
	}
}

func leaseRunsOut(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	first := f.claim(t, c.Connection, time.Minute)
	f.advance(time.Minute - time.Microsecond)
	if turn := f.claimAny(t, c.Connection, time.Minute); turn.Held {
		t.Error("a turn began before the lease ran out")
	}
	f.advance(time.Microsecond)
	second := f.claim(t, c.Connection, time.Minute)
	if first.Uncertain || !second.Uncertain {
		t.Errorf("uncertain: %t, then %t, want false, then true", first.Uncertain, second.Uncertain)
	}
	if second.Fence <= first.Fence {
		t.Errorf("fence = %d after %d, want a greater one", second.Fence, first.Fence)
	}
	f.advance(time.Minute)
	if third := f.claim(t, c.Connection, time.Minute); !third.Uncertain {
		t.Error("the third turn forgot the mark of the first")
	}
}

func commitStores(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	turn := f.claim(t, c.Connection, time.Minute)
	f.advance(time.Second)
	cmd := f.commit(turn)
	want := c
	want.Version, want.Record, want.Scopes = 2, cmd.Record, []string{"read"}
	want.ObtainedAt, want.UpdatedAt, want.ExpiresAt = f.now(), f.now(), f.now().Add(time.Hour)
	f.writes(t, func() {
		got, err := f.CommitRefresh(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "CommitRefresh", got, want)
	}, cmd.Event)
	equal(t, "GetConnection", f.get(t, alice(), c.ID), want)
}

func commitEnds(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	turn := f.claim(t, c.Connection, time.Minute)
	next, err := f.CommitRefresh(t.Context(), f.commit(turn))
	if err != nil {
		t.Fatal(err)
	}
	f.refusesCommit(t, turn)
	if again := f.claim(t, next.Connection, time.Minute); again.Uncertain || again.Fence <= turn.Fence {
		t.Errorf("turn: uncertain = %t, fence = %d after %d, want a certain one with a greater fence", again.Uncertain, again.Fence, turn.Fence)
	}
}

func commitUnknownLifetime(t *testing.T, f *fixture) {
	turn := f.claim(t, f.connect(t, alice(), "acc").Connection, time.Minute)
	cmd := f.commit(turn)
	cmd.ExpiresIn = 0
	got, err := f.CommitRefresh(t.Context(), cmd)
	if err != nil || !got.ExpiresAt.IsZero() {
		t.Errorf("ExpiresAt = %s, %v, want zero", got.ExpiresAt, err)
	}
}

func commitTooLate(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	late := f.claim(t, c.Connection, time.Minute)
	f.advance(time.Minute)
	turn := f.claim(t, c.Connection, time.Minute)
	f.refusesCommit(t, late)
	if _, err := f.CommitRefresh(t.Context(), f.commit(turn)); err != nil {
		t.Errorf("the holder's commit: %v", err)
	}
	f.refusesCommit(t, late)
}

func commitLate(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	turn := f.claim(t, c.Connection, time.Minute)
	f.advance(time.Hour)
	if _, err := f.CommitRefresh(t.Context(), f.commit(turn)); err != nil {
		t.Errorf("a commit that nobody was in the way of: %v", err)
	}
}

func commitForeignFence(t *testing.T, f *fixture) {
	idle := f.connect(t, alice(), "idle")
	turn := f.claim(t, f.connect(t, alice(), "acc").Connection, time.Minute)
	for _, fence := range []int64{turn.Fence + 1, turn.Fence - 1, -turn.Fence} {
		wrong := turn
		wrong.Fence = fence
		f.refusesCommit(t, wrong)
	}
	for fence := range int64(4) {
		none := tokenvault.RefreshTurn{Connection: idle, Fence: fence}
		f.refusesCommit(t, none)
		f.refuses(t, tokenvault.ErrFenced, func() error { return f.FailRefresh(t.Context(), f.failure(none)) })
	}
}

func otherVersion(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	next, err := f.CommitRefresh(t.Context(), f.commit(f.claim(t, c.Connection, time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	turn := f.claimAny(t, c.Connection, time.Minute)
	if turn.Held {
		t.Error("a turn began for a version that was replaced")
	}
	equal(t, "connection", turn.Connection, next)
	f.claim(t, next.Connection, time.Minute)
}

func failKeeps(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	cmd := f.failure(f.claim(t, c.Connection, time.Minute))
	f.writes(t, func() {
		if err := f.FailRefresh(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}, cmd.Event)
	equal(t, "GetConnection", f.get(t, alice(), c.ID), c)
	if turn := f.claim(t, c.Connection, time.Minute); turn.Uncertain {
		t.Error("the next turn is uncertain, though the failure cleared the mark")
	}
}

func failWithReason(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.fail(t, f.claim(t, c.Connection, time.Minute), tokenvault.ReauthLostResponse)
	want := c
	want.Status, want.Reason = tokenvault.ConnectionNeedsReauth, tokenvault.ReauthLostResponse
	equal(t, "GetConnection", f.get(t, alice(), c.ID), want)
	turn := f.claimAny(t, c.Connection, time.Minute)
	if turn.Held {
		t.Error("a turn began on a connection that needs its owner")
	}
	equal(t, "connection", turn.Connection, want)
}

func failKeepsMark(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	cmd := f.failure(f.claim(t, c.Connection, time.Minute))
	cmd.KeepMark = true
	if err := f.FailRefresh(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	turn := f.claim(t, c.Connection, time.Minute)
	if !turn.Uncertain {
		t.Error("the next turn is not uncertain, though the mark was kept")
	}
	f.fail(t, turn, "")
	if turn := f.claim(t, c.Connection, time.Minute); turn.Uncertain {
		t.Error("the mark outlived the turn that cleared it")
	}
}

func failHoldsOff(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	cmd := f.failure(f.claim(t, c.Connection, time.Hour))
	cmd.HoldOff = time.Minute
	if err := f.FailRefresh(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	f.advance(15 * time.Second)
	if turn := f.claimAny(t, c.Connection, time.Minute); turn.Held || turn.RetryIn != 45*time.Second {
		t.Errorf("turn: held = %t, retry in %s, want to look again in 45s", turn.Held, turn.RetryIn)
	}
	f.advance(45 * time.Second)
	if turn := f.claim(t, c.Connection, time.Minute); turn.Uncertain {
		t.Error("holding off made the next turn uncertain")
	}
}

func failTooLate(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	late := f.claim(t, c.Connection, time.Minute)
	f.advance(time.Minute)
	turn := f.claim(t, c.Connection, time.Minute)
	cmd := f.failure(late)
	cmd.Reason = tokenvault.ReauthRejected
	f.refuses(t, tokenvault.ErrFenced, func() error { return f.FailRefresh(t.Context(), cmd) })
	if _, err := f.CommitRefresh(t.Context(), f.commit(turn)); err != nil {
		t.Errorf("the holder's commit: %v", err)
	}
}

func failTwice(t *testing.T, f *fixture) {
	turn := f.claim(t, f.connect(t, alice(), "acc").Connection, time.Minute)
	f.fail(t, turn, "")
	f.refuses(t, tokenvault.ErrFenced, func() error { return f.FailRefresh(t.Context(), f.failure(turn)) })
	f.refusesCommit(t, turn)
}

func refreshUnknown(t *testing.T, f *fixture) {
	turn := f.claim(t, f.connect(t, alice(), "acc").Connection, time.Minute)
	turn.Connection.ID = "cn_missing"
	f.refuses(t, tokenvault.ErrNotFound, func() error {
		_, err := f.BeginRefresh(t.Context(), tokenvault.RefreshClaim{Owner: alice(), ConnectionID: "cn_missing", Version: 1, Lease: time.Minute})
		return err
	})
	f.refuses(t, tokenvault.ErrNotFound, func() error {
		_, err := f.CommitRefresh(t.Context(), f.commit(turn))
		return err
	})
	f.refuses(t, tokenvault.ErrNotFound, func() error { return f.FailRefresh(t.Context(), f.failure(turn)) })
}
