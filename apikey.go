package tokenvault

import (
	"slices"
	"strings"
	"time"
)

// An APIKey is how an agent, a back end or an administrator authenticates.
type APIKey struct {
	ID   string // part of the key's text: tv_{id}_{secret}
	Name string // chosen by people: "billing agent"
	Kind ActorKind
	// AgentID names the agent in permissions and audit.
	AgentID string
	// Owner is whom an agent key acts for; a backend or admin key has the tenant
	// and, if it is confined to one, the organization only.
	Owner Owner
	// Scopes is what the key opens. Empty in a row from before there were scopes:
	// such a key has those of its kind.
	Scopes KeyScopes
	// MAC is a keyed hash over the secret, every field above and ExpiresAt, so that
	// a row that was written without the root key authenticates nobody.
	MAC []byte
	// MACVersion is the version of the tenant's data key that MAC was made with.
	MACVersion uint32
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: until revoked
	RevokedAt  time.Time // zero: in force; in the future: in force until then
	LastUsedAt time.Time // to within a minute or two; zero: never
}

// Ends returns when the key stops to authenticate; zero if it has no end.
func (k APIKey) Ends() time.Time {
	if k.RevokedAt.IsZero() || !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(k.RevokedAt) {
		return k.ExpiresAt
	}
	return k.RevokedAt
}

// A KeyState says whether an API key authenticates.
type KeyState string

// The states of a key.
const (
	KeyActive  KeyState = "active"
	KeyExpired KeyState = "expired"
	KeyRevoked KeyState = "revoked"
)

// State returns the state of the key at now.
func (k APIKey) State(now time.Time) KeyState {
	switch ends := k.Ends(); {
	case ends.IsZero() || now.Before(ends):
		return KeyActive
	case ends.Equal(k.RevokedAt):
		return KeyRevoked
	}
	return KeyExpired
}

// A KeyScope names a part of the API that a key opens. What the key's kind and
// owner allow there is decided besides.
type KeyScope string

// The scopes. Names are stable: they stand in keys.
const (
	ScopeActFor       KeyScope = "act_for"       // name the owner of a call: back ends
	ScopeApps         KeyScope = "apps"          // OAuth apps: administrators
	ScopeAudit        KeyScope = "audit"         // read the audit log: administrators
	ScopeAuthRequests KeyScope = "auth_requests" // follow auth requests; back ends complete them
	ScopeConnections  KeyScope = "connections"   // list connections; back ends revoke them
	ScopeJobs         KeyScope = "jobs"          // background work: administrators
	ScopeKeys         KeyScope = "keys"          // API keys: administrators
	ScopeOwners       KeyScope = "owners"        // delete what belongs to an owner: administrators
	ScopePermissions  KeyScope = "permissions"   // list permissions; back ends withdraw them
	ScopeProviders    KeyScope = "providers"     // list providers; administrators define them
	ScopeResolve      KeyScope = "resolve"       // get access
	ScopeSessions     KeyScope = "sessions"      // open sessions for users' pages: back ends
	ScopeWebhooks     KeyScope = "webhooks"      // endpoints that are told of changes: administrators
)

// ScopesOf returns every scope that a key of the kind can have, which are those
// that it gets if none is chosen. A kind without keys has none.
func ScopesOf(kind ActorKind) KeyScopes {
	agent := []KeyScope{ScopeAuthRequests, ScopeConnections, ScopePermissions, ScopeProviders, ScopeResolve}
	switch kind {
	case ActorAgent:
		return NewKeyScopes(agent...)
	case ActorBackend:
		return NewKeyScopes(append(agent, ScopeActFor, ScopeSessions)...)
	case ActorAdmin:
		return NewKeyScopes(ScopeApps, ScopeAudit, ScopeJobs, ScopeKeys, ScopeOwners, ScopeProviders, ScopeWebhooks)
	case ActorUser, ActorVisitor, ActorSystem:
	}
	return ""
}

// KeyScopes is a set of scopes: their names in alphabetical order, each once, with
// a space between. Compare sets with ==.
type KeyScopes string

// NewKeyScopes returns the set of scopes.
func NewKeyScopes(scopes ...KeyScope) KeyScopes {
	sorted := slices.Clone(scopes)
	slices.Sort(sorted)
	var text strings.Builder
	for i, scope := range slices.Compact(sorted) {
		if i > 0 {
			text.WriteByte(' ')
		}
		text.WriteString(string(scope))
	}
	return KeyScopes(text.String())
}

// List returns the scopes in alphabetical order.
func (s KeyScopes) List() []KeyScope {
	list := []KeyScope{}
	for name := range strings.FieldsSeq(string(s)) {
		list = append(list, KeyScope(name))
	}
	return list
}

// Has reports whether scope is in the set.
func (s KeyScopes) Has(scope KeyScope) bool {
	for name := range strings.FieldsSeq(string(s)) {
		if name == string(scope) {
			return true
		}
	}
	return false
}

// Covers reports whether every one of other is in the set.
func (s KeyScopes) Covers(other KeyScopes) bool {
	for name := range strings.FieldsSeq(string(other)) {
		if !s.Has(KeyScope(name)) {
			return false
		}
	}
	return true
}
