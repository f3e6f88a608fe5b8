package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func settleCases() []testCase {
	return []testCase{
		{"request, connection, permission and events are stored together", settleAll},
		{"a request is declined", settleDeclined},
		{"a request fails with a connection", settleFailed},
		{"a permission is granted without a connect", settlePermission},
		{"a request is settled once", settleTwice},
		{"an expired request stores nothing", settleExpired},
		{"a swept request stores nothing", settleSwept},
		{"a settled request stays settled after its time", settleAfterTime},
		{"a version that moved on stores nothing", settleVersionConflict},
		{"a second connection to an account stores nothing", settleSecondAccount},
		{"a connection id that is taken stores nothing", settleTakenID},
		{"a renewed connection that is not there stores nothing", settleMissingConnection},
		{"a permission for an unknown connection stores nothing", settleUnknownPermission},
		{"a permission for a revoked connection stores nothing", settleRevokedPermission},
	}
}

// full returns a settlement of a new request with all that it may carry.
func (f *fixture) full(t *testing.T, c *tokenvault.SettledConnection) tokenvault.Settlement {
	t.Helper()
	cmd := f.connecting(f.open(t, c.Owner), c)
	cmd.Permission = f.permission(c.Owner, c.ID, "read")
	cmd.Events = append(cmd.Events, f.event(tokenvault.EventPermissionGranted, c.Owner))
	return cmd
}

func settleAll(t *testing.T, f *fixture) {
	cmd := f.full(t, f.fresh(alice(), "acc"))
	want := f.getRequest(t, tokenvault.AuthRequest{ID: cmd.AuthRequestID, Owner: alice()})
	f.advance(time.Minute)
	want.Status, want.ConnectionID, want.SettledAt = tokenvault.AuthConnected, cmd.Connection.ID, f.now()
	f.writes(t, func() { equal(t, "Settle", f.settle(t, cmd), want) }, cmd.Events...)
	equal(t, "GetAuthRequest", f.getRequest(t, want), want)
	if c := f.get(t, alice(), cmd.Connection.ID); c.Status != tokenvault.ConnectionActive || !c.CreatedAt.Equal(f.now()) {
		t.Errorf("connection: status = %s, created %s, want active, now", c.Status, c.CreatedAt)
	}
	granted := *cmd.Permission
	granted.GrantedAt = f.now()
	equal(t, "ListPermissions", f.permissions(t, alice()), []tokenvault.Permission{granted})
}

func settleDeclined(t *testing.T, f *fixture) {
	cmd := f.connecting(f.open(t, alice()), nil)
	cmd.Status = tokenvault.AuthDeclined
	f.writes(t, func() {
		if got := f.settle(t, cmd); got.Status != tokenvault.AuthDeclined || got.ConnectionID != "" || !got.SettledAt.Equal(f.now()) {
			t.Errorf("request = %+v, want declined now", got)
		}
	}, cmd.Events...)
	if got := f.list(t, alice()); len(got) != 0 {
		t.Errorf("declining left %d connections", len(got))
	}
}

func settleFailed(t *testing.T, f *fixture) {
	cmd := f.connecting(f.open(t, alice()), f.fresh(alice(), "acc"))
	cmd.Status, cmd.FailureCode = tokenvault.AuthFailed, tokenvault.FailScopeNotGranted
	if got := f.settle(t, cmd); got.Status != tokenvault.AuthFailed || got.FailureCode != tokenvault.FailScopeNotGranted {
		t.Errorf("request: status = %s, failure code = %q, want failed, scope_not_granted", got.Status, got.FailureCode)
	}
	if c := f.get(t, alice(), cmd.Connection.ID); c.Status != tokenvault.ConnectionActive {
		t.Errorf("connection: status = %s, want active", c.Status)
	}
}

func settlePermission(t *testing.T, f *fixture) {
	c := f.connect(t, eng(), "acc")
	cmd := f.connecting(f.open(t, member("alice")), nil)
	cmd.Permission = f.permission(member("alice"), c.ID, "read")
	if got := f.settle(t, cmd); got.ConnectionID != c.ID {
		t.Errorf("the request ended with connection %q, want %q", got.ConnectionID, c.ID)
	}
	equal(t, "the connection", f.get(t, eng(), c.ID), c)
	if p := f.find(t, member("alice"))[0].Permission; p == nil || p.ID != cmd.Permission.ID {
		t.Errorf("permission = %+v, want the one that was granted", p)
	}
}

func settleTwice(t *testing.T, f *fixture) {
	for _, status := range []tokenvault.AuthRequestStatus{tokenvault.AuthConnected, tokenvault.AuthDeclined, tokenvault.AuthFailed} {
		req := f.open(t, alice())
		first := f.connecting(req, nil)
		first.Status = status
		f.settle(t, first)
		cmd := f.full(t, f.fresh(alice(), f.id("acc")))
		cmd.AuthRequestID = req.ID
		f.refusesSettle(t, tokenvault.ErrConflict, cmd)
	}
}

func settleExpired(t *testing.T, f *fixture) {
	cmd := f.full(t, f.fresh(alice(), "acc"))
	f.advance(10 * time.Minute)
	f.refusesSettle(t, tokenvault.ErrExpired, cmd)
}

func settleSwept(t *testing.T, f *fixture) {
	cmd := f.full(t, f.fresh(alice(), "acc"))
	f.advance(10 * time.Minute)
	f.sweep(t, 10)
	f.refusesSettle(t, tokenvault.ErrExpired, cmd)
}

func settleAfterTime(t *testing.T, f *fixture) {
	req := f.open(t, alice())
	want := f.settle(t, f.connecting(req, f.fresh(alice(), "acc")))
	f.advance(time.Hour)
	equal(t, "GetAuthRequest", f.getRequest(t, req), want)
	f.refusesSettle(t, tokenvault.ErrConflict, f.connecting(req, nil))
}

func settleVersionConflict(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	stale := f.renewed(c)
	f.keep(t, f.renewed(c))
	f.refusesSettle(t, tokenvault.ErrConflict, f.full(t, stale))
	ahead := f.renewed(c)
	ahead.Version = 4
	f.refusesSettle(t, tokenvault.ErrConflict, f.full(t, ahead))

	turn := f.claim(t, f.get(t, alice(), c.ID).Connection, time.Minute)
	beforeRefresh := f.renewed(turn.Connection)
	if _, err := f.CommitRefresh(t.Context(), f.commit(turn)); err != nil {
		t.Fatal(err)
	}
	f.refusesSettle(t, tokenvault.ErrConflict, f.full(t, beforeRefresh))
}

func settleSecondAccount(t *testing.T, f *fixture) {
	first, second := f.connect(t, alice(), "one"), f.connect(t, alice(), "two")
	f.refusesSettle(t, tokenvault.ErrConflict, f.full(t, f.fresh(alice(), "one")))
	moved := f.renewed(second)
	moved.Account.ID = "one"
	f.refusesSettle(t, tokenvault.ErrConflict, f.full(t, moved))
	f.revoke(t, first)
	f.refusesSettle(t, tokenvault.ErrConflict, f.full(t, f.fresh(alice(), "one")))

	// Neither another owner nor another provider is in the way.
	f.settle(t, f.full(t, f.fresh(bob(), "one")))
	f.settle(t, f.full(t, f.fresh(member("alice"), "one")))
	f.settle(t, f.full(t, f.fresh(tokenvault.Owner{Tenant: "globex", UserID: "alice"}, "one")))
	elsewhere := f.fresh(alice(), "one")
	elsewhere.ProviderID = "other"
	f.settle(t, f.full(t, elsewhere))
}

func settleTakenID(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	for _, owner := range []tokenvault.Owner{alice(), bob()} {
		taken := f.fresh(owner, "other")
		taken.ID = c.ID
		f.refusesSettle(t, tokenvault.ErrConflict, f.full(t, taken))
	}
}

func settleMissingConnection(t *testing.T, f *fixture) {
	missing := f.fresh(alice(), "acc")
	missing.Version = 2
	f.refusesSettle(t, tokenvault.ErrConflict, f.full(t, missing))
	_, err := f.GetConnection(t.Context(), alice(), missing.ID)
	wantError(t, "GetConnection", err, tokenvault.ErrNotFound)
}

func settleUnknownPermission(t *testing.T, f *fixture) {
	cmd := f.full(t, f.fresh(alice(), "acc"))
	cmd.Permission.ConnectionID = "cn_missing"
	f.refusesSettle(t, tokenvault.ErrNotFound, cmd)
}

func settleRevokedPermission(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.revoke(t, c)
	cmd := f.connecting(f.open(t, alice()), nil)
	cmd.Permission = f.permission(alice(), c.ID, "read")
	f.refusesSettle(t, tokenvault.ErrConflict, cmd)
}
