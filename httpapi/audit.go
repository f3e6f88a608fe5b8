package httpapi

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// eventRow is an audit entry with its owner.
type eventRow struct {
	tokenvault.Event
	UserID         string `json:"userId,omitempty"`
	OrganizationID string `json:"organizationId,omitempty"`
}

func eventRowOf(e tokenvault.Event) eventRow {
	e.At = e.At.UTC()
	return eventRow{e, e.Owner.UserID, e.Owner.OrganizationID}
}

// auditInput asks for one page of the entries that fit.
type auditInput struct {
	listInput
	Kind           string `query:"kind"`
	AgentID        string `query:"agentId"`
	UserID         string `query:"userId"`
	OrganizationID string `query:"organizationId"`
	CredentialID   string `query:"credentialId"`
	Since          string `query:"since"`
}

func (in auditInput) query() (tokenvault.EventQuery, error) {
	q := tokenvault.EventQuery{
		Page: in.page(), Kind: tokenvault.EventKind(in.Kind), AgentID: in.AgentID, UserID: in.UserID,
		OrganizationID: in.OrganizationID, ConnectionID: in.CredentialID,
	}
	if in.Since == "" {
		return q, nil
	}
	since, err := time.Parse(time.RFC3339, in.Since)
	if err != nil {
		return q, &tokenvault.FieldError{Field: "since", Reason: "must be a time such as 2026-01-31T12:00:00Z (RFC 3339)"}
	}
	q.Since = since
	return q, nil
}

func listAudit(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in auditInput) (pageOutput[eventRow], error) {
	q, err := in.query()
	if err != nil {
		return pageOutput[eventRow]{}, err
	}
	events, err := v.Events(ctx, actor, q)
	return pageOf(events, q.Limit, eventRowOf, func(e tokenvault.Event) string { return e.ID }), err
}
