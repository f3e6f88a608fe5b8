package httpapi

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// keyRow is an API key without what authenticates.
type keyRow struct {
	ID             string               `json:"id"`
	Name           string               `json:"name"`
	Kind           tokenvault.ActorKind `json:"kind"`
	AgentID        string               `json:"agentId"`
	UserID         string               `json:"userId,omitempty"`
	OrganizationID string               `json:"organizationId,omitempty"`
	CreatedAt      time.Time            `json:"createdAt"`
	ExpiresAt      *time.Time           `json:"expiresAt"`
	RevokedAt      *time.Time           `json:"revokedAt"`
}

func keyRowOf(k tokenvault.APIKey) keyRow {
	return keyRow{
		ID: k.ID, Name: k.Name, Kind: k.Kind, AgentID: k.AgentID, UserID: k.Owner.UserID, OrganizationID: k.Owner.OrganizationID,
		CreatedAt: k.CreatedAt.UTC(), ExpiresAt: instant(k.ExpiresAt), RevokedAt: instant(k.RevokedAt),
	}
}

// listInput asks for one page of a tenant's list.
type listInput struct {
	After string `query:"after"`
	Limit int    `query:"limit"`
}

func (l listInput) page() tokenvault.Page { return pageInput{After: l.After, Limit: l.Limit}.page() }

func listKeys(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in listInput) (pageOutput[keyRow], error) {
	page := in.page()
	keys, err := v.APIKeys(ctx, actor, page)
	return pageOf(keys, page.Limit, keyRowOf, func(k tokenvault.APIKey) string { return k.ID }), err
}

type keyInput struct {
	Name           string               `json:"name"`
	Kind           tokenvault.ActorKind `json:"kind" jsonschema:"agent, backend or admin"`
	AgentID        string               `json:"agentId,omitempty" jsonschema:"default: the name"`
	UserID         string               `json:"userId,omitempty"`
	OrganizationID string               `json:"organizationId,omitempty"`
	TTLSeconds     int64                `json:"ttlSeconds,omitempty" jsonschema:"0: until revoked"`
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
		Name: in.Name, Kind: in.Kind, AgentID: in.AgentID, TTL: time.Duration(in.TTLSeconds) * time.Second,
		Owner: tokenvault.Owner{OrganizationID: in.OrganizationID, UserID: in.UserID},
	})
	return keyOutput{keyRowOf(key), text.Reveal()}, err
}

func deleteKey(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (successOutput, error) {
	err := v.RevokeAPIKey(ctx, actor, in.ID)
	return successOutput{err == nil}, err
}

// eventRow is an audit entry with its owner.
type eventRow struct {
	tokenvault.Event
	UserID         string `json:"userId,omitempty"`
	OrganizationID string `json:"organizationId,omitempty"`
}

func listAudit(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in listInput) (pageOutput[eventRow], error) {
	page := in.page()
	events, err := v.Events(ctx, actor, page)
	return pageOf(events, page.Limit, func(e tokenvault.Event) eventRow {
		e.At = e.At.UTC()
		return eventRow{e, e.Owner.UserID, e.Owner.OrganizationID}
	}, func(e tokenvault.Event) string { return e.ID }), err
}
