package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/ai-token-vault/tokenvault/server"
	"github.com/ai-token-vault/tokenvault/store/postgres"
)

type migrateCmd struct {
	Status migrateStatusCmd `cmd:"" help:"List the steps of the schema, when each was taken, and the foreign keys to the host's tables."`
	Up     migrateUpCmd     `cmd:"" help:"Bring the schema up to date."`
	Plan   migratePlanCmd   `cmd:"" help:"List the steps that 'up' would take."`
	SQL    migrateSQLCmd    `cmd:"" name:"sql" help:"Print the statements of all steps, for somebody who runs them by hand."`
	Drop   migrateDropCmd   `cmd:"" name:"drop-keys" help:"Remove the foreign keys to the host's tables."`
}

// Help says for which store there is something to migrate.
func (migrateCmd) Help() string {
	return `For a vault in a PostgreSQL database: the SQLite file is migrated whenever it is
opened. A step never changes what the version before needs, so that servers can
be replaced one after the other.

The role that migrates needs CREATEROLE the first time. If the server connects as
another role, name that with 'up --app-role', and set database-migration: off
for the server.

With --user-table and --organization-table, 'up' makes foreign keys to the host's
tables. They stay until 'drop-keys', whether they are configured or not.`
}

// needsPostgres refuses what has no meaning for the SQLite file.
func needsPostgres(cfg server.Config) error {
	if cfg.UsesPostgres() {
		return nil
	}
	return errors.New("no PostgreSQL database is configured: set TOKENVAULT_DATABASE_URL or --database-url-file (the SQLite file is migrated whenever it is opened)")
}

type migrateStatusCmd struct{}

// Run prints a table.
func (migrateStatusCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	if err := needsPostgres(cfg); err != nil {
		return err
	}
	steps, err := server.Migrations(ctx, cfg)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "VERSION\tSTEP\tTAKEN")
	for _, s := range steps {
		taken := "to come"
		if !s.AppliedAt.IsZero() {
			taken = s.AppliedAt.UTC().Format(time.RFC3339)
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\n", s.Version, s.Name, taken)
	}
	keys, err := server.HostKeys(ctx, cfg)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w, "\nKEY OF\tREFERENCES\tSTATE")
	for _, k := range keys {
		state := "in force"
		if !k.Ready {
			state = "begun: run 'tokenvault migrate up'"
		}
		_, _ = fmt.Fprintf(w, "%ss\t%s\t%s\n", k.Of, k.Key, state)
	}
	if len(keys) == 0 {
		_, _ = fmt.Fprintln(w, "(none)")
	}
	return w.Flush()
}

type migrateUpCmd struct {
	AppRole string `help:"Role that the server connects as, if it is not the one that migrates: it is granted what the server needs."`
}

// Run migrates and prints the steps taken.
func (cmd migrateUpCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	if err := needsPostgres(cfg); err != nil {
		return err
	}
	keys, err := server.PendingHostKeys(ctx, cfg)
	if err != nil {
		return err
	}
	steps, err := server.Migrate(ctx, cfg, cmd.AppRole, server.NewLogger(std.err, "warn", cfg.LogFormat))
	if err != nil {
		return err
	}
	for _, s := range steps {
		_, _ = fmt.Fprintf(std.out, "Took step %d (%s)\n", s.Version, s.Name)
	}
	for _, k := range keys {
		_, _ = fmt.Fprintf(std.out, "Made the key of %ss to %s\n", k.Of, k.Key)
	}
	_, err = fmt.Fprintln(std.out, "The schema is up to date")
	return err
}

type migratePlanCmd struct{}

// Run prints the steps to come.
func (migratePlanCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	if err := needsPostgres(cfg); err != nil {
		return err
	}
	steps, err := server.Migrations(ctx, cfg)
	if err != nil {
		return err
	}
	toCome := 0
	for _, s := range steps {
		if s.AppliedAt.IsZero() {
			toCome++
			_, _ = fmt.Fprintf(std.out, "Step %d (%s)\n", s.Version, s.Name)
		}
	}
	keys, err := server.PendingHostKeys(ctx, cfg)
	for _, k := range keys {
		_, _ = fmt.Fprintf(std.out, "Key of %ss to %s\n", k.Of, k.Key)
	}
	if err == nil {
		_, err = fmt.Fprintln(std.out, counted(toCome, "step")+" and "+counted(len(keys), "key")+" to come")
	}
	return err
}

type migrateSQLCmd struct{}

// Run prints the statements. No database is needed.
func (migrateSQLCmd) Run(cfg server.Config, std streams) error {
	text, err := postgres.SQL(&postgres.MigrateOptions{Schema: cfg.DatabaseSchema, HostKeys: cfg.HostKeys()})
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(std.out, text)
	return err
}

type migrateDropCmd struct{}

// Help says what stays.
func (migrateDropCmd) Help() string {
	return `Deletes no row, neither here nor in the host's tables. To change a key, drop it and
run 'up' with the new one. Configured keys have to leave the configuration first,
or the next start of a server makes them again.`
}

// Run removes the keys.
func (migrateDropCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	if err := needsPostgres(cfg); err != nil {
		return err
	}
	if err := server.DropHostKeys(ctx, cfg); err != nil {
		return err
	}
	_, err := fmt.Fprintln(std.out, "There are no keys to the host's tables any more")
	return err
}
