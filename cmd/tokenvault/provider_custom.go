package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
	"github.com/ai-token-vault/tokenvault/server"
)

// readProvider reads a provider file.
func readProvider(file string) (tokenvault.Provider, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return tokenvault.Provider{}, fmt.Errorf("%s cannot be read (%w): name a provider file", file, errors.Unwrap(err))
	}
	return catalog.Parse(file, text)
}

type providerNewCmd struct {
	ID string `arg:"" help:"Id of the provider, such as acme."`
}

//go:embed provider.yaml
var providerTemplate string

// Run prints the template.
func (cmd providerNewCmd) Run(std streams) error {
	if !tokenvault.ValidProviderID(cmd.ID) {
		return errors.New("the id must be 1 to 64 lower-case letters, digits and hyphens, and start with a letter")
	}
	name := strings.ToUpper(cmd.ID[:1]) + cmd.ID[1:]
	_, err := fmt.Fprint(std.out, strings.NewReplacer("ACME", cmd.ID, "Acme", name).Replace(providerTemplate))
	return err
}

type providerAddCmd struct {
	File         string `arg:"" help:"Provider file; 'tokenvault provider new' prints one to fill in." type:"path"`
	Organization string `help:"Organization that the provider is for. Default: everyone in the tenant."`
}

// Help says what differs from a configured file.
func (providerAddCmd) Help() string {
	return `The definition is kept in the database; a running server sees it within five
seconds. Its addresses must be public, unless allow-hosts lists them, and its id
must not be that of another provider. While an app or a connection uses it,
nothing can be replaced that decides where credentials go.`
}

// Run stores the provider.
func (cmd providerAddCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	p, err := readProvider(cmd.File)
	if err != nil {
		return err
	}
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		c, err := o.Vault.PutProvider(ctx, o.Admin(), tokenvault.ProviderInput{OrganizationID: cmd.Organization, Provider: p})
		switch {
		case errors.Is(err, tokenvault.ErrInUse):
			return fmt.Errorf("an app or a connection uses %q, and this would change where credentials go: "+
				"delete its apps ('tokenvault app delete') and revoke its connections first, or choose another id", p.ID)
		case errors.Is(err, tokenvault.ErrConflict):
			return fmt.Errorf("an organization has a provider %q: choose another id, or remove that one with --organization", p.ID)
		case err != nil:
			return err
		}
		_, err = fmt.Fprintf(std.out, "Defined %s, version %d\nNext: 'tokenvault app set %s --client-id …%s'\n",
			p.ID, c.Version, p.ID, organizationFlag(cmd.Organization))
		return err
	})
}

func organizationFlag(organization string) string {
	if organization == "" {
		return ""
	}
	return " --organization " + organization
}

type providerRemoveCmd struct {
	ID           string `arg:"" help:"Provider, such as acme."`
	Organization string `help:"Organization that the provider is for. Default: everyone in the tenant."`
}

// Run deletes the provider.
func (cmd providerRemoveCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		err := o.Vault.DeleteProvider(ctx, o.Admin(), cmd.Organization, cmd.ID)
		switch {
		case errors.Is(err, tokenvault.ErrNotFound):
			return fmt.Errorf("no provider %q was added: see 'tokenvault provider list', and name its organization with --organization", cmd.ID)
		case errors.Is(err, tokenvault.ErrInUse):
			return fmt.Errorf("an app or a connection uses %q: delete its apps ('tokenvault app delete') and revoke its connections first", cmd.ID)
		case err != nil:
			return err
		}
		_, err = fmt.Fprintln(std.out, "Removed")
		return err
	})
}
