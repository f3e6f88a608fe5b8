package httpapi

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

func shareCredential(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (credentialSummary, error) {
	c, err := v.Share(ctx, actor, in.ID)
	if err != nil {
		return credentialSummary{}, err
	}
	return summaryOf(ctx, v, actor, c), nil
}

func unshareCredential(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (credentialSummary, error) {
	c, err := v.Unshare(ctx, actor, in.ID)
	if err != nil {
		return credentialSummary{}, err
	}
	return summaryOf(ctx, v, actor, c), nil
}

func shareConnection(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in ownedIDInput) (credentialSummary, error) {
	return shareCredential(ctx, v, actor, idInput{in.ID})
}

func unshareConnection(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in ownedIDInput) (credentialSummary, error) {
	return unshareCredential(ctx, v, actor, idInput{in.ID})
}
