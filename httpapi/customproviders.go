package httpapi

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// providerDefinition is a provider with all that is known of it, for
// administrators.
type providerDefinition struct {
	Provider       tokenvault.Provider `json:"provider"`
	Custom         bool                `json:"custom" jsonschema:"false: it ships with the vault or stands in its configuration"`
	OrganizationID string              `json:"organizationId,omitempty" jsonschema:"absent: it is for everybody in the tenant"`
	Version        int64               `json:"version,omitempty"`
	CreatedAt      *time.Time          `json:"createdAt,omitempty"`
	UpdatedAt      *time.Time          `json:"updatedAt,omitempty"`
}

func definitionOf(c tokenvault.CustomProvider) providerDefinition {
	return providerDefinition{
		Provider: c.Provider, Custom: true, OrganizationID: c.OrganizationID, Version: c.Version,
		CreatedAt: instant(c.CreatedAt), UpdatedAt: instant(c.UpdatedAt),
	}
}

type providerRefInput struct {
	ID             string `path:"id"`
	OrganizationID string `query:"organizationId"`
}

func getProvider(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in providerRefInput) (providerDefinition, error) {
	custom, err := v.CustomProviders(ctx, actor, organizationOf(actor, in.OrganizationID))
	if err != nil {
		return providerDefinition{}, err
	}
	p, err := v.Catalog().Provider(in.ID)
	if err == nil {
		return providerDefinition{Provider: p}, nil
	}
	for _, c := range custom {
		if c.Provider.ID == in.ID {
			return definitionOf(c), nil
		}
	}
	return providerDefinition{}, err
}

type providerPutInput struct {
	ID             string              `json:"-" path:"id"`
	OrganizationID string              `json:"-" query:"organizationId"`
	Provider       tokenvault.Provider `json:"provider" jsonschema:"its id is that of the path, and may be left out"`
	Version        int64               `json:"version,omitempty" jsonschema:"of the definition to replace; absent: whatever is there"`
}

func putProvider(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in providerPutInput) (providerDefinition, error) {
	if in.Provider.ID != "" && in.Provider.ID != in.ID {
		return providerDefinition{}, &tokenvault.FieldError{Field: "provider.id", Reason: "must be the id in the path, or be left out"}
	}
	in.Provider.ID = in.ID
	c, err := v.PutProvider(ctx, actor, tokenvault.ProviderInput{
		OrganizationID: organizationOf(actor, in.OrganizationID), Provider: in.Provider, Version: in.Version,
	})
	return definitionOf(c), err
}

func deleteProvider(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in providerRefInput) (successOutput, error) {
	err := v.DeleteProvider(ctx, actor, organizationOf(actor, in.OrganizationID), in.ID)
	return successOutput{err == nil}, err
}
