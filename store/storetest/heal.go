package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func healCases() []testCase {
	return []testCase{
		{"a connection that needs its owner is healed in place", healNeedsReauth},
		{"an active connection is renewed in place", healActive},
		{"a revoked connection is healed without its permissions", healRevoked},
		{"a refresh under way is fenced off", healFences},
		{"the mark of a lost refresh is forgotten", healForgetsMark},
		{"a hold-off ends", healEndsHoldOff},
		{"an account that was not known becomes known", healLearnsAccount},
	}
}

func healNeedsReauth(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.permit(t, f.permission(alice(), c.ID, "read"))
	f.fail(t, f.claim(t, c.Connection, time.Minute), tokenvault.ReauthRejected)
	f.advance(time.Hour)

	next := f.renewed(f.get(t, alice(), c.ID))
	next.Scopes, next.AppID, next.Account.Label = []string{"read", "admin"}, "app2", "renamed"
	next.CreatedAt = f.now() // not the caller's to set
	f.settle(t, f.connecting(f.open(t, alice()), next))

	want := next.SealedConnection
	want.Status, want.Reason, want.CreatedAt = tokenvault.ConnectionActive, "", c.CreatedAt
	want.ObtainedAt, want.UpdatedAt, want.ExpiresAt = f.now(), f.now(), f.now().Add(2*time.Hour)
	equal(t, "GetConnection", f.get(t, alice(), c.ID), want)
	equal(t, "ListConnections", f.list(t, alice()), []string{c.ID})
	if p := f.find(t, alice())[0].Permission; p == nil {
		t.Error("healing cost the agent its permission")
	}
	f.claim(t, want.Connection, time.Minute)
}

func healActive(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	next := f.renewed(c)
	next.ExpiresIn = 0
	if got := f.keep(t, next); got.Version != 2 || !got.ExpiresAt.IsZero() || got.Status != tokenvault.ConnectionActive {
		t.Errorf("connection: version %d, expires %s, %s, want 2, never, active", got.Version, got.ExpiresAt, got.Status)
	}
}

func healRevoked(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.permit(t, f.permission(alice(), c.ID, "read"))
	f.revoke(t, c)
	next := f.renewed(f.get(t, alice(), c.ID))
	got := f.keep(t, next)
	if got.Status != tokenvault.ConnectionActive || !got.RevokedAt.IsZero() || got.Version != 2 {
		t.Errorf("connection: %s, revoked %s, version %d, want active, never, 2", got.Status, got.RevokedAt, got.Version)
	}
	equal(t, "record", got.Record, next.Record)
	equal(t, "ListConnections", f.list(t, alice()), []string{c.ID})
	if p := f.permissions(t, alice()); len(p) != 0 {
		t.Errorf("%d permissions came back", len(p))
	}
}

func healFences(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	turn := f.claim(t, c.Connection, time.Minute)
	healed := f.keep(t, f.renewed(c))
	f.refusesCommit(t, turn)
	failure := f.failure(turn)
	failure.Reason = tokenvault.ReauthRejected
	f.refuses(t, tokenvault.ErrFenced, func() error { return f.FailRefresh(t.Context(), failure) })
	if next := f.claim(t, healed.Connection, time.Minute); next.Uncertain || next.Fence <= turn.Fence {
		t.Errorf("turn: uncertain = %t, fence = %d after %d, want a certain one with a greater fence", next.Uncertain, next.Fence, turn.Fence)
	}
}

func healForgetsMark(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	failure := f.failure(f.claim(t, c.Connection, time.Minute))
	failure.KeepMark = true
	if err := f.FailRefresh(t.Context(), failure); err != nil {
		t.Fatal(err)
	}
	if turn := f.claim(t, f.keep(t, f.renewed(c)).Connection, time.Minute); turn.Uncertain {
		t.Error("the mark of the old refresh token outlived it")
	}
}

func healEndsHoldOff(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	failure := f.failure(f.claim(t, c.Connection, time.Minute))
	failure.HoldOff = time.Hour
	if err := f.FailRefresh(t.Context(), failure); err != nil {
		t.Fatal(err)
	}
	f.claim(t, f.keep(t, f.renewed(c)).Connection, time.Minute)
}

func healLearnsAccount(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "")
	next := f.renewed(c)
	next.Account = tokenvault.Account{ID: "acc", Label: "alice"}
	f.keep(t, next)
	found, err := f.FindAccount(t.Context(), alice(), provider, "acc")
	if err != nil || found.ID != c.ID {
		t.Errorf("FindAccount = %q, %v, want %q", found.ID, err, c.ID)
	}
	_, err = f.FindAccount(t.Context(), alice(), provider, "")
	wantError(t, "FindAccount without an id", err, tokenvault.ErrNotFound)
}
