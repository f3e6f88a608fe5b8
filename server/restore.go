package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/postgres"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
)

// Backup writes a consistent copy of the database to a new file. The root key is
// not in it.
func (o *Opened) Backup(ctx context.Context, path string) error {
	if o.sqlite == nil {
		return errors.New("the vault is in a PostgreSQL database: back that up with its own tools, such as pg_dump or pg_basebackup")
	}
	err := o.sqlite.Backup(ctx, path)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already: name a new file", path)
	}
	return err
}

// Restored tells what a restore did.
type Restored struct {
	// Kept is where the SQLite database of before is now; empty if there was none.
	Kept string
	// Uncertain is how many connections are tried once and, if their provider has
	// moved on since the backup, ask their owner to connect again.
	Uncertain int64
	// Unreadable is how many records of the backup cannot be read.
	Unreadable int
}

// Restore puts a backup in the place of the database. Everything is checked before:
// nobody has the database open, the file is whole and not of a newer version, and
// the root key opens its data keys. Every connection in it is marked uncertain, so
// that a refresh token which may have been spent since is sent at most once.
func Restore(ctx context.Context, cfg Config, file string, log *slog.Logger) (done Restored, err error) {
	if cfg.UsesPostgres() {
		return done, errors.New("the vault is in a PostgreSQL database: restore that with its own tools, then run 'tokenvault restore --database'")
	}
	if _, err := os.Lstat(cfg.KeyPath()); cfg.RootKey.IsZero() && err != nil {
		return done, fmt.Errorf("key-file: %s cannot be found (%w): put the root key of the backup there first", cfg.KeyPath(), reason(err))
	}
	if err := checkBackup(ctx, file); err != nil {
		return done, err
	}
	if _, err := checkDataDir(cfg.DataDir); err != nil {
		return done, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return done, cannotCreate(cfg.DataDir, err)
	}
	release, err := sqlite.Exclude(cfg.DatabasePath())
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, release()) }()

	copied := cfg.DatabasePath() + ".restoring"
	defer removeDatabase(copied)
	removeDatabase(copied) // of a restore that was killed
	if err := copyFile(file, copied); err != nil {
		return done, fmt.Errorf("restore: %w", err)
	}
	if done, err = prepare(ctx, cfg, copied, log); err != nil {
		return done, err
	}
	done.Kept, err = sqlite.Replace(cfg.DatabasePath(), copied)
	return done, err
}

// RestoreDatabase makes a PostgreSQL database fit to be served that its own tools
// have taken back to an earlier time. It proves that the root key opens it, brings
// its schema up to date unless that is somebody else's, and marks every connection
// of every tenant uncertain, as [Restore] does. It fails with
// [tokenvault.ErrConflict] while servers or commands are connected, unless force is
// set.
func RestoreDatabase(ctx context.Context, cfg Config, force bool, log *slog.Logger) (done Restored, err error) {
	if !cfg.UsesPostgres() {
		return done, errors.New("no PostgreSQL database is configured: set TOKENVAULT_DATABASE_URL or --database-url-file, or name the file of a SQLite backup")
	}
	if err := checkSharedKey(cfg); err != nil {
		return done, err
	}
	dsn, err := cfg.directURL()
	if err != nil {
		return done, err
	}
	sessions, err := postgres.Sessions(ctx, dsn)
	switch {
	case err != nil:
		return done, err
	case sessions > 0 && !force:
		return done, fmt.Errorf("the database is in use, by sessions named tokenvault (%d): stop every server and command on it first, "+
			"or say --force if these are a pooler's: %w", sessions, tokenvault.ErrConflict)
	}
	store, err := openPostgres(ctx, cfg, log)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if done.Unreadable, err = proveKey(ctx, cfg, store, log); err != nil {
		return done, err
	}
	done.Uncertain, err = store.MarkUncertain(ctx, restoredEvent(cfg))
	return done, err
}

func restoredEvent(cfg Config) tokenvault.Event {
	return tokenvault.Event{Kind: tokenvault.EventRestored, Tenant: cfg.Tenant, ActorKind: tokenvault.ActorAdmin, ActorID: "operator"}
}

// checkBackup refuses what is not a backup: also a database that is in use, whose
// newest commits are in another file.
func checkBackup(ctx context.Context, file string) error {
	if info, err := os.Stat(file); err != nil {
		return fmt.Errorf("%s cannot be read (%w): name a file that 'tokenvault backup' wrote", file, reason(err))
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file: name one that 'tokenvault backup' wrote", file)
	}
	if log, err := os.Stat(file + "-wal"); err == nil && log.Size() > 0 {
		return fmt.Errorf("%s is a database in use, not a backup: name a file that 'tokenvault backup' wrote", file)
	}
	return sqlite.Check(ctx, file)
}

func removeDatabase(path string) {
	for _, suffix := range []string{"", "-wal", "-shm", ".lock", ".use"} {
		_ = os.Remove(path + suffix) // what is not there need not be removed
	}
}

// copyFile copies a file to a new one for its owner alone, durably.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // in the data directory
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// prepare brings a copy up to date, proves that the root key opens it, and marks
// what is in it.
func prepare(ctx context.Context, cfg Config, path string, log *slog.Logger) (done Restored, err error) {
	store, err := sqlite.Open(ctx, path, &sqlite.Options{Logger: log})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if done.Unreadable, err = proveKey(ctx, cfg, store, log); err != nil {
		return done, err
	}
	done.Uncertain, err = store.MarkUncertain(ctx, restoredEvent(cfg))
	return done, err
}

// proveKey opens all that is sealed, and returns how many records cannot be read.
func proveKey(ctx context.Context, cfg Config, store tokenvault.Store, log *slog.Logger) (unreadable int, err error) {
	keys, _, err := keyring.Load(cfg.KeyPath(), cfg.RootKey, cfg.OldRootKey, true)
	if err != nil {
		return 0, err
	}
	catalog, err := tokenvault.NewCatalog()
	if err != nil {
		return 0, err
	}
	v, err := tokenvault.New(store, keys, catalog, &tokenvault.Options{Tenant: cfg.Tenant, Logger: log})
	if err != nil {
		return 0, otherKey(err)
	}
	defer func() { err = errors.Join(err, v.Close(ctx)) }()
	o := &Opened{Vault: v}
	found, err := v.VerifySealed(ctx, o.Admin())
	for _, u := range found.Unreadable {
		if u.Table == "data_key" {
			return 0, otherKey(fmt.Errorf("data key %s: %w", u.ID, tokenvault.ErrUnsealable))
		}
	}
	return len(found.Unreadable), err
}

// otherKey says what to do about a backup that was sealed with another root key.
func otherKey(err error) error {
	if !errors.Is(err, tokenvault.ErrUnsealable) {
		return err
	}
	return fmt.Errorf("the root key does not open the backup: restore the key file of that time first, and see 'tokenvault key retire --help': %w", err)
}
