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
