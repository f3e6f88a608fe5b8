package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/postgres"
)

// A Database is a PostgreSQL database in place of the SQLite file. Its fields are
// part of [Config].
type Database struct {
	DatabaseURLFile   string `help:"File that holds the URL of a PostgreSQL database, such as postgres://user:password@host:5432/name, in place of the SQLite file. TOKENVAULT_DATABASE_URL takes its place." name:"database-url-file" type:"path" env:"TOKENVAULT_DATABASE_URL_FILE" group:"Storage"`
	DatabaseSchema    string `help:"PostgreSQL: schema of the vault's tables." default:"tokenvault" env:"TOKENVAULT_DATABASE_SCHEMA" group:"Storage"`
	DatabaseConns     int32  `help:"PostgreSQL: most connections of this process; 0 for 4, or as many as there are processors if these are more." name:"database-conns" default:"0" env:"TOKENVAULT_DATABASE_CONNS" group:"Storage"`
	DatabasePooler    bool   `help:"PostgreSQL: the URL leads to a pooler in transaction mode, such as PgBouncer. Name the server itself in TOKENVAULT_DATABASE_DIRECT_URL, for migrations and for listening." env:"TOKENVAULT_DATABASE_POOLER" group:"Storage"`
	DatabaseMigration string `help:"PostgreSQL: auto (the server brings the schema up to date when it starts) or off (it refuses to start: 'tokenvault migrate up' is run by somebody else)." name:"database-migration" enum:"auto,off" default:"auto" env:"TOKENVAULT_DATABASE_MIGRATION" group:"Storage"`

	// DatabaseURL and DatabaseDirectURL hold passwords. They are read from the
	// environment only: TOKENVAULT_DATABASE_URL and TOKENVAULT_DATABASE_DIRECT_URL.
	DatabaseURL       tokenvault.Secret `kong:"-"`
	DatabaseDirectURL tokenvault.Secret `kong:"-"`
}

// UsesPostgres reports whether the vault is in a PostgreSQL database.
func (d Database) UsesPostgres() bool { return !d.DatabaseURL.IsZero() || d.DatabaseURLFile != "" }

// url returns the database's URL.
func (d Database) url() (string, error) {
	if !d.DatabaseURL.IsZero() {
		return d.DatabaseURL.Reveal(), nil
	}
	text, err := os.ReadFile(d.DatabaseURLFile)
	if err != nil {
		return "", fmt.Errorf("database-url-file: %s cannot be read (%w): name a file that holds the database's URL", d.DatabaseURLFile, reason(err))
	}
	return strings.TrimSpace(string(text)), nil
}

// directURL returns the URL of the server itself.
func (d Database) directURL() (string, error) {
	if !d.DatabaseDirectURL.IsZero() {
		return d.DatabaseDirectURL.Reveal(), nil
	}
	return d.url()
}

func (d Database) migrateOptions(log *slog.Logger) *postgres.MigrateOptions {
	return &postgres.MigrateOptions{Schema: d.DatabaseSchema, Logger: log}
}

// Migrate brings the schema of the PostgreSQL database up to date. appRole is
// granted what the server needs, if it is not empty.
func Migrate(ctx context.Context, cfg Config, appRole string, log *slog.Logger) ([]postgres.Migration, error) {
	dsn, err := cfg.directURL()
	if err != nil {
		return nil, err
	}
	opts := cfg.migrateOptions(log)
	opts.AppRole = appRole
	return postgres.Migrate(ctx, dsn, opts)
}

// Migrations returns every step of the schema and when it was taken.
func Migrations(ctx context.Context, cfg Config) ([]postgres.Migration, error) {
	dsn, err := cfg.directURL()
	if err != nil {
		return nil, err
	}
	return postgres.Migrations(ctx, dsn, cfg.migrateOptions(nil))
}

func openPostgres(ctx context.Context, cfg Config, log *slog.Logger) (*postgres.Store, error) {
	dsn, err := cfg.url()
	if err != nil {
		return nil, err
	}
	if cfg.DatabaseMigration == "auto" {
		if _, err := Migrate(ctx, cfg, "", log); err != nil {
			return nil, err
		}
	}
	opts := &postgres.Options{Schema: cfg.DatabaseSchema, Pooler: cfg.DatabasePooler, MaxConns: cfg.DatabaseConns, Logger: log}
	if !cfg.DatabaseDirectURL.IsZero() {
		opts.ListenDSN = cfg.DatabaseDirectURL.Reveal()
	}
	return postgres.Open(ctx, dsn, opts)
}

// checkSharedKey refuses to go on without a root key: each replica would make one
// of its own, and read nothing of what the others store.
func checkSharedKey(cfg Config) error {
	if !cfg.UsesPostgres() || !cfg.RootKey.IsZero() {
		return nil
	}
	if _, err := os.Lstat(cfg.KeyPath()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("root key: %s does not exist, and is not created for a database that other servers may use: "+
			"give all of them one key, by TOKENVAULT_ROOT_KEY (32 random bytes in base64: 'openssl rand -base64 32') or --key-file", cfg.KeyPath())
	}
	return nil
}
