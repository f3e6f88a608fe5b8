package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// maxList is how many entries the bare lists hold at most.
const maxList = 1000

// credentialSummary is a connection with its provider, in the names that clients
// of the reference implementation read.
type credentialSummary struct {
	ID                   string                      `json:"id"`
	ProviderID           string                      `json:"providerId"`
	Provider             *providerRow                `json:"provider"`
	AuthMethod           tokenvault.AuthMethod       `json:"authMethod"`
	UsageMode            tokenvault.UsageMode        `json:"usageMode"`
	UserID               string                      `json:"userId,omitempty" jsonschema:"absent: the organization's"`
	OrganizationID       string                      `json:"organizationId,omitempty"`
	Shared               bool                        `json:"shared" jsonschema:"whether it is the organization's"`
	SharedBy             string                      `json:"sharedBy,omitempty" jsonschema:"id of the user who gave it to the organization"`
	Name                 string                      `json:"name,omitempty" jsonschema:"what its owner calls it"`
	Status               tokenvault.ConnectionStatus `json:"status"`
	Reason               tokenvault.ReauthReason     `json:"reason,omitempty"`
	Scope                string                      `json:"scope"`
	ExternalAccountID    string                      `json:"externalAccountId"`
	ExternalAccountLabel string                      `json:"externalAccountLabel"`
	AccessTokenExpiresAt *time.Time                  `json:"accessTokenExpiresAt"`
	LastValidatedAt      *time.Time                  `json:"lastValidatedAt" jsonschema:"when the provider last issued or renewed it"`
	CreatedAt            time.Time                   `json:"createdAt"`
	UpdatedAt            time.Time                   `json:"updatedAt"`
	LastUsedAt           *time.Time                  `json:"lastUsedAt" jsonschema:"when an agent was last given it, to within a minute or two"`
	LastUsedBy           string                      `json:"lastUsedBy,omitempty" jsonschema:"id of that agent; an agent learns of itself only"`
}

func summaryOf(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, c tokenvault.Connection) credentialSummary {
	s := credentialSummary{
		ID: c.ID, ProviderID: c.ProviderID, AuthMethod: c.AuthMethod, UsageMode: tokenvault.UsageToken,
		UserID: c.Owner.UserID, OrganizationID: c.Owner.OrganizationID, Shared: c.Shared(), SharedBy: c.SharedBy,
		Name: c.Name, Status: c.Status, Reason: c.Reason, Scope: strings.Join(c.Scopes, " "),
		ExternalAccountID: c.Account.ID, ExternalAccountLabel: c.Account.Label,
		AccessTokenExpiresAt: instant(c.ExpiresAt), LastValidatedAt: instant(c.ObtainedAt), CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.UpdatedAt.UTC(),
		LastUsedAt: instant(c.LastUsedAt), LastUsedBy: c.LastUsedBy,
	}
	if p, err := v.Provider(ctx, actor, c.ProviderID); err == nil {
		row := rowOf(p)
		s.Provider, s.UsageMode = &row, row.UsageMode
	}
	return s
}

// credentialList is a bare array; a link header leads to the rest.
type credentialList []credentialSummary

func (l credentialList) headers(h http.Header, r *http.Request) {
	if len(l) == maxList {
		linkNext(h, r, l[len(l)-1].ID)
	}
}

// linkNext adds the link to the next page (RFC 8288).
func linkNext(h http.Header, r *http.Request, after string) {
	u := *r.URL
	q := u.Query()
	q.Set("after", after)
	u.RawQuery = q.Encode()
	h.Set("Link", "<"+u.RequestURI()+`>; rel="next"`)
}

type afterInput struct {
	After string `query:"after"`
}

func listCredentials(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in afterInput) (credentialList, error) {
	list, err := v.Connections(ctx, actor, tokenvault.Page{After: in.After, Limit: maxList})
	out := make(credentialList, 0, len(list))
	for _, c := range list {
		out = append(out, summaryOf(ctx, v, actor, c))
	}
	return out, err
}

type successOutput struct {
	Success bool `json:"success"`
}

func deleteCredential(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (successOutput, error) {
	err := v.Revoke(ctx, actor, in.ID)
	return successOutput{err == nil}, err
}

// pageInput asks for one page.
type pageInput struct {
	ownerQuery
	After string `query:"after"`
	Limit int    `query:"limit"`
}

// defaultPage is how many items a page has if none is asked for.
const defaultPage = 100

func (p pageInput) page() tokenvault.Page {
	if p.Limit == 0 {
		p.Limit = defaultPage
	}
	return tokenvault.Page{After: p.After, Limit: p.Limit}
}

// pageOutput is one page; Next is what to send as after for the next one.
type pageOutput[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

func pageOf[In, Out any](list []In, limit int, convert func(In) Out, id func(In) string) pageOutput[Out] {
	out := pageOutput[Out]{Items: make([]Out, 0, len(list))}
	for _, item := range list {
		out.Items = append(out.Items, convert(item))
	}
	if len(list) == limit {
		out.Next = id(list[len(list)-1])
	}
	return out
}

func listConnections(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in pageInput) (pageOutput[credentialSummary], error) {
	page := in.page()
	list, err := v.Connections(ctx, actor, page)
	return pageOf(list, page.Limit, func(c tokenvault.Connection) credentialSummary { return summaryOf(ctx, v, actor, c) },
		func(c tokenvault.Connection) string { return c.ID }), err
}

type ownedIDInput struct {
	ownerQuery
	ID string `path:"id"`
}

func deleteConnection(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in ownedIDInput) (successOutput, error) {
	return deleteCredential(ctx, v, actor, idInput{in.ID})
}
