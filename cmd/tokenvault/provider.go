package main

import (
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
	List providerListCmd `cmd:"" help:"List the providers."`
	Show providerShowCmd `cmd:"" help:"Show one provider: its endpoints, quirks, sources and set-up steps."`
	Lint providerLintCmd `cmd:"" help:"Check provider files, or all providers."`
}

type providerListCmd struct{}

// Run prints a table.
func (providerListCmd) Run(cfg server.Config, std streams) error {
	cat, err := catalog.Load(cfg.ProviderFiles...)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tNAME\tAUTH METHOD\tVERIFIED")
	for p := range cat.All() {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.ID, p.Name, p.AuthMethod, p.Verified)
	}
	return w.Flush()
}

type providerShowCmd struct {
	ID string `arg:"" help:"Provider, such as github."`
}

// Run prints the provider as JSON.
func (cmd providerShowCmd) Run(cfg server.Config, std streams) error {
	cat, err := catalog.Load(cfg.ProviderFiles...)
	if err != nil {
		return err
	}
	p, err := cat.Provider(cmd.ID)
	if errors.Is(err, tokenvault.ErrNotFound) {
		return unknownProvider(cmd.ID)
	}
	if err != nil {
		return err
	}
	enc := json.NewEncoder(std.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(p)
}

type providerLintCmd struct {
	Files []string `arg:"" optional:"" help:"Provider files to check." type:"path"`
	All   bool     `help:"Check every provider of the catalog."`
}

// Run prints each problem on a line of its own.
func (cmd providerLintCmd) Run(cfg server.Config, std streams) error {
	if len(cmd.Files) == 0 && !cmd.All {
		return errors.New("name provider files, or use --all")
	}
	found, checked := 0, 0
	lint := func(p tokenvault.Provider) {
		checked++
		for _, problem := range catalog.Lint(p) {
			found++
			_, _ = fmt.Fprintf(std.out, "%s: %s: %s\n", p.ID, problem.Field, problem.Text)
		}
	}
	for _, file := range cmd.Files {
		text, err := os.ReadFile(file) //nolint:gosec // the operator names the file
		if err != nil {
			return fmt.Errorf("%s cannot be read (%w): name a provider file", file, errors.Unwrap(err))
		}
		p, err := catalog.Parse(file, text)
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
	_, _ = fmt.Fprintf(std.out, "%s checked, %s\n", counted(checked, "provider"), counted(found, "problem"))
	if found > 0 {
		return &checksError{found}
	}
	return nil
}
