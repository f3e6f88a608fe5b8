package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
	"github.com/ai-token-vault/tokenvault/server"
)

type providerCmd struct {
	List   providerListCmd   `cmd:"" help:"List the providers."`
	Show   providerShowCmd   `cmd:"" help:"Show one provider: its endpoints, quirks, sources and set-up steps."`
	Lint   providerLintCmd   `cmd:"" help:"Check provider files, or all providers."`
	New    providerNewCmd    `cmd:"" help:"Print a provider file to fill in."`
	Add    providerAddCmd    `cmd:"" help:"Define a provider of your own, or replace its definition."`
	Try    providerTryCmd    `cmd:"" help:"Walk a real connect at a provider, and say what is wrong."`
	Remove providerRemoveCmd `cmd:"" help:"Remove a provider of your own."`
}

type providerListCmd struct {
	Organization string `help:"Organization whose own providers are listed too."`
}

// Run prints a table.
func (cmd providerListCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	all, err := allProviders(ctx, cfg, std, cmd.Organization)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tNAME\tAUTH METHOD\tVERIFIED\tDEFINED BY")
	for _, p := range all {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.ID, p.Name, p.AuthMethod, p.Verified, p.definedBy)
	}
	return w.Flush()
}

// A knownProvider is a provider, and who defined it.
type knownProvider struct {
	tokenvault.Provider
	definedBy string
}

// allProviders returns the catalog's providers, then those in the store, if there
// is one: nothing is created to look.
func allProviders(ctx context.Context, cfg server.Config, std streams, organization string) ([]knownProvider, error) {
	cat, err := catalog.Load(cfg.ProviderFiles...)
	if err != nil {
		return nil, err
	}
	var all []knownProvider
	for p := range cat.All() {
		all = append(all, knownProvider{p, "catalog"})
	}
	if _, err := os.Stat(cfg.DatabasePath()); errors.Is(err, os.ErrNotExist) && !cfg.UsesPostgres() {
		return all, nil
	}
	err = withVault(ctx, cfg, std, func(o *server.Opened) error {
		own, err := o.Vault.CustomProviders(ctx, o.Admin(), organization)
		for _, c := range own {
			by := "tenant"
			if c.OrganizationID != "" {
				by = c.OrganizationID
			}
			all = append(all, knownProvider{c.Provider, by})
		}
		return err
	})
	return all, err
}

type providerShowCmd struct {
	ID           string `arg:"" help:"Provider, such as github."`
	Organization string `help:"Organization whose own provider is meant."`
}

// Run prints the provider as JSON.
func (cmd providerShowCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	p, err := findProvider(ctx, cfg, std, cmd.Organization, cmd.ID)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(std.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(p)
}

// findProvider returns the catalog's provider, or one in the store.
func findProvider(ctx context.Context, cfg server.Config, std streams, organization, id string) (tokenvault.Provider, error) {
	all, err := allProviders(ctx, cfg, std, organization)
	if err != nil {
		return tokenvault.Provider{}, err
	}
	for _, p := range all {
		if p.ID == id {
			return p.Provider, nil
		}
	}
	return tokenvault.Provider{}, unknownProvider(id)
}

type providerLintCmd struct {
	Files []string `arg:"" optional:"" help:"Provider files to check." type:"path"`
	All   bool     `help:"Check every provider of the catalog."`
}

// Run prints each problem on a line of its own, and warns of addresses that a server
// with these settings would not ask.
func (cmd providerLintCmd) Run(cfg server.Config, std streams) error {
	if len(cmd.Files) == 0 && !cmd.All {
		return errors.New("name provider files, or use --all")
	}
	found, warned, checked := 0, 0, 0
	lint := func(p tokenvault.Provider) {
		checked++
		for _, problem := range catalog.Lint(p) {
			found++
			_, _ = fmt.Fprintf(std.out, "%s: %s: %s\n", p.ID, problem.Field, problem.Text)
		}
		for _, problem := range catalog.Unreachable(p, cfg.AllowHosts) {
			warned++
			_, _ = fmt.Fprintf(std.out, "%s: %s: warning: %s\n", p.ID, problem.Field, problem.Text)
		}
	}
	for _, file := range cmd.Files {
		p, err := readProvider(file)
		if err != nil {
			return err
		}
		lint(p)
	}
	if cmd.All {
		cat, err := catalog.Load(cfg.ProviderFiles...)
		if err != nil {
			return err
		}
		for p := range cat.All() {
			lint(p)
		}
	}
	warnings := ""
	if warned > 0 {
		warnings = ", " + counted(warned, "warning")
	}
	_, _ = fmt.Fprintf(std.out, "%s checked, %s%s\n", counted(checked, "provider"), counted(found, "problem"), warnings)
	if found > 0 {
		return &checksError{found}
	}
	return nil
}
