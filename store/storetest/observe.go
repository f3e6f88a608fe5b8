package storetest

import (
	"errors"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

// A dump is all that can be read of what the shorthands of a fixture made.
type dump struct {
	Connections []tokenvault.SealedConnection
	Permissions map[tokenvault.Owner][]tokenvault.Permission
	Requests    []tokenvault.AuthRequest
	Events      map[string][]tokenvault.Event
}

func (f *fixture) dump(t *testing.T) dump {
	t.Helper()
	d := dump{Permissions: make(map[tokenvault.Owner][]tokenvault.Permission), Events: make(map[string][]tokenvault.Event)}
	for _, r := range f.requests {
		req, err := f.GetAuthRequest(t.Context(), r.owner, r.id)
		if err != nil {
			t.Fatalf("GetAuthRequest: %v", err)
		}
		d.Requests = append(d.Requests, req)
		d.Permissions[r.owner] = f.permissions(t, r.owner)
		d.Events[r.owner.Tenant] = f.events(t, r.owner.Tenant)
	}
	for _, c := range f.connections {
		d.Connections = append(d.Connections, f.get(t, c.owner, c.id))
	}
	return d
}

// refuses runs a command, which must fail with want and change nothing.
func (f *fixture) refuses(t *testing.T, want error, command func() error) {
	t.Helper()
	before := f.dump(t)
	if err := command(); !errors.Is(err, want) {
		t.Errorf("err = %v, want %v", err, want)
	}
	equal(t, "a refused command changed the store", f.dump(t), before)
}

// refusesSettle is refuses for a settlement. Nothing of a connection that would
// be new may be left either.
func (f *fixture) refusesSettle(t *testing.T, want error, cmd tokenvault.Settlement) {
	t.Helper()
	f.refuses(t, want, func() error {
		_, err := f.Settle(t.Context(), cmd)
		return err
	})
	if c := cmd.Connection; c != nil && c.Version == 1 && !f.has(c.ID) {
		_, err := f.GetConnection(t.Context(), c.Owner, c.ID)
		wantError(t, "GetConnection of what was not stored", err, tokenvault.ErrNotFound)
	}
}

func (f *fixture) has(connectionID string) bool {
	for _, c := range f.connections {
		if c.id == connectionID {
			return true
		}
	}
	return false
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: err = %v, want %v", what, err, want)
	}
}

func (f *fixture) permissions(t *testing.T, owner tokenvault.Owner) []tokenvault.Permission {
	t.Helper()
	list, err := f.ListPermissions(t.Context(), owner, tokenvault.Page{Limit: 1000})
	if err != nil {
		t.Fatalf("ListPermissions: %v", err)
	}
	return list
}

func (f *fixture) events(t *testing.T, tenant string) []tokenvault.Event {
	t.Helper()
	list, err := f.ListAudit(t.Context(), tenant, tokenvault.EventQuery{Page: tokenvault.Page{Limit: 1000}})
	if err != nil {
		t.Fatalf("ListAudit: %v", err)
	}
	return list
}

// writes runs a command, which must write exactly these events to the tenant
// acme's log, in this order.
func (f *fixture) writes(t *testing.T, command func(), want ...tokenvault.Event) {
	t.Helper()
	before := len(f.events(t, acme))
	command()
	got := f.events(t, acme)[before:]
	for i := range got {
		if got[i].ID == "" || !got[i].At.Equal(f.now()) {
			t.Errorf("event has id %q and time %s, want an id and the store's time %s", got[i].ID, got[i].At, f.now())
		}
		got[i].ID, got[i].At = "", f.now()
		got[i].Writer, got[i].Position, got[i].Hash = "", 0, ""
	}
	for i := range want {
		want[i].ID, want[i].At = "", f.now()
	}
	equal(t, "events", got, want)
}

func (f *fixture) list(t *testing.T, owner tokenvault.Owner) (ids []string) {
	t.Helper()
	list, err := f.ListConnections(t.Context(), owner, tokenvault.Page{Limit: 1000})
	if err != nil {
		t.Fatalf("ListConnections: %v", err)
	}
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids
}

// checkPages reads a list in pages of two, and expects the ids of want.
func checkPages[T any](t *testing.T, list func(tokenvault.Page) ([]T, error), id func(T) string, want []string) {
	t.Helper()
	var got []string
	page := tokenvault.Page{Limit: 2}
	for range len(want) + 1 {
		rows, err := list(page)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) > page.Limit {
			t.Fatalf("a page of %d has %d rows", page.Limit, len(rows))
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			got = append(got, id(row))
		}
		page.After = got[len(got)-1]
	}
	equal(t, "ids of all pages", got, want)
}
