package tokenvault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// An AuthMethod says how a person connects an account at a provider.
type AuthMethod string

// The auth methods.
const (
	AuthOAuth2       AuthMethod = "oauth2"
	AuthBrowserLogin AuthMethod = "browser_login"
	AuthAPIKey       AuthMethod = "api_key"
)

// A UsageMode says what a tool works with once an account is connected.
type UsageMode string

// The usage modes.
const (
	UsageToken   UsageMode = "token"   // requests carry a credential
	UsageSession UsageMode = "session" // a tool drives the signed-in browser session
)

// A Provider is an outside service reached by one auth method. It is data: the
// catalog holds the ones that ship, and a deployment adds its own.
type Provider struct {
	ID          string     `json:"id" yaml:"id"`                   // "github"; lower-case letters, digits and hyphens
	Name        string     `json:"name" yaml:"name"`               // shown to people: "GitHub"
	Service     string     `json:"service" yaml:"service"`         // groups the auth methods of one service
	Description string     `json:"description" yaml:"description"` // one sentence, shown to people
	IconURL     string     `json:"iconUrl,omitempty" yaml:"iconUrl"`
	AuthMethod  AuthMethod `json:"authMethod" yaml:"authMethod"`
	UsageMode   UsageMode  `json:"usageMode" yaml:"usageMode"` // default token
	// Hosts lists where a credential may be sent, as exact lower-case host names
	// or host:port. A request to any other host is refused before injection. With
	// auth method api_key the first label may be a field of the form, in braces:
	// "{subdomain}.example.com". A credential then goes to its own host only.
	Hosts []string `json:"hosts" yaml:"hosts"`
	// OAuth2 is set when AuthMethod is oauth2.
	OAuth2 *OAuth2 `json:"oauth2,omitempty" yaml:"oauth2"`
	// APIKey is set when AuthMethod is api_key.
	APIKey *KeyAuth `json:"apiKey,omitempty" yaml:"apiKey"`
	// Login is set when AuthMethod is browser_login.
	Login *Login `json:"login,omitempty" yaml:"login"`
	// Verified is "docs" when every fact was read in the provider's own
	// documentation, else "unverified".
	Verified string `json:"verified" yaml:"verified"`
	// Sources cites the page that was read for each fact.
	Sources []Source `json:"sources,omitempty" yaml:"sources"`
}

// A Source cites where a fact about a provider was read.
type Source struct {
	Fact string `json:"fact" yaml:"fact"`
	URL  string `json:"url" yaml:"url"`
}

// A ClientAuth is how the vault authenticates at a token endpoint (RFC 7591 §2,
// token_endpoint_auth_method).
type ClientAuth string

// The client authentication methods.
const (
	ClientSecretBasic ClientAuth = "client_secret_basic"
	ClientSecretPost  ClientAuth = "client_secret_post"
	PrivateKeyJWT     ClientAuth = "private_key_jwt" // the app's client secret is a private key, as PEM or JWK
	ClientAuthNone    ClientAuth = "none"
)

// A Grant is how a token is obtained first.
type Grant string

// The grants.
const (
	GrantCode              Grant = "authorization_code" // the owner consents at the provider (RFC 6749 §4.1)
	GrantClientCredentials Grant = "client_credentials" // the app itself is the account (RFC 6749 §4.4)
)

// A RequestFormat is how parameters are sent to a token endpoint.
type RequestFormat string

// The request formats.
const (
	RequestForm RequestFormat = "form" // application/x-www-form-urlencoded (RFC 6749 §4.1.3)
	RequestJSON RequestFormat = "json" // an object of texts
)

// OAuth2 describes a provider's OAuth 2.0 endpoints and quirks.
type OAuth2 struct {
	// Issuer is the authorization server's identifier (RFC 8414 §2). When it is
	// set, an iss parameter (RFC 9207) and id_tokens must name it exactly.
	Issuer string `json:"issuer,omitempty" yaml:"issuer"`
	// IssRequired is true when the server advertises
	// authorization_response_iss_parameter_supported: a response without iss is
	// then refused.
	IssRequired bool `json:"issRequired,omitempty" yaml:"issRequired"`
	// Grant is how a token is obtained first. Default authorization_code. With
	// client_credentials the app's registration is the account, for everybody whose
	// app it is, and there is no AuthorizationURL.
	Grant            Grant  `json:"grant,omitempty" yaml:"grant"`
	AuthorizationURL string `json:"authorizationUrl" yaml:"authorizationUrl"`
	TokenURL         string `json:"tokenUrl" yaml:"tokenUrl"`
	// RefreshURL is where refresh tokens are sent, for a provider with an endpoint
	// of its own for them. Default TokenURL.
	RefreshURL string `json:"refreshUrl,omitempty" yaml:"refreshUrl"`
	// DeviceAuthorizationURL is where a code is asked for that the owner enters at
	// the provider (RFC 8628 §3.1). It is used instead of AuthorizationURL, and only
	// by vaults that are set to: see [Options.DeviceAuthorization].
	DeviceAuthorizationURL string `json:"deviceAuthorizationUrl,omitempty" yaml:"deviceAuthorizationUrl"`
	// PushedAuthorizationURL is where authorization requests are pushed (RFC 9126)
	// before the browser is sent to AuthorizationURL. Empty: they are not.
	PushedAuthorizationURL string `json:"pushedAuthorizationUrl,omitempty" yaml:"pushedAuthorizationUrl"`
	RevocationURL          string `json:"revocationUrl,omitempty" yaml:"revocationUrl"` // RFC 7009
	UserInfoURL            string `json:"userInfoUrl,omitempty" yaml:"userInfoUrl"`
	// UserInfoBody is the JSON text that is posted to UserInfoURL, for a provider
	// that answers no GET there, such as one that speaks GraphQL. Empty: GET.
	UserInfoBody string `json:"userInfoBody,omitempty" yaml:"userInfoBody"`
	JWKSURL      string `json:"jwksUrl,omitempty" yaml:"jwksUrl"`
	// ClientAuth is how the client authenticates at the token endpoint. Default
	// client_secret_basic.
	ClientAuth ClientAuth `json:"clientAuth,omitempty" yaml:"clientAuth"`
	// RequestFormat is how parameters are sent to the token, refresh and revocation
	// endpoint. Default form.
	RequestFormat RequestFormat `json:"requestFormat,omitempty" yaml:"requestFormat"`
	// DefaultScopes are requested when the app and the caller name none.
	DefaultScopes []string `json:"defaultScopes,omitempty" yaml:"defaultScopes"`
	// AlwaysScopes are added to every request, such as offline_access.
	AlwaysScopes []string `json:"alwaysScopes,omitempty" yaml:"alwaysScopes"`
	// ScopeParam is the authorization parameter that carries scopes. Default "scope".
	ScopeParam string `json:"scopeParam,omitempty" yaml:"scopeParam"`
	// ScopeSeparator joins scopes in a request. Default one space; answers are
	// split on spaces and commas.
	ScopeSeparator string `json:"scopeSeparator,omitempty" yaml:"scopeSeparator"`
	// ScopeImplies lists, for a granted scope, what it also covers.
	ScopeImplies map[string][]string `json:"scopeImplies,omitempty" yaml:"scopeImplies"`
	// AuthorizationParams are extra parameters of the authorization request, such
	// as access_type=offline.
	AuthorizationParams map[string]string `json:"authorizationParams,omitempty" yaml:"authorizationParams"`
	// TokenPath is the dotted path of the object that holds the token in the
	// answer, for providers that nest it ("authed_user"). Default the root.
	TokenPath string `json:"tokenPath,omitempty" yaml:"tokenPath"`
	// DefaultLifetime stands in for a missing expires_in. Zero means that the
	// token does not expire until the provider refuses it.
	DefaultLifetime time.Duration `json:"defaultLifetime,omitempty" yaml:"defaultLifetime"`
	// RefreshIdle is how long a refresh token lasts that is not used. Connections
	// that nobody uses are refreshed well within it. Zero: nobody says that it ends.
	RefreshIdle time.Duration `json:"refreshIdle,omitempty" yaml:"refreshIdle"`
	// RejectedCodes are further token-endpoint error codes, beside invalid_grant,
	// that mean that the grant is dead.
	RejectedCodes []string `json:"rejectedCodes,omitempty" yaml:"rejectedCodes"`
	// AccountID and AccountLabel are dotted paths, tried in order, into the
	// id_token's claims, then the userinfo answer, then the token answer.
	AccountID    []string `json:"accountId,omitempty" yaml:"accountId"`
	AccountLabel []string `json:"accountLabel,omitempty" yaml:"accountLabel"`
	// Setup tells an administrator how to register an app, in steps.
	Setup      []string `json:"setup,omitempty" yaml:"setup"`
	ConsoleURL string   `json:"consoleUrl,omitempty" yaml:"consoleUrl"`
}

// MarshalJSON writes durations as text, such as "12h0m0s".
func (o OAuth2) MarshalJSON() ([]byte, error) {
	type plain OAuth2
	return json.Marshal(struct {
		plain
		DefaultLifetime string `json:"defaultLifetime,omitempty"`
		RefreshIdle     string `json:"refreshIdle,omitempty"`
	}{plain(o), durationText(o.DefaultLifetime), durationText(o.RefreshIdle)})
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// UnmarshalJSON reads what MarshalJSON writes, and refuses fields that it does
// not know.
func (o *OAuth2) UnmarshalJSON(b []byte) error {
	type plain OAuth2
	in := struct {
		*plain
		DefaultLifetime string `json:"defaultLifetime"`
		RefreshIdle     string `json:"refreshIdle"`
	}{plain: (*plain)(o)}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return err
	}
	return readDurations(
		durationField{"oauth2.defaultLifetime", in.DefaultLifetime, &o.DefaultLifetime},
		durationField{"oauth2.refreshIdle", in.RefreshIdle, &o.RefreshIdle},
	)
}

// A durationField is a duration as text, and where it goes.
type durationField struct {
	name, text string
	to         *time.Duration
}

func readDurations(fields ...durationField) error {
	for _, field := range fields {
		if field.text == "" {
			continue
		}
		var err error
		if *field.to, err = time.ParseDuration(field.text); err != nil {
			return invalid(field.name, `must be a duration such as "12h" or "90m"`)
		}
	}
	return nil
}

// RefreshEndpoint returns where refresh tokens are sent.
func (o OAuth2) RefreshEndpoint() string {
	if o.RefreshURL != "" {
		return o.RefreshURL
	}
	return o.TokenURL
}

// renewable reports whether a credential can be renewed without its owner: by its
// refresh token, since the app itself is the account, or by a look in a browser.
func (p Provider) renewable(c Credential) bool {
	return !c.RefreshToken.IsZero() || p.Login != nil || p.OAuth2 != nil && p.OAuth2.Grant == GrantClientCredentials
}

// CoversScopes reports whether granted, with what it implies, includes required,
// and returns the ones that are missing in the order of required.
func (p Provider) CoversScopes(granted, required []string) (missing []string, ok bool) {
	for _, want := range required {
		if !slices.Contains(granted, want) && !p.implied(granted, want) {
			missing = append(missing, want)
		}
	}
	return missing, len(missing) == 0
}

func (p Provider) implied(granted []string, want string) bool {
	if p.OAuth2 == nil {
		return false
	}
	return slices.ContainsFunc(granted, func(scope string) bool {
		return slices.Contains(p.OAuth2.ScopeImplies[scope], want)
	})
}

// AllowsHost reports whether a credential of the provider may be sent to
// hostport, "host" or "host:port". A listed host without a port means 443.
func (p Provider) AllowsHost(hostport string) bool {
	host := canonicalHost(hostport)
	return slices.ContainsFunc(p.Hosts, func(h string) bool { return canonicalHost(h) == host })
}

func canonicalHost(hostport string) string {
	h := strings.ToLower(hostport)
	host, port, found := strings.Cut(h, ":")
	if strings.HasPrefix(h, "[") { // IPv6 literal: [::1]:443
		i := strings.LastIndex(h, "]")
		host, port, found = h[:i+1], strings.TrimPrefix(h[i+1:], ":"), strings.HasPrefix(h[i+1:], ":")
	}
	host = strings.TrimSuffix(host, ".")
	if !found {
		port = "443"
	}
	return host + ":" + port
}

// A Catalog is an immutable set of providers. It is safe for concurrent use.
type Catalog struct {
	byID map[string]Provider
	ids  []string // sorted
}

// NewCatalog returns a catalog of the providers. Two with one id are an error,
// so that nothing a deployment adds shadows what ships.
func NewCatalog(providers ...Provider) (*Catalog, error) {
	c := &Catalog{byID: make(map[string]Provider, len(providers))}
	for _, p := range providers {
		if _, dup := c.byID[p.ID]; dup {
			return nil, fmt.Errorf("provider %q is defined twice: choose another id: %w", p.ID, ErrInvalid)
		}
		c.byID[p.ID] = p
		c.ids = append(c.ids, p.ID)
	}
	slices.Sort(c.ids)
	return c, nil
}

// Provider returns the provider with the id, or an error wrapping [ErrNotFound]
// that names it.
func (c *Catalog) Provider(id string) (Provider, error) {
	p, ok := c.byID[id]
	if !ok {
		return Provider{}, fmt.Errorf("provider %q is not in the catalog: %w", printable(id), ErrNotFound)
	}
	return p, nil
}

// All yields the providers in the order of their ids.
func (c *Catalog) All() iter.Seq[Provider] {
	return func(yield func(Provider) bool) {
		for _, id := range c.ids {
			if !yield(c.byID[id]) {
				return
			}
		}
	}
}

// printable returns id if it is a well-formed provider id, else a placeholder:
// an error must not echo what a caller submitted.
func printable(id string) string {
	if ValidProviderID(id) {
		return id
	}
	return "?"
}

// ValidProviderID reports whether id is 1 to 64 lower-case letters, digits and
// hyphens, and starts with a letter.
func ValidProviderID(id string) bool {
	if id == "" || len(id) > 64 || id[0] < 'a' || id[0] > 'z' {
		return false
	}
	return !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}
