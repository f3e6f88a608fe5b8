package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func permissionCases() []testCase {
	return []testCase{
		{"granting again unites the scopes", permissionScopes},
		{"granting again keeps the wider release", permissionRelease},
		{"granting again sets the time anew", permissionTime},
		{"an expired permission is replaced", permissionReplaced},
		{"other agents, owners and connections have their own", permissionsApart},
		{"a permission is withdrawn", permissionWithdrawn},
		{"lists are pages in order of ids", permissionPages},
	}
}

// only returns the only permission that alice granted.
func (f *fixture) only(t *testing.T) tokenvault.Permission {
	t.Helper()
	list := f.permissions(t, alice())
	if len(list) != 1 {
		t.Fatalf("ListPermissions = %d permissions, want 1", len(list))
	}
	slices.Sort(list[0].Scopes)
	return list[0]
}

func permissionScopes(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	first := f.permission(alice(), c.ID, "read", "send")
	f.permit(t, first)
	f.permit(t, f.permission(alice(), c.ID, "send", "admin"))
	got := f.only(t)
	equal(t, "scopes", got.Scopes, []string{"admin", "read", "send"})
	if got.ID != first.ID {
		t.Errorf("id = %s, want the first one's %s", got.ID, first.ID)
	}
	f.permit(t, f.permission(alice(), c.ID, "read"))
	equal(t, "scopes", f.only(t).Scopes, []string{"admin", "read", "send"})
	equal(t, "the connection", f.get(t, alice(), c.ID), c)
}

func permissionRelease(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	for _, step := range []struct{ grant, want tokenvault.Release }{
		{tokenvault.ReleaseInject, tokenvault.ReleaseInject},
		{tokenvault.ReleaseToken, tokenvault.ReleaseToken},
		{tokenvault.ReleaseInject, tokenvault.ReleaseToken},
	} {
		p := f.permission(alice(), c.ID, "read")
		p.Release = step.grant
		f.permit(t, p)
		if got := f.only(t).Release; got != step.want {
			t.Errorf("release = %s after granting %s, want %s", got, step.grant, step.want)
		}
	}
}

func permissionTime(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	for _, ttl := range []time.Duration{time.Hour, 24 * time.Hour, time.Hour, 0, time.Hour} {
		f.advance(time.Minute)
		p := f.permission(alice(), c.ID, "read")
		p.GrantedAt, p.ExpiresAt = f.now().Add(-time.Hour), f.now().Add(72*time.Hour) // the store's clock decides
		f.permitFor(t, p, ttl)
		var want time.Time
		if ttl != 0 {
			want = f.now().Add(ttl)
		}
		if got := f.only(t); !got.ExpiresAt.Equal(want) || !got.GrantedAt.Equal(f.now()) {
			t.Errorf("granted %s until %s after granting for %s, want now until %s", got.GrantedAt, got.ExpiresAt, ttl, want)
		}
	}
}

func permissionReplaced(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	old := f.permission(alice(), c.ID, "read", "admin")
	old.Release = tokenvault.ReleaseToken
	f.permitFor(t, old, time.Minute)
	f.advance(time.Minute)
	f.permit(t, f.permission(alice(), c.ID, "read"))
	got := f.only(t)
	equal(t, "scopes", got.Scopes, []string{"read"})
	if got.Release != tokenvault.ReleaseInject || !got.ExpiresAt.IsZero() || !got.GrantedAt.Equal(f.now()) {
		t.Errorf("permission = %+v, want what was granted now", got)
	}
}

func permissionsApart(t *testing.T, f *fixture) {
	shared, other := f.connect(t, eng(), "one"), f.connect(t, eng(), "two")
	mine := f.permission(member("alice"), shared.ID, "read")
	agents := f.permission(member("alice"), shared.ID, "send")
	agents.AgentID = "other"
	connections := f.permission(member("alice"), other.ID, "admin")
	bobs := f.permission(member("bob"), shared.ID, "write")
	var want []tokenvault.Permission
	for _, p := range []*tokenvault.Permission{mine, agents, connections, bobs} {
		f.permit(t, p)
		p.GrantedAt = f.now()
		want = append(want, *p)
	}
	equal(t, "alice's", f.permissions(t, member("alice")), want[:3])
	equal(t, "bob's", f.permissions(t, member("bob")), want[3:])
}

func permissionWithdrawn(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	gone, kept := f.permission(alice(), c.ID, "read"), f.permission(alice(), c.ID, "read")
	kept.AgentID = "other"
	f.permit(t, gone)
	f.permit(t, kept)
	event := f.event(tokenvault.EventPermissionRemoved, alice())
	f.writes(t, func() {
		if err := f.WithdrawPermission(t.Context(), alice(), gone.ID, event); err != nil {
			t.Fatal(err)
		}
	}, event)
	if got := f.only(t); got.ID != kept.ID {
		t.Errorf("permission %s is left, want %s", got.ID, kept.ID)
	}
	if p := f.find(t, alice())[0].Permission; p != nil {
		t.Error("the agent can still use what was withdrawn")
	}
	for _, id := range []string{gone.ID, "pm_missing"} {
		f.refuses(t, tokenvault.ErrNotFound, func() error { return f.WithdrawPermission(t.Context(), alice(), id, event) })
	}
}

func permissionPages(t *testing.T, f *fixture) {
	var want []string
	for range 5 {
		p := f.permission(alice(), f.connect(t, alice(), f.id("acc")).ID, "read")
		f.permit(t, p)
		want = append(want, p.ID)
	}
	checkPages(t, func(p tokenvault.Page) ([]tokenvault.Permission, error) {
		return f.ListPermissions(t.Context(), alice(), p)
	}, func(p tokenvault.Permission) string { return p.ID }, want)
}
