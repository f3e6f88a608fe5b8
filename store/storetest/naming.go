package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func namingCases() []testCase {
	return []testCase{
		{"a connection is given a name, and it is taken away", renamed},
		{"the name that it has changes nothing", renamedAlike},
		{"only exactly its owner's is renamed", renameIsExact},
		{"a revoked connection is not renamed", renameRevoked},
		{"a name and the last use outlive the credential and the owner", namesStay},
		{"a connect says neither a name nor a use", namesAreNoConnects},
		{"each connection says who used it last, and when", usedBy},
		{"what an agent could use is found without its name and its last use", foundUnnamed},
	}
}

// naming returns the command that gives c a name.
func (f *fixture) naming(c tokenvault.SealedConnection, name string) tokenvault.Renaming {
	return tokenvault.Renaming{Owner: c.Owner, ConnectionID: c.ID, Name: name, Event: f.event(tokenvault.EventRenamed, c.Owner)}
}

func (f *fixture) rename(t *testing.T, c tokenvault.SealedConnection, name string) tokenvault.SealedConnection {
	t.Helper()
	if _, err := f.Rename(t.Context(), f.naming(c, name)); err != nil {
		t.Fatalf("Rename: %v", err)
	}
	return f.get(t, c.Owner, c.ID)
}

// use notes that an agent used c.
func (f *fixture) use(t *testing.T, c tokenvault.SealedConnection, agentID string) {
	t.Helper()
	if err := f.TouchConnections(t.Context(), c.Owner.Tenant, []tokenvault.ConnectionUse{{ID: c.ID, AgentID: agentID}}, time.Hour); err != nil {
		t.Fatalf("TouchConnections: %v", err)
	}
}

func (f *fixture) refusesRename(t *testing.T, cmd tokenvault.Renaming) {
	t.Helper()
	f.refuses(t, tokenvault.ErrNotFound, func() error {
		_, err := f.Rename(t.Context(), cmd)
		return err
	})
}

func renamed(t *testing.T, f *fixture) {
	want, other := f.connect(t, alice(), "acc"), f.connect(t, alice(), "other")
	for _, name := range []string{"Work", "Arbeit 👩‍💻", ""} {
		f.advance(time.Minute)
		cmd := f.naming(want, name)
		want.Name, want.UpdatedAt = name, f.now()
		f.writes(t, func() {
			got, err := f.Rename(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "Rename", got, want.Connection)
		}, cmd.Event)
		equal(t, "GetConnection", f.get(t, alice(), want.ID), want)
	}
	equal(t, "the other connection", f.get(t, alice(), other.ID), other)
}

func renamedAlike(t *testing.T, f *fixture) {
	c := f.rename(t, f.connect(t, alice(), "acc"), "Work")
	f.advance(time.Minute)
	f.writes(t, func() { equal(t, "renamed alike", f.rename(t, c, "Work"), c) })
}

func renameIsExact(t *testing.T, f *fixture) {
	c, shared := f.connect(t, member("alice"), "acc"), f.connect(t, eng(), "other")
	for _, owner := range strangers() {
		cmd := f.naming(c, "Mine")
		cmd.Owner = owner
		f.refusesRename(t, cmd)
	}
	seen := f.naming(shared, "Mine")
	seen.Owner = member("alice")
	f.refusesRename(t, seen)
	missing := f.naming(c, "Mine")
	missing.ConnectionID = "cn_missing"
	f.refusesRename(t, missing)
}

func renameRevoked(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.revoke(t, c)
	f.refusesRename(t, f.naming(c, "Work"))
}

func namesStay(t *testing.T, f *fixture) {
	c := f.rename(t, f.connect(t, member("alice"), "acc"), "Work")
	f.use(t, c, "helper")
	used := f.now()
	stays := func(after string, got tokenvault.Connection) {
		t.Helper()
		if got.Name != "Work" || got.LastUsedBy != "helper" || !got.LastUsedAt.Equal(used) {
			t.Errorf("after %s: %q, used by %q at %s", after, got.Name, got.LastUsedBy, got.LastUsedAt)
		}
	}
	f.advance(time.Minute)
	turn := f.claim(t, c.Connection, time.Minute)
	stays("the beginning of a refresh", turn.Connection.Connection)
	refreshed, err := f.CommitRefresh(t.Context(), f.commit(turn))
	if err != nil {
		t.Fatal(err)
	}
	stays("a refresh", refreshed.Connection)
	again := f.keep(t, f.renewed(refreshed))
	stays("a reconnect", again.Connection)
	shared := f.share(t, again, eng())
	stays("sharing", shared.Connection)
	stays("giving back", f.share(t, shared, member("alice")).Connection)
	list, err := f.ListConnections(t.Context(), member("alice"), tokenvault.Page{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d connections, %v", len(list), err)
	}
	stays("a look at the list", list[0])
}

func namesAreNoConnects(t *testing.T, f *fixture) {
	fresh := f.fresh(alice(), "acc")
	fresh.Name, fresh.LastUsedBy, fresh.LastUsedAt = "Mine", "mallory", f.now()
	c := f.keep(t, fresh)
	if c.Name != "" || c.LastUsedBy != "" || !c.LastUsedAt.IsZero() {
		t.Errorf("a new connection is named %q and was used by %q at %s", c.Name, c.LastUsedBy, c.LastUsedAt)
	}
	again := f.renewed(f.rename(t, c, "Work"))
	again.Name, again.LastUsedBy = "Mine", "mallory"
	if c = f.keep(t, again); c.Name != "Work" || c.LastUsedBy != "" {
		t.Errorf("a renewed connection is named %q and was used by %q", c.Name, c.LastUsedBy)
	}
}

func usedBy(t *testing.T, f *fixture) {
	a, b, never := f.connect(t, alice(), "a"), f.connect(t, alice(), "b"), f.connect(t, alice(), "never")
	f.use(t, a, "helper")
	f.advance(time.Minute)
	uses := []tokenvault.ConnectionUse{{ID: b.ID, AgentID: "helper"}, {ID: "cn_missing", AgentID: "helper"}, {ID: a.ID, AgentID: "mailer"}}
	f.writes(t, func() {
		if err := f.TouchConnections(t.Context(), acme, uses, time.Hour); err != nil {
			t.Fatal(err)
		}
	})
	a.LastUsedAt, a.LastUsedBy = f.now(), "mailer"
	b.LastUsedAt, b.LastUsedBy = f.now(), "helper"
	for _, want := range []tokenvault.SealedConnection{a, b, never} {
		equal(t, "GetConnection", f.get(t, alice(), want.ID), want)
	}
}

func foundUnnamed(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.use(t, f.rename(t, c, "Home"), "helper")
	equal(t, "FindUsable", f.find(t, alice())[0].SealedConnection, c)
}
