package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/server"
)

type keyRotateCmd struct {
	Root keyRotateRootCmd `cmd:"" help:"Add a root key, and seal every data key again with it."`
	Data keyRotateDataCmd `cmd:"" help:"Make new data keys, and seal every record again with them."`
}

type keyRotateRootCmd struct{}

// Help says how it goes on.
func (keyRotateRootCmd) Help() string {
	return `Adds a primary root key to the key file and seals every data key again with it.
The server may run: it notices the key file within five seconds. If the command
is stopped, run it again: it goes on where it was.

The old root key stays in the file, since backups of the database need it.
Remove it with 'tokenvault key retire' when no such backup is kept any more.

With TOKENVAULT_ROOT_KEY there is no key file: put the key in use into
TOKENVAULT_ROOT_KEY_OLD and a new one ('openssl rand -base64 32') into
TOKENVAULT_ROOT_KEY, restart all servers with both, run this command with both,
then remove TOKENVAULT_ROOT_KEY_OLD.`
}

// Run adds a key unless an earlier run has begun, and seals all data keys again.
func (keyRotateRootCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		begun, err := rotationBegun(ctx, o)
		if err != nil {
			return err
		}
		if !begun {
			id, err := o.Keyring.Rotate(ctx)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(std.out, "Added root key %d to %s: back the file up now, without it stored credentials cannot be read\n", id, cfg.KeyPath())
		}
		n, err := o.Vault.RewrapDataKeys(ctx, o.Admin(), tell(std.out))
		if err != nil {
			return fmt.Errorf("stopped after %s: run the command again: %w", counted(n, "data key"), err)
		}
		_, err = fmt.Fprintf(std.out, "Sealed %s again\n", counted(n, "data key"))
		return err
	})
}

// rotationBegun reports whether some data key waits to be sealed by the primary
// root key, as after a run that was stopped. Keys of the environment are begun by
// setting them.
func rotationBegun(ctx context.Context, o *server.Opened) (begun bool, err error) {
	if o.Keyring.FromEnvironment() {
		return len(o.Keyring.Keys()) > 1, nil
	}
	uses, err := o.Vault.DataKeys(ctx, o.Admin())
	for _, use := range uses {
		begun = begun || o.Keyring.Outdated(use.Wrapped)
	}
	return begun, err
}

type keyRotateDataCmd struct {
	Organization string        `help:"Rotate only the data key of this organization."`
	MinAge       time.Duration `help:"Leave out data keys that are younger, such as those that a run which was stopped has made." default:"1h"`
}

// Help says how it goes on.
func (keyRotateDataCmd) Help() string {
	return `Makes a new data key for every key space, seals every record again under it, and
deletes the old one. The server may run: credentials are released and refreshed
meanwhile. If the command is stopped, run it again: it goes on where it was.

The old data keys of the tenant's own space stay: API keys, sessions and the
audit log refer to them.`
}

// Run rotates and says what was done.
func (cmd keyRotateDataCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		done, err := o.Vault.RotateDataKeys(ctx, o.Admin(), tokenvault.DataKeyRotation{
			OrganizationID: cmd.Organization, MinAge: cmd.MinAge, Report: tell(std.out),
		})
		switch {
		case errors.Is(err, tokenvault.ErrNotFound) && cmd.Organization != "":
			return fmt.Errorf("organization %q has no data key: see 'tokenvault key list'", cmd.Organization)
		case err != nil:
			return fmt.Errorf("stopped after %s: run the command again: %w", counted(done.Resealed, "record"), err)
		case done == tokenvault.RotatedKeys{}:
			_, err = fmt.Fprintf(std.out, "Nothing to do: every data key is younger than --min-age %s\n", cmd.MinAge)
			return err
		case done.Kept > 0:
			return fmt.Errorf("%s cannot be deleted, since a record under it cannot be read: 'tokenvault key verify' names it", counted(done.Kept, "old data key"))
		}
		_, err = fmt.Fprintf(std.out, "Made %s, sealed %s again, deleted %s\n",
			counted(done.Created, "data key"), counted(done.Resealed, "record"), counted(done.Deleted, "old data key"))
		return err
	})
}

// tell prints each step of a rotation as it begins, and how far it is once a
// second.
func tell(w io.Writer) tokenvault.Progress {
	var last tokenvault.RotationStep
	var at time.Time
	return func(step tokenvault.RotationStep, done int) {
		if step == last && (step == tokenvault.StepWait || time.Since(at) < time.Second) {
			return
		}
		last, at = step, time.Now()
		switch step {
		case tokenvault.StepRewrap:
			_, _ = fmt.Fprintf(w, "%s sealed again\n", counted(done, "data key"))
		case tokenvault.StepCreate:
			_, _ = fmt.Fprintf(w, "%s made\n", counted(done, "data key"))
		case tokenvault.StepReseal:
			_, _ = fmt.Fprintf(w, "%s sealed again\n", counted(done, "record"))
		case tokenvault.StepWait:
			_, _ = fmt.Fprintln(w, "Waiting until no process uses the old keys")
		case tokenvault.StepDelete:
			_, _ = fmt.Fprintf(w, "%s deleted\n", counted(done, "old data key"))
		}
	}
}
