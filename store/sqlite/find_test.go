package sqlite

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
)

func TestFindUsableReturnsAllThatResolveNeeds(t *testing.T) {
	s := openNew(t, nil)
	organization, _ := alice.Organization()
	want := connect(t, s, alice, "cn_own", []byte("sealed"))
	connect(t, s, organization, "cn_shared", []byte("sealed too"))
	connect(t, s, tokenvault.Owner{Tenant: "t1", OrganizationID: "acme", UserID: "bob"}, "cn_bob", []byte("x"))
	connect(t, s, tokenvault.Owner{Tenant: "t1", UserID: "alice"}, "cn_alone", []byte("x"))

	found, err := s.FindUsable(t.Context(), tokenvault.FindQuery{Owner: alice, AgentID: "agent", ProviderID: "github"})
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Candidates) != 2 || found.Candidates[0].ID != "cn_own" || found.Candidates[1].ID != "cn_shared" {
		t.Fatalf("candidates = %+v, want cn_own and cn_shared", found.Candidates)
	}
	own, shared := found.Candidates[0], found.Candidates[1]
	if diff := cmp.Diff(want, own.SealedConnection); diff != "" {
		t.Errorf("FindUsable and GetConnection differ (-get +find):\n%s", diff)
	}
	if string(own.WrappedKey) != "wrapped key" || own.Permission == nil || own.Permission.ID != "pm_cn_own" {
		t.Errorf("key %q, permission %+v", own.WrappedKey, own.Permission)
	}
	if shared.Owner != organization || shared.Permission != nil {
		t.Errorf("shared: owner %+v, permission %+v: the organization's permission is not alice's", shared.Owner, shared.Permission)
	}
	if found.Now.Before(own.CreatedAt) || !found.Now.Before(own.ExpiresAt) {
		t.Errorf("now = %v, want between %v and %v", found.Now, own.CreatedAt, own.ExpiresAt)
	}
}

func TestFindUsableTellsTheTimeWithoutCandidates(t *testing.T) {
	found, err := openNew(t, nil).FindUsable(t.Context(), tokenvault.FindQuery{Owner: alice, ProviderID: "github"})
	if err != nil || found.Now.IsZero() || len(found.Candidates) != 0 {
		t.Errorf("found = %+v, %v", found, err)
	}
}

// Most of what is left is the driver's and database/sql's, per column.
func TestFindUsableStaysLean(t *testing.T) {
	s := openNew(t, nil)
	fill(t, s, 3)
	q := tokenvault.FindQuery{Owner: tokenvault.Owner{Tenant: "t1", OrganizationID: "acme", UserID: "user1"}, AgentID: "agent", ProviderID: "github"}
	got := testing.AllocsPerRun(200, func() {
		if found, err := s.FindUsable(t.Context(), q); err != nil || len(found.Candidates) != 1 {
			t.Fatal(found, err)
		}
	})
	t.Logf("%v allocations", got)
	if got > 100 {
		t.Errorf("FindUsable allocates %v times, want at most 100", got)
	}
}

func BenchmarkFindUsable(b *testing.B) {
	s := openNew(b, nil)
	fill(b, s, 200)
	q := tokenvault.FindQuery{Owner: tokenvault.Owner{Tenant: "t1", OrganizationID: "acme", UserID: "user150"}, AgentID: "agent", ProviderID: "github"}
	b.ReportAllocs()
	for b.Loop() {
		if found, err := s.FindUsable(b.Context(), q); err != nil || len(found.Candidates) != 1 {
			b.Fatal(found, err)
		}
	}
}

// BenchmarkPointRead is the floor: one prepared read of three columns by key.
func BenchmarkPointRead(b *testing.B) {
	s := openNew(b, nil)
	fill(b, s, 200)
	stmt, err := s.reader.PrepareContext(b.Context(), `SELECT id, sealed, expires_at FROM connections WHERE tenant = ? AND id = ?`)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var id string
		var sealed []byte
		var expires int64
		if err := stmt.QueryRow("t1", "cn_150").Scan(&id, &sealed, &expires); err != nil {
			b.Fatal(err)
		}
	}
}
