package httpapi

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

type renameInput struct {
	ID   string  `json:"-"    path:"id"`
	Name *string `json:"name" jsonschema:"at most 80 characters; empty takes it away"`
}

func renameCredential(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in renameInput) (credentialSummary, error) {
	if in.Name == nil {
		return credentialSummary{}, &tokenvault.FieldError{Field: "name", Reason: "must be given; empty takes it away"}
	}
	c, err := v.Rename(ctx, actor, in.ID, *in.Name)
	if err != nil {
		return credentialSummary{}, err
	}
	return summaryOf(ctx, v, actor, c), nil
}

type renameOwnedInput struct {
	ownerQuery
	renameInput
}

func renameConnection(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in renameOwnedInput) (credentialSummary, error) {
	return renameCredential(ctx, v, actor, in.renameInput)
}
