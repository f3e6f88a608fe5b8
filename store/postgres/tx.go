package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// sqlBegin binds the transaction to a tenant and reads the clock.
	sqlBegin = `SELECT set_config('tokenvault.tenant', $1, true), coalesce($2::timestamptz, clock_timestamp()), 0`
	// sqlBeginWrite gives the transaction its number too. A commit is durable
	// whatever the session's default says.
	sqlBeginWrite = `SELECT set_config('tokenvault.tenant', $1, true) || set_config('synchronous_commit', 'on', true),
		coalesce($2::timestamptz, clock_timestamp()), pg_current_xact_id()::text::bigint`
	sqlSetTenant = `SELECT set_config('tokenvault.tenant', $1, true)`
)

// tries is how often a transaction that gave way to another is begun.
const tries = 5

// A tx is a transaction of one tenant.
type tx struct {
	pgx.Tx
	store  *Store
	tenant string
	now    time.Time // the store's clock, read when the transaction began

	xid     int64                 // the transaction's number, if it writes
	written int                   // audit entries
	held    map[string]*heldChain // by tenant
}

// write runs fn in one transaction of the tenant, which is committed if fn
// succeeds. fn is run again if the transaction had to give way to another. Errors
// are in the words of the contract: see wrap.
func (s *Store) write(ctx context.Context, op, tenant string, fn func(t *tx) error) error {
	return s.wrap(op, s.transact(ctx, tenant, pgx.TxOptions{}, fn))
}

// read is write for what changes nothing.
func (s *Store) read(ctx context.Context, op, tenant string, fn func(t *tx) error) error {
	return s.wrap(op, s.transact(ctx, tenant, pgx.TxOptions{AccessMode: pgx.ReadOnly}, fn))
}

func (s *Store) transact(ctx context.Context, tenant string, opts pgx.TxOptions, fn func(t *tx) error) error {
	if s.closed.Load() {
		return errClosed
	}
	var err error
	for range tries {
		if err = s.once(ctx, tenant, opts, fn); !again(err) {
			return err
		}
	}
	return err
}

func (s *Store) once(ctx context.Context, tenant string, opts pgx.TxOptions, fn func(t *tx) error) error {
	begun, err := s.begin(ctx, opts)
	if err != nil {
		return err
	}
	t, how := &tx{Tx: begun, store: s, tenant: tenant}, rolledBack
	defer func() { t.release(how) }()
	// Not the caller's context: one that is over would leave the connection in the
	// transaction, to be thrown away.
	defer func() { _ = begun.Rollback(context.WithoutCancel(ctx)) }() // does nothing after Commit
	query := sqlBeginWrite
	if opts.AccessMode == pgx.ReadOnly {
		query = sqlBegin
	}
	if err := t.QueryRow(ctx, query, tenant, s.boundNow()).Scan(nil, &t.now, &t.xid); err != nil {
		return err
	}
	t.now = t.now.UTC()
	if err := fn(t); err != nil {
		return err
	}
	err = begun.Commit(ctx)
	switch _, said := errors.AsType[*pgconn.PgError](err); {
	case err == nil:
		how = committed
	case !said && !errors.Is(err, pgx.ErrTxCommitRollback):
		how = unknown
	}
	return err
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

// begin begins a transaction, once more on another connection if the first was
// found dead before anything was sent: that is safe, and what follows a failover.
func (s *Store) begin(ctx context.Context, opts pgx.TxOptions) (pgx.Tx, error) {
	begun, err := s.pool.BeginTx(ctx, opts)
	if err != nil && ctx.Err() == nil && (pgconn.SafeToRetry(err) || errors.Is(err, pgx.ErrTxClosed)) {
		return s.pool.BeginTx(ctx, opts)
	}
	return begun, err
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
