package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ai-token-vault/tokenvault/server"
)

type backupCmd struct {
	File string `arg:"" type:"path" help:"File to write. It must not exist."`
}

// Help says what is in the file and what is not.
func (backupCmd) Help() string {
	return `Writes the database as it is at one moment to a new file that only you can read.
The server may run. What is in it stays sealed, and the root key is not in it:
back the key file up too, at another place.`
}

// Run writes the backup.
func (cmd backupCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		if err := o.Backup(ctx, cmd.File); err != nil {
			return err
		}
		_, err := fmt.Fprintf(std.out, "Wrote %s. The root key is not in it: back it up apart from this file\n", cmd.File)
		return err
	})
}

type restoreCmd struct {
	File     string `arg:"" optional:"" type:"path" help:"A file that 'tokenvault backup' wrote."`
	Database bool   `help:"Instead of a file: the PostgreSQL database was restored by its own tools. Make it fit to be served."`
	Force    bool   `help:"With --database: although sessions named tokenvault are connected, such as a pooler's idle ones."`
}

// Help says what is checked and what becomes of connections.
func (restoreCmd) Help() string {
	return `Puts a backup in the place of the database. Stop the server first. The file, its
version and the root key are checked before anything is replaced, and the
database of before is kept beside it.

Every connection is marked uncertain: a provider may have replaced its refresh
token after the backup. It is tried once; if the provider refuses it, the owner
is asked to connect again, with the reason lost_response. What was revoked,
withdrawn or deleted after the backup is back: do it again.

A PostgreSQL database is restored with its own tools, from a dump or to a point
in time. Then run 'tokenvault restore --database', before any server starts: it
checks the root key and marks the connections of every tenant.`
}

// Run restores and says what follows.
func (cmd restoreCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	if err := cmd.check(); err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	log, what := server.NewLogger(std.err, "warn", cfg.LogFormat), cfg.DatabasePath()
	var done server.Restored
	var err error
	if cmd.Database {
		what = "the PostgreSQL database, schema " + cfg.DatabaseSchema
		done, err = server.RestoreDatabase(ctx, cfg, cmd.Force, log)
	} else {
		done, err = server.Restore(ctx, cfg, cmd.File, log)
	}
	if err != nil {
		return err
	}
	return tellRestored(std, what, done)
}

func (cmd restoreCmd) check() error {
	switch {
	case cmd.Database && cmd.File != "":
		return errors.New("restore: name a file or say --database, not both: a PostgreSQL database is restored by its own tools before")
	case !cmd.Database && cmd.File == "":
		return errors.New("restore: name a file that 'tokenvault backup' wrote, or say --database for a PostgreSQL database that its own tools restored")
	case cmd.Force && !cmd.Database:
		return errors.New("--force: is for --database only: leave it out")
	}
	return nil
}

func tellRestored(std streams, what string, done server.Restored) error {
	_, _ = fmt.Fprintf(std.out, "Restored %s\n", what)
	if done.Kept != "" {
		_, _ = fmt.Fprintf(std.out, "The database of before is kept as %s\n", done.Kept)
	}
	if done.Unreadable > 0 {
		_, _ = fmt.Fprintf(std.out, "%s cannot be read: 'tokenvault key verify' names them\n", counted(done.Unreadable, "record"))
	}
	_, err := fmt.Fprintf(std.out, "%s will be tried once at the next refresh. What was revoked, withdrawn or deleted after the backup is back: do it again\n",
		counted(int(done.Uncertain), "connection"))
	return err
}
