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

	UserTable          string `help:"PostgreSQL: the host application's table of users in the same database, such as auth.users. Rows of owners then have a foreign key to it." env:"TOKENVAULT_USER_TABLE" group:"Storage"`
	UserColumn         string `help:"PostgreSQL: column of user-table with the users' ids, its primary key or unique. Default: id." env:"TOKENVAULT_USER_COLUMN" group:"Storage"`
	UserType           string `help:"PostgreSQL: type of user-column: uuid, text or bigint. Default: what it is." enum:",uuid,text,bigint" default:"" env:"TOKENVAULT_USER_TYPE" group:"Storage"`
	OrganizationTable  string `help:"PostgreSQL: the same for organizations." env:"TOKENVAULT_ORGANIZATION_TABLE" group:"Storage"`
	OrganizationColumn string `help:"PostgreSQL: column of organization-table. Default: id." env:"TOKENVAULT_ORGANIZATION_COLUMN" group:"Storage"`
	OrganizationType   string `help:"PostgreSQL: type of organization-column: uuid, text or bigint. Default: what it is." enum:",uuid,text,bigint" default:"" env:"TOKENVAULT_ORGANIZATION_TYPE" group:"Storage"`
	OnDelete           string `help:"PostgreSQL: what the host's deletion of a user or an organization does: restrict (it is refused until 'tokenvault owner delete' or DeleteOwner was called) or cascade (access ends at once, and a server deletes the rest and ends the grants). Default: restrict." enum:",restrict,cascade" default:"" env:"TOKENVAULT_ON_DELETE" group:"Storage"`

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
	return &postgres.MigrateOptions{Schema: d.DatabaseSchema, HostKeys: d.HostKeys(), Logger: log}
}

// HostKeys returns the foreign keys to the host's tables that are asked for.
func (d Database) HostKeys() (keys postgres.HostKeys) {
	key := func(table, column, typ string) *postgres.HostKey {
		if table == "" {
			return nil
		}
		return &postgres.HostKey{Table: table, Column: column, Type: postgres.KeyType(typ), OnDelete: postgres.OnDelete(d.OnDelete)}
	}
	keys.User = key(d.UserTable, d.UserColumn, d.UserType)
	keys.Organization = key(d.OrganizationTable, d.OrganizationColumn, d.OrganizationType)
	return keys
}

// validateDatabase refuses what is malformed and settings without effect.
func (d Database) validateDatabase() error {
	for _, s := range []struct{ key, value, needs, set string }{
		{"user-column", d.UserColumn, "user-table", d.UserTable},
		{"user-type", d.UserType, "user-table", d.UserTable},
		{"organization-column", d.OrganizationColumn, "organization-table", d.OrganizationTable},
		{"organization-type", d.OrganizationType, "organization-table", d.OrganizationTable},
		{"on-delete", d.OnDelete, "user-table or organization-table", d.UserTable + d.OrganizationTable},
	} {
		if s.value != "" && s.set == "" {
			return fmt.Errorf("%s: has no effect without %s: set that too, or leave it out", s.key, s.needs)
		}
	}
	return d.HostKeys().Validate()
}

// Migrate brings the schema of the PostgreSQL database up to date, and makes the
// foreign keys to the host's tables that are configured. appRole is
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

// HostKeys returns the foreign keys to the host's tables that the database has.
func HostKeys(ctx context.Context, cfg Config) ([]postgres.HostKeyState, error) {
	dsn, err := cfg.directURL()
	if err != nil {
		return nil, err
	}
	return postgres.ListHostKeys(ctx, dsn, cfg.migrateOptions(nil))
}

// PendingHostKeys returns the configured ones that it does not have.
func PendingHostKeys(ctx context.Context, cfg Config) ([]postgres.HostKeyState, error) {
	dsn, err := cfg.directURL()
	if err != nil {
		return nil, err
	}
	return postgres.PendingHostKeys(ctx, dsn, cfg.migrateOptions(nil))
}

// DropHostKeys removes the foreign keys to the host's tables.
func DropHostKeys(ctx context.Context, cfg Config) error {
	dsn, err := cfg.directURL()
	if err != nil {
		return err
	}
	return postgres.DropHostKeys(ctx, dsn, cfg.migrateOptions(nil))
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
	opts := &postgres.Options{Schema: cfg.DatabaseSchema, Pooler: cfg.DatabasePooler, MaxConns: cfg.DatabaseConns, HostKeys: cfg.HostKeys(), Logger: log}
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
