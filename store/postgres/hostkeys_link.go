package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3/lock"
)

const (
	lockTries  = 15              // how often a change of a table in use is tried
	lockMost   = "2s"            // and how long each try keeps others waiting
	lockPause  = 2 * time.Second // between two tries
	linkBatch  = 1000            // rows that are filled in one transaction
	linkPolicy = "of_host_keys"  // lets the migrating session see the rows of all tenants
)

// A linker makes or drops host keys, in one session under goose's lock. Each step
// can be taken again: what is stopped is begun anew.
type linker struct {
	linking
	conn *sql.Conn
	log  *slog.Logger
}

// withLinker runs use with the keys that are recorded.
func withLinker(ctx context.Context, db *sql.DB, schema string, log *slog.Logger, use func(*linker) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	if err := locker.SessionLock(ctx, conn); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, locker.SessionUnlock(context.WithoutCancel(ctx), conn)) }()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := &linker{linking: linkingIn(schema), conn: conn, log: log}
	if l.keys, err = recordedKeys(ctx, conn, l.prefix); err != nil {
		return err
	}
	return use(l)
}

// A querier is a *sql.DB or a *sql.Conn.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// recordedKeys reads the keys that were made, or were begun. There are none before
// there is a table of them.
func recordedKeys(ctx context.Context, q querier, prefix string) (map[keyKind]hostKey, error) {
	rows, err := q.QueryContext(ctx, `SELECT kind, host_schema, host_table, host_column, type, on_delete, ready FROM `+prefix+`host_keys`)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && (e.Code == codeNoTable || e.Code == codeNoSchema) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	keys := make(map[keyKind]hostKey)
	for rows.Next() {
		var kind keyKind
		var k hostKey
		if err := rows.Scan(&kind, &k.schema, &k.table, &k.column, &k.typ, &k.onDelete, &k.ready); err != nil {
			return nil, err
		}
		keys[kind] = k
	}
	return keys, rows.Err()
}

// differs refuses to put a key in the place of another.
func differs(kind keyKind, recorded hostKey) error {
	return fmt.Errorf("the key of %ss leads to %s: to change it, run 'tokenvault migrate drop-keys' and then 'tokenvault migrate up' with the new one", kind, recorded)
}

// link makes the keys that are asked for and not there.
func (l *linker) link(ctx context.Context, wanted HostKeys) error {
	kinds, asked, err := wanted.asked()
	if err != nil {
		return err
	}
	var todo []keyKind
	for _, kind := range kinds {
		recorded, there := l.keys[kind]
		if there && !asked[kind].same(recorded) {
			return differs(kind, recorded)
		}
		if there && recorded.ready {
			continue
		}
		key, err := l.lookUp(ctx, kind, asked[kind])
		if err != nil {
			return err
		}
		todo = append(todo, kind)
		l.keys[kind] = key
	}
	if len(todo) == 0 {
		return nil
	}
	for _, kind := range todo {
		if err := l.checkOwners(ctx, kind); err != nil {
			return err
		}
	}
	return l.make(ctx, todo)
}

func (l *linker) make(ctx context.Context, todo []keyKind) error {
	first := l.parsers()
	for _, kind := range todo {
		l.log.Info("making a key to a table of the host's", slog.String("of", string(kind)), slog.String("references", l.keys[kind].String()))
		first = append(first, l.record(kind, false))
	}
	if err := l.change(ctx, first...); err != nil {
		return err
	}
	for _, t := range l.tables() {
		if err := l.makeFor(ctx, t); err != nil {
			return err
		}
	}
	if err := l.fillAll(ctx); err != nil {
		return err
	}
	for _, t := range l.tables() {
		for _, key := range l.foreignKeys(t) {
			if err := l.exec(ctx, key.validate); err != nil {
				return l.explained(err)
			}
		}
	}
	for _, kind := range todo {
		if err := l.exec(ctx, l.record(kind, true)); err != nil {
			return err
		}
	}
	return nil
}

// makeFor adds to a table what holds for its new rows. Indexes come before keys:
// without them a deletion of the host's would read the whole table.
func (l *linker) makeFor(ctx context.Context, t keyedTable) error {
	statements := append(l.install(t), l.sql(`DROP POLICY IF EXISTS %s ON tv.%s`, linkPolicy, t.name),
		l.sql(`CREATE POLICY %s ON tv.%s TO CURRENT_USER USING (current_setting('tokenvault.linking', true) = 'on')`, linkPolicy, t.name))
	if err := l.change(ctx, statements...); err != nil {
		return err
	}
	for _, index := range l.indexes(t, "CONCURRENTLY") {
		if err := l.makeIndex(ctx, index); err != nil {
			return err
		}
	}
	for _, key := range l.foreignKeys(t) {
		there, err := l.is(ctx, `SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1::regclass AND conname = $2)`, l.prefix+key.table, key.name)
		if err != nil {
			return err
		}
		if !there {
			if err := l.change(ctx, key.add); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeIndex makes an index while the table is written. One that was stopped is
// there, and of no use.
func (l *linker) makeIndex(ctx context.Context, index indexed) error {
	broken, err := l.is(ctx, `SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid)`, l.prefix+index.name)
	if err != nil {
		return err
	}
	if broken {
		if err := l.exec(ctx, `DROP INDEX CONCURRENTLY `+l.prefix+index.name); err != nil {
			return err
		}
	}
	return l.exec(ctx, index.create)
}

// fillAll fills the new columns of the rows that were there before, of all
// tenants. The planner thinks little of what a policy lets through, and would read
// the whole table for each batch.
func (l *linker) fillAll(ctx context.Context) (err error) {
	scans := []string{"enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_sort"}
	defer func() {
		for _, name := range append(scans, "tokenvault.linking") {
			err = errors.Join(err, l.exec(context.WithoutCancel(ctx), `RESET `+name))
		}
	}()
	for _, name := range scans {
		if err := l.exec(ctx, `SET `+name+` = off`); err != nil {
			return err
		}
	}
	if err := l.exec(ctx, `SET tokenvault.linking = 'on'`); err != nil {
		return err
	}
	for _, t := range l.tables() {
		if err := l.fill(ctx, t); err != nil {
			return l.explained(err)
		}
		if err := l.change(ctx, l.sql(`DROP POLICY %s ON tv.%s`, linkPolicy, t.name)); err != nil {
			return err
		}
	}
	return nil
}

// fill goes through a table in the order of its ids. A row that is written
// meanwhile fills itself.
func (l *linker) fill(ctx context.Context, t keyedTable) error {
	id := "id"
	if t.name == "data_keys" {
		id = "space"
	}
	var need []string
	for _, r := range l.refs(t) {
		if r.from == "space" {
			need = append(need, `space LIKE 'org:%' AND length(wrapped) > 0 AND organization_ref IS NULL`)
			continue
		}
		need = append(need, fmt.Sprintf("%s <> '' AND %s IS NULL", r.from, r.column))
	}
	from := l.refs(t)[0].from
	query := l.sql(`WITH batch AS MATERIALIZED (
			SELECT tenant AS of_tenant, %[1]s AS of_id FROM tv.%[2]s WHERE (tenant, %[1]s) > ($1, $2) ORDER BY tenant, %[1]s LIMIT %[3]d),
		filled AS (UPDATE tv.%[2]s SET %[4]s = %[4]s FROM batch WHERE tenant = of_tenant AND %[1]s = of_id AND (`, id, t.name, linkBatch, from) +
		strings.Join(need, " OR ") + `))
		SELECT (max(ARRAY[of_tenant, of_id]))[1], (max(ARRAY[of_tenant, of_id]))[2] FROM batch`
	for tenant, after := "", ""; ; {
		var toTenant, to sql.NullString
		if err := l.conn.QueryRowContext(ctx, query, tenant, after).Scan(&toTenant, &to); err != nil || !to.Valid {
			return err
		}
		tenant, after = toTenant.String, to.String
	}
}

// explained says what to do about rows that have no user or organization.
func (l *linker) explained(err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || e.Code != codeForeignKey && e.Code != codeBadText {
		return err
	}
	return errors.New("the vault has rows of users or organizations that the host's tables do not have: " + howToMend)
}

const howToMend = "put them there, or delete them with 'tokenvault owner delete', and run this again ('tokenvault migrate drop-keys' gives it up)"

// drop removes all keys.
func (l *linker) drop(ctx context.Context) error {
	for _, t := range keyedTables() {
		statements := append(l.unlink(t), l.sql(`DROP POLICY IF EXISTS %s ON tv.%s`, linkPolicy, t.name))
		if err := l.change(ctx, statements...); err != nil {
			return err
		}
	}
	return l.change(ctx, l.sql(`DROP FUNCTION IF EXISTS tv.host_user(text)`), l.sql(`DROP FUNCTION IF EXISTS tv.host_organization(text)`),
		l.sql(`DELETE FROM tv.host_keys`))
}

// change runs statements in one transaction that changes tables. It gives up soon
// if somebody holds one, so that nobody has to wait behind it, and tries again.
func (l *linker) change(ctx context.Context, statements ...string) error {
	return patiently(ctx, func() error { return l.once(ctx, statements) })
}

// patiently runs fn, which locks tables, again while others use them.
func patiently(ctx context.Context, fn func() error) error {
	var err error
	for try := range lockTries {
		if try > 0 {
			select {
			case <-time.After(lockPause):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		err = fn()
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != codeLockTimeout && e.Code != codeDeadlock {
			return err
		}
	}
	return fmt.Errorf("a table is in use by long transactions, try again when they are over: %w", plain(err))
}

func (l *linker) once(ctx context.Context, statements []string) error {
	tx, err := l.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `SET LOCAL lock_timeout = '`+lockMost+`'`); err != nil {
		return err
	}
	for _, text := range statements {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (l *linker) exec(ctx context.Context, text string) error {
	_, err := l.conn.ExecContext(ctx, text)
	return err
}

func (l *linker) is(ctx context.Context, query string, args ...any) (yes bool, err error) {
	err = l.conn.QueryRowContext(ctx, query, args...).Scan(&yes)
	return yes, err
}
