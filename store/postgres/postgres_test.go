package postgres

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/testpg"
	"github.com/ai-token-vault/tokenvault/store/storetest"
)

var server *testpg.Server

func TestMain(m *testing.M) { os.Exit(testpg.Main(m, &server)) }

// migrated leads to a database with an empty schema, which nobody opens: to copy it is
// quicker than to migrate each test's.
var migrated = sync.OnceValues(func() (string, error) {
	dsn, err := server.NewDatabase(context.Background())
	if err != nil {
		return "", err
	}
	_, err = Migrate(context.Background(), dsn, nil)
	return dsn, err
})

// A template is a database with an empty schema, of which tests get copies one after
// the other.
type template struct {
	dsn  string
	free []string // copies that are empty again
}

func newTemplate(t testing.TB) *template {
	t.Helper()
	dsn, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	return &template{dsn: server.Copy(t, dsn)}
}

func (d *template) open(t testing.TB, clock func() time.Time) *Store {
	t.Helper()
	return openAt(t, d.copy(t), &Options{Clock: clock})
}

// copy returns a copy that the next test gets too, emptied: that is quicker than another
// copy.
func (d *template) copy(t testing.TB) (dsn string) {
	t.Helper()
	if last := len(d.free) - 1; last >= 0 {
		dsn, d.free = d.free[last], d.free[:last]
	} else {
		dsn = server.Copy(t, d.dsn)
	}
	t.Cleanup(func() {
		server.Exec(t, databaseOf(t, dsn), endWriters, `SET session_replication_role = replica`, deleteRows)
		d.free = append(d.free, dsn)
	})
	return dsn
}

const (
	// endWriters waits for what a canceled command still does.
	endWriters = `SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state IS DISTINCT FROM 'idle'`
	// deleteRows leaves the rows that steps of the schema made.
	deleteRows = `DO $$ DECLARE name regclass; BEGIN
		FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'tokenvault'::regnamespace AND relkind = 'r'
			AND relname NOT IN ('audit_epoch', 'health', 'host_keys', '` + versionTable + `')
		LOOP EXECUTE 'DELETE FROM ' || name; END LOOP;
	END $$`
)

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
