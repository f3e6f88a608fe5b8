package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func connectionCases() []testCase {
	return []testCase{
		{"a connection is stored whole", storedWhole},
		{"a token of unknown lifetime never expires", unknownLifetime},
		{"an account is found by exactly its owner", accountIsExact},
		{"an account without an id is one account", accountWithoutID},
		{"own and the organization's are seen", seenConnections},
		{"lists leave out what was revoked", listWithoutRevoked},
		{"lists are pages in order of ids", connectionPages},
		{"equal ids of two tenants are two rows", idsOfTenants},
		{"rows share no memory with callers", noAliasing},
	}
}

func storedWhole(t *testing.T, f *fixture) {
	c := f.fresh(alice(), "acc")
	f.advance(time.Second)
	got := f.keep(t, c)
	want := c.SealedConnection
	want.Status = tokenvault.ConnectionActive
	want.CreatedAt, want.ObtainedAt, want.UpdatedAt, want.ExpiresAt = f.now(), f.now(), f.now(), f.now().Add(time.Hour)
	equal(t, "GetConnection", got, want)

	found, err := f.FindAccount(t.Context(), alice(), provider, "acc")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "FindAccount", found, want)
	list, err := f.ListConnections(t.Context(), alice(), tokenvault.Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ListConnections", list, []tokenvault.Connection{want.Connection})
}

func unknownLifetime(t *testing.T, f *fixture) {
	c := f.fresh(alice(), "acc")
	c.ExpiresIn = 0
	got := f.keep(t, c)
	if !got.ExpiresAt.IsZero() {
		t.Errorf("ExpiresAt = %s, want zero", got.ExpiresAt)
	}
}

func accountIsExact(t *testing.T, f *fixture) {
	shared := f.connect(t, eng(), "acc")
	own := f.connect(t, member("alice"), "acc")
	f.revoke(t, own)
	for owner, want := range map[tokenvault.Owner]string{eng(): shared.ID, member("alice"): own.ID, member("bob"): "", alice(): ""} {
		c, err := f.FindAccount(t.Context(), owner, provider, "acc")
		if want == "" {
			wantError(t, "FindAccount", err, tokenvault.ErrNotFound)
		} else if err != nil || c.ID != want {
			t.Errorf("FindAccount of %v = %s, %v, want %s", owner, c.ID, err, want)
		}
	}
	_, err := f.FindAccount(t.Context(), eng(), provider, "other")
	wantError(t, "FindAccount of another account", err, tokenvault.ErrNotFound)
	_, err = f.FindAccount(t.Context(), eng(), "other", "acc")
	wantError(t, "FindAccount at another provider", err, tokenvault.ErrNotFound)
}

func accountWithoutID(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "")
	found, err := f.FindAccount(t.Context(), alice(), provider, "")
	if err != nil || found.ID != c.ID {
		t.Errorf("FindAccount = %q, %v, want %q", found.ID, err, c.ID)
	}
	f.refusesSettle(t, tokenvault.ErrConflict, f.connecting(f.open(t, alice()), f.fresh(alice(), "")))
}

func seenConnections(t *testing.T, f *fixture) {
	owners := []tokenvault.Owner{alice(), bob(), eng(), member("alice"), member("bob"), {Tenant: acme, OrganizationID: "ops"}, {Tenant: "globex", UserID: "alice"}}
	var all []tokenvault.SealedConnection
	for _, owner := range owners {
		all = append(all, f.connect(t, owner, "acc"))
	}
	for _, owner := range owners {
		var want []string
		for _, c := range all {
			_, err := f.GetConnection(t.Context(), owner, c.ID)
			if owner.Sees(c.Owner) {
				want = append(want, c.ID)
				if err != nil {
					t.Errorf("GetConnection of %v by %v: %v", c.Owner, owner, err)
				}
				continue
			}
			wantError(t, "GetConnection", err, tokenvault.ErrNotFound)
		}
		equal(t, "ListConnections", f.list(t, owner), want)
	}
}

func listWithoutRevoked(t *testing.T, f *fixture) {
	gone, kept := f.connect(t, alice(), "one"), f.connect(t, alice(), "two")
	f.revoke(t, gone)
	equal(t, "ListConnections", f.list(t, alice()), []string{kept.ID})
	if c := f.get(t, alice(), gone.ID); c.Status != tokenvault.ConnectionRevoked {
		t.Errorf("status = %s, want revoked", c.Status)
	}
}

func connectionPages(t *testing.T, f *fixture) {
	var want []string
	for i := range 5 {
		owner := member("alice")
		if i%2 == 1 {
			owner = eng()
		}
		want = append(want, f.connect(t, owner, f.id("acc")).ID)
	}
	slices.Sort(want)
	checkPages(t, func(p tokenvault.Page) ([]tokenvault.Connection, error) {
		return f.ListConnections(t.Context(), member("alice"), p)
	}, func(c tokenvault.Connection) string { return c.ID }, want)
}

func idsOfTenants(t *testing.T, f *fixture) {
	here := f.fresh(alice(), "acc")
	there := f.fresh(tokenvault.Owner{Tenant: "globex", UserID: "alice"}, "acc")
	there.ID = here.ID
	f.keep(t, here)
	f.keep(t, there)
	f.revoke(t, f.get(t, here.Owner, here.ID))
	if c := f.get(t, there.Owner, there.ID); c.Status != tokenvault.ConnectionActive {
		t.Errorf("status = %s after another tenant revoked its own, want active", c.Status)
	}
}

func noAliasing(t *testing.T, f *fixture) {
	in := f.fresh(alice(), "acc")
	cmd := f.connecting(f.open(t, alice()), in)
	cmd.Permission = f.permission(alice(), in.ID, "read")
	f.settle(t, cmd)
	before := f.dump(t)
	in.Scopes[0], in.Record.Blob[0], cmd.Permission.Scopes[0] = "changed", 'X', "changed"
	out := f.get(t, alice(), in.ID)
	out.Scopes[0], out.Record.Blob[0] = "changed", 'X'
	found, err := f.FindUsable(t.Context(), tokenvault.FindQuery{Owner: alice(), AgentID: agent, ProviderID: provider})
	if err != nil {
		t.Fatal(err)
	}
	found.Candidates[0].Permission.Scopes[0] = "changed"
	equal(t, "the store after callers changed their copies", f.dump(t), before)
}
