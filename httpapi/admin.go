package httpapi

import "github.com/ai-token-vault/tokenvault"

// listInput asks for one page of a tenant's list.
type listInput struct {
	After string `query:"after"`
	Limit int    `query:"limit"`
}

func (l listInput) page() tokenvault.Page { return pageInput{After: l.After, Limit: l.Limit}.page() }
