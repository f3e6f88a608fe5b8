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
	GrantedAt    time.Time // when the owner last confirmed it
	ExpiresAt    time.Time // zero: until withdrawn
}

// Widened returns p with what more allows beyond it: the scopes of both and the
// wider release. When it was granted and until when are more's, since that is what
// the owner confirmed last. Who granted it, to whom and for what stays p's.
func (p Permission) Widened(more Permission) Permission {
	p.Scopes = union(p.Scopes, more.Scopes)
	if !p.Release.Covers(more.Release) {
		p.Release = more.Release
	}
	p.GrantedAt, p.ExpiresAt = more.GrantedAt, more.ExpiresAt
	return p
}

// checkPermissionTTL checks how long an owner permits something; 0 means until
// withdrawn.
func checkPermissionTTL(ttl time.Duration) error {
	if ttl != 0 && ttl < time.Second {
		return invalid("permissionTtl", "must be at least a second, or 0 for until withdrawn")
	}
	return nil
}
