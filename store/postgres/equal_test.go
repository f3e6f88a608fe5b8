package postgres

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/memory"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
	"github.com/ai-token-vault/tokenvault/store/storetest"
)

// Random commands have equal results on all three stores.
func TestAllStoresAreEqual(t *testing.T) {
	d := newTemplate(t)
	for seed := range uint64(8) {
		storetest.RunEqual(t, seed, 400, func(t *testing.T, clock func() time.Time) map[string]tokenvault.Store {
			t.Helper()
			file, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "vault.db"), &sqlite.Options{Clock: clock})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = file.Close() })
			return map[string]tokenvault.Store{
				"memory": memory.New(&memory.Options{Clock: clock}), "sqlite": file, "postgres": d.open(t, clock),
			}
		})
	}
}
