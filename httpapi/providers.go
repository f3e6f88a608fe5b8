package httpapi

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

// providerRow is a provider in the names that clients of the reference
// implementation read.
type providerRow struct {
	ID               string                `json:"id"`
	Name             string                `json:"name"`
	Description      string                `json:"description"`
	IconURL          string                `json:"iconUrl"`
	Service          string                `json:"service"`
	AuthMethod       tokenvault.AuthMethod `json:"authMethod"`
	UsageMode        tokenvault.UsageMode  `json:"usageMode"`
	AuthorizationURL string                `json:"authorizationUrl,omitempty"`
	TokenURL         string                `json:"tokenUrl,omitempty"`
	DefaultScopes    []string              `json:"defaultScopes"`
	Setup            []string              `json:"setup,omitempty"`
	ConsoleURL       string                `json:"consoleUrl,omitempty"`
	RedirectURL      string                `json:"redirectUrl,omitempty" jsonschema:"to register for an app of the caller's organization, or of the tenant"`
}

func rowOf(p tokenvault.Provider) providerRow {
	row := providerRow{
		ID: p.ID, Name: p.Name, Description: p.Description, IconURL: p.IconURL, Service: p.Service,
		AuthMethod: p.AuthMethod, UsageMode: p.UsageMode, DefaultScopes: []string{},
	}
	if row.UsageMode == "" {
		row.UsageMode = tokenvault.UsageToken
	}
	if o := p.OAuth2; o != nil {
		row.AuthorizationURL, row.TokenURL = o.AuthorizationURL, o.TokenURL
		row.DefaultScopes = append(row.DefaultScopes, o.DefaultScopes...)
		row.Setup, row.ConsoleURL = o.Setup, o.ConsoleURL
	}
	return row
}

func listProviders(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, _ none) ([]providerRow, error) {
	all, err := v.Providers(ctx, actor)
	rows := make([]providerRow, 0, len(all))
	for _, p := range all {
		row := rowOf(p)
		if p.OAuth2 != nil {
			row.RedirectURL = v.CallbackURL(tokenvault.App{ID: v.AppID(actor.Owner.OrganizationID, p.ID)})
		}
		rows = append(rows, row)
	}
	return rows, err
}

func pageProviders(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in none) (pageOutput[providerRow], error) {
	rows, err := listProviders(ctx, v, actor, in)
	return pageOutput[providerRow]{Items: rows}, err
}
