package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/server"
)

type ownerCmd struct {
	Delete ownerDeleteCmd `cmd:"" help:"Delete all that belongs to a user or an organization."`
}

type ownerDeleteCmd struct {
	User         string `help:"The user. Without --organization: everywhere in the tenant."`
	Organization string `help:"The organization; with --user only that member's part of it."`
	Yes          bool   `help:"Do not ask."`
}

// Help says what goes and what stays.
func (ownerDeleteCmd) Help() string {
	return `Deletes connections, auth requests, permissions and the API keys that act for the
owner, and ends the grants at the providers in the background: a server has to
run for that. With an organization its members' rows in it and its apps go too,
and its data key is destroyed, so that what older backups hold of its rows cannot
be read with the database of today.

Audit entries stay. If the command is stopped, run it again: deleting twice is no
error.`
}

// Run asks for the id once more, unless told not to, and deletes.
func (cmd ownerDeleteCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	if cmd.User == "" && cmd.Organization == "" {
		return errors.New("--user, --organization: name whom to delete")
	}
	if !cmd.Yes {
		if err := cmd.confirm(std); err != nil {
			return err
		}
	}
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		err := o.Vault.DeleteOwner(ctx, o.Admin(), tokenvault.Owner{UserID: cmd.User, OrganizationID: cmd.Organization})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(std.out, "Deleted %s\n", cmd.whom())
		return err
	})
}

func (cmd ownerDeleteCmd) whom() string {
	switch {
	case cmd.Organization == "":
		return "user " + cmd.User
	case cmd.User == "":
		return "organization " + cmd.Organization
	}
	return "user " + cmd.User + " in organization " + cmd.Organization
}

func (cmd ownerDeleteCmd) confirm(std streams) error {
	id := cmd.User
	if id == "" {
		id = cmd.Organization
	}
	_, _ = fmt.Fprintf(std.err, "This deletes all credentials of %s. Type %s to go on: ", cmd.whom(), id)
	line, err := bufio.NewReader(std.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("standard input: %w", err)
	}
	if strings.TrimSpace(line) != id {
		return errors.New("nothing was deleted: type the id, or use --yes")
	}
	return nil
}
