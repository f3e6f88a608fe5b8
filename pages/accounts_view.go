package pages

import (
	"cmp"
	"net/url"
	"slices"

	"github.com/ai-token-vault/tokenvault"
)

// accounts is the page of all that a person has connected.
type accounts struct {
	frame
	Lead  string
	Alert *message // why the last change was not made; nil: there was none
	List  []account
}

func (accounts) templateName() string { return "accounts" }

// An account is one connection with what may be done about it. A Path is empty
// where the person may not.
type account struct {
	ID, Provider, Initial, Label, Detail string
	providerID                           string
	Broken                               string // what is wrong with it; empty: nothing
	Facts                                []fact
	AgentsTitle                          string
	Agents                               []permitted
	AgentsNone                           string
	ReconnectURL, Reconnect              string
	AnotherURL, Another                  string  // with the last one of each provider
	Naming                               *naming // nil: the person may not
	SharePath, Share, ShareMeaning       string
	RevokePath, Revoke, RevokeMeaning    string
}

// A naming is the form for what the owner calls an account.
type naming struct {
	Path, Title, Label, Help, Save string
	Name                           string // as it is
}

// A permitted agent is one that may use the account.
type permitted struct {
	ID             string
	Agent, Release string
	Scopes         []scopeLine
	ScopesTitle    string
	Facts          []fact
	Path, Withdraw string
}

// accountsView shows connections, and what actor permitted, ordered by name.
func accountsView(find func(id string) (tokenvault.Provider, error), actor tokenvault.Actor, connections []tokenvault.Connection, permissions []tokenvault.Permission) accounts {
	v := accounts{frame: frame{Heading: textAccounts, Tone: "ask"}, Lead: accountsLead(len(connections))}
	for _, c := range connections {
		provider, err := find(c.ProviderID)
		if err != nil {
			provider = tokenvault.Provider{ID: c.ProviderID, Name: c.ProviderID} // it is gone
		}
		a := accountOf(actor, c, provider.Name)
		for _, p := range permissions {
			if p.ConnectionID == c.ID {
				a.Agents = append(a.Agents, permittedOf(p, provider))
			}
		}
		v.List = append(v.List, a)
	}
	slices.SortFunc(v.List, func(a, b account) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.providerID, b.providerID),
			cmp.Compare(a.Label, b.Label), cmp.Compare(a.Detail, b.Detail))
	})
	for i := range v.List {
		if last := i == len(v.List)-1 || v.List[i+1].providerID != v.List[i].providerID; last {
			v.List[i].AnotherURL = newURL(newConnect{providerID: v.List[i].providerID, returnTo: accountsPath})
			v.List[i].Another = anotherText(v.List[i].Provider)
		}
	}
	return v
}

// newURL leads to the page on which in is confirmed.
func newURL(in newConnect) string {
	query := url.Values{}
	for _, f := range in.fields() {
		query.Set(f.Name, f.Value)
	}
	return "/connect/new?" + query.Encode()
}

func accountOf(actor tokenvault.Actor, c tokenvault.Connection, provider string) account {
	a := account{
		ID: c.ID, providerID: c.ProviderID, Provider: provider, Initial: initial(provider), Broken: brokenText(actor, c),
		Facts: []fact{{Label: textConnectedAt, Time: c.CreatedAt}}, AgentsTitle: textAgents, AgentsNone: textAgentsNone,
		Reconnect: textReconnect, Revoke: textRevoke, RevokeMeaning: revokeMeaning(provider, c.Shared()),
	}
	a.Label, a.Detail = calledBy(c)
	if !c.LastUsedAt.IsZero() {
		a.Facts = append(a.Facts, fact{Label: textLastUsed, Time: c.LastUsedAt})
	}
	if c.LastUsedBy != "" {
		a.Facts = append(a.Facts, fact{Label: textLastUsedBy, Value: c.LastUsedBy, Foreign: true})
	}
	if c.Shared() {
		a.Facts = append(a.Facts, fact{Label: textFactOwner, Value: textOrganization})
	}
	if c.SharedBy != "" {
		a.Facts = append(a.Facts, fact{Label: textSharedBy, Value: c.SharedBy, Foreign: true})
	}
	path := accountsPath + "/" + url.PathEscape(c.ID)
	if !c.Shared() || actor.OrgAdmin {
		in := newConnect{providerID: c.ProviderID, connectionID: c.ID, organization: c.Shared(), returnTo: accountsPath}
		a.ReconnectURL, a.RevokePath = newURL(in), path+"/disconnect"
		a.Naming = &naming{Path: path + "/rename", Title: textRename, Label: textAccountName, Help: textNameHelp, Save: textSave, Name: c.Name}
	}
	switch {
	case !c.Shared() && actor.Owner.OrganizationID != "":
		a.SharePath, a.Share, a.ShareMeaning = path+"/share", textShare, textShareMeaning
	case c.SharedBy != "" && (c.SharedBy == actor.Owner.UserID || actor.OrgAdmin):
		a.SharePath, a.Share, a.ShareMeaning = path+"/unshare", textUnshare, textUnshareMeaning
	}
	return a
}

func permittedOf(p tokenvault.Permission, provider tokenvault.Provider) permitted {
	release, _ := releaseText(p.Release, provider)
	until := fact{Label: textUntil, Time: p.ExpiresAt}
	if p.ExpiresAt.IsZero() {
		until.Value = textUntilWithdrawn
	}
	return permitted{
		ID: p.ID, Agent: p.AgentID, Release: release, ScopesTitle: textMayDo, Scopes: scopeLines(provider.Service, p.Scopes),
		Facts: []fact{{Label: textGrantedAt, Time: p.GrantedAt}, until},
		Path:  accountsPath + "/permissions/" + url.PathEscape(p.ID) + "/withdraw", Withdraw: textWithdraw,
	}
}
