package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
)

// oldLog makes a data directory whose audit log has a signed segment of a hundred
// days ago and one of now.
func oldLog(t *testing.T) (env []string, data string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	env = []string{"TOKENVAULT_DATA_DIR=" + data}
	succeed(t, env, "apikey", "list") // creates it
	past := func() time.Time { return time.Now().AddDate(0, 0, -100) }
	store, err := sqlite.Open(t.Context(), filepath.Join(data, "tokenvault.db"), &sqlite.Options{Clock: past})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	sealer, _, err := keyring.Load(filepath.Join(data, "root-key.json"), tokenvault.Secret{}, tokenvault.Secret{}, true)
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	v, err := tokenvault.New(store, sealer, cat, nil)
	if err != nil {
		t.Fatal(err)
	}
	operator := tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: tokenvault.DefaultTenant}}
	for range 2 {
		if _, _, err := v.CreateAPIKey(t.Context(), operator, tokenvault.APIKeyInput{Name: "old", Kind: tokenvault.ActorBackend}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	succeed(t, env, "apikey", "create", "young", "--user", "local")
	return env, data
}

func TestAuditPrune(t *testing.T) {
	env, _ := oldLog(t)
	got := succeed(t, env, "audit", "prune", "--older-than", "90d")
	if !strings.HasPrefix(got, "Dropped 3 entries\nEntries up to ev_0000000000000003 of ") || !strings.HasSuffix(got, " are gone; its head stays") {
		t.Errorf("prune says %q", got)
	}
	want := "Verified 2 entries and 3 signed heads\n3 entries before them were dropped by 'tokenvault audit prune'"
	if got := succeed(t, env, "audit", "verify"); got != want {
		t.Errorf("verify says %q, want %q", got, want)
	}
	if got := succeed(t, env, "audit", "list", "--kind", "audit.pruned"); !strings.Contains(got, "admin operator") {
		t.Errorf("the pruning is not recorded: %q", got)
	}
}

func TestK9ABrokenLogIsTold(t *testing.T) {
	env, data := oldLog(t)
	db, err := sql.Open("sqlite", filepath.Join(data, "tokenvault.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `DROP TRIGGER audit_is_never_changed; UPDATE audit SET actor_id = 'x' WHERE position = 2`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	const broken = `entry ev_0000000000000002, position 2 of writer "sqlite": it or the entry before it was altered`
	mustRefuse(t, data, env, []string{"audit", "verify"}, "the audit log is broken, after 1 entry that is as written: "+broken)
	mustRefuse(t, data, env, []string{"audit", "prune", "--older-than", "90d"}, "nothing was dropped: the audit log is broken: "+broken+": export it, then use --broken")
	succeed(t, env, "audit", "export", "--out", filepath.Join(t.TempDir(), "evidence.jsonl"))
	if got := succeed(t, env, "audit", "prune", "--older-than", "90d", "--broken"); !strings.HasPrefix(got, "Dropped 3 entries\n") {
		t.Errorf("prune says %q", got)
	}
}
