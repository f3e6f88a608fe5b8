package httpapi

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

type sessionInput struct {
	ownerBody
	Origin     string `json:"origin" jsonschema:"one of the vault's registered origins: only its pages can use the session"`
	OrgAdmin   bool   `json:"orgAdmin,omitempty" jsonschema:"whether the user administers the owner's organization"`
	TTLSeconds int64  `json:"ttlSeconds,omitempty" jsonschema:"at most 900, which is the default"`
}

type sessionOutput struct {
	Token     string    `json:"token" jsonschema:"sent by the page as Authorization: Bearer"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func createSession(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in sessionInput) (sessionOutput, error) {
	if in.TTLSeconds < 0 || in.TTLSeconds > maxTTL {
		return sessionOutput{}, &tokenvault.FieldError{Field: "ttlSeconds", Reason: "must be at most 900"}
	}
	session, err := v.CreateSession(ctx, actor, tokenvault.SessionInput{
		Origin: in.Origin, OrgAdmin: in.OrgAdmin, TTL: time.Duration(in.TTLSeconds) * time.Second,
	})
	return sessionOutput{session.Token.Reveal(), session.ExpiresAt}, err
}
