package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/filelock"
)

// Backup writes the database as it is at one moment to a new file, for its owner
// alone, while other processes read and write it. It returns once the file is
// durable, and never replaces one.
func (s *Store) Backup(ctx context.Context, path string) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator chooses the path
	if err != nil {
		return fmt.Errorf("sqlite: backup: %w", err)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if _, err := s.writer.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return s.wrap("backup", err)
	}
	if err := errors.Join(file.Sync(), syncDir(path)); err != nil {
		return fmt.Errorf("sqlite: backup: %w", err)
	}
	return nil
}

// syncDir makes the name of a file durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Check reports whether a file is a whole database of this package. It changes
// nothing.
func Check(ctx context.Context, path string) (err error) {
	s := &Store{driver: "sqlite", log: slog.New(slog.DiscardHandler)}
	if s.path, err = absolute(path); err != nil {
		return err
	}
	if _, err := s.checkSchema(ctx); err != nil {
		return s.openError(err)
	}
	db, err := s.openPool(1, "mode=ro&_dqs=0&_defensive=1")
	if err != nil {
		return s.openError(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'connections'`).Scan(&tables); err != nil {
		return s.openError(err)
	}
	if tables == 0 {
		return fmt.Errorf("sqlite: %s holds nothing: name a file that 'tokenvault backup' wrote", s.path)
	}
	return s.checkIntegrity(ctx, db)
}

func (s *Store) checkIntegrity(ctx context.Context, db *sql.DB) error {
	var first string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&first); err != nil {
		return s.openError(err)
	}
	var broken int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM pragma_foreign_key_check`).Scan(&broken); err != nil {
		return s.openError(err)
	}
	if first != "ok" || broken > 0 {
		return fmt.Errorf("sqlite: %s is damaged: use another backup", s.path)
	}
	return nil
}

// restoredFence is more turns than any connection takes: no turn after a restore
// has the number of one that came after the backup.
const restoredFence = 1_000_000_000

const sqlMarkAll = `UPDATE connections SET marked = 1, uncertain = 0, lease_until = 0, fence = fence + ?
	WHERE status = 'active' AND sealed IS NOT NULL`

// MarkUncertain makes the next refresh of every connection an uncertain one, since
// what a backup holds may have been spent after it was made. It returns how many
// connections there are.
func (s *Store) MarkUncertain(ctx context.Context, event tokenvault.Event) (marked int64, err error) {
	err = s.write(ctx, "mark uncertain", func(t *tx) error {
		if marked, err = t.exec(ctx, sqlMarkAll, restoredFence); err != nil {
			return err
		}
		return t.appendEvents(ctx, event)
	})
	return marked, err
}

// Exclude keeps every process from opening the database at path until release is
// called. It fails with [tokenvault.ErrConflict] if one has it open.
func Exclude(path string) (release func() error, err error) {
	s := &Store{path: path}
	use, err := s.openOrCreate(path + useSuffix)
	if err != nil {
		return nil, err
	}
	locked, err := filelock.Try(use)
	if err == nil && !locked {
		err = fmt.Errorf("sqlite: %s is in use: stop the server and every command on it first: %w", path, tokenvault.ErrConflict)
	}
	if err != nil {
		return nil, errors.Join(err, use.Close())
	}
	return use.Close, nil // closing unlocks
}

// useSuffix names the file that is locked together by all who have a database open.
const useSuffix = ".use"

func (s *Store) lockUse() error {
	use, err := s.openOrCreate(s.path + useSuffix)
	if err != nil {
		return err
	}
	locked, err := filelock.TryShared(use)
	if err == nil && !locked {
		err = fmt.Errorf("sqlite: %s is being restored: try again after that: %w", s.path, tokenvault.ErrUnavailable)
	}
	if err != nil {
		return errors.Join(err, use.Close())
	}
	s.use = use
	return nil
}

// Replace puts the closed database at with in the place of the one at path, which
// the caller has excluded others from, and returns the name under which that is
// kept; empty if there was none. A crash leaves one of the two in place.
func Replace(path, with string) (kept string, err error) {
	if _, err := os.Lstat(path); err == nil {
		kept = path + ".replaced-" + time.Now().UTC().Format("20060102T150405Z")
		if err := keepAside(path, kept); err != nil {
			return "", fmt.Errorf("sqlite: %s cannot be kept aside: %w", path, err)
		}
	}
	if err := os.Rename(with, path); err != nil {
		return "", fmt.Errorf("sqlite: replace %s: %w", path, err)
	}
	if err := syncDir(path); err != nil {
		return "", fmt.Errorf("sqlite: replace %s: %w", path, err)
	}
	return kept, nil
}

// keepAside gives the database at path a second name. Its write-ahead log goes
// there too: what is left at path would be applied to the next database.
func keepAside(path, kept string) error {
	if err := os.Link(path, kept); err != nil {
		return err
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Rename(path+suffix, kept+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
