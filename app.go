package tokenvault

import "time"

// An App is the vault's OAuth client registration at a provider, of an
// organization or the tenant's default. The secret is written and never read
// back. The HTTP API calls it oauth-config.
type App struct {
	// ID is derived from tenant, organization and provider, so that the callback
	// URL {PublicURL}{Mount}/oauth/callback/{ID} is known before the app is
	// registered at the provider, and stays.
	ID             string
	Tenant         string
	OrganizationID string // empty: the tenant's default
	ProviderID     string
	ClientID       string
	HasSecret      bool
	Scopes         []string // requested beside what a caller asks for
	// LegacyCallback lets the bare path /oauth/callback serve this app too.
	LegacyCallback bool
	Version        int64
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// An APIKey is how an agent or a back end authenticates.
type APIKey struct {
	ID   string // part of the key's text: tv_{id}_{secret}
	Name string // chosen by people: "billing agent"
	Kind ActorKind
	// AgentID names the agent in permissions and audit.
	AgentID string
	// Owner is whom an agent key acts for; a backend or admin key has the tenant
	// and, if it is confined to one, the organization only.
	Owner Owner
	// MAC is a keyed hash over the secret and every field above and ExpiresAt, so
	// that a row that was written without the root key authenticates nobody.
	MAC       []byte
	CreatedAt time.Time
	ExpiresAt time.Time // zero: until revoked
	RevokedAt time.Time // zero: in force
}
