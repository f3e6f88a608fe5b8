package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func auditCases() []testCase {
	return []testCase{
		{"an event is stored whole", eventStored},
		{"events are listed in the order they were written", eventOrder},
		{"lists are pages", eventPages},
		{"events are found by what they name", eventFilters},
		{"the newest events come first where asked", eventNewest},
		{"events are their tenant's", eventTenants},
		{"nothing may be appended", appendNothing},
		{"a page limit out of range stands for 1000", pageLimits},
	}
}

func eventStored(t *testing.T, f *fixture) {
	e := tokenvault.Event{
		ID: "not the caller's", At: f.now().Add(time.Hour), Kind: tokenvault.EventReleased, Tenant: acme,
		ActorKind: tokenvault.ActorAgent, ActorID: agent, Owner: member("alice"), ProviderID: provider, ConnectionID: "cn",
		ForUserID: "bob", AuthRequestID: "ar", RunID: "run", ThreadID: "thread", Detail: "token",
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
		return f.ListAudit(t.Context(), acme, tokenvault.EventQuery{Page: p})
	}, func(e tokenvault.Event) string { return e.ID }, want)
}

func eventFilters(t *testing.T, f *fixture) {
	at := f.now()
	ids := map[string]string{} // of the runs, by name
	add := func(name string, edit func(*tokenvault.Event)) {
		e := f.event(tokenvault.EventReleased, alice())
		edit(&e)
		ids[e.RunID] = name
		if err := f.AppendAudit(t.Context(), []tokenvault.Event{e}); err != nil {
			t.Fatal(err)
		}
		f.advance(time.Second)
	}
	add("plain", func(*tokenvault.Event) {})
	add("kind", func(e *tokenvault.Event) { e.Kind = tokenvault.EventRevoked })
	add("agent", func(e *tokenvault.Event) { e.ActorKind = tokenvault.ActorAgent })
	add("backend", func(e *tokenvault.Event) { e.ActorKind = tokenvault.ActorBackend })
	add("member", func(e *tokenvault.Event) { e.Owner = member("bob") })
	add("for", func(e *tokenvault.Event) { e.Owner, e.ForUserID = eng(), "bob" })
	add("connection", func(e *tokenvault.Event) { e.ConnectionID = "cn" })
	for _, tc := range []struct {
		q    tokenvault.EventQuery
		want []string
	}{
		{tokenvault.EventQuery{Kind: tokenvault.EventRevoked}, []string{"kind"}},
		{tokenvault.EventQuery{AgentID: "actor"}, []string{"agent", "backend"}},
		{tokenvault.EventQuery{UserID: "bob"}, []string{"member", "for"}},
		{tokenvault.EventQuery{OrganizationID: "eng"}, []string{"member", "for"}},
		{tokenvault.EventQuery{ConnectionID: "cn"}, []string{"connection"}},
		{tokenvault.EventQuery{Since: at.Add(5 * time.Second)}, []string{"for", "connection"}},
		{tokenvault.EventQuery{OrganizationID: "eng", Since: at.Add(5 * time.Second)}, []string{"for"}},
		{tokenvault.EventQuery{AgentID: "actor", Page: tokenvault.Page{Limit: 1}}, []string{"agent"}},
		{tokenvault.EventQuery{AgentID: "actor", Page: tokenvault.Page{Limit: 1}, Newest: true}, []string{"backend"}},
		{tokenvault.EventQuery{Kind: "' OR 1"}, nil},
	} {
		events, err := f.ListAudit(t.Context(), acme, tc.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range events {
			got = append(got, ids[e.RunID])
		}
		equal(t, fmt.Sprintf("%+v", tc.q), got, tc.want)
	}
}

func eventNewest(t *testing.T, f *fixture) {
	var want []string
	f.append(t, acme, 5)
	f.append(t, "globex", 1)
	for _, e := range f.events(t, acme) {
		want = append(want, e.ID)
	}
	slices.Reverse(want)
	checkPages(t, func(p tokenvault.Page) ([]tokenvault.Event, error) {
		return f.ListAudit(t.Context(), acme, tokenvault.EventQuery{Page: p, Newest: true})
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
		got, err := f.ListAudit(t.Context(), acme, tokenvault.EventQuery{Page: tokenvault.Page{Limit: limit}})
		if err != nil || len(got) != want {
			t.Errorf("ListAudit with limit %d = %d events, %v, want %d", limit, len(got), err, want)
		}
	}
}
