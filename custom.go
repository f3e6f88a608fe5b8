package tokenvault

import (
	"bytes"
	"encoding/json"
	"time"
)

// A CustomProvider is a provider that a tenant or an organization defined itself.
type CustomProvider struct {
	Provider       Provider
	OrganizationID string // empty: the whole tenant's
	Version        int64
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// redirects reports whether to, put in from's place, could send what users
// entrusted to from somewhere else, or give more of it away. Only what is listed
// here is known not to: a host less, texts, and what shapes an authorization
// request or the reading of an answer. Where people sign in is not.
func redirects(from, to Provider) bool {
	for _, host := range to.Hosts {
		if !from.AllowsHost(host) {
			return true
		}
	}
	before, err := json.Marshal(harmless(from))
	after, err2 := json.Marshal(harmless(to))
	return err != nil || err2 != nil || !bytes.Equal(before, after)
}

// harmless returns p without what may change while p is used.
func harmless(p Provider) Provider {
	p.Name, p.Service, p.Description, p.IconURL, p.Hosts = "", "", "", "", nil
	p.Verified, p.Sources = "", nil
	p.Login = harmlessLogin(p.Login)
	if p.OAuth2 == nil {
		return p
	}
	o := *p.OAuth2
	o.AuthorizationParams = nil
	o.DefaultScopes, o.AlwaysScopes, o.ScopeParam, o.ScopeSeparator = nil, nil, "", ""
	o.TokenPath, o.DefaultLifetime, o.RefreshIdle, o.RejectedCodes, o.AccountLabel = "", 0, 0, nil, nil
	o.Setup, o.ConsoleURL = nil, ""
	p.OAuth2 = &o
	return p
}

// harmlessLogin keeps where people sign in, whose state is captured and who is
// recognized. How a login is told may change: sites do.
func harmlessLogin(login *Login) *Login {
	if login == nil {
		return nil
	}
	l := *login
	l.VisitDomains, l.Signs, l.Unless, l.Refuses = nil, nil, nil, ""
	l.Settle, l.CheckEvery, l.Lifetime = 0, 0, 0
	if l.Probe != nil {
		probe := *l.Probe
		probe.Status, probe.Pattern, probe.AccountLabel, probe.AccountLabelPattern = 0, "", nil, ""
		l.Probe = &probe
	}
	return &l
}
