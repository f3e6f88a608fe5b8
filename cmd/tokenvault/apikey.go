package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/server"
)

type apiKeyCmd struct {
	Create apiKeyCreateCmd `cmd:"" help:"Create a key and print it once."`
	List   apiKeyListCmd   `cmd:"" help:"List keys, with what they open and when they were used last."`
	Rotate apiKeyRotateCmd `cmd:"" help:"Replace a key by one with the same rights, and print that once."`
	Revoke apiKeyRevokeCmd `cmd:"" help:"End a key at once."`
}

type apiKeyCreateCmd struct {
	Name         string        `arg:"" help:"What the key is for, such as mail-agent. Users see it on the confirm page."`
	Kind         string        `help:"agent (acts for one owner), backend (names the owner in each call) or admin." enum:"agent,backend,admin" default:"agent"`
	User         string        `help:"Agent keys: the user that the agent acts for. In mode local: local."`
	Organization string        `help:"Organization of the owner, or to which a backend or admin key is confined."`
	Scopes       []string      `help:"What the key opens. An agent's: auth_requests, connections, permissions, providers, resolve. A back end's: these, act_for and sessions. An administrator's: apps, audit, jobs, keys, owners, providers, webhooks. Default: all of its kind."`
	TTL          time.Duration `help:"How long the key is valid. Default: until revoked." name:"ttl"`
}

// Run prints the key alone on standard output, so that it can be piped.
func (cmd apiKeyCreateCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	if cmd.Kind == "agent" && cmd.User == "" && cmd.Organization == "" {
		return errors.New("--user: an agent key acts for one owner: name the user (--user local in mode local) or the --organization")
	}
	var scopes []tokenvault.KeyScope
	for _, name := range cmd.Scopes {
		scopes = append(scopes, tokenvault.KeyScope(name))
	}
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		key, text, err := o.Vault.CreateAPIKey(ctx, o.Admin(), tokenvault.APIKeyInput{
			Name: cmd.Name, Kind: tokenvault.ActorKind(cmd.Kind), Scopes: scopes, TTL: cmd.TTL,
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
		_, _ = fmt.Fprintln(w, "ID\tNAME\tKIND\tUSER\tORGANIZATION\tSCOPES\tLAST USED\tSTATE")
		var page tokenvault.Page
		for {
			keys, err := o.Vault.APIKeys(ctx, o.Admin(), page)
			if err != nil {
				return err
			}
			for _, k := range keys {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Kind, k.Owner.UserID, k.Owner.OrganizationID,
					keyScopes(k), lastUsed(k), keyState(k))
				page.After = k.ID
			}
			if len(keys) == 0 {
				return w.Flush()
			}
		}
	})
}

// keyScopes is what the key opens, in short.
func keyScopes(k tokenvault.APIKey) string {
	if k.Scopes == tokenvault.ScopesOf(k.Kind) {
		return "all"
	}
	return strings.ReplaceAll(string(k.Scopes), " ", ",")
}

func lastUsed(k tokenvault.APIKey) string {
	if k.LastUsedAt.IsZero() {
		return "never"
	}
	return k.LastUsedAt.Format("2006-01-02 15:04")
}

func keyState(k tokenvault.APIKey) string {
	ends := k.Ends()
	switch k.State(time.Now()) {
	case tokenvault.KeyRevoked:
		return "revoked " + ends.Format(time.DateOnly)
	case tokenvault.KeyExpired:
		return "expired " + ends.Format(time.DateOnly)
	case tokenvault.KeyActive:
	}
	switch {
	case ends.IsZero():
		return "in force"
	case ends.Equal(k.RevokedAt): // it was rotated
		return "until " + ends.Format("2006-01-02 15:04")
	}
	return "until " + ends.Format(time.DateOnly)
}

type apiKeyRotateCmd struct {
	ID      string        `arg:"" help:"Id of the key, from the list."`
	Overlap time.Duration `help:"How long the key goes on beside the new one, at most 2160h (90 days); 0 ends it at once." default:"24h"`
}

// Run prints the new key alone on standard output, so that it can be piped.
func (cmd apiKeyRotateCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		key, text, err := o.Vault.RotateAPIKey(ctx, o.Admin(), cmd.ID, cmd.Overlap)
		switch {
		case errors.Is(err, tokenvault.ErrNotFound):
			return fmt.Errorf("no key has the id %q: see 'tokenvault apikey list'", cmd.ID)
		case errors.Is(err, tokenvault.ErrConflict):
			return fmt.Errorf("the key %s is over or was rotated before: create another with 'tokenvault apikey create', or rotate the one that replaced it", cmd.ID)
		case err != nil:
			return err
		}
		ends := "ended"
		if cmd.Overlap > 0 {
			ends = "ends in " + cmd.Overlap.String()
		}
		_, _ = fmt.Fprintf(std.err, "Created key %s; %s %s. The new key is shown this once:\n", key.ID, cmd.ID, ends)
		_, err = fmt.Fprintln(std.out, text.Reveal())
		return err
	})
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
