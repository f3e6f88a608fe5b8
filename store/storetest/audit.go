package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func auditCases() []testCase {
	return []testCase{
		{"an event is stored whole", eventStored},
		{"events are listed in the order they were written", eventOrder},
		{"lists are pages", eventPages},
		{"events are their tenant's", eventTenants},
		{"nothing may be appended", appendNothing},
		{"a page limit out of range stands for 1000", pageLimits},
	}
}

func eventStored(t *testing.T, f *fixture) {
	e := tokenvault.Event{
		ID: "not the caller's", At: f.now().Add(time.Hour), Kind: tokenvault.EventReleased, Tenant: acme,
		ActorKind: tokenvault.ActorAgent, ActorID: agent, Owner: member("alice"), ProviderID: provider, ConnectionID: "cn",
		AuthRequestID: "ar", RunID: "run", ThreadID: "thread", Detail: "token",
	}
	f.writes(t, func() {
		if err := f.AppendAudit(t.Context(), []tokenvault.Event{e}); err != nil {
			t.Fatal(err)
		}
	}, e)
	if got := f.events(t, acme)[0].ID; got == e.ID {
		t.Error("the caller chose the id of an event")
	}
}

func eventOrder(t *testing.T, f *fixture) {
	var want []string
	for range 12 {
		batch := []tokenvault.Event{f.event(tokenvault.EventReleased, alice()), f.event(tokenvault.EventReleased, alice())}
		want = append(want, batch[0].RunID, batch[1].RunID)
		if err := f.AppendAudit(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		f.advance(-time.Second) // a clock that is set back does not change the order
	}
	var got []string
	last := ""
	for _, e := range f.events(t, acme) {
		if e.ID <= last {
			t.Errorf("event %q follows %q", e.ID, last)
		}
		last = e.ID
		got = append(got, e.RunID)
	}
	equal(t, "events", got, want)
}

func eventPages(t *testing.T, f *fixture) {
	for range 5 {
		f.append(t, acme, 1)
		f.append(t, "globex", 1)
	}
	var want []string
	for _, e := range f.events(t, acme) {
		want = append(want, e.ID)
	}
	if len(want) != 5 {
		t.Fatalf("ListAudit = %d events, want 5", len(want))
	}
	checkPages(t, func(p tokenvault.Page) ([]tokenvault.Event, error) {
		return f.ListAudit(t.Context(), acme, p)
	}, func(e tokenvault.Event) string { return e.ID }, want)
}

// append writes n events of the tenant's.
func (f *fixture) append(t *testing.T, tenant string, n int) {
	t.Helper()
	events := make([]tokenvault.Event, n)
	for i := range events {
		events[i] = f.event(tokenvault.EventReleased, tokenvault.Owner{Tenant: tenant, UserID: "alice"})
	}
	if err := f.AppendAudit(t.Context(), events); err != nil {
		t.Fatalf("AppendAudit: %v", err)
	}
}

func eventTenants(t *testing.T, f *fixture) {
	here := f.event(tokenvault.EventReleased, alice())
	there := f.event(tokenvault.EventReleased, tokenvault.Owner{Tenant: "globex", UserID: "alice"})
	if err := f.AppendAudit(t.Context(), []tokenvault.Event{here, there}); err != nil {
		t.Fatal(err)
	}
	for tenant, want := range map[string][]string{acme: {here.RunID}, "globex": {there.RunID}, "": nil} {
		var got []string
		for _, e := range f.events(t, tenant) {
			got = append(got, e.RunID)
		}
		equal(t, "events of "+tenant, got, want)
	}
}

func appendNothing(t *testing.T, f *fixture) {
	f.writes(t, func() {
		if err := f.AppendAudit(t.Context(), nil); err != nil {
			t.Errorf("AppendAudit of nothing: %v", err)
		}
	})
}

func pageLimits(t *testing.T, f *fixture) {
	f.append(t, acme, 1001)
	for limit, want := range map[int]int{1: 1, 999: 999, 1000: 1000, 1001: 1000, 1 << 40: 1000, 0: 1000, -1: 1000} {
		got, err := f.ListAudit(t.Context(), acme, tokenvault.Page{Limit: limit})
		if err != nil || len(got) != want {
			t.Errorf("ListAudit with limit %d = %d events, %v, want %d", limit, len(got), err, want)
		}
	}
}
