package storetest

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func findCases() []testCase {
	return []testCase{
		{"a candidate has all that resolve needs", candidateIsWhole},
		{"own and shared connections are found", findOwnAndShared},
		{"nothing is found for nobody", findNothing},
		{"one connection can be asked for", findOne},
		{"a revoked connection is found without its record", findRevoked},
		{"a connection that needs its owner is found", findNeedsReauth},
		{"an expired permission is no permission", findExpiredPermission},
		{"permissions are of this agent and this owner", findForeignPermission},
		{"the data key is the one that sealed the record", findRightKey},
		{"finding writes nothing", findWritesNothing},
	}
}

func (f *fixture) find(t *testing.T, owner tokenvault.Owner) []tokenvault.Candidate {
	t.Helper()
	found, err := f.FindUsable(t.Context(), tokenvault.FindQuery{Owner: owner, AgentID: agent, ProviderID: provider})
	if err != nil {
		t.Fatalf("FindUsable: %v", err)
	}
	if !found.Now.Equal(f.now()) {
		t.Errorf("Found.Now = %s, want the store's clock %s", found.Now, f.now())
	}
	slices.SortFunc(found.Candidates, func(a, b tokenvault.Candidate) int { return cmp.Compare(a.ID, b.ID) })
	return found.Candidates
}

// dataKey stores version 1 of the key that sealed says it used, or another one.
func (f *fixture) dataKey(t *testing.T, tenant string, version uint32) tokenvault.DataKey {
	t.Helper()
	key, err := f.CreateDataKey(t.Context(), tokenvault.DataKey{
		Tenant: tenant, Space: "org:eng", Version: version, Wrapped: tokenvault.Sealed(f.id("wrapped")),
	}, f.event(tokenvault.EventDataKeyCreated, tokenvault.Owner{Tenant: tenant}))
	if err != nil {
		t.Fatalf("CreateDataKey: %v", err)
	}
	return key
}

func candidateIsWhole(t *testing.T, f *fixture) {
	key := f.dataKey(t, acme, 1)
	c := f.connect(t, alice(), "acc")
	p := f.permission(alice(), c.ID, "read", "send")
	p.Release = tokenvault.ReleaseToken
	f.permitFor(t, p, time.Hour)
	want := *p
	want.GrantedAt, want.ExpiresAt = f.now(), f.now().Add(time.Hour)
	equal(t, "FindUsable", f.find(t, alice()), []tokenvault.Candidate{{SealedConnection: c, Permission: &want, WrappedKey: key.Wrapped}})
}

func findOwnAndShared(t *testing.T, f *fixture) {
	own, shared := f.connect(t, member("alice"), "acc"), f.connect(t, eng(), "acc")
	f.connect(t, member("bob"), "acc")
	f.connect(t, alice(), "acc")
	other := f.fresh(member("alice"), "acc")
	other.ProviderID = "other"
	f.keep(t, other)
	theirs := tokenvault.Candidate{SealedConnection: shared, WrappedKey: sealedBy(acme).Wrapped}
	equal(t, "FindUsable", f.find(t, member("alice")), []tokenvault.Candidate{{SealedConnection: own, WrappedKey: theirs.WrappedKey}, theirs})
	equal(t, "FindUsable by the organization", f.find(t, eng()), []tokenvault.Candidate{theirs})
}

func findNothing(t *testing.T, f *fixture) {
	if got := f.find(t, alice()); len(got) != 0 {
		t.Errorf("FindUsable = %d candidates, want none", len(got))
	}
}

func findOne(t *testing.T, f *fixture) {
	f.connect(t, alice(), "one")
	two := f.connect(t, alice(), "two")
	for id, want := range map[string]int{two.ID: 1, "cn_missing": 0} {
		found, err := f.FindUsable(t.Context(), tokenvault.FindQuery{Owner: alice(), AgentID: agent, ProviderID: provider, ConnectionID: id})
		if err != nil || len(found.Candidates) != want {
			t.Errorf("FindUsable of %s = %d candidates, %v, want %d", id, len(found.Candidates), err, want)
		} else if want == 1 {
			equal(t, "FindUsable", found.Candidates[0].SealedConnection, two)
		}
	}
	found, err := f.FindUsable(t.Context(), tokenvault.FindQuery{Owner: alice(), AgentID: agent, ProviderID: "other", ConnectionID: two.ID})
	if err != nil || len(found.Candidates) != 0 {
		t.Errorf("FindUsable at another provider = %d candidates, %v, want none", len(found.Candidates), err)
	}
}

func findRevoked(t *testing.T, f *fixture) {
	f.dataKey(t, acme, 1)
	c := f.connect(t, alice(), "acc")
	f.permit(t, f.permission(alice(), c.ID, "read"))
	f.revoke(t, c)
	got := f.find(t, alice())
	if len(got) != 1 {
		t.Fatalf("FindUsable = %d candidates, want 1", len(got))
	}
	if got[0].Status != tokenvault.ConnectionRevoked || got[0].Permission != nil || len(got[0].WrappedKey) != 0 {
		t.Errorf("candidate = %+v, want revoked, without permission and key", got[0])
	}
	equal(t, "record", got[0].Record, tokenvault.SealedRecord{})
}

func findNeedsReauth(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.fail(t, f.claim(t, c.Connection, time.Minute), tokenvault.ReauthRejected)
	got := f.find(t, alice())
	if len(got) != 1 || got[0].Status != tokenvault.ConnectionNeedsReauth || got[0].Reason != tokenvault.ReauthRejected {
		t.Errorf("FindUsable = %+v, want one that needs its owner", got)
	}
}

func findExpiredPermission(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.permitFor(t, f.permission(alice(), c.ID, "read"), time.Minute)
	f.advance(time.Minute - time.Microsecond)
	if f.find(t, alice())[0].Permission == nil {
		t.Error("the permission is gone before its time")
	}
	f.advance(time.Microsecond)
	got := f.find(t, alice())
	if len(got) != 1 || got[0].Permission != nil {
		t.Errorf("FindUsable = %+v, want the connection without permission", got)
	}
}

func findForeignPermission(t *testing.T, f *fixture) {
	shared := f.connect(t, eng(), "acc")
	f.permit(t, f.permission(member("bob"), shared.ID, "read"))
	f.permit(t, f.permission(eng(), shared.ID, "read"))
	other := f.permission(member("alice"), shared.ID, "read")
	other.AgentID = "other"
	f.permit(t, other)
	if p := f.find(t, member("alice"))[0].Permission; p != nil {
		t.Errorf("alice's agent was given the permission of agent %q by %v", p.AgentID, p.Owner)
	}
	if p := f.find(t, member("bob"))[0].Permission; p == nil {
		t.Error("bob's agent lost its permission")
	}
}

func findRightKey(t *testing.T, f *fixture) {
	f.dataKey(t, "globex", 2)
	f.dataKey(t, acme, 1)
	two := f.dataKey(t, acme, 2)
	f.dataKey(t, acme, 3)
	c := f.fresh(alice(), "acc")
	c.Record.KeyVersion = 2
	f.keep(t, c)
	equal(t, "wrapped key", f.find(t, alice())[0].WrappedKey, two.Wrapped)
	equal(t, "wrapped key of a turn", f.claim(t, c.Connection, time.Minute).WrappedKey, two.Wrapped)
}

func findWritesNothing(t *testing.T, f *fixture) {
	f.connect(t, alice(), "acc")
	before := f.dump(t)
	f.advance(time.Second)
	f.find(t, alice())
	equal(t, "the store after FindUsable", f.dump(t), before)
}
