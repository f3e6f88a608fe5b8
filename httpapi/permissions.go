package httpapi

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// permissionRow is what an owner permitted to an agent.
type permissionRow struct {
	ID           string             `json:"id"`
	AgentID      string             `json:"agentId"`
	CredentialID string             `json:"credentialId"`
	Scopes       []string           `json:"scopes"`
	Release      tokenvault.Release `json:"release"`
	GrantedAt    time.Time          `json:"grantedAt" jsonschema:"when the owner last confirmed it"`
	ExpiresAt    *time.Time         `json:"expiresAt" jsonschema:"null: until withdrawn"`
}

func permissionRowOf(p tokenvault.Permission) permissionRow {
	return permissionRow{
		ID: p.ID, AgentID: p.AgentID, CredentialID: p.ConnectionID, Scopes: append([]string{}, p.Scopes...), Release: p.Release,
		GrantedAt: p.GrantedAt.UTC(), ExpiresAt: instant(p.ExpiresAt),
	}
}

func listPermissions(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in pageInput) (pageOutput[permissionRow], error) {
	page := in.page()
	list, err := v.Permissions(ctx, actor, page)
	return pageOf(list, page.Limit, permissionRowOf, func(p tokenvault.Permission) string { return p.ID }), err
}

// listOwnPermissions is for a user, who names no owner.
func listOwnPermissions(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in listInput) (pageOutput[permissionRow], error) {
	return listPermissions(ctx, v, actor, pageInput{After: in.After, Limit: in.Limit})
}

func deletePermission(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in ownedIDInput) (successOutput, error) {
	return deleteOwnPermission(ctx, v, actor, idInput{in.ID})
}

func deleteOwnPermission(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (successOutput, error) {
	err := v.WithdrawPermission(ctx, actor, in.ID)
	return successOutput{err == nil}, err
}
