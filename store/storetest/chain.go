package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func chainCases() []testCase {
	return []testCase{
		{"every entry is the next of its chain", chainGrows},
		{"the caller does not choose an entry's place", chainPlace},
		{"a command that is refused leaves the chain as it was", chainRefused},
		{"concurrent commands make one chain", chainConcurrent},
		{"the end of a chain is signed once", headSigned},
		{"a head is of an entry that is there", headOfNothing},
		{"heads are listed in the order of their entries", headPages},
		{"heads are their tenant's", headTenants},
		{"a chain is cut at a head and goes on", pruneSegments},
		{"what is prunable is older than asked and about a limit", prunable},
		{"a head is cut once", pruneTwice},
	}
}

// chains checks that the tenant's entries are whole chains, which begin after the
// newest cut, and returns how many entries there are.
func (f *fixture) chains(t *testing.T, tenant string) int {
	t.Helper()
	ends := map[string]tokenvault.AuditHead{}
	for _, h := range f.heads(t, tenant) {
		if len(h.Cut) > 0 {
			ends[h.Writer] = h
		}
	}
	events := f.events(t, tenant)
	for _, e := range events {
		end := ends[e.Writer]
		if e.Writer == "" || e.Position != end.Position+1 || e.Hash != e.ChainHash(end.Hash) {
			t.Errorf("%s of %s is entry %d of writer %q, with hash %s, after entry %d", e.ID, tenant, e.Position, e.Writer, e.Hash, end.Position)
		}
		ends[e.Writer] = tokenvault.AuditHead{Position: e.Position, Hash: e.Hash}
	}
	return len(events)
}

func (f *fixture) heads(t *testing.T, tenant string) []tokenvault.AuditHead {
	t.Helper()
	heads, err := f.ListAuditHeads(t.Context(), tenant, tokenvault.Page{Limit: 1000})
	if err != nil {
		t.Fatalf("ListAuditHeads: %v", err)
	}
	return heads
}

// sign signs the ends of the tenant's chains, and returns the heads.
func (f *fixture) sign(t *testing.T, tenant string) []tokenvault.AuditHead {
	t.Helper()
	heads, err := f.UnsignedAudit(t.Context(), tenant)
	if err != nil {
		t.Fatalf("UnsignedAudit: %v", err)
	}
	for i := range heads {
		heads[i].KeyVersion, heads[i].MAC = 7, []byte(f.id("mac"))
	}
	if err := f.SignAudit(t.Context(), heads); err != nil {
		t.Fatalf("SignAudit: %v", err)
	}
	return heads
}

func chainGrows(t *testing.T, f *fixture) {
	f.connect(t, alice(), "acc")
	globex := tokenvault.Owner{Tenant: "globex", UserID: "alice"}
	for range 3 {
		batch := []tokenvault.Event{
			f.event(tokenvault.EventReleased, alice()), f.event(tokenvault.EventReleased, globex),
			f.event("", alice()), f.event(tokenvault.EventReleased, bob()),
		}
		if err := f.AppendAudit(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		f.connect(t, globex, f.id("acc"))
	}
	if n := f.chains(t, acme); n < 6 {
		t.Errorf("%d events of %s", n, acme)
	}
	if n := f.chains(t, "globex"); n < 6 {
		t.Errorf("%d events of globex", n)
	}
}

func chainPlace(t *testing.T, f *fixture) {
	e := f.event(tokenvault.EventReleased, alice())
	e.Writer, e.Position, e.Hash = "me", 4711, "00"
	if err := f.AppendAudit(t.Context(), []tokenvault.Event{e, e}); err != nil {
		t.Fatal(err)
	}
	if n := f.chains(t, acme); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

func chainRefused(t *testing.T, f *fixture) {
	req := f.open(t, alice())
	cmd := f.connecting(req, f.fresh(alice(), "acc"))
	f.settle(t, cmd)
	f.refuses(t, tokenvault.ErrConflict, func() error {
		_, err := f.Settle(t.Context(), cmd)
		return err
	})
	f.append(t, acme, 2)
	f.chains(t, acme)
}

func chainConcurrent(t *testing.T, f *fixture) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				f.append(t, acme, 3)
			}
		})
	}
	wg.Wait()
	if n := f.chains(t, acme); n != 120 {
		t.Errorf("%d events, want 120", n)
	}
}

func headSigned(t *testing.T, f *fixture) {
	if heads := f.sign(t, acme); len(heads) != 0 {
		t.Errorf("heads of an empty log: %+v", heads)
	}
	f.append(t, acme, 3)
	first := f.sign(t, acme)
	end := f.events(t, acme)[2]
	if len(first) != 1 {
		t.Fatalf("%d chains have an end to sign, want 1", len(first))
	}
	want := tokenvault.AuditHead{
		Tenant: acme, Writer: end.Writer, Position: 3, Hash: end.Hash, EventID: end.ID, At: end.At, KeyVersion: 7, MAC: first[0].MAC,
	}
	equal(t, "heads", f.heads(t, acme), []tokenvault.AuditHead{want})
	if again := f.sign(t, acme); len(again) != 0 {
		t.Errorf("an end is signed twice: %+v", again)
	}
	other := want
	other.MAC = []byte("other")
	if err := f.SignAudit(t.Context(), []tokenvault.AuditHead{other}); err != nil {
		t.Errorf("SignAudit of a head that is there: %v", err)
	}
	equal(t, "heads", f.heads(t, acme), []tokenvault.AuditHead{want})
	f.append(t, acme, 1)
	if next := f.sign(t, acme); len(next) != 1 || next[0].Position != 4 {
		t.Errorf("the next end is %+v", next)
	}
}

func headOfNothing(t *testing.T, f *fixture) {
	f.append(t, acme, 2)
	heads, err := f.UnsignedAudit(t.Context(), acme)
	if err != nil || len(heads) != 1 {
		t.Fatal(heads, err)
	}
	for name, spoil := range map[string]func(*tokenvault.AuditHead){
		"hash":     func(h *tokenvault.AuditHead) { h.Hash = "00" },
		"position": func(h *tokenvault.AuditHead) { h.Position++ },
		"writer":   func(h *tokenvault.AuditHead) { h.Writer += "x" },
		"tenant":   func(h *tokenvault.AuditHead) { h.Tenant = "globex" },
	} {
		bad := heads[0]
		bad.KeyVersion, bad.MAC = 1, []byte("mac")
		spoil(&bad)
		wantError(t, "SignAudit with another "+name, f.SignAudit(t.Context(), []tokenvault.AuditHead{bad}), tokenvault.ErrNotFound)
	}
	equal(t, "heads", f.heads(t, acme), []tokenvault.AuditHead(nil))
}

func headPages(t *testing.T, f *fixture) {
	var want []string
	for range 5 {
		f.append(t, acme, 2)
		f.append(t, "globex", 1)
		want = append(want, f.sign(t, acme)[0].EventID)
		f.sign(t, "globex")
	}
	checkPages(t, func(p tokenvault.Page) ([]tokenvault.AuditHead, error) {
		return f.ListAuditHeads(t.Context(), acme, p)
	}, func(h tokenvault.AuditHead) string { return h.EventID }, want)
}

func headTenants(t *testing.T, f *fixture) {
	f.append(t, acme, 1)
	f.sign(t, acme)
	if heads, err := f.UnsignedAudit(t.Context(), "globex"); err != nil || len(heads) != 0 {
		t.Errorf("UnsignedAudit of another tenant = %+v, %v", heads, err)
	}
	equal(t, "heads of another tenant", f.heads(t, "globex"), []tokenvault.AuditHead(nil))
}

// segment writes n entries and signs them.
func (f *fixture) segment(t *testing.T, n int) tokenvault.AuditHead {
	t.Helper()
	f.append(t, acme, n)
	heads := f.sign(t, acme)
	if len(heads) != 1 {
		t.Fatalf("%d chains have an end to sign, want 1", len(heads))
	}
	return heads[0]
}

// prune cuts at the head and returns how many entries it dropped.
func (f *fixture) prune(t *testing.T, head tokenvault.AuditHead) int64 {
	t.Helper()
	n, err := f.PruneAudit(t.Context(), f.pruning(head))
	if err != nil {
		t.Fatalf("PruneAudit: %v", err)
	}
	return n
}

func (f *fixture) pruning(head tokenvault.AuditHead) tokenvault.AuditPruning {
	head.Cut = []byte(f.id("cut"))
	return tokenvault.AuditPruning{Head: head, Event: f.event(tokenvault.EventAuditPruned, tokenvault.Owner{Tenant: acme})}
}

func pruneSegments(t *testing.T, f *fixture) {
	f.append(t, "globex", 2)
	first, second := f.segment(t, 3), f.segment(t, 2)
	if n := f.prune(t, second); n != 5 {
		t.Errorf("%d entries dropped, want 5", n)
	}
	events := f.events(t, acme)
	if len(events) != 1 || events[0].Kind != tokenvault.EventAuditPruned || events[0].Position != 6 || events[0].ID <= second.EventID {
		t.Errorf("left over: %+v", events)
	}
	heads := f.heads(t, acme)
	if len(heads) != 2 || len(heads[0].Cut) != 0 || len(heads[1].Cut) == 0 || string(heads[0].MAC) != string(first.MAC) {
		t.Errorf("heads afterwards: %+v", heads)
	}
	last := events[0].ID
	f.append(t, acme, 2)
	if events := f.events(t, acme); f.chains(t, acme) != 3 || events[1].ID <= last {
		t.Errorf("the chain goes on with %+v", events[1:])
	}
	if n := f.chains(t, "globex"); n != 2 {
		t.Errorf("%d entries of another tenant are left, want 2", n)
	}
}

func prunable(t *testing.T, f *fixture) {
	const age = 48 * time.Hour
	want := func(limit int64, heads ...tokenvault.AuditHead) {
		t.Helper()
		got, err := f.PrunableAudit(t.Context(), acme, age, limit)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("prunable with limit %d", limit), got, heads)
	}
	want(100)
	f.segment(t, 10)
	first := f.heads(t, acme)[0]
	f.advance(time.Hour)
	f.segment(t, 10)
	second := f.heads(t, acme)[1]
	f.advance(age - time.Hour - time.Second)
	want(100)
	f.advance(time.Second)
	want(100, first)
	want(5, first)
	f.advance(time.Hour)
	f.segment(t, 10) // young
	want(100, second)
	want(20, second)
	want(19, first)
	f.prune(t, first)
	want(9, second)
	f.prune(t, second)
	want(100)
	if got, err := f.PrunableAudit(t.Context(), "globex", 0, 100); err != nil || len(got) != 0 {
		t.Errorf("of another tenant: %+v, %v", got, err)
	}
}

func pruneTwice(t *testing.T, f *fixture) {
	first, second := f.segment(t, 2), f.segment(t, 2)
	f.prune(t, first)
	for name, head := range map[string]tokenvault.AuditHead{
		"that is cut":       first,
		"with another hash": {Tenant: acme, Writer: second.Writer, Position: second.Position, Hash: "00"},
		"of another tenant": {Tenant: "globex", Writer: second.Writer, Position: second.Position, Hash: second.Hash},
		"that is none":      {Tenant: acme, Writer: second.Writer, Position: second.Position + 1, Hash: second.Hash},
	} {
		before := f.events(t, acme)
		_, err := f.PruneAudit(t.Context(), f.pruning(head))
		wantError(t, "PruneAudit at a head "+name, err, tokenvault.ErrConflict)
		equal(t, "a refused pruning changed the log", f.events(t, acme), before)
	}
}
