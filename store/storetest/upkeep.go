package storetest

import (
	"cmp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func upkeepCases() []testCase {
	return []testCase{
		{"a connection is due from when it is stored", dueAtOnce},
		{"a connection is handed out until its pause is over", duePause},
		{"a connection is put off by who claimed it last", duePutOff},
		{"use makes a connection due that was not used for long", dueByUse},
		{"what cannot be used is not due", dueActive},
		{"a claim of connections has its limit", dueLimit},
		{"of concurrent claims one gets a connection", dueOnce},
	}
}

func (f *fixture) due(t *testing.T, tenant string, limit int) []tokenvault.DueConnection {
	t.Helper()
	due, err := f.ClaimConnections(t.Context(), tenant, limit, time.Minute)
	if err != nil {
		t.Fatalf("ClaimConnections: %v", err)
	}
	slices.SortFunc(due, func(a, b tokenvault.DueConnection) int { return cmp.Compare(a.ID, b.ID) })
	return due
}

// wantDue claims all of acme's, and expects connections with these ids.
func (f *fixture) wantDue(t *testing.T, ids ...string) []tokenvault.DueConnection {
	t.Helper()
	due := f.due(t, acme, 100)
	var got []string
	for _, c := range due {
		got = append(got, c.ID)
	}
	equal(t, "due", got, ids)
	return due
}

func (f *fixture) putOff(t *testing.T, c tokenvault.DueConnection, in time.Duration) {
	t.Helper()
	if err := f.PutOffConnections(t.Context(), acme, []tokenvault.NextLook{{ID: c.ID, Claimed: c.Claimed, In: in}}); err != nil {
		t.Fatalf("PutOffConnections: %v", err)
	}
}

func (f *fixture) touch(t *testing.T, tenant, id string) {
	t.Helper()
	if err := f.TouchConnections(t.Context(), tenant, []tokenvault.ConnectionUse{{ID: "cn_missing"}, {ID: id}}, time.Hour); err != nil {
		t.Fatalf("TouchConnections: %v", err)
	}
}

func dueAtOnce(t *testing.T, f *fixture) {
	mine, shared := f.connect(t, alice(), "acc"), f.connect(t, eng(), "acc")
	foreign := f.connect(t, tokenvault.Owner{Tenant: "globex", UserID: "alice"}, "acc")
	want := []tokenvault.DueConnection{
		{SealedConnection: mine, Claimed: f.now().Add(time.Minute), Now: f.now()},
		{SealedConnection: shared, Claimed: f.now().Add(time.Minute), Now: f.now()},
	}
	equal(t, "ClaimConnections", f.due(t, acme, 100), want)
	equal(t, "GetConnection", f.get(t, alice(), mine.ID), mine)
	if due := f.due(t, "globex", 100); len(due) != 1 || due[0].ID != foreign.ID {
		t.Errorf("another tenant's: %d connections, want its own", len(due))
	}
}

func duePause(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.wantDue(t, c.ID)
	f.advance(time.Minute - time.Microsecond)
	f.wantDue(t)
	f.advance(time.Microsecond)
	f.wantDue(t, c.ID)
}

func duePutOff(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	late := f.wantDue(t, c.ID)[0]
	f.advance(time.Minute)
	claimed := f.wantDue(t, c.ID)[0]
	f.putOff(t, late, 0)
	f.wantDue(t)
	f.putOff(t, claimed, time.Hour)
	f.putOff(t, claimed, 0)
	f.advance(time.Hour - time.Microsecond)
	f.wantDue(t)
	f.advance(time.Microsecond)
	f.wantDue(t, c.ID)
}

func dueByUse(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.putOff(t, f.wantDue(t, c.ID)[0], 24*time.Hour)
	f.touch(t, "globex", c.ID)
	f.wantDue(t)
	f.touch(t, acme, c.ID)
	used := f.now()
	due := f.wantDue(t, c.ID)[0]
	if !due.LastUsedAt.Equal(used) {
		t.Errorf("LastUsedAt = %s, want %s", due.LastUsedAt, used)
	}
	f.putOff(t, due, 24*time.Hour)
	f.advance(time.Hour - time.Microsecond)
	f.touch(t, acme, c.ID)
	f.wantDue(t)
	f.advance(time.Hour)
	f.touch(t, acme, c.ID)
	f.touch(t, acme, c.ID)
	f.putOff(t, due, 24*time.Hour) // by somebody who does not know of the use
	f.wantDue(t, c.ID)
}

func dueActive(t *testing.T, f *fixture) {
	c, dead, gone := f.connect(t, alice(), "acc"), f.connect(t, alice(), "dead"), f.connect(t, alice(), "gone")
	f.fail(t, f.claim(t, dead.Connection, time.Minute), tokenvault.ReauthRejected)
	if _, err := f.Revoke(t.Context(), f.revocation(gone)); err != nil {
		t.Fatal(err)
	}
	f.wantDue(t, c.ID)
	f.settle(t, f.connecting(f.open(t, alice()), f.renewed(f.get(t, alice(), dead.ID))))
	f.wantDue(t, dead.ID)
}

func dueLimit(t *testing.T, f *fixture) {
	for _, account := range []string{"a", "b", "c"} {
		f.connect(t, alice(), account)
	}
	for _, want := range []int{2, 1, 0} {
		if due := f.due(t, acme, 2); len(due) != want {
			t.Errorf("%d connections, want %d", len(due), want)
		}
	}
	f.advance(time.Hour)
	if due := f.due(t, acme, 0); len(due) != 0 {
		t.Errorf("%d connections, want none", len(due))
	}
}

func dueOnce(t *testing.T, f *fixture) {
	const all = 40
	for range all {
		f.connect(t, alice(), f.id("acc"))
	}
	var mu sync.Mutex
	claimed := map[string]int{}
	var claims sync.WaitGroup
	for range 8 {
		claims.Go(func() {
			for range all {
				due, err := f.ClaimConnections(t.Context(), acme, 3, time.Minute)
				if err != nil {
					t.Errorf("ClaimConnections: %v", err)
				}
				mu.Lock()
				for _, c := range due {
					claimed[c.ID]++
				}
				mu.Unlock()
			}
		})
	}
	claims.Wait()
	for id, n := range claimed {
		if n != 1 {
			t.Errorf("%s was handed out %d times", id, n)
		}
	}
	if len(claimed) != all {
		t.Errorf("%d connections were handed out, want %d", len(claimed), all)
	}
}
