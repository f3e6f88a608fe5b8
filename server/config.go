// Package server wires the rooms of the house into a running server: it turns a
// configuration into a store, a sealer, a vault and an HTTP server. It holds no
// rule of its own.
package server

import (
	"path/filepath"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// Config is the whole configuration. Each field is a flag, an environment
// variable TOKENVAULT_… and a key of the configuration file, in this order of
// precedence. Secrets come from the environment or from files only.
type Config struct {
	DataDir string `help:"Directory of the database and the root key. Created on first start." default:"~/.local/share/tokenvault" type:"path" env:"TOKENVAULT_DATA_DIR" group:"Storage"`
	KeyFile string `help:"File of the root key. Default: root-key.json in the data directory." type:"path" env:"TOKENVAULT_KEY_FILE" group:"Storage"`
	Tenant  string `help:"Tenant that this server serves." default:"default" env:"TOKENVAULT_TENANT" group:"Storage"`
	Audit   string `help:"When the audit entry of a release is durable: sync (before the release) or async (within 100 ms)." enum:"sync,async" default:"sync" env:"TOKENVAULT_AUDIT" group:"Storage"`

	RequestRetention time.Duration `help:"How long auth requests are kept once they were settled." name:"request-retention" default:"720h" env:"TOKENVAULT_REQUEST_RETENTION" group:"Storage"`
	WebhookRetention time.Duration `help:"How long deliveries of webhooks are kept once they were delivered or given up." name:"webhook-retention" default:"720h" env:"TOKENVAULT_WEBHOOK_RETENTION" group:"Storage"`

	Database `embed:""`

	Listen    string `help:"Address to listen on." default:"127.0.0.1:8420" env:"TOKENVAULT_LISTEN" group:"HTTP"`
	PublicURL string `help:"Origin at which browsers reach the vault, such as https://vault.example.com. Default: http at the listen address, if that is loopback." env:"TOKENVAULT_PUBLIC_URL" group:"HTTP"`
	Mount     string `help:"Path of the browser-facing API." default:"/api/token-vault" env:"TOKENVAULT_MOUNT" group:"HTTP"`

	Mode                 string        `help:"How users are proven: local (one user on this machine), session (the host application's session on the same site), assertion (a statement that the host signs), signin (an OpenID Connect server) or verifier (the host says who it was, server to server, before anything is exchanged)." enum:"local,session,assertion,signin,verifier" default:"local" env:"TOKENVAULT_MODE" group:"Users"`
	SignInURL            string        `help:"Modes session and assertion: the host's page at which a browser signs in; {returnTo} is replaced by the URL to come back to." name:"sign-in-url" env:"TOKENVAULT_SIGN_IN_URL" group:"Users"`
	SessionURL           string        `help:"Mode session: the host's endpoint that answers who is signed in, as {\"userId\", \"organizationId\", \"orgAdmin\"}." env:"TOKENVAULT_SESSION_URL" group:"Users"`
	SessionCookies       []string      `help:"Mode session: names of the cookies to forward to it." env:"TOKENVAULT_SESSION_COOKIES" group:"Users"`
	AssertionIssuer      string        `help:"Mode assertion: the issuer (iss) of the host's assertions." env:"TOKENVAULT_ASSERTION_ISSUER" group:"Users"`
	AssertionKeys        string        `help:"Mode assertion: file of the host's public keys, a JWK Set or PEM." type:"path" env:"TOKENVAULT_ASSERTION_KEYS" group:"Users"`
	AssertionKeysURL     string        `help:"Mode assertion: URL where the host publishes its public keys instead, as a JWK Set." name:"assertion-keys-url" env:"TOKENVAULT_ASSERTION_KEYS_URL" group:"Users"`
	OIDCIssuer           string        `help:"Mode signin: the OpenID Connect server, exactly as its metadata names itself. Register {public-url}/signin/oidc/callback there." name:"oidc-issuer" env:"TOKENVAULT_OIDC_ISSUER" group:"Users"`
	OIDCClientID         string        `help:"Mode signin: the vault's client id there." name:"oidc-client-id" env:"TOKENVAULT_OIDC_CLIENT_ID" group:"Users"`
	OIDCClientSecretFile string        `help:"Mode signin: file of the client secret, if there is one." name:"oidc-client-secret-file" type:"path" env:"TOKENVAULT_OIDC_CLIENT_SECRET_FILE" group:"Users"`
	OIDCScopes           []string      `help:"Mode signin: scopes to ask for beside openid." name:"oidc-scopes" env:"TOKENVAULT_OIDC_SCOPES" group:"Users"`
	OIDCUserClaim        string        `help:"Mode signin: the claim that is the host's id of the user." name:"oidc-user-claim" default:"sub" env:"TOKENVAULT_OIDC_USER_CLAIM" group:"Users"`
	OIDCOrganization     string        `help:"Mode signin: the claim that is the user's organization. Default: none." name:"oidc-organization-claim" env:"TOKENVAULT_OIDC_ORGANIZATION_CLAIM" group:"Users"`
	SessionTTL           time.Duration `help:"Modes assertion and signin: how long a browser stays signed in, at most 24h." name:"session-ttl" default:"1h" env:"TOKENVAULT_SESSION_TTL" group:"Users"`
	VerifyURL            string        `help:"Mode verifier: the host's page to which a browser is sent after the provider, with authRequestId and handle. Its server then calls POST /v1/auth-requests/{id}/complete." name:"verify-url" env:"TOKENVAULT_VERIFY_URL" group:"Users"`
	Origins              []string      `help:"Origins of host applications, such as https://app.example.com: their pages may call the API, bring users along, and are told by postMessage that a connect is done." env:"TOKENVAULT_ORIGINS" group:"Users"`
	ReturnURLs           []string      `help:"URLs to which a browser may return after a connect." name:"return-urls" env:"TOKENVAULT_RETURN_URLS" group:"Users"`

	ProviderFiles       []string      `help:"Files that define further providers." type:"path" env:"TOKENVAULT_PROVIDER_FILES" group:"Providers"`
	AllowHosts          []string      `help:"Exact host:port pairs that may be reached although they are private, or by http." env:"TOKENVAULT_ALLOW_HOSTS" group:"Providers"`
	DeviceAuthorization []string      `help:"Ids of providers that are connected by device authorization (RFC 8628): the owner enters a code at the provider. Whoever gets a code entered by somebody else connects that one's account: for providers only where a redirect cannot be had." name:"device-authorization" env:"TOKENVAULT_DEVICE_AUTHORIZATION" group:"Providers"`
	ProbeEvery          time.Duration `help:"How often to ask a service whether a key still works that cannot be renewed, such as 24h. 0: never." name:"probe-every" default:"0" env:"TOKENVAULT_PROBE_EVERY" group:"Providers"`
	AuthRequestTTL      time.Duration `help:"How long an auth request stays open." name:"auth-request-ttl" default:"24h" env:"TOKENVAULT_AUTH_REQUEST_TTL" group:"Providers"`
	AttemptTTL          time.Duration `help:"How long one attempt to connect may take." name:"attempt-ttl" default:"10m" env:"TOKENVAULT_ATTEMPT_TTL" group:"Providers"`

	Browsers `embed:""`

	LimitKey           float64  `help:"Requests a second that an API key may send, and twice as many at once; a back end's key ten times as many. 0: no limit." name:"limit-key" default:"200" env:"TOKENVAULT_LIMIT_KEY" group:"Limits"`
	LimitUser          float64  `help:"Requests a second that a user may send to the browser-facing API, and pages a second that a user may open, and twice as many at once. 0: no limit." name:"limit-user" default:"20" env:"TOKENVAULT_LIMIT_USER" group:"Limits"`
	LimitConnects      float64  `help:"Times a minute that a user may set out to connect; for one auth request a third of that. 0: no limit." name:"limit-connects" default:"30" env:"TOKENVAULT_LIMIT_CONNECTS" group:"Limits"`
	LimitWaits         int      `help:"Auth requests that a user may wait for at once, in streams of events and long polls; an agent's key ten times as many, a back end's as many as it likes. 0: no limit." name:"limit-waits" default:"100" env:"TOKENVAULT_LIMIT_WAITS" group:"Limits"`
	LimitFailures      float64  `help:"Wrong API keys, wrong returns from a provider, and wrong sign-in links a minute, each, after which a client's address is refused. 0: no limit." name:"limit-failures" default:"20" env:"TOKENVAULT_LIMIT_FAILURES" group:"Limits"`
	LimitTokenEndpoint float64  `help:"Requests a second to the token endpoints of one host, and twice as many at once; with it come 64 at a time and the pauses that a provider asks for. 0: no limit." name:"limit-token-endpoint" default:"50" env:"TOKENVAULT_LIMIT_TOKEN_ENDPOINT" group:"Limits"`
	TrustedProxies     []string `help:"Addresses of proxies, such as 10.0.0.0/8, whose X-Forwarded-For names the client. Default: none, and the client is who connects." name:"trusted-proxies" env:"TOKENVAULT_TRUSTED_PROXIES" group:"Limits"`

	LogLevel  string `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info" env:"TOKENVAULT_LOG_LEVEL" group:"Log"`
	LogFormat string `help:"text or json." enum:"text,json" default:"text" env:"TOKENVAULT_LOG_FORMAT" group:"Log"`

	MetricsListen string `help:"Address on which GET /metrics answers Prometheus, such as 127.0.0.1:9464. It asks nobody who calls: name one that only Prometheus reaches. Default: none." env:"TOKENVAULT_METRICS_LISTEN" group:"Log"`

	// Version is what metrics and traces name. It is no setting.
	Version string `kong:"-"`
	// RootKey takes the place of the key file. It is read from the environment
	// only: TOKENVAULT_ROOT_KEY.
	RootKey tokenvault.Secret `kong:"-"`
	// OldRootKey is what RootKey was before; it only opens. It is read from the
	// environment only: TOKENVAULT_ROOT_KEY_OLD.
	OldRootKey tokenvault.Secret `kong:"-"`
}

// DatabasePath is where the SQLite database is.
func (c Config) DatabasePath() string { return filepath.Join(c.DataDir, "tokenvault.db") }

// KeyPath is where the root key is.
func (c Config) KeyPath() string {
	if c.KeyFile != "" {
		return c.KeyFile
	}
	return filepath.Join(c.DataDir, "root-key.json")
}
