package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func sharingCases() []testCase {
	return []testCase{
		{"a connection changes hands whole", transferred},
		{"given to the organization, it keeps its permissions", transferKeepsPermissions},
		{"given back, it keeps those of its owner only", transferDropsPermissions},
		{"one that needs its owner changes hands", transferNeedsReauth},
		{"only exactly its owner's changes hands", transferIsExact},
		{"it stays in its tenant", transferTenant},
		{"a version that moved on stays", transferVersion},
		{"a revoked connection stays", transferRevoked},
		{"a refresh under way keeps it, until it ended with a word", transferUnderWay},
		{"a turn that began before is over", transferFences},
		{"an account that is connected there keeps it", transferTaken},
		{"a revoked connection to the account gives way", transferMakesWay},
		{"reconnecting keeps who shared it", transferReconnected},
	}
}

// sharing returns the command that gives c to another owner.
func (f *fixture) sharing(c tokenvault.SealedConnection, to tokenvault.Owner) tokenvault.Transfer {
	return tokenvault.Transfer{
		From: c.Owner, To: to, ConnectionID: c.ID, SharedBy: c.Owner.UserID, Version: c.Version + 1, Record: f.sealed(),
		Event: f.event(tokenvault.EventShared, c.Owner),
	}
}

// share gives c to another owner.
func (f *fixture) share(t *testing.T, c tokenvault.SealedConnection, to tokenvault.Owner) tokenvault.SealedConnection {
	t.Helper()
	if _, err := f.Transfer(t.Context(), f.sharing(c, to)); err != nil {
		t.Fatalf("Transfer: %v", err)
	}
	for i, r := range f.connections {
		if r.id == c.ID && r.owner == c.Owner {
			f.connections[i].owner = to
		}
	}
	return f.get(t, to, c.ID)
}

func (f *fixture) refusesTransfer(t *testing.T, want error, cmd tokenvault.Transfer) {
	t.Helper()
	f.refuses(t, want, func() error {
		_, err := f.Transfer(t.Context(), cmd)
		return err
	})
}

func transferred(t *testing.T, f *fixture) {
	c := f.connect(t, member("alice"), "acc")
	other := f.connect(t, member("bob"), "acc")
	f.advance(time.Minute)
	cmd := f.sharing(c, eng())
	want := c
	want.Owner, want.SharedBy, want.Version, want.Record, want.UpdatedAt = eng(), "alice", 2, cmd.Record, f.now()
	f.writes(t, func() {
		got, err := f.Transfer(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "Transfer", got, want.Connection)
	}, cmd.Event)
	for _, user := range []string{"alice", "bob"} {
		equal(t, "GetConnection", f.get(t, member(user), c.ID), want)
	}
	equal(t, "FindUsable", f.find(t, member("bob"))[0].SealedConnection, want)
	equal(t, "the other connection", f.get(t, member("bob"), other.ID), other)
	_, err := f.FindAccount(t.Context(), member("alice"), provider, "acc")
	wantError(t, "FindAccount of the old owner", err, tokenvault.ErrNotFound)

	back := f.share(t, want, member("alice"))
	if back.Owner != member("alice") || back.Version != 3 {
		t.Errorf("given back = %+v", back)
	}
	_, err = f.GetConnection(t.Context(), member("bob"), c.ID)
	wantError(t, "GetConnection by a member, once given back", err, tokenvault.ErrNotFound)
}

func transferKeepsPermissions(t *testing.T, f *fixture) {
	c := f.connect(t, member("alice"), "acc")
	p := f.permission(member("alice"), c.ID, "read")
	f.permit(t, p)
	f.share(t, c, eng())
	if found := f.find(t, member("alice")); len(found) != 1 || found[0].Permission == nil || found[0].Permission.ID != p.ID {
		t.Errorf("FindUsable = %+v, want the shared connection with the permission", found)
	}
	if found := f.find(t, member("bob")); len(found) != 1 || found[0].Permission != nil {
		t.Errorf("FindUsable by another member = %+v, want the shared connection without a permission", found)
	}
}

func transferDropsPermissions(t *testing.T, f *fixture) {
	c, other := f.share(t, f.connect(t, member("alice"), "acc"), eng()), f.connect(t, eng(), "other")
	for _, owner := range []tokenvault.Owner{member("alice"), member("bob"), eng()} {
		f.permit(t, f.permission(owner, c.ID, "read"))
		f.permit(t, f.permission(owner, other.ID, "read"))
	}
	f.share(t, c, member("alice"))
	for owner, left := range map[tokenvault.Owner]int{member("alice"): 2, member("bob"): 1, eng(): 1} {
		if got := f.permissions(t, owner); len(got) != left {
			t.Errorf("%v has %d permissions, want %d", owner, len(got), left)
		}
	}
}

func transferNeedsReauth(t *testing.T, f *fixture) {
	c := f.connect(t, member("alice"), "acc")
	f.fail(t, f.claim(t, c.Connection, time.Minute), tokenvault.ReauthRejected)
	c = f.get(t, c.Owner, c.ID)
	if got := f.share(t, c, eng()); got.Status != tokenvault.ConnectionNeedsReauth || got.Reason != tokenvault.ReauthRejected {
		t.Errorf("status = %s (%s), want what it was", got.Status, got.Reason)
	}
}

func transferIsExact(t *testing.T, f *fixture) {
	c, shared := f.connect(t, member("alice"), "acc"), f.connect(t, eng(), "other")
	for _, from := range []tokenvault.Owner{member("bob"), eng(), alice(), {Tenant: "globex", OrganizationID: "eng", UserID: "alice"}} {
		cmd := f.sharing(c, eng())
		cmd.From = from
		f.refusesTransfer(t, tokenvault.ErrNotFound, cmd)
	}
	seen := f.sharing(shared, member("alice"))
	seen.From = member("alice")
	f.refusesTransfer(t, tokenvault.ErrNotFound, seen)
	missing := f.sharing(c, eng())
	missing.ConnectionID = "cn_missing"
	f.refusesTransfer(t, tokenvault.ErrNotFound, missing)
}

func transferTenant(t *testing.T, f *fixture) {
	cmd := f.sharing(f.connect(t, member("alice"), "acc"), eng())
	cmd.To.Tenant = "globex"
	f.refusesTransfer(t, tokenvault.ErrNotFound, cmd)
}

func transferVersion(t *testing.T, f *fixture) {
	c := f.connect(t, member("alice"), "acc")
	stale := f.sharing(c, eng())
	c = f.keep(t, f.renewed(c))
	f.refusesTransfer(t, tokenvault.ErrConflict, stale)
	ahead := f.sharing(c, eng())
	ahead.Version++
	f.refusesTransfer(t, tokenvault.ErrConflict, ahead)
}

func transferRevoked(t *testing.T, f *fixture) {
	c := f.connect(t, member("alice"), "acc")
	f.revoke(t, c)
	f.refusesTransfer(t, tokenvault.ErrConflict, f.sharing(c, eng()))
}

func transferUnderWay(t *testing.T, f *fixture) {
	c := f.connect(t, member("alice"), "acc")
	turn := f.claim(t, c.Connection, time.Minute)
	f.refusesTransfer(t, tokenvault.ErrConflict, f.sharing(c, eng()))
	f.advance(time.Hour) // its process is gone, and what it sent may have been taken
	f.refusesTransfer(t, tokenvault.ErrConflict, f.sharing(c, eng()))

	uncertain := f.failure(turn)
	uncertain.KeepMark = true
	if err := f.FailRefresh(t.Context(), uncertain); err != nil {
		t.Fatal(err)
	}
	f.refusesTransfer(t, tokenvault.ErrConflict, f.sharing(c, eng()))
	f.fail(t, f.claim(t, c.Connection, time.Minute), "")
	f.share(t, c, eng())
}

func transferFences(t *testing.T, f *fixture) {
	c := f.connect(t, member("alice"), "acc")
	turn := f.claim(t, c.Connection, time.Minute)
	f.fail(t, turn, "")
	shared := f.share(t, c, eng())
	f.refuses(t, tokenvault.ErrFenced, func() error {
		_, err := f.CommitRefresh(t.Context(), f.commit(turn))
		return err
	})
	f.refuses(t, tokenvault.ErrFenced, func() error { return f.FailRefresh(t.Context(), f.failure(turn)) })
	if got := f.claimAny(t, c.Connection, time.Minute); got.Held || got.Connection.Version != 2 {
		t.Errorf("turn = %+v, want one that is not held, and the row as it is", got)
	}
	turn = f.claim(t, shared.Connection, time.Minute)
	if turn.Uncertain {
		t.Error("the first turn of the new owner's is uncertain")
	}
	if _, err := f.CommitRefresh(t.Context(), f.commit(turn)); err != nil {
		t.Errorf("CommitRefresh of the new owner's: %v", err)
	}
}

func transferTaken(t *testing.T, f *fixture) {
	c := f.connect(t, member("alice"), "acc")
	there := f.connect(t, eng(), "acc")
	f.refusesTransfer(t, tokenvault.ErrAccountTaken, f.sharing(c, eng()))
	f.refusesTransfer(t, tokenvault.ErrConflict, f.sharing(c, eng()))
	f.fail(t, f.claim(t, there.Connection, time.Minute), tokenvault.ReauthRejected)
	f.refusesTransfer(t, tokenvault.ErrAccountTaken, f.sharing(c, eng()))

	elsewhere := f.fresh(eng(), "work")
	elsewhere.ProviderID = "other"
	f.keep(t, elsewhere)
	f.share(t, f.connect(t, member("alice"), "work"), eng())
}

func transferMakesWay(t *testing.T, f *fixture) {
	there, c := f.connect(t, eng(), "acc"), f.connect(t, member("alice"), "acc")
	f.revoke(t, there)
	if _, err := f.Transfer(t.Context(), f.sharing(c, eng())); err != nil {
		t.Fatalf("Transfer: %v", err)
	}
	equal(t, "ListConnections", f.list(t, eng()), []string{c.ID})
	_, err := f.GetConnection(t.Context(), eng(), there.ID)
	wantError(t, "GetConnection of what gave way", err, tokenvault.ErrNotFound)
}

func transferReconnected(t *testing.T, f *fixture) {
	shared := f.share(t, f.connect(t, member("alice"), "acc"), eng())
	again := f.renewed(shared)
	again.SharedBy = "mallory" // it is no part of a connect
	if got := f.keep(t, again); got.SharedBy != "alice" {
		t.Errorf("shared by %q, want alice", got.SharedBy)
	}
	fresh := f.fresh(eng(), "other")
	fresh.SharedBy = "mallory"
	if got := f.keep(t, fresh); got.SharedBy != "" {
		t.Errorf("a new connection is shared by %q, want nobody", got.SharedBy)
	}
}
