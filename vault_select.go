package tokenvault

import "slices"

// A selection is the outcome of choosing among candidates: one to use, or why
// the owner has to act, or a denial.
type selection struct {
	candidate *Candidate
	denied    bool
	reason    Reason
	scopes    []string // to ask the owner for
	target    string   // the connection to heal, step up or permit
	shared    bool     // the organization is asked, not the caller's owner
}

// selectCandidate applies the rules of selection: an own connection before an
// organization's; an own one that needs its owner never falls through to a
// shared one; several and no choice made is a question, never a guess.
func selectCandidate(actor Actor, p Provider, req ResolveRequest, found Found) selection {
	own, shared, revoked := partition(actor.Owner, found.Candidates)
	group := own
	if len(group) == 0 {
		group = shared
	}
	if len(group) == 0 {
		reason := ReasonMissing
		if revoked {
			reason = ReasonRevoked
		}
		return selection{reason: reason, scopes: req.Scopes, target: ""}
	}
	c := chosen(group)
	if c == nil {
		return selection{reason: ReasonChooseAccount, scopes: req.Scopes}
	}
	return judge(actor, p, req, c)
}

// partition splits candidates into own and organization-owned ones, and tells
// whether a revoked own one was among them.
func partition(owner Owner, candidates []Candidate) (own, shared []*Candidate, revoked bool) {
	for i := range candidates {
		c := &candidates[i]
		switch {
		case c.Status == ConnectionRevoked:
			revoked = revoked || c.Owner == owner
		case c.Owner == owner:
			own = append(own, c)
		default:
			shared = append(shared, c)
		}
	}
	return own, shared, revoked
}

// chosen returns the only candidate, or the one that the owner last permitted to
// the agent, or nil.
func chosen(group []*Candidate) *Candidate {
	if len(group) == 1 {
		return group[0]
	}
	var pick *Candidate
	for _, c := range group {
		if c.Permission != nil && (pick == nil || c.Permission.GrantedAt.After(pick.Permission.GrantedAt)) {
			pick = c
		}
	}
	return pick
}

// judge says whether c can be used for req.
func judge(actor Actor, p Provider, req ResolveRequest, c *Candidate) selection {
	target, shared := c.ID, c.Owner != actor.Owner
	if shared {
		target = "" // a user cannot step up the organization's connection, but connect an own one
	}
	if c.Status == ConnectionNeedsReauth && shared {
		// All who use it wait for one request, whatever each of them needs.
		return selection{candidate: c, reason: ReasonExpired, scopes: c.Scopes, target: c.ID, shared: true}
	}
	if c.Status == ConnectionNeedsReauth {
		return selection{candidate: c, reason: ReasonExpired, scopes: union(c.Scopes, req.Scopes), target: target}
	}
	if _, ok := p.CoversScopes(c.Scopes, req.Scopes); !ok {
		return selection{candidate: c, reason: ReasonInsufficientScope, scopes: union(c.Scopes, req.Scopes), target: target}
	}
	if c.Permission == nil {
		return selection{candidate: c, reason: ReasonPermissionRequired, scopes: askable(c, req), target: c.ID}
	}
	if !c.Permission.Release.Covers(req.Release) {
		return selection{candidate: c, denied: true}
	}
	if _, ok := p.CoversScopes(c.Permission.Scopes, req.Scopes); !ok {
		return selection{candidate: c, reason: ReasonPermissionRequired, scopes: union(c.Permission.Scopes, req.Scopes), target: c.ID}
	}
	return selection{candidate: c}
}

// askable returns the scopes to permit: what the call needs, or all that is
// granted if it named none.
func askable(c *Candidate, req ResolveRequest) []string {
	if len(req.Scopes) > 0 {
		return req.Scopes
	}
	return slices.Clone(c.Scopes)
}
