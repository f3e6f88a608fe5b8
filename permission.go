package tokenvault

import "time"

// A Release says in which form a credential may leave the vault.
type Release string

// The releases, from the narrower to the wider.
const (
	ReleaseInject Release = "inject" // requests are authorized on the agent's behalf; it never sees the token
	ReleaseToken  Release = "token"  // the agent receives the access token
)

// Covers reports whether r allows what is asked for.
func (r Release) Covers(asked Release) bool { return r == asked || r == ReleaseToken }

// Valid reports whether r is a known release.
func (r Release) Valid() bool { return r == ReleaseInject || r == ReleaseToken }

// A Permission is what one agent may do with one connection. Without one an
// agent may do nothing; the owner creates it on the confirm page.
type Permission struct {
	ID           string
	Owner        Owner // who granted it
	AgentID      string
	ConnectionID string
	Scopes       []string
	Release      Release
	CreatedAt    time.Time
	ExpiresAt    time.Time // zero: until withdrawn
}

// Widened returns p with what more allows beyond it: the scopes of both, the wider
// release and the later expiry. Who granted it, to whom, for what and since when
// stays p's.
func (p Permission) Widened(more Permission) Permission {
	p.Scopes = union(p.Scopes, more.Scopes)
	if !p.Release.Covers(more.Release) {
		p.Release = more.Release
	}
	if more.ExpiresAt.IsZero() || !p.ExpiresAt.IsZero() && more.ExpiresAt.After(p.ExpiresAt) {
		p.ExpiresAt = more.ExpiresAt
	}
	return p
}
