package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ai-token-vault/tokenvault"
)

const (
	sqlStartRead  = `BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY`
	sqlStartWrite = `BEGIN ISOLATION LEVEL READ COMMITTED` // a database that is read-only by default stays so

	// sqlBegin binds the transaction to a tenant and reads the clock.
	sqlBegin = `SELECT set_config('tokenvault.tenant', $1, true), coalesce($2::timestamptz, clock_timestamp()), 0::bigint`
	// sqlBeginWrite gives the transaction its number too. A commit is durable
	// whatever the session's default says, and a lock that somebody holds for ever, or
	// a process that stands still with locks of ours, stops nobody for ever.
	sqlBeginWrite = `SELECT set_config('tokenvault.tenant', $1, true) || set_config('synchronous_commit', 'on', true)
			|| set_config('lock_timeout', '10s', true) || set_config('statement_timeout', '20s', true)
			|| set_config('idle_in_transaction_session_timeout', '20s', true),
		coalesce($2::timestamptz, clock_timestamp()), pg_current_xact_id()::text::bigint`
	sqlSetTenant = `SELECT set_config('tokenvault.tenant', $1, true)`
)

const (
	tries        = 5                // how often a transaction that gave way to another is begun
	commandMost  = 30 * time.Second // how long a command takes, if the server does not answer
	rollbackMost = 5 * time.Second
)

// A tx is a transaction of one tenant.
type tx struct {
	*pgxpool.Conn
	store  *Store
	tenant string
	now    time.Time // the store's clock, read when the transaction began
	last   pgx.Batch // statements that go with the commit, in one round trip

	xid     int64                 // the transaction's number, if it writes
	written int                   // audit entries
	held    map[string]*heldChain // by tenant
}

// write runs fn in one transaction of the tenant, which is committed if fn
// succeeds. fn is run again if the transaction had to give way to another. Errors
// are in the words of the contract: see wrap.
func (s *Store) write(ctx context.Context, op, tenant string, fn func(t *tx) error) error {
	return s.wrap(op, s.transact(ctx, tenant, pgx.ReadWrite, fn))
}

// read is write for what changes nothing.
func (s *Store) read(ctx context.Context, op, tenant string, fn func(t *tx) error) error {
	return s.wrap(op, s.transact(ctx, tenant, pgx.ReadOnly, fn))
}

func (s *Store) transact(ctx context.Context, tenant string, mode pgx.TxAccessMode, fn func(t *tx) error) error {
	return s.bounded(ctx, func(ctx context.Context) error {
		var err error
		for range tries {
			if err = s.once(ctx, tenant, mode, fn); !again(err) {
				return err
			}
		}
		return err
	})
}

func (s *Store) once(ctx context.Context, tenant string, mode pgx.TxAccessMode, fn func(t *tx) error) error {
	var t *tx
	err := s.alive(ctx, func() error {
		var err error
		t, err = s.begin(ctx, tenant, mode)
		return err
	})
	if err != nil {
		return err
	}
	how := rolledBack
	defer func() { t.release(how) }()
	defer t.end(ctx)
	if err := fn(t); err != nil {
		return err
	}
	how, err = t.commit(ctx)
	return err
}

// begin begins a transaction and binds it to the tenant, in one round trip.
func (s *Store) begin(ctx context.Context, tenant string, mode pgx.TxAccessMode) (*tx, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	t := &tx{Conn: conn, store: s, tenant: tenant}
	start, bind := sqlStartWrite, sqlBeginWrite
	if mode == pgx.ReadOnly {
		start, bind = sqlStartRead, sqlBegin
	}
	var first pgx.Batch
	first.Queue(start)
	first.Queue(bind, tenant, s.boundNow()).QueryRow(func(row pgx.Row) error { return row.Scan(nil, &t.now, &t.xid) })
	if err := conn.SendBatch(ctx, &first).Close(); err != nil {
		t.end(ctx)
		return nil, err
	}
	t.now = t.now.UTC()
	return t, nil
}

// later has a statement executed with the commit. Its error is the commit's.
func (t *tx) later(query string, args ...any) { t.last.Queue(t.store.sql(query), args...) }

// commit executes what was left for later and commits, in one round trip.
func (t *tx) commit(ctx context.Context) (ending, error) {
	t.last.Queue(`COMMIT`)
	results := t.SendBatch(ctx, &t.last)
	var err error
	var tag pgconn.CommandTag
	for range t.last.Len() {
		if tag, err = results.Exec(); err != nil {
			break
		}
	}
	_ = results.Close() // tells the same error again
	switch e, said := errors.AsType[*pgconn.PgError](err); {
	case err == nil && tag.String() == "ROLLBACK":
		return rolledBack, pgx.ErrTxCommitRollback
	case err == nil:
		return committed, nil
	case said && !fatal(e):
		return rolledBack, err
	}
	return unknown, err
}

// end rolls back what was not committed and gives the connection back. Not with the
// caller's context: one that is over would leave the connection in the
// transaction, to be thrown away.
func (t *tx) end(ctx context.Context) {
	if !t.Conn.Conn().IsClosed() && t.Conn.Conn().PgConn().TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackMost)
		defer cancel()
		_, _ = t.Exec(ctx, `ROLLBACK`)
	}
	t.Release()
}

// as runs fn for another tenant, if it is another.
func (t *tx) as(ctx context.Context, tenant string, fn func() error) error {
	if tenant == t.tenant {
		return fn()
	}
	if _, err := t.Exec(ctx, sqlSetTenant, tenant); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	_, err := t.Exec(ctx, sqlSetTenant, t.tenant)
	return err
}

// boundNow returns the test's clock, or nil for the server's.
func (s *Store) boundNow() *time.Time {
	if s.clock == nil {
		return nil
	}
	now := s.clock()
	return &now
}

// row and exec put the schema into the statement.
func (t *tx) row(ctx context.Context, query string, args ...any) pgx.Row {
	return t.QueryRow(ctx, t.store.sql(query), args...)
}

func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := t.Exec(ctx, t.store.sql(query), args...)
	return tag.RowsAffected(), err
}

// after returns the clock plus d.
func (t *tx) after(d time.Duration) time.Time { return t.now.Add(d) }

// expiry returns when something that lasts d ends, or nil if d is unknown.
func (t *tx) expiry(d time.Duration) *time.Time {
	if d <= 0 {
		return nil
	}
	end := t.after(d)
	return &end
}

// rows runs a query and scans every row.
func rows[T any](ctx context.Context, t *tx, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	found, err := t.Query(ctx, t.store.sql(query), args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var all []T
	for found.Next() {
		one, err := scan(found)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, found.Err()
}

// get runs a query in a transaction of the tenant and scans its only row.
func get[T any](ctx context.Context, s *Store, op, tenant string, scan func(row) (T, error), query string, args ...any) (T, error) {
	var one T
	err := s.read(ctx, op, tenant, func(t *tx) error {
		var err error
		one, err = scan(t.row(ctx, query, args...))
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return one, nil
}

// list runs a query in a transaction of the tenant and scans every row.
func list[T any](ctx context.Context, s *Store, op, tenant string, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	var all []T
	err := s.read(ctx, op, tenant, func(t *tx) error {
		var err error
		all, err = rows(ctx, t, scan, query, args...)
		return err
	})
	return all, err
}

// shared returns the user id of the rows that owner sees beside its own: that of
// its organization's, which is empty, or nil, which equals nothing.
func shared(owner tokenvault.Owner) *string {
	if owner.OrganizationID == "" {
		return nil
	}
	return new(string)
}

// limited returns the limit of a page, within 1 and 1000.
func limited(page tokenvault.Page) int {
	const most = 1000
	if page.Limit < 1 || page.Limit > most {
		return most
	}
	return page.Limit
}
