package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
)

// maxKept bounds the statements that a connection keeps. The store has fewer texts.
const maxKept = 256

// A keeper connects by a driver, and each of its connections keeps the statements
// that it has run: to parse and plan one takes longer than to run it.
type keeper struct {
	base driver.Driver
	name string // of the database, as the driver wants it
}

// Driver implements [driver.Connector].
func (k keeper) Driver() driver.Driver { return k.base }

// Connect implements [driver.Connector].
func (k keeper) Connect(context.Context) (driver.Conn, error) {
	conn, err := k.base.Open(k.name)
	if err != nil {
		return nil, err
	}
	whole, ok := conn.(wholeConn)
	if !ok {
		return nil, errors.Join(errors.New("the driver cannot do what the store needs"), conn.Close())
	}
	return &keepingConn{wholeConn: whole, kept: make(map[string]*keptStmt)}, nil
}

// wholeConn and wholeStmt are what the driver's connections and statements can do.
type (
	wholeConn interface {
		driver.Conn
		driver.ConnPrepareContext
		driver.ConnBeginTx
		driver.ExecerContext
		driver.QueryerContext
		driver.SessionResetter
		driver.Validator
	}
	wholeStmt interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}
)

// keepingConn is a connection. Like every connection of a driver it is used by one
// goroutine at a time.
type keepingConn struct {
	wholeConn
	kept map[string]*keptStmt
}

// A keptStmt is a statement that outlives its use.
type keptStmt struct {
	wholeStmt
	reading bool // its rows are open
}

// ExecContext implements [driver.ExecerContext].
func (c *keepingConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.wholeConn.ExecContext(ctx, text, args)
	}
	return s.ExecContext(ctx, args)
}

// QueryContext implements [driver.QueryerContext].
func (c *keepingConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.wholeConn.QueryContext(ctx, text, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.reading = true
	return keptRows{rows, s}, nil
}

// statement returns the kept statement of a text, or nil if the text is to be run
// without one.
func (c *keepingConn) statement(ctx context.Context, text string) (*keptStmt, error) {
	if s, ok := c.kept[text]; ok {
		if s.reading {
			return nil, nil //nolint:nilnil // somebody still reads its rows
		}
		return s, nil
	}
	if len(c.kept) >= maxKept || !keepable(text) {
		return nil, nil //nolint:nilnil // run once
	}
	prepared, err := c.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	whole, ok := prepared.(wholeStmt)
	if !ok {
		return nil, prepared.Close()
	}
	s := &keptStmt{wholeStmt: whole}
	c.kept[text] = s
	return s, nil
}

// keepable reports whether text is a statement that is run again and again, rather
// than one of a migration.
func keepable(text string) bool {
	verb, _, _ := strings.Cut(text, " ")
	switch verb {
	case "SELECT", "INSERT", "UPDATE", "DELETE":
		return !strings.Contains(text, ";")
	}
	return false
}

// Close closes the statements before their connection: SQLite counts one that has
// statements as open, and leaves the write-ahead log.
func (c *keepingConn) Close() error {
	var errs []error
	for _, s := range c.kept {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.wholeConn.Close())...)
}

// keptRows are the rows of a kept statement.
type keptRows struct {
	driver.Rows
	stmt *keptStmt
}

// Close lets the statement be used again.
func (r keptRows) Close() error {
	r.stmt.reading = false
	return r.Rows.Close()
}
