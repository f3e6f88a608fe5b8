package sqlite

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// sqlNow is the store's clock: the caller's, if one is bound to it, else the
// database's. It is the first parameter of a statement that reads the clock
// itself.
const sqlNow = `coalesce(?1, CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000)`

// boundNow returns what is bound to [sqlNow].
func (s *Store) boundNow() any {
	if s.clock == nil {
		return nil
	}
	return s.clock().UnixMicro()
}

// A tx is a write transaction. It holds the write lock of the file.
type tx struct {
	*sql.Tx
	store *Store
	now   int64 // the store's clock, read once the lock was held
	audit auditEnd
}

// write runs fn in one transaction, which is committed if fn succeeds. Errors
// are in the words of the contract: see wrap.
func (s *Store) write(ctx context.Context, op string, fn func(t *tx) error) error {
	return s.wrap(op, s.transact(ctx, fn))
}

func (s *Store) transact(ctx context.Context, fn func(t *tx) error) error {
	sqlTx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = sqlTx.Rollback() }() // does nothing after Commit
	t := &tx{Tx: sqlTx, store: s}
	if err := t.readClock(ctx); err != nil {
		return err
	}
	if err := fn(t); err != nil {
		return err
	}
	return sqlTx.Commit()
}

func (t *tx) readClock(ctx context.Context) error {
	if t.store.clock != nil {
		t.now = t.store.clock().UnixMicro()
		return nil
	}
	return t.QueryRowContext(ctx, `SELECT `+sqlNow, nil).Scan(&t.now)
}

// The statements of a transaction are not canceled one by one: the transaction is,
// as a whole, and watching the context of each would cost more than to run it.

// ExecContext runs a statement.
func (t *tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.Tx.ExecContext(context.WithoutCancel(ctx), query, args...)
}

// QueryContext runs a statement that returns rows.
func (t *tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.Tx.QueryContext(context.WithoutCancel(ctx), query, args...)
}

// QueryRowContext runs a statement that returns one row.
func (t *tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return t.Tx.QueryRowContext(context.WithoutCancel(ctx), query, args...)
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := t.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// after returns the clock plus d.
func (t *tx) after(d time.Duration) int64 { return t.now + d.Microseconds() }

// expiry returns when something that lasts d ends, or 0 if d is unknown.
func (t *tx) expiry(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return t.after(d)
}

// shared returns the user id of the rows that owner sees beside its own: that of
// its organization's, which is empty, or NULL, which equals nothing.
func shared(owner tokenvault.Owner) any {
	if owner.OrganizationID == "" {
		return nil
	}
	return ""
}

// limited returns the limit of a page, within 1 and 1000.
func limited(page tokenvault.Page) int {
	const most = 1000
	if page.Limit < 1 || page.Limit > most {
		return most
	}
	return page.Limit
}

// emptyLog moves the write-ahead log into the file and cuts it to nothing, so
// that what was erased is not left in it. Readers of other processes may be in
// the way; the log is then emptied by a later call or when the file is closed.
func (s *Store) emptyLog(ctx context.Context) {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	// Not canceled halfway, and not in the way of writers for long.
	ctx = context.WithoutCancel(ctx)
	defer func() { _, _ = conn.ExecContext(ctx, `PRAGMA busy_timeout = 10000`) }()
	var busy, inLog, moved int64
	if _, err = conn.ExecContext(ctx, `PRAGMA busy_timeout = 250`); err == nil {
		err = conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &inLog, &moved)
	}
	if err != nil || busy != 0 {
		s.log.Warn("the write-ahead log is not emptied now: it will be later", slog.String("path", s.path), slog.Any("error", err))
	}
}
