package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks the files of this package ("tkvt"). The first migration
// sets it.
const applicationID = 0x746b7674

// migrate brings the schema up to date. The caller holds the file lock, since
// goose has none for SQLite, and has checked that the file is ours.
func (s *Store) migrate(ctx context.Context) error {
	provider, err := s.goose(s.writer)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func (s *Store) goose(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithSlog(s.log), goose.WithDisableGlobalRegistry(true))
}

// checkSchema refuses the database of another program and a schema that is newer
// than what this binary knows, and reports whether the schema is up to date. Its
// connection cannot write, not even to change the journal mode.
func (s *Store) checkSchema(ctx context.Context) (current bool, err error) {
	db, err := s.openPool(1, "mode=ro&_pragma=busy_timeout(10000)&_dqs=0&_defensive=1")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := s.goose(db)
	if err != nil {
		return false, err
	}
	sources := provider.ListSources()
	applied, err := checkVersion(ctx, db, sources[len(sources)-1].Version)
	return applied == int64(len(sources)), err
}

// checkVersion returns how many migrations were applied.
func checkVersion(ctx context.Context, db *sql.DB, known int64) (applied int64, err error) {
	var id, tables, versioned, version int64
	err = db.QueryRowContext(ctx, `
		SELECT (SELECT application_id FROM pragma_application_id), count(*), coalesce(sum(name = ?), 0)
		FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`, goose.DefaultTablename,
	).Scan(&id, &tables, &versioned)
	if err != nil {
		return 0, err
	}
	if versioned > 0 {
		err = db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0), count(DISTINCT nullif(version_id, 0)) FROM `+goose.DefaultTablename).
			Scan(&version, &applied)
		if err != nil {
			return 0, err
		}
	}
	switch fresh := version == 0 && tables == versioned; {
	case !fresh && id != applicationID:
		return 0, errors.New("the file is the database of another program: choose another path")
	case version > known:
		return 0, fmt.Errorf("the database has schema version %d and this binary knows versions up to %d: upgrade the binary", version, known)
	}
	return applied, nil
}
