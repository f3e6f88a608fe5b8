package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func ownerCases() []testCase {
	return []testCase{
		{"owned connections are pages in order of ids", ownedPages},
		{"a user is deleted everywhere, and nobody else", ownerUser},
		{"a member is deleted in one organization", ownerMember},
		{"an organization is deleted with its members' rows and its key", ownerOrganization},
		{"the version of a destroyed key is never used again", ownerKeyDestroyed},
		{"a large owner is deleted in batches", ownerBatches},
		{"what a user shared outlives the user, who is forgotten", ownerSharer},
		{"a connection that moved on is not deleted", ownerMovedOn},
		{"deleting twice changes nothing", ownerTwice},
		{"nobody is not everybody", ownerNobody},
	}
}

// inhabit stores something of every kind for the owner.
func (f *fixture) inhabit(t *testing.T, owner tokenvault.Owner) tokenvault.SealedConnection {
	t.Helper()
	c := f.connect(t, owner, f.id("acc"))
	f.permit(t, f.permission(owner, c.ID, "read"))
	if err := f.BeginAttempt(t.Context(), f.attempt(f.open(t, owner))); err != nil {
		t.Fatal(err)
	}
	f.createAPIKey(t, f.apiKey(owner))
	return c
}

// holds counts what the owner has: connections, permissions, API keys.
func (f *fixture) holds(t *testing.T, owner tokenvault.Owner) (n int) {
	t.Helper()
	for _, c := range f.owned(t, owner) {
		if c.Owner == owner {
			n++
		}
	}
	n += len(f.permissions(t, owner))
	keys, err := f.ListAPIKeys(t.Context(), owner.Tenant, "", tokenvault.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if k.Owner == owner {
			n++
		}
	}
	return n
}

func (f *fixture) owned(t *testing.T, owner tokenvault.Owner) []tokenvault.SealedConnection {
	t.Helper()
	list, err := f.ListOwned(t.Context(), owner, tokenvault.Page{Limit: 1000})
	if err != nil {
		t.Fatalf("ListOwned: %v", err)
	}
	return list
}

func (f *fixture) deletion(owner tokenvault.Owner, owned ...tokenvault.SealedConnection) tokenvault.OwnerDeletion {
	cmd := tokenvault.OwnerDeletion{Owner: owner, Event: f.event(tokenvault.EventOwnerDeleted, owner)}
	for _, c := range owned {
		cmd.Connections = append(cmd.Connections, tokenvault.OwnedConnection{ID: c.ID, Version: c.Version, Job: f.job(c)})
	}
	return cmd
}

// deletes runs the command, which must end the deletion.
func (f *fixture) deletes(t *testing.T, cmd tokenvault.OwnerDeletion) {
	t.Helper()
	f.writes(t, func() {
		if done, err := f.DeleteOwner(t.Context(), cmd); !done || err != nil {
			t.Fatalf("DeleteOwner = %t, %v; want it done", done, err)
		}
	}, cmd.Event)
}

func ownedPages(t *testing.T, f *fixture) {
	want := []string{f.connect(t, eng(), "a").ID, f.connect(t, member("alice"), "b").ID, f.connect(t, member("bob"), "c").ID}
	f.connect(t, alice(), "d")
	f.revoke(t, f.get(t, eng(), want[0])) // it is listed all the same
	checkPages(t, func(p tokenvault.Page) ([]tokenvault.SealedConnection, error) {
		return f.ListOwned(t.Context(), eng(), p)
	}, func(c tokenvault.SealedConnection) string { return c.ID }, want)
}

func ownerUser(t *testing.T, f *fixture) {
	own, inside := f.inhabit(t, alice()), f.inhabit(t, member("alice"))
	others := []tokenvault.Owner{bob(), member("bob"), eng(), {Tenant: "globex", UserID: "alice"}}
	for _, other := range others {
		f.inhabit(t, other)
	}
	org := f.connect(t, eng(), "shared")
	f.permit(t, f.permission(member("alice"), org.ID, "read"))
	owned := f.owned(t, alice())
	if len(owned) != 2 {
		t.Fatalf("%d connections are alice's, want two", len(owned))
	}
	f.deletes(t, f.deletion(alice(), owned...))
	for _, owner := range []tokenvault.Owner{alice(), member("alice")} {
		if n := f.holds(t, owner); n != 0 {
			t.Errorf("%+v has %d rows left", owner, n)
		}
	}
	for _, c := range []tokenvault.SealedConnection{own, inside} {
		_, err := f.GetConnection(t.Context(), c.Owner, c.ID)
		wantError(t, "GetConnection", err, tokenvault.ErrNotFound)
	}
	for _, other := range others {
		if n := f.holds(t, other); n < 3 {
			t.Errorf("%+v has %d rows left, and was not deleted", other, n)
		}
	}
	if jobs := f.claimJobs(t); len(jobs) != 2 {
		t.Errorf("%d jobs, want one for each connection", len(jobs))
	}
	for table, n := range map[tokenvault.SealedTable]int{tokenvault.SealedAttempts: 3, tokenvault.SealedConnections: 4} {
		if got := f.sealedIn(t, table, ""); len(got) != n {
			t.Errorf("%d sealed records in %s, want %d", len(got), table, n)
		}
	}
}

func ownerMember(t *testing.T, f *fixture) {
	f.inhabit(t, alice())
	f.inhabit(t, member("alice"))
	f.inhabit(t, eng())
	f.deletes(t, f.deletion(member("alice"), f.owned(t, member("alice"))...))
	for owner, want := range map[tokenvault.Owner]int{member("alice"): 0, alice(): 3, eng(): 3} {
		if n := f.holds(t, owner); n != want {
			t.Errorf("%+v has %d rows, want %d", owner, n, want)
		}
	}
}

func ownerOrganization(t *testing.T, f *fixture) {
	for _, owner := range []tokenvault.Owner{eng(), member("alice"), member("bob"), alice()} {
		f.inhabit(t, owner)
	}
	f.put(t, f.app("eng"))
	f.put(t, f.app(""))
	f.putProvider(t, f.customProvider("eng", "crm"))
	kept := f.putProvider(t, f.customProvider("", "wiki"))
	cmd := f.deletion(eng(), f.owned(t, eng())...)
	for i := range cmd.Connections {
		cmd.Connections[i].Job = nil // what seals jobs is not destroyed with the owner
	}
	f.dataKey(t, "globex", 1)
	f.deletes(t, cmd)
	for owner, want := range map[tokenvault.Owner]int{eng(): 0, member("alice"): 0, member("bob"): 0, alice(): 3} {
		if n := f.holds(t, owner); n != want {
			t.Errorf("%+v has %d rows, want %d", owner, n, want)
		}
	}
	if len(f.apps(t, acme, "eng")) != 0 || len(f.apps(t, acme, "")) != 1 {
		t.Error("apps: the organization's must be gone, the tenant's stay")
	}
	equal(t, "ListProviders", f.providers(t, acme, "eng"), []tokenvault.SealedProvider{kept})
}

func ownerKeyDestroyed(t *testing.T, f *fixture) {
	for version := range uint32(3) {
		f.dataKey(t, acme, version+1)
	}
	theirs := f.dataKey(t, "globex", 1)
	cmd := f.deletion(eng())
	cmd.KeySpace = "org:eng"
	f.advance(time.Minute)
	f.deletes(t, cmd)
	equal(t, "keys", f.allKeys(t, ""), []tokenvault.DataKey{theirs})
	for _, version := range []uint32{0, 3} {
		key, err := f.GetDataKey(t.Context(), acme, "org:eng", version)
		if err != nil || key.Version != 3 || len(key.Wrapped) != 0 {
			t.Errorf("the newest key is %+v, %v; want version 3, destroyed", key, err)
		}
	}
	_, err := f.GetDataKey(t.Context(), acme, "org:eng", 2)
	wantError(t, "GetDataKey of an older one", err, tokenvault.ErrNotFound)
	any, err := f.AnyDataKey(t.Context())
	if err != nil || any.Tenant != "globex" {
		t.Errorf("AnyDataKey = %+v, %v; want one that was not destroyed", any, err)
	}
	late := f.fresh(eng(), "acc")
	late.Record = tokenvault.SealedRecord{KeySpace: "org:eng", KeyVersion: 3, Blob: tokenvault.Sealed("late")}
	f.refusesSettle(t, tokenvault.ErrConflict, f.connecting(f.open(t, eng()), late))
	four := f.dataKey(t, acme, 4)
	newest, err := f.GetDataKey(t.Context(), acme, "org:eng", 0)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the key of whoever comes later", newest, four)
}

func ownerBatches(t *testing.T, f *fixture) {
	for range 3 {
		f.inhabit(t, alice())
	}
	owned := f.owned(t, alice())
	f.writes(t, func() {
		if done, err := f.DeleteOwner(t.Context(), f.deletion(alice(), owned[:2]...)); done || err != nil {
			t.Fatalf("DeleteOwner of two of three = %t, %v", done, err)
		}
	})
	if keys, err := f.ListAPIKeys(t.Context(), acme, "", tokenvault.Page{Limit: 10}); err != nil || len(keys) != 3 {
		t.Errorf("%d API keys, %v: they go last", len(keys), err)
	}
	f.deletes(t, f.deletion(alice(), owned[2]))
}

func ownerSharer(t *testing.T, f *fixture) {
	var shared []tokenvault.Connection
	for _, user := range []string{"alice", "bob"} {
		c, err := f.Transfer(t.Context(), f.sharing(f.connect(t, member(user), user), eng()))
		if err != nil {
			t.Fatal(err)
		}
		shared = append(shared, c)
	}
	f.inhabit(t, alice())
	f.deletes(t, f.deletion(alice(), f.owned(t, alice())...))
	for i, want := range []string{"", shared[1].SharedBy} {
		if c := f.get(t, eng(), shared[i].ID); c.SharedBy != want || c.Status != tokenvault.ConnectionActive {
			t.Errorf("the shared connection is %s, shared by %q, want %q", c.Status, c.SharedBy, want)
		}
	}
}

func ownerMovedOn(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	stays := f.connect(t, alice(), "other")
	if _, err := f.CommitRefresh(t.Context(), f.commit(f.claim(t, c.Connection, time.Minute))); err != nil {
		t.Fatal(err)
	}
	f.refuses(t, tokenvault.ErrConflict, func() error {
		_, err := f.DeleteOwner(t.Context(), f.deletion(alice(), stays, c))
		return err
	})
	foreign := f.connect(t, bob(), "acc")
	f.refuses(t, tokenvault.ErrConflict, func() error {
		_, err := f.DeleteOwner(t.Context(), f.deletion(alice(), foreign))
		return err
	})
	if jobs := f.claimJobs(t); len(jobs) != 0 {
		t.Errorf("%d jobs of a refused command", len(jobs))
	}
}

func ownerTwice(t *testing.T, f *fixture) {
	f.inhabit(t, alice())
	f.deletes(t, f.deletion(alice(), f.owned(t, alice())...))
	f.writes(t, func() {
		if done, err := f.DeleteOwner(t.Context(), f.deletion(alice())); !done || err != nil {
			t.Errorf("DeleteOwner again = %t, %v", done, err)
		}
	})
}

func ownerNobody(t *testing.T, f *fixture) {
	f.inhabit(t, alice())
	nobody := tokenvault.Owner{Tenant: acme}
	if owned := f.owned(t, nobody); len(owned) != 0 {
		t.Errorf("nobody owns %d connections", len(owned))
	}
	f.writes(t, func() {
		if done, err := f.DeleteOwner(t.Context(), f.deletion(nobody)); !done || err != nil {
			t.Errorf("DeleteOwner of nobody = %t, %v", done, err)
		}
	})
	if n := f.holds(t, alice()); n != 3 {
		t.Errorf("alice has %d rows, want 3", n)
	}
}
