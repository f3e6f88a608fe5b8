package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/server"
)

type apiKeyCmd struct {
	Create apiKeyCreateCmd `cmd:"" help:"Create a key and print it once."`
	List   apiKeyListCmd   `cmd:"" help:"List keys."`
	Revoke apiKeyRevokeCmd `cmd:"" help:"End a key at once."`
}

type apiKeyCreateCmd struct {
	Name         string        `arg:"" help:"What the key is for, such as mail-agent. Users see it on the confirm page."`
	Kind         string        `help:"agent (acts for one owner), backend (names the owner in each call) or admin." enum:"agent,backend,admin" default:"agent"`
	User         string        `help:"Agent keys: the user that the agent acts for. In mode local: local."`
	Organization string        `help:"Organization of the owner, or to which a backend or admin key is confined."`
	TTL          time.Duration `help:"How long the key is valid. Default: until revoked." name:"ttl"`
}

// Run prints the key alone on standard output, so that it can be piped.
func (cmd apiKeyCreateCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	if cmd.Kind == "agent" && cmd.User == "" && cmd.Organization == "" {
		return errors.New("--user: an agent key acts for one owner: name the user (--user local in mode local) or the --organization")
	}
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		key, text, err := o.Vault.CreateAPIKey(ctx, o.Admin(), tokenvault.APIKeyInput{
			Name: cmd.Name, Kind: tokenvault.ActorKind(cmd.Kind), TTL: cmd.TTL,
			Owner: tokenvault.Owner{OrganizationID: cmd.Organization, UserID: cmd.User},
		})
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(std.err, "Created key %s. It is shown this once:\n", key.ID)
		_, err = fmt.Fprintln(std.out, text.Reveal())
		return err
	})
}

type apiKeyListCmd struct{}

// Run prints a table of all keys.
func (apiKeyListCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ID\tNAME\tKIND\tUSER\tORGANIZATION\tSTATE")
		var page tokenvault.Page
		for {
			keys, err := o.Vault.APIKeys(ctx, o.Admin(), page)
			if err != nil {
				return err
			}
			for _, k := range keys {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Kind, k.Owner.UserID, k.Owner.OrganizationID, keyState(k))
				page.After = k.ID
			}
			if len(keys) == 0 {
				return w.Flush()
			}
		}
	})
}

func keyState(k tokenvault.APIKey) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked " + k.RevokedAt.Format(time.DateOnly)
	case !k.ExpiresAt.IsZero() && time.Now().After(k.ExpiresAt):
		return "expired " + k.ExpiresAt.Format(time.DateOnly)
	case !k.ExpiresAt.IsZero():
		return "until " + k.ExpiresAt.Format(time.DateOnly)
	}
	return "in force"
}

type apiKeyRevokeCmd struct {
	ID string `arg:"" help:"Id of the key, from the list."`
}

// Run revokes the key.
func (cmd apiKeyRevokeCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		err := o.Vault.RevokeAPIKey(ctx, o.Admin(), cmd.ID)
		if errors.Is(err, tokenvault.ErrNotFound) {
			return fmt.Errorf("no key in force has the id %q: see 'tokenvault apikey list'", cmd.ID)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(std.out, "Revoked")
		return err
	})
}
