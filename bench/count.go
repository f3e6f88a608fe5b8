package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ai-token-vault/tokenvault"
)

const countingDriver = "sqlite-counting"

// A tally counts what a database is asked.
type tally struct {
	mu                       sync.Mutex
	selects, others, commits int
	text                     string // of the last SELECT
	args                     []driver.NamedValue
}

func (n *tally) add(text string, args []driver.NamedValue) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if strings.HasPrefix(text, "SELECT") {
		n.selects++
		n.text, n.args = text, args
		return
	}
	n.others++
}

// take returns the counts and begins anew.
func (n *tally) take() (selects, others, commits int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	selects, others, commits = n.selects, n.others, n.commits
	n.selects, n.others, n.commits = 0, 0, 0
	return selects, others, commits
}

// registerCounting registers a driver that counts for n and is else the store's.
func registerCounting(n *tally) error {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	sql.Register(countingDriver, countedDriver{db.Driver(), n})
	return db.Close()
}

type countedDriver struct {
	driver.Driver
	n *tally
}

func (d countedDriver) Open(name string) (driver.Conn, error) {
	c, err := d.Driver.Open(name)
	if err != nil {
		return nil, err
	}
	full, ok := c.(fullConn)
	if !ok {
		return nil, errors.New("the driver's connection has another form than expected")
	}
	return countedConn{full, d.n}, nil
}

// fullConn is what the driver's connections can do.
type fullConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

type countedConn struct {
	fullConn
	n *tally
}

func (c countedConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	c.n.add(text, args)
	return c.fullConn.ExecContext(ctx, text, args)
}

func (c countedConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	c.n.add(text, args)
	return c.fullConn.QueryContext(ctx, text, args)
}

func (c countedConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	s, err := c.fullConn.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	full, ok := s.(fullStmt)
	if !ok {
		return nil, errors.New("the driver's statement has another form than expected")
	}
	return countedStmt{full, text, c.n}, nil
}

func (c countedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	t, err := c.fullConn.BeginTx(ctx, opts)
	return countedTx{t, c.n}, err
}

// fullStmt is what the driver's statements can do.
type fullStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type countedStmt struct {
	fullStmt
	text string
	n    *tally
}

func (s countedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.n.add(s.text, args)
	return s.fullStmt.ExecContext(ctx, args)
}

func (s countedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.n.add(s.text, args)
	return s.fullStmt.QueryContext(ctx, args)
}

type countedTx struct {
	driver.Tx
	n *tally
}

func (t countedTx) Commit() error {
	t.n.mu.Lock()
	t.n.commits++
	t.n.mu.Unlock()
	return t.Tx.Commit()
}

// A warm is what warm resolves cost in all.
type warm struct {
	resolves                 int
	selects, others, commits int // without audit
	auditCommits             int // with audit, one caller
	providerCalls            int64
	statement                *statement // that a resolve runs
}

// A statement is what the floor runs.
type statement struct {
	text string
	args []any
}

const countedResolves = 100

// countWarm counts what warm resolves ask of the database and of the provider.
func countWarm(ctx context.Context, dir string) (w warm, err error) {
	n := &tally{}
	if err := registerCounting(n); err != nil {
		return w, err
	}
	s, err := seed(ctx, seedOptions{dir: dir, driver: countingDriver})
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	w.resolves = countedResolves
	silent, err := s.newVault(tokenvault.AuditOff)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, silent.Close(ctx)) }()
	if err := s.resolve(ctx, silent); err != nil { // opens the data key
		return w, err
	}
	n.take()
	for range countedResolves {
		if err := s.resolve(ctx, silent); err != nil {
			return w, err
		}
	}
	w.selects, w.others, w.commits = n.take()
	w.statement = &statement{text: n.text}
	for _, arg := range n.args {
		w.statement.args = append(w.statement.args, arg.Value)
	}
	for range countedResolves {
		if err := s.resolve(ctx, s.vault); err != nil {
			return w, err
		}
	}
	_, _, w.auditCommits = n.take()
	w.providerCalls = s.flow.refreshes.Load()
	return w, nil
}

func (b *bench) counters(ctx context.Context) ([]result, error) {
	w, err := countWarm(ctx, filepath.Join(b.dir, "counted"))
	if err != nil {
		return nil, err
	}
	b.statement = w.statement
	per := func(n int) float64 { return float64(n) / float64(w.resolves) }
	return []result{
		{name: "warm_resolve_selects", ratio: per(w.selects), goal: 1, detail: "SELECT statements per resolve"},
		{name: "warm_resolve_other_statements", ratio: per(w.others + w.commits), goal: 0, detail: "other statements and commits per resolve, without audit"},
		{name: "warm_resolve_audit_commits", ratio: per(w.auditCommits), goal: 1, detail: "commits per resolve of one caller, with audit"},
		{name: "warm_resolve_provider_calls", ratio: per(int(w.providerCalls)), goal: 0, detail: fmt.Sprintf("calls in %d resolves", 2*w.resolves)},
	}, nil
}
