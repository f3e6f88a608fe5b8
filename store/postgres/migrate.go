package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is goose's, in the vault's schema.
const versionTable = "schema_versions"

// MigrateOptions configures [Migrate]. The zero MigrateOptions, like nil, works.
type MigrateOptions struct {
	Schema string // see [Options.Schema]
	// AppRole is the role that the server connects as, if it is another one than
	// the role that migrates. It is granted what the server needs, for which the role
	// that migrates needs CREATEROLE the first time.
	AppRole string
	// HostKeys asks for foreign keys to the host's own tables. Once made they stay,
	// whether they are asked for or not: see [DropHostKeys].
	HostKeys HostKeys
	// Logger receives what is done. Nil: nothing is logged.
	Logger *slog.Logger
}

// A Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string
	AppliedAt time.Time // zero if it is still to come
}

// Migrate creates the schema or brings it up to date, and returns the steps that
// it took. Only one caller does so at a time, under a lock of the session: dsn
// must lead to the server itself, not through a pooler in transaction mode. The
// role needs CREATEROLE the first time, to create {schema}_system.
//
// A step never changes what the binary of the version before needs, so that both
// run while replicas are replaced.
//
// Then it makes the host keys that are asked for and not there. Tables stay in use
// meanwhile: what has to lock one tries for half a second, for host keys two seconds,
// at a time.
func Migrate(ctx context.Context, dsn string, opts *MigrateOptions) ([]Migration, error) {
	var done []Migration
	err := withProvider(dsn, opts, func(db *sql.DB, p *goose.Provider, schema string) error {
		if _, err := db.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS `+pgx.Identifier{schema}.Sanitize()); err != nil {
			return err
		}
		results, err := up(ctx, p)
		if err != nil {
			return err
		}
		for _, r := range results {
			done = append(done, Migration{Version: r.Source.Version, Name: r.Source.Path, AppliedAt: time.Now()})
		}
		if err := grant(ctx, db, schema, opts); err != nil || opts == nil {
			return err
		}
		return makeHostKeys(ctx, db, schema, opts.HostKeys, opts.Logger)
	})
	return done, err
}

// stepLockMost is how long a step waits for a table. It is shorter than the time
// after which PostgreSQL looks for deadlocks: a step that holds a table, and waits for
// another, gives way before those who wait for it are failed.
const stepLockMost = "500ms"

// up takes the steps that are to come. One that cannot lock what it changes is undone
// and taken again.
func up(ctx context.Context, p *goose.Provider) (done []*goose.MigrationResult, err error) {
	err = patiently(ctx, func() error {
		results, err := p.Up(ctx)
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			results = partial.Applied
		}
		done = append(done, results...)
		return err
	})
	return done, err
}

// Migrations returns every step in order and when it was taken. It changes
// nothing.
func Migrations(ctx context.Context, dsn string, opts *MigrateOptions) ([]Migration, error) {
	var all []Migration
	err := withProvider(dsn, opts, func(db *sql.DB, p *goose.Provider, schema string) error {
		var begun bool
		table := pgx.Identifier{schema, versionTable}.Sanitize()
		if err := db.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, table).Scan(&begun); err != nil {
			return err
		}
		if !begun { // goose would create the table
			for _, source := range p.ListSources() {
				all = append(all, Migration{Version: source.Version, Name: source.Path})
			}
			return nil
		}
		steps, err := p.Status(ctx)
		for _, s := range steps {
			all = append(all, Migration{Version: s.Source.Version, Name: s.Source.Path, AppliedAt: s.AppliedAt})
		}
		return err
	})
	return all, err
}

func withProvider(dsn string, opts *MigrateOptions, use func(*sql.DB, *goose.Provider, string) error) error {
	if opts == nil {
		opts = &MigrateOptions{}
	}
	if _, err := prefixOf(opts.Schema); err != nil {
		return err
	}
	schema := opts.Schema
	if schema == "" {
		schema = DefaultSchema
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return errBadDSN
	}
	named(config)
	config.RuntimeParams["search_path"] = pgx.Identifier{schema}.Sanitize()
	config.RuntimeParams["lock_timeout"] = stepLockMost
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	provider, err := newProvider(db, opts.Logger)
	if err == nil {
		err = use(db, provider, schema)
	}
	if err != nil {
		return fmt.Errorf("postgres: migrate: %w", plain(err))
	}
	return nil
}

func newProvider(db *sql.DB, log *slog.Logger) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSlog(log), goose.WithTableName(versionTable),
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
}

// grant lets the server's role use the schema. What {schema}_system owns, only a
// member can grant: the migrating role is one for a moment, unless the server's role
// has what it needs.
func grant(ctx context.Context, db *sql.DB, schema string, opts *MigrateOptions) error {
	if opts == nil || opts.AppRole == "" {
		return nil
	}
	role, in, system := pgx.Identifier{opts.AppRole}.Sanitize(), pgx.Identifier{schema}.Sanitize(), pgx.Identifier{schema + "_system"}.Sanitize()
	var has bool
	var views string
	err := db.QueryRowContext(ctx, `SELECT NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = $2::regnamespace AND NOT has_function_privilege($1, oid, 'EXECUTE'))
			AND bool_and(has_table_privilege($1, oid, 'SELECT')), string_agg(oid::regclass::text, ', ')
		FROM pg_class WHERE relnamespace = $2::regnamespace AND relkind = 'v'`, opts.AppRole, in).Scan(&has, &views)
	if err != nil {
		return err
	}
	statements := []string{
		`GRANT USAGE ON SCHEMA ` + in + ` TO ` + role,
		`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ` + in + ` TO ` + role,
		`GRANT USAGE ON ALL SEQUENCES IN SCHEMA ` + in + ` TO ` + role,
	}
	if !has {
		statements = append(statements, `GRANT `+system+` TO CURRENT_USER`,
			`GRANT SELECT ON `+views+` TO `+role,
			`GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA `+in+` TO `+role,
			`REVOKE `+system+` FROM CURRENT_USER`)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, text := range statements {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// SQL returns the statements of all steps in order, for somebody who runs them by
// hand in a session of a role with CREATEROLE, and those of the host keys, whose
// types have to be given. It ends by noting the steps as taken.
func SQL(opts *MigrateOptions) (string, error) {
	if opts == nil {
		opts = &MigrateOptions{}
	}
	schema := opts.Schema
	if schema == "" {
		schema = DefaultSchema
	}
	if _, err := prefixOf(schema); err != nil {
		return "", err
	}
	keys, err := hostKeysSQL(schema, opts.HostKeys)
	if err != nil {
		return "", err
	}
	name := pgx.Identifier{schema}.Sanitize()
	files, err := fs.ReadDir(migrations, "migrations")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "BEGIN;\nCREATE SCHEMA IF NOT EXISTS %s;\nSET LOCAL search_path = %s;\n", name, name)
	_, _ = fmt.Fprintf(&b, "CREATE TABLE %s (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, version_id bigint NOT NULL,\n"+
		"    is_applied boolean NOT NULL, tstamp timestamp NOT NULL DEFAULT now());\nINSERT INTO %s (version_id, is_applied) VALUES (0, true);\n", versionTable, versionTable)
	for _, file := range files {
		text, err := fs.ReadFile(migrations, "migrations/"+file.Name())
		if err != nil {
			return "", err
		}
		version, err := goose.NumericComponent(file.Name())
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(&b, "\n-- %s\n%s\nINSERT INTO %s (version_id, is_applied) VALUES (%d, true);\n",
			file.Name(), annotations.ReplaceAllString(string(text), ""), versionTable, version)
	}
	b.WriteString(keys + "COMMIT;\n")
	return b.String(), nil
}

// annotations are goose's.
var annotations = regexp.MustCompile(`(?m)^-- \+goose .*\n`)

// newestMigration is the version that this binary knows.
func newestMigration() (int64, error) {
	files, err := fs.ReadDir(migrations, "migrations")
	if err != nil || len(files) == 0 {
		return 0, errors.New("postgres: no migrations are embedded")
	}
	return goose.NumericComponent(files[len(files)-1].Name())
}

// checkSchema refuses a schema that is missing, or older or newer than what this
// binary knows.
func (s *Store) checkSchema(ctx context.Context) error {
	known, err := newestMigration()
	if err != nil {
		return err
	}
	var version int64
	err = s.pool.QueryRow(ctx, s.sql(`SELECT coalesce(max(version_id), 0) FROM tv.`+versionTable)).Scan(&version)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && (e.Code == codeNoTable || e.Code == codeNoSchema) {
		return errors.New("postgres: the vault's schema does not exist yet: run 'tokenvault migrate up'")
	}
	if err != nil {
		return s.wrap("open", err)
	}
	if version < known {
		return fmt.Errorf("postgres: the schema has version %d and this binary needs %d: run 'tokenvault migrate up'", version, known)
	}
	if version > known {
		s.log.Info("the schema is newer than this binary: it goes on while replicas are replaced",
			slog.Int64("version", version), slog.Int64("known", known))
	}
	return nil
}

// Bypass reports whether the role that the store connects as is bound by no
// row-level security: it is a superuser or has BYPASSRLS. A transaction that forgot
// its tenant would then see every tenant's rows.
func (s *Store) Bypass(ctx context.Context) (bool, error) {
	var bypasses bool
	err := s.pool.QueryRow(ctx, `SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user`).Scan(&bypasses)
	return bypasses, s.wrap("read role", err)
}
