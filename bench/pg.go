package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ai-token-vault/tokenvault/internal/testpg"
	"github.com/ai-token-vault/tokenvault/store/postgres"
)

// A pool is a pool of connections that counts round trips and keeps the statement
// that was asked last.
type pool struct {
	*pgxpool.Pool
	dsn   string
	trips *atomic.Int64

	mu   sync.Mutex
	last statement
}

// newPool returns a pool as the store itself would make one.
func newPool(ctx context.Context, dsn string) (*pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	p := &pool{dsn: dsn, trips: &atomic.Int64{}}
	config.ConnConfig.Tracer = p
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return &tripConn{Conn: c, trips: p.trips}, err
	}
	p.Pool, err = pgxpool.NewWithConfig(ctx, config)
	return p, err
}

// TraceQueryStart implements [pgx.QueryTracer].
func (p *pool) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(data.SQL, "SELECT clock.now") {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.last = statement{text: data.SQL, args: data.Args}
	}
	return ctx
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (*pool) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A tripConn counts how often it is read from after it was written to.
type tripConn struct {
	net.Conn
	trips *atomic.Int64
	wrote atomic.Bool
}

// Write implements [net.Conn].
func (c *tripConn) Write(b []byte) (int, error) {
	c.wrote.Store(true)
	return c.Conn.Write(b)
}

// Read implements [net.Conn].
func (c *tripConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.wrote.Swap(false) {
		c.trips.Add(1)
	}
	return n, err
}

// pgBench measures on PostgreSQL.
type pgBench struct {
	*bench
	server *testpg.Server
	few    *seeded // 10,000 connections
	many   *seeded // a million, once grown
	grown  bool
}

const manyName = "many"

// serverSettings are those of the database under measure, beside PostgreSQL's
// defaults: commits are durable, and the rows of the hot set fit into memory.
func serverSettings() []string {
	return []string{"fsync=on", "shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=30min"}
}

func measurePostgres(ctx context.Context, b *bench) (err error) {
	p := &pgBench{bench: b}
	if p.server, err = testpg.New(serverSettings()...); err != nil {
		return err
	}
	defer p.server.Close()
	if err := p.fill(ctx); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	return b.runAll(ctx, []measure{
		{"counters", p.counters},
		{"library", p.library},
		{"scale", p.scale},
		{"wake", p.wake},
		{"hung", p.hung},
		{"http", p.http},
		{"size", p.size},
	})
}

// fill makes a database with 10,000 connections, and a copy of it that will have a
// million. Those of hotUsers were made by the vault; the others are copies of them
// under other names, which nobody opens.
func (p *pgBench) fill(ctx context.Context) error {
	dsn, err := p.server.NewDatabase(ctx)
	if err != nil {
		return err
	}
	if _, err := postgres.Migrate(ctx, dsn, nil); err != nil {
		return err
	}
	if err := p.seedHot(ctx, dsn); err != nil {
		return err
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return err
	}
	name, owner := strings.TrimPrefix(u.Path, "/"), u.User.Username()
	if err := p.add(ctx, name, fewRows-hotUsers); err != nil {
		return err
	}
	if err := p.exec(ctx, "postgres", "CREATE DATABASE "+manyName+" OWNER "+owner+" TEMPLATE "+name); err != nil {
		return err
	}
	if p.few, err = p.open(ctx, dsn); err != nil {
		return err
	}
	if err := p.few.makeKeys(ctx); err != nil {
		return err
	}
	u.Path = "/" + manyName
	p.many, err = p.open(ctx, u.String())
	return err
}

// add adds connections to a database.
func (p *pgBench) add(ctx context.Context, database string, n int) error {
	if err := p.exec(ctx, database, copies(n)); err != nil {
		return err
	}
	return p.exec(ctx, database, "VACUUM ANALYZE")
}

func (p *pgBench) data() string { return filepath.Join(p.dir, "pg") }

// open opens a database of the server, as a replica would.
func (p *pgBench) open(ctx context.Context, dsn string) (*seeded, error) {
	at, err := newPool(ctx, dsn)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, seedOptions{dir: p.data(), pg: at, others: slowProviders()})
	if err == nil {
		s.agent = agentOf(hotUser(0))
	}
	return s, err
}

// exec runs a statement as the superuser, who sees every tenant's rows.
func (p *pgBench) exec(ctx context.Context, database, text string) error {
	conn, err := pgx.Connect(ctx, p.server.Superuser(database))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, text)
	return errors.Join(err, conn.Close(ctx))
}

// ask is exec for a statement that answers with a row.
func (p *pgBench) ask(ctx context.Context, database, text string, dest ...any) error {
	conn, err := pgx.Connect(ctx, p.server.Superuser(database))
	if err != nil {
		return err
	}
	return errors.Join(conn.QueryRow(ctx, text).Scan(dest...), conn.Close(ctx))
}

// cpu returns what all processes of the database server have used.
func (p *pgBench) cpu() (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(p.server.Dir(), "data", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	main, err := strconv.Atoi(first)
	if err != nil {
		return 0, err
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, file := range stats {
		used, parent, err := processTimes(file)
		if err == nil && (parent == main || file == fmt.Sprintf("/proc/%d/stat", main)) {
			total += used
		}
	}
	return total, nil
}
