package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/server"
)

// keyYear is after which a data key should be rotated.
const keyYear = 365 * 24 * time.Hour

type keyCmd struct {
	List   keyListCmd   `cmd:"" help:"List root keys and data keys, and how many records each data key seals."`
	Verify keyVerifyCmd `cmd:"" help:"Open everything that is sealed, and name what cannot be read."`
	Rotate keyRotateCmd `cmd:"" help:"Replace the root key or the data keys."`
	Retire keyRetireCmd `cmd:"" help:"Remove an old root key from the key file."`
}

type keyListCmd struct{}

// Run prints a table of root keys and one of data keys.
func (keyListCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		uses, err := o.Vault.DataKeys(ctx, o.Admin())
		if err != nil {
			return err
		}
		wraps := map[uint32]int{}
		for _, use := range uses {
			wraps[wrappedBy(use)]++
		}
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ROOT KEY\tSTATE\tDATA KEYS")
		for _, key := range o.Keyring.Keys() {
			_, _ = fmt.Fprintf(w, "%d\t%s\t%d\n", key.ID, map[bool]string{true: "primary", false: "decrypt-only"}[key.Primary], wraps[key.ID])
		}
		_, _ = fmt.Fprintln(w)
		_ = w.Flush()
		_, _ = fmt.Fprintln(w, "TENANT\tSPACE\tVERSION\tCREATED\tROOT KEY\tRECORDS")
		for _, use := range uses {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%d\n",
				use.Tenant, use.Space, use.Version, use.CreatedAt.Format(time.DateOnly), wrappedBy(use), use.Records)
		}
		return w.Flush()
	})
}

// wrappedBy returns the id of the root key that seals a data key; 0 if that cannot
// be told.
func wrappedBy(use tokenvault.DataKeyUse) uint32 {
	id, err := keyring.KeyID(use.Wrapped)
	if err != nil {
		return 0
	}
	return id
}

type keyVerifyCmd struct{}

// Help says what the exit status means.
func (keyVerifyCmd) Help() string {
	return `Opens every data key, every sealed record and every spooled credential, prints
the table and the id of each that cannot be read, and exits with status 1 if
there is one. It changes nothing. The server may run beside it.`
}

// Run prints a line for each record that cannot be read.
func (keyVerifyCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		found, err := o.Vault.VerifySealed(ctx, o.Admin())
		if err != nil {
			return err
		}
		for _, u := range found.Unreadable {
			_, _ = fmt.Fprintf(std.out, "FAIL  %s %s of tenant %s cannot be read with data key %s/%d\n", u.Table, u.ID, u.Tenant, u.KeySpace, u.KeyVersion)
		}
		if n := len(found.Unreadable); n > 0 {
			return &checksError{n}
		}
		if !found.Oldest.IsZero() && time.Since(found.Oldest) > keyYear {
			_, _ = fmt.Fprintf(std.out, "note  a data key is in use since %s: run 'tokenvault key rotate data' once a year\n", found.Oldest.Format(time.DateOnly))
		}
		_, err = fmt.Fprintf(std.out, "ok    %s and %s can be read\n", counted(found.DataKeys, "data key"), counted(found.Records, "sealed record"))
		return err
	})
}

type keyRetireCmd struct {
	ID uint32 `arg:"" help:"Id of the root key, from 'tokenvault key list'."`
}

// Help says what is lost.
func (keyRetireCmd) Help() string {
	return `Removes an old root key from the key file. It is refused while a data key is
sealed by it. Backups of the database that were made before it was replaced
cannot be read afterwards: delete them first, or keep a copy of the key file.`
}

// Run removes the key if nothing needs it.
func (cmd keyRetireCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		if o.Keyring.FromEnvironment() {
			return errors.New("the root key comes from the environment: remove TOKENVAULT_ROOT_KEY_OLD once 'tokenvault key list' shows no data key under it")
		}
		uses, err := o.Vault.DataKeys(ctx, o.Admin())
		if err != nil {
			return err
		}
		needed := 0
		for _, use := range uses {
			if id := wrappedBy(use); id == cmd.ID || id == 0 {
				needed++
			}
		}
		if needed == 0 {
			err = o.Keyring.Retire(ctx, cmd.ID)
		}
		switch {
		case needed > 0, errors.Is(err, tokenvault.ErrConflict):
			return fmt.Errorf("root key %d is in use (%s): run 'tokenvault key rotate root' first", cmd.ID, counted(needed, "data key"))
		case errors.Is(err, tokenvault.ErrNotFound):
			return fmt.Errorf("the key file has no root key %d: see 'tokenvault key list'", cmd.ID)
		case err != nil:
			return err
		}
		_, err = fmt.Fprintf(std.out, "Removed root key %d from %s\n", cmd.ID, cfg.KeyPath())
		return err
	})
}
