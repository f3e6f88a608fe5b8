package postgres

import (
	"os"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/testpg"
	"github.com/ai-token-vault/tokenvault/store/storetest"
)

var server *testpg.Server

func TestMain(m *testing.M) { os.Exit(testpg.Main(m, &server)) }

// A template is a database with an empty schema, of which tests get copies.
type template struct{ dsn string }

func newTemplate(t testing.TB) template {
	t.Helper()
	dsn := server.Database(t)
	if _, err := Migrate(t.Context(), dsn, nil); err != nil {
		t.Fatal(err)
	}
	return template{dsn}
}

func (d template) open(t testing.TB, clock func() time.Time) *Store {
	t.Helper()
	return openAt(t, server.Copy(t, d.dsn), &Options{Clock: clock})
}

func openAt(t testing.TB, dsn string, opts *Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), dsn, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	d := newTemplate(t)
	storetest.Run(t, func(t *testing.T, clock func() time.Time) tokenvault.Store { return d.open(t, clock) })
}
