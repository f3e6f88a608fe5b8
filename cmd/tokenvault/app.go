package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/server"
)

type appCmd struct {
	Set    appSetCmd    `cmd:"" help:"Register or replace an app."`
	List   appListCmd   `cmd:"" help:"List apps, without their secrets."`
	Delete appDeleteCmd `cmd:"" help:"Delete an app."`
}

type appSetCmd struct {
	Provider       string   `arg:"" help:"Provider, such as github."`
	ClientID       string   `required:"" help:"Client id that the provider gave."`
	SecretFile     string   `help:"File with the client secret; - reads it from standard input. Without it TOKENVAULT_CLIENT_SECRET is used, or the stored secret is kept."`
	Organization   string   `help:"Organization that the app is for. Default: everyone in the tenant."`
	Scopes         []string `help:"Scopes to request beside what agents ask for."`
	LegacyCallback bool     `help:"Use the bare callback path /oauth/callback."`
}

// Run stores the app and says which redirect URL to register.
func (cmd appSetCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	secret, err := readSecret("secret-file", cmd.SecretFile, "TOKENVAULT_CLIENT_SECRET", std.in)
	if err != nil {
		return err
	}
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		app, err := o.Vault.SetApp(ctx, o.Admin(), tokenvault.AppInput{
			OrganizationID: cmd.Organization, ProviderID: cmd.Provider, ClientID: cmd.ClientID, ClientSecret: secret,
			Scopes: cmd.Scopes, LegacyCallback: cmd.LegacyCallback,
		})
		if errors.Is(err, tokenvault.ErrNotFound) {
			return unknownProvider(cmd.Provider)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(std.out, "Registered %s (client secret %s)\nRedirect URL to enter at the provider: %s\n",
			app.ID, map[bool]string{true: "stored", false: "none"}[app.HasSecret], o.Vault.CallbackURL(app))
		return err
	})
}

type appListCmd struct {
	Organization string `help:"Organization. Default: the tenant's own apps."`
}

// Run prints a table.
func (cmd appListCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		apps, err := o.Vault.Apps(ctx, o.Admin(), cmd.Organization)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "PROVIDER\tCLIENT ID\tSECRET\tREDIRECT URL")
		for _, app := range apps {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%t\t%s\n", app.ProviderID, app.ClientID, app.HasSecret, o.Vault.CallbackURL(app))
		}
		return w.Flush()
	})
}

type appDeleteCmd struct {
	Provider     string `arg:"" help:"Provider, such as github."`
	Organization string `help:"Organization. Default: the tenant's own app."`
}

// Run deletes the app.
func (cmd appDeleteCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		err := o.Vault.DeleteApp(ctx, o.Admin(), cmd.Organization, cmd.Provider)
		if errors.Is(err, tokenvault.ErrNotFound) {
			return fmt.Errorf("no app is registered for %q: see 'tokenvault app list'", cmd.Provider)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(std.out, "Deleted")
		return err
	})
}

// withVault opens the configured store for one command. The server may run
// beside it.
func withVault(ctx context.Context, cfg server.Config, std streams, do func(*server.Opened) error) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if cfg.PublicURL == "" {
		cfg.PublicURL = "http://" + cfg.Listen
	}
	o, err := server.Open(ctx, cfg, server.NewLogger(std.err, "warn", cfg.LogFormat))
	if err != nil {
		return err
	}
	return errors.Join(do(o), o.Close(context.WithoutCancel(ctx)))
}

func unknownProvider(id string) error {
	return fmt.Errorf("unknown provider %q: see 'tokenvault provider list'", id)
}

// readSecret reads a secret from the file that a flag names, standard input, or
// the environment.
func readSecret(flag, file, env string, stdin io.Reader) (tokenvault.Secret, error) {
	switch file {
	case "":
		return tokenvault.NewSecret(os.Getenv(env)), nil
	case "-":
		line, err := bufio.NewReader(stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return tokenvault.Secret{}, fmt.Errorf("standard input: %w", err)
		}
		return tokenvault.NewSecret(strings.TrimSpace(line)), nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return tokenvault.Secret{}, cannotRead(flag, err)
	}
	return tokenvault.NewSecret(strings.TrimSpace(string(text))), nil
}
