// Package postgres is the store for many replicas that share nothing else: one
// schema of a PostgreSQL database, version 14 or later.
//
// # Concurrency and time
//
// Every command is one transaction in READ COMMITTED, which takes row locks in
// the order auth request, connection, permission, and holds none between calls.
// The clock is the database server's. [Options.Clock] replaces it in tests.
//
// # Tenants
//
// Row-level security is forced on every table: a transaction sees the rows of the
// tenant that it was begun for, whatever its statements say, and none if it was
// begun for none. The hot read is the exception, since a policy would cost more
// than the read: it goes through views of the role {schema}_system, and its
// predicates are tested instead. Where the tenant is not known before the row is,
// functions of that role tell the tenant and nothing else. A superuser, or a role
// with BYPASSRLS, is bound by no policy: see [Store.Bypass].
//
// # Poolers
//
// Statements are prepared by name on a connection of our own, and described
// anew through a pooler in transaction mode: see [Options.Pooler]. Nothing depends
// on the state of a session: a pool of the host's may have settings of its own.
//
// # Faults
//
// A connection that is found dead before a transaction has begun is replaced. One
// that dies later fails the command with [tokenvault.ErrUnavailable]; a commit whose
// answer is lost may have happened. A command waits at most 10 seconds for a lock and
// takes at most 30, whatever the server does.
//
// # Round trips
//
// A transaction is begun and bound to its tenant in one, and the entries of the log
// go with its commit. Hot reads that come while all connections are busy share one.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ai-token-vault/tokenvault"
)

// DefaultSchema is the schema of a vault that names none.
const DefaultSchema = "tokenvault"

// Options configures [Open] and [New]. The zero Options, like nil, works.
type Options struct {
	// Schema is the schema of our tables: 1 to 40 lower-case letters, digits and
	// underscores. Default [DefaultSchema].
	Schema string
	// Pooler says that connections go through a pooler in transaction mode, such as
	// PgBouncer: statements are then not prepared by name.
	Pooler bool
	// ListenDSN leads to the server itself, where the store's connections go through
	// a pooler: LISTEN needs a session. Default: as the other connections.
	ListenDSN string
	// MaxConns bounds the connections that Open makes. Default: pgx's own, the
	// larger of 4 and the number of processors.
	MaxConns int32
	// HostKeys refuses to open a schema whose keys to the host's tables are not those
	// that are named here. It makes none: see [Migrate].
	HostKeys HostKeys
	// Clock replaces the server's clock in tests. It is read to the microsecond.
	Clock func() time.Time
	// Logger receives warnings. Nil: nothing is logged.
	Logger *slog.Logger
}

// A Store is a [tokenvault.Store] in one schema of a PostgreSQL database.
type Store struct {
	pool  *pgxpool.Pool
	owned bool          // the pool is ours to close
	most  time.Duration // that a command takes
	clock func() time.Time
	log   *slog.Logger

	listenConfig *pgx.ConnConfig
	chains       *chains
	hot          hotReads
	epoch        int64 // of audit ids

	prefix string   // the quoted schema and a dot
	texts  sync.Map // statements by their text before prefix was put in
	closed atomic.Bool
}

var _ tokenvault.Store = (*Store)(nil)

// Open connects to the database that dsn names, a URL or key-value string as in
// the PostgreSQL documentation, section 34.1.1. Its sessions are called
// "tokenvault", unless dsn names an application_name. The schema must be up to
// date: see [Migrate]. Errors never hold the dsn.
func Open(ctx context.Context, dsn string, opts *Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errBadDSN
	}
	if opts == nil {
		opts = &Options{}
	}
	if opts.MaxConns > 0 {
		config.MaxConns = opts.MaxConns
	}
	if opts.Pooler {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	named(config.ConnConfig)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("postgres: connect: %w", plain(err))
	}
	s, err := New(ctx, pool, opts)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.owned = true
	return s, nil
}

// errBadDSN does not quote what was given: it may hold a password.
var errBadDSN = errors.New("postgres: the connection string is malformed: give a URL such as postgres://user@host:5432/database")

// The patterns of this package count nothing: a count is compiled into as many copies,
// at each start.
var schemaPattern = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// New returns a store on a pool that the host made. Close leaves the pool open. A
// warning says so if row-level security does not bind the pool's role: see
// [Store.Bypass].
func New(ctx context.Context, pool *pgxpool.Pool, opts *Options) (*Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	prefix, err := prefixOf(opts.Schema)
	if err != nil {
		return nil, err
	}
	s := &Store{pool: pool, clock: opts.Clock, log: opts.Logger, prefix: prefix, chains: newChains(), most: commandMost}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	config := pool.Config()
	s.listenConfig, s.hot.free = config.ConnConfig, int(config.MaxConns)
	if opts.ListenDSN != "" {
		if s.listenConfig, err = pgx.ParseConfig(opts.ListenDSN); err != nil {
			return nil, errBadDSN
		}
		named(s.listenConfig)
	}
	if err := s.checkSchema(ctx); err != nil {
		return nil, err
	}
	if err := s.checkHostKeys(ctx, opts.HostKeys); err != nil {
		return nil, err
	}
	if err := s.readEpoch(ctx); err != nil {
		return nil, s.wrap("open", err)
	}
	bypasses, err := s.Bypass(ctx)
	if err != nil {
		return nil, err
	}
	if bypasses {
		s.log.Warn("row-level security does not bind the role of the connections: it is a superuser or has BYPASSRLS. Use another role")
	}
	return s, nil
}

func prefixOf(schema string) (string, error) {
	if schema == "" {
		schema = DefaultSchema
	}
	if len(schema) > 40 || !schemaPattern.MatchString(schema) {
		return "", &tokenvault.FieldError{Field: "schema", Reason: "must be 1 to 40 lower-case letters, digits and underscores, and not begin with a digit"}
	}
	return `"` + schema + `".`, nil
}

// sql returns text with "tv." replaced by the schema.
func (s *Store) sql(text string) string {
	if done, ok := s.texts.Load(text); ok {
		return done.(string) //nolint:errcheck,forcetypeassert // stored below only
	}
	done := strings.ReplaceAll(text, "tv.", s.prefix)
	s.texts.Store(text, done)
	return done
}

// Ping writes one row and commits it, which proves that the database can be read
// and written. The error wraps [tokenvault.ErrUnavailable] if it cannot.
func (s *Store) Ping(ctx context.Context) error {
	return s.wrap("ping", s.bounded(ctx, func(ctx context.Context) error {
		return s.alive(ctx, func() error {
			_, err := s.pool.Exec(ctx, s.sql(`UPDATE tv.health SET checked_at = clock_timestamp() WHERE id = 1`))
			return err
		})
	}))
}

// Close ends the store. Later calls fail with [tokenvault.ErrUnavailable]. Closing
// twice is no error.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if s.owned {
		s.pool.Close()
	}
	return nil
}
