// Package sqlite is the embedded store: one SQLite file, which several processes
// of one machine may share.
//
// # Durability and concurrency
//
// The file is in WAL mode with synchronous=FULL: what a method returned is on
// disk. Each process writes through one connection, whose transactions begin
// with BEGIN IMMEDIATE, so that a transaction never finds its snapshot stale;
// reads go through a pool of connections that cannot write. A writer waits up
// to ten seconds for another process, then fails with
// [tokenvault.ErrUnavailable].
//
// Each connection keeps the statements that it has run: see statements.go.
//
// # Time
//
// Times are integer microseconds since 1970 in UTC. The clock is the database's
// own, which ticks in milliseconds; it is read once per transaction, after the
// write lock was obtained. [Options.Clock] replaces it in tests.
//
// # Erasure
//
// secure_delete overwrites what is erased in the file; after a revocation the
// write-ahead log, which still holds older pages, is emptied too, unless a
// reader in another process is in the way. It is then emptied later.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// Options configures [Open]. The zero Options works.
type Options struct {
	// Clock replaces the database's clock in tests. It is read to the
	// microsecond. Nil: the database's clock.
	Clock func() time.Time
	// Driver names a driver of database/sql to use in the place of "sqlite", which it
	// wraps: for tests and benches that count statements.
	Driver string
	// Logger receives migrations and warnings. Nil: nothing is logged.
	Logger *slog.Logger
}

// A Store is a [tokenvault.Store] in one SQLite file.
type Store struct {
	path   string
	driver string
	clock  func() time.Time
	log    *slog.Logger
	use    *os.File // locked together with all who have the database open

	writer *sql.DB // one connection
	reader *sql.DB // a pool of connections that cannot write

	closed atomic.Bool
}

var _ tokenvault.Store = (*Store)(nil)

// Open opens the database file at path, creating it for its owner alone (mode
// 0600) and bringing its schema up to date under a lock on path+".lock". It
// refuses a file that is no database, belongs to another program, or has a newer
// schema than this binary; such a file is not changed. Errors name the path and
// what to do next.
func Open(ctx context.Context, path string, opts *Options) (*Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	s := &Store{driver: cmp.Or(opts.Driver, "sqlite"), clock: opts.Clock, log: opts.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.path, err = absolute(path); err != nil {
		return nil, err
	}
	unlock, err := s.prepareFile(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.lockUse(); err != nil {
		return nil, errors.Join(err, unlock())
	}
	if err := s.openDatabases(ctx); err != nil {
		return nil, errors.Join(s.openError(err), s.closeDatabases(), unlock())
	}
	return s, unlock()
}

func absolute(path string) (string, error) {
	if path == "" || path == ":memory:" {
		return "", errors.New("sqlite: the store needs the path of a file")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("sqlite: %s: %w", path, err)
	}
	return abs, nil
}

func (s *Store) openDatabases(ctx context.Context) error {
	current, err := s.checkSchema(ctx)
	if err != nil {
		return err
	}
	if s.writer, err = s.openPool(1, pragmas+"&_txlock=immediate"); err != nil {
		return err
	}
	if !current {
		if err := s.migrate(ctx); err != nil {
			return err
		}
	}
	s.reader, err = s.openPool(max(4, runtime.GOMAXPROCS(0)), pragmas+"&_pragma=query_only(1)")
	return err
}

// closeTimeout is as long as a call may wait for another process.
const closeTimeout = 10 * time.Second

// pragmas are what the package promises of every connection.
const pragmas = "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
	"&_pragma=foreign_keys(1)&_pragma=secure_delete(1)&_dqs=0&_defensive=1"

// openPool returns a pool of size connections with the driver's parameters.
func (s *Store) openPool(size int, parameters string) (*sql.DB, error) {
	file := url.URL{Scheme: "file", Path: filepath.ToSlash(s.path), RawQuery: parameters}
	registered, err := sql.Open(s.driver, "") // does not connect
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(keeper{base: registered.Driver(), name: file.String()})
	if err := registered.Close(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// Ping writes one row and commits it, which proves that the store can be read and
// written. The error wraps [tokenvault.ErrUnavailable] if it cannot.
func (s *Store) Ping(ctx context.Context) error {
	return s.write(ctx, "ping", func(t *tx) error {
		_, err := t.ExecContext(ctx, `UPDATE health SET checked_at = ? WHERE id = 1`, t.now)
		return err
	})
}

// Close closes the file after the calls under way have ended. Later calls fail
// with [tokenvault.ErrUnavailable]. Closing twice is no error.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.closeDatabases()
}

// closeDatabases closes the writer last: the last connection to a database
// empties and removes its write-ahead log, which readers cannot.
func (s *Store) closeDatabases() error {
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.writer} {
		if db != nil {
			errs = append(errs, closePool(db))
		}
	}
	return errors.Join(append(errs, s.use.Close())...) // closing unlocks
}

// closePool closes a pool and every connection of it. What is canceled gives its
// connection back a moment after its call has returned, and [sql.DB.Close] does not
// wait for that.
func closePool(db *sql.DB) error {
	err := db.Close()
	deadline, again := time.NewTimer(closeTimeout), time.NewTicker(time.Millisecond)
	defer deadline.Stop()
	defer again.Stop()
	for db.Stats().OpenConnections > 0 {
		select {
		case <-again.C:
		case <-deadline.C:
			return errors.Join(err, errors.New("sqlite: a call still uses the store"))
		}
	}
	return err
}
