package httpapi

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

// listInput asks for one page of a tenant's list.
type listInput struct {
	After string `query:"after"`
	Limit int    `query:"limit"`
}

func (l listInput) page() tokenvault.Page { return pageInput{After: l.After, Limit: l.Limit}.page() }

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
