package httpapi

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

// ownerInput names an owner: a user everywhere, a user in an organization, or an
// organization.
type ownerInput struct {
	UserID         string `query:"userId"`
	OrganizationID string `query:"organizationId"`
}

func deleteOwner(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in ownerInput) (successOutput, error) {
	if in.UserID == "" && in.OrganizationID == "" {
		return successOutput{}, &tokenvault.FieldError{Field: "userId", Reason: "name a userId, an organizationId, or both"}
	}
	err := v.DeleteOwner(ctx, actor, tokenvault.Owner{UserID: in.UserID, OrganizationID: organizationOf(actor, in.OrganizationID)})
	return successOutput{err == nil}, err
}
