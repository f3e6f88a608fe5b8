package tokenvault

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxConnectionName is how many characters the name of a connection has at most.
const MaxConnectionName = 80

// A ConnectionStatus says whether a connection can be used.
type ConnectionStatus string

// The states of a connection.
const (
	ConnectionActive      ConnectionStatus = "active"
	ConnectionNeedsReauth ConnectionStatus = "needs_reauth"
	ConnectionRevoked     ConnectionStatus = "revoked"
)

// A ReauthReason says why a connection needs its owner again.
type ReauthReason string

// The reasons for needs_reauth.
const (
	ReauthRejected     ReauthReason = "rejected"      // the provider refused the refresh token
	ReauthLostResponse ReauthReason = "lost_response" // a refresh was cut off after the provider may have rotated
	ReauthNoRefresh    ReauthReason = "no_refresh"    // expired, and the provider issued no refresh token
	ReauthUpstream     ReauthReason = "upstream_401"  // the service refused a fresh access token
	ReauthOwnerDeleted ReauthReason = "owner_deleted" // the host deleted its owner; it goes too: see [HostDeletionStore]
	ReauthSignedOut    ReauthReason = "signed_out"    // the state of a browser login is not signed in any more
)

// An Account is who the owner is at the provider.
type Account struct {
	ID    string // the provider's stable identifier; empty if it tells none
	Label string // shown to people: a login or an e-mail address
}

// A Connection is a durable link from an owner to one account at a provider. It
// holds no secret. Its id is what the HTTP API calls credentialId.
type Connection struct {
	ID         string
	Owner      Owner
	ProviderID string
	AuthMethod AuthMethod
	AppID      string // the OAuth app that the grant belongs to
	Account    Account
	// Name is what its owner calls it; empty: nothing of their own. See [CleanName].
	Name   string
	Status ConnectionStatus
	Reason ReauthReason // set with needs_reauth
	Scopes []string     // as granted by the provider
	// SharedBy is the id of the user who gave the connection to the organization
	// that owns it; empty: nobody did.
	SharedBy string
	// Version counts sealings: it changes with every new credential, with a new
	// owner, and with nothing else.
	Version int64
	// ExpiresAt is when the access token expires, by the store's clock. Zero
	// means that the provider did not say.
	ExpiresAt  time.Time
	ObtainedAt time.Time // when the current credential was stored
	CreatedAt  time.Time
	UpdatedAt  time.Time
	RevokedAt  time.Time // zero unless revoked
	// LastUsedAt is when the credential was released last, to within a minute or two.
	// Zero: never.
	LastUsedAt time.Time
	// LastUsedBy is the id of the agent that it was released to then, as permissions
	// show it. Agents see their own there only.
	LastUsedBy string
}

// Shared reports whether the connection belongs to the organization rather than
// to one user.
func (c Connection) Shared() bool { return c.Owner.UserID == "" }

// CleanName returns the name of a connection without space around it. It returns a
// *[FieldError] if that is longer than [MaxConnectionName], or has characters that
// are not seen, which could make a name look like another. Those that join letters
// and emoji may be within it.
func CleanName(name string) (string, error) {
	name = strings.TrimFunc(name, func(r rune) bool { return unicode.IsSpace(r) || joins(r) })
	switch {
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unseen):
		return "", invalid("name", "must be one line without invisible characters")
	case utf8.RuneCountInString(name) > MaxConnectionName:
		return "", invalid("name", "must have at most 80 characters")
	}
	return name, nil
}

// unseen reports whether nothing is seen of r. Some fillers count as letters, and the
// blank of Braille as a symbol.
func unseen(r rune) bool {
	const brailleBlank = '\u2800'
	return !unicode.IsGraphic(r) && !joins(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || r == brailleBlank
}

func joins(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r == nonJoiner || r == joiner
}
