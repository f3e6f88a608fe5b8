package httpapi

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// keyRow is an API key without what authenticates.
type keyRow struct {
	ID             string                `json:"id"`
	Name           string                `json:"name"`
	Kind           tokenvault.ActorKind  `json:"kind"`
	AgentID        string                `json:"agentId"`
	UserID         string                `json:"userId,omitempty"`
	OrganizationID string                `json:"organizationId,omitempty"`
	Scopes         []tokenvault.KeyScope `json:"scopes"`
	State          tokenvault.KeyState   `json:"state"`
	CreatedAt      time.Time             `json:"createdAt"`
	ExpiresAt      *time.Time            `json:"expiresAt"`
	RevokedAt      *time.Time            `json:"revokedAt" jsonschema:"in the future: in force until then"`
	LastUsedAt     *time.Time            `json:"lastUsedAt" jsonschema:"to within a minute or two"`
}

func keyRowOf(k tokenvault.APIKey) keyRow {
	return keyRow{
		ID: k.ID, Name: k.Name, Kind: k.Kind, AgentID: k.AgentID, UserID: k.Owner.UserID, OrganizationID: k.Owner.OrganizationID,
		Scopes: k.Scopes.List(), State: k.State(time.Now()),
		CreatedAt: k.CreatedAt.UTC(), ExpiresAt: instant(k.ExpiresAt), RevokedAt: instant(k.RevokedAt), LastUsedAt: instant(k.LastUsedAt),
	}
}

func listKeys(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in listInput) (pageOutput[keyRow], error) {
	page := in.page()
	keys, err := v.APIKeys(ctx, actor, page)
	return pageOf(keys, page.Limit, keyRowOf, func(k tokenvault.APIKey) string { return k.ID }), err
}

type keyInput struct {
	Name           string                `json:"name"`
	Kind           tokenvault.ActorKind  `json:"kind" jsonschema:"agent, backend or admin"`
	AgentID        string                `json:"agentId,omitempty" jsonschema:"default: the name"`
	UserID         string                `json:"userId,omitempty"`
	OrganizationID string                `json:"organizationId,omitempty"`
	Scopes         []tokenvault.KeyScope `json:"scopes,omitempty" jsonschema:"what the key opens; default: all that its kind can have"`
	TTLSeconds     int64                 `json:"ttlSeconds,omitempty" jsonschema:"0: until revoked"`
}

type keyOutput struct {
	keyRow
	Key string `json:"key" jsonschema:"the key's text, shown this once"`
}

// maxTTL is a century: more is a mistake.
const maxTTL = int64(100 * 365 * 24 * 60 * 60)

func createKey(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in keyInput) (keyOutput, error) {
	if in.TTLSeconds < 0 || in.TTLSeconds > maxTTL {
		return keyOutput{}, &tokenvault.FieldError{Field: "ttlSeconds", Reason: "must be from 0 to 3153600000"}
	}
	key, text, err := v.CreateAPIKey(ctx, actor, tokenvault.APIKeyInput{
		Name: in.Name, Kind: in.Kind, AgentID: in.AgentID, Scopes: in.Scopes, TTL: time.Duration(in.TTLSeconds) * time.Second,
		Owner: tokenvault.Owner{OrganizationID: in.OrganizationID, UserID: in.UserID},
	})
	return keyOutput{keyRowOf(key), text.Reveal()}, err
}

type rotateInput struct {
	ID             string `json:"-" path:"id"`
	OverlapSeconds *int64 `json:"overlapSeconds,omitempty" jsonschema:"how long the key goes on beside the new one, at most 7776000; default: a day"`
}

const defaultOverlap = int64(24 * 60 * 60)

func rotateKey(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in rotateInput) (keyOutput, error) {
	overlap := defaultOverlap
	if in.OverlapSeconds != nil {
		overlap = *in.OverlapSeconds
	}
	if overlap < 0 || overlap > maxTTL {
		return keyOutput{}, &tokenvault.FieldError{Field: "overlapSeconds", Reason: "must be from 0 to 7776000"}
	}
	key, text, err := v.RotateAPIKey(ctx, actor, in.ID, time.Duration(overlap)*time.Second)
	return keyOutput{keyRowOf(key), text.Reveal()}, err
}

func deleteKey(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (successOutput, error) {
	err := v.RevokeAPIKey(ctx, actor, in.ID)
	return successOutput{err == nil}, err
}
