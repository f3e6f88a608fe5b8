package tokenvault

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/ai-token-vault/tokenvault/internal/limit"
)

// Options configures a [Vault]. The zero Options, like nil, works for a vault
// that only resolves.
type Options struct {
	// Tenant is the tenant that the vault serves. Default [DefaultTenant].
	Tenant string
	// PublicURL is where browsers reach the vault: https, or http on a loopback
	// name, without a path. Required to connect.
	PublicURL string
	// Mount is the path of the browser-facing HTTP API. Default "/api/token-vault".
	Mount string
	// Flows maps each auth method in use to its flow.
	Flows map[AuthMethod]Flow
	// ReturnURLs lists where a browser may be sent after a connect. Scheme, host
	// and path must be equal; a path on PublicURL itself is always allowed.
	ReturnURLs []string
	// Origins lists the origins of host applications, such as
	// https://app.example.com: their pages may call the browser-facing API, bring
	// users along, and be told that a connect is done. Default: none.
	Origins []string
	// VerifyURL is the host's page that says who is signed in, for browsers that
	// cannot be proven at the vault: https, or http on a loopback name. It is sent
	// there with authRequestId and handle after the provider, and its server calls
	// [Vault.CompleteConnect] for whom it sees. Empty: there are no visitors.
	VerifyURL string
	// LintProvider says what is wrong with the definition of a custom provider, as
	// catalog.Check does: the error wraps [ErrInvalid]. Default: there are no custom
	// providers beyond the catalog's.
	LintProvider func(Provider) error
	// AllowHosts lists exact host:port pairs that a custom provider or a webhook may
	// name although they are not public, also by http. The provider's flows must allow
	// them as well.
	AllowHosts []string
	// DeviceAuthorization lists the ids of providers that are connected by device
	// authorization (RFC 8628) rather than by a redirect. Default: none. Who gets a
	// code entered by somebody else connects that one's account, and no proof on
	// this side can tell: use it only where a redirect cannot be had.
	DeviceAuthorization []string
	// InProcess makes "token" the release that an agent asks for by default: for
	// an embedder whose tools run in its own process.
	InProcess bool
	// AuthRequestTTL is how long an auth request stays open. Default 24 h.
	AuthRequestTTL time.Duration
	// AttemptTTL is how long one OAuth attempt may take. Default 10 min.
	AttemptTTL time.Duration
	// LoginTTL is how long one login in a server-side browser may take. Default 30
	// min.
	LoginTTL time.Duration
	// SessionIdle is after how long the browser of a connection is closed that no
	// agent drives. Default 10 min.
	SessionIdle time.Duration
	// NodeURL is where other processes on the store reach the HTTP API of this one:
	// they send on what concerns a browser that runs here. Empty: there are none, or
	// none of them start browsers.
	NodeURL string
	// Spool keeps refreshed credentials while the store cannot take them. Default:
	// they are held in memory until the lease of the refresh ends, and lost with it.
	Spool Spool
	// ProbeEvery is how often background work asks a service whether a credential
	// still works that cannot be renewed, such as an API key. Default: never.
	ProbeEvery time.Duration
	// WebhookRetention is how long deliveries of webhooks are kept, for people to look
	// at and to send again, once they were delivered or given up. Default 30 days.
	WebhookRetention time.Duration
	// RequestRetention is how long auth requests are kept once they were settled, so
	// that a call that waited, and the link to it, still learn how it ended. The audit
	// log has its own end. Default 30 days.
	RequestRetention time.Duration
	// Audit says when a release is audited. Default [AuditSync].
	Audit AuditMode
	// Observer is told what the vault does and how long it takes. Default: nobody is.
	Observer Observer
	// Logger receives what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
}

// DefaultMount is the default path of the browser-facing HTTP API.
const DefaultMount = "/api/token-vault"

const (
	defaultAuthRequestTTL = 24 * time.Hour
	defaultAttemptTTL     = 10 * time.Minute
	defaultLoginTTL       = 30 * time.Minute
	defaultSessionIdle    = 10 * time.Minute
	checkTimeout          = 10 * time.Second
	drainTimeout          = 35 * time.Second

	defaultWebhookRetention = 30 * 24 * time.Hour
	defaultRequestRetention = 30 * 24 * time.Hour
)

// A Vault releases credentials to those who may have them and asks owners for
// those that are missing. It is safe for concurrent use; any number of vaults,
// in any number of processes, may share one store.
//
// # Encryption
//
// Credentials, client secrets and attempts are sealed with AES-256-GCM under a
// data key of their key space: one per organization; personal owners share 256
// hashed spaces per tenant. Data keys are sealed by the [Sealer]'s root key. What
// is sealed is bound to its table, tenant, owner, row, field and version, so that
// nothing can be moved or rolled back field by field unnoticed.
type Vault struct {
	store   Store
	catalog *Catalog
	opts    Options
	log     *slog.Logger
	watch   observing

	keys           *dataKeys
	apiKeys        *keyCache
	keyLookUps     singleflight.Group
	keyUses        uses
	connectionUses uses
	audit          *auditLog
	audited        atomic.Bool // this vault wrote audit entries, or may have
	custom         customProviders
	waiters        waiters
	refreshes      singleflight.Group
	// forced remembers, per connection, the version that an upstream 401 led to:
	// if that one is refused as well, refreshing again is no use.
	forced sync.Map
	// heldOff remembers until when a still valid token is left alone after its
	// provider failed.
	heldOff  sync.Map
	jobs     chan struct{} // wakes Run
	hooks    *http.Client  // sends webhooks
	behind   busy          // refreshes that nobody waits for
	breakers limit.Breakers
	work     workers
	logins   logins
	driven   drivenSessions
}

// New returns a vault on the store. It fails with an error wrapping
// [ErrUnsealable] if the store holds data that the sealer's root key does not
// open, and with a [FieldError] on bad options. Close it after use.
func New(store Store, sealer Sealer, catalog *Catalog, opts *Options) (*Vault, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	for _, id := range o.DeviceAuthorization {
		if p, err := catalog.Provider(id); err != nil || p.OAuth2 == nil || p.OAuth2.DeviceAuthorizationURL == "" {
			return nil, invalid("deviceAuthorization", "each must be the id of a provider of the catalog with a deviceAuthorizationUrl")
		}
	}
	watch := observing{observer: o.Observer, catalog: catalog}
	v := &Vault{
		store: store, catalog: catalog, opts: o, log: o.Logger, watch: watch,
		keys: newDataKeys(store, sealer, watch), apiKeys: newKeyCache(),
		jobs: make(chan struct{}, 1), hooks: newWebhookClient(o.AllowHosts),
		work: workers{closing: make(chan struct{})}, logins: logins{node: newID("nd")},
	}
	v.breakers.Changed = v.breakerChanged
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	if err := v.keys.check(ctx); err != nil {
		return nil, err
	}
	v.audit = newAuditLog(store, o.Tenant, o.Audit, o.Logger, watch)
	return v, nil
}

func (opts *Options) withDefaults() (Options, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Tenant == "" {
		o.Tenant = DefaultTenant
	}
	if o.Mount == "" {
		o.Mount = DefaultMount
	}
	if o.AuthRequestTTL <= 0 {
		o.AuthRequestTTL = defaultAuthRequestTTL
	}
	if o.AttemptTTL <= 0 {
		o.AttemptTTL = defaultAttemptTTL
	}
	if o.LoginTTL <= 0 {
		o.LoginTTL = defaultLoginTTL
	}
	if o.SessionIdle <= 0 {
		o.SessionIdle = defaultSessionIdle
	}
	if o.WebhookRetention <= 0 {
		o.WebhookRetention = defaultWebhookRetention
	}
	if o.RequestRetention <= 0 {
		o.RequestRetention = defaultRequestRetention
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if !strings.HasPrefix(o.Mount, "/") || strings.HasSuffix(o.Mount, "/") {
		return o, invalid("mount", "must begin with a slash and not end with one")
	}
	if o.PublicURL != "" {
		if err := checkPublicURL(o.PublicURL); err != nil {
			return o, err
		}
	}
	for _, origin := range o.Origins {
		if !validOrigin(origin) {
			return o, invalid("origins", "each must be an origin such as https://app.example.com")
		}
	}
	if u, err := url.Parse(o.VerifyURL); o.VerifyURL != "" && (err != nil || u.User != nil || u.Fragment != "" || !validOrigin(u.Scheme+"://"+u.Host)) {
		return o, invalid("verifyUrl", "must be an https URL, or http on a loopback name, without user and fragment")
	}
	return o, nil
}

// validOrigin reports whether text is an origin: https, or http on a loopback
// name, and no path.
func validOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.Scheme+"://"+u.Host == text && (u.Scheme == "https" || u.Scheme == "http" && isLoopbackName(u.Hostname()))
}

func checkPublicURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return invalid("publicUrl", "must be an origin such as https://vault.example.com")
	case u.Path != "":
		return invalid("publicUrl", "must have no path and no trailing slash")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && isLoopbackName(u.Hostname()):
		return nil
	}
	return invalid("publicUrl", "must be https, except on a loopback name such as 127.0.0.1 or localhost")
}

func isLoopbackName(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Tenant returns the tenant that the vault serves.
func (v *Vault) Tenant() string { return v.opts.Tenant }

// Catalog returns the providers.
func (v *Vault) Catalog() *Catalog { return v.catalog }

// PublicURL returns the origin at which browsers reach the vault.
func (v *Vault) PublicURL() string { return v.opts.PublicURL }

// Mount returns the path of the browser-facing HTTP API.
func (v *Vault) Mount() string { return v.opts.Mount }

// NodeURL returns where other processes on the store reach this one; empty if there
// are none.
func (v *Vault) NodeURL() string { return v.opts.NodeURL }

// Enables reports whether accounts can be connected by the method here.
func (v *Vault) Enables(method AuthMethod) bool { return v.opts.Flows[method] != nil }

// Origins returns the origins of the host applications.
func (v *Vault) Origins() []string { return slices.Clone(v.opts.Origins) }

// Ping reports whether the vault can serve: its store answers and its audit log
// accepts entries.
func (v *Vault) Ping(ctx context.Context) error {
	if err := v.audit.healthy(); err != nil {
		return err
	}
	return v.store.Ping(ctx)
}

// Close stops taking refreshes, ends what runs in browsers, each with its outcome,
// waits up to 35 seconds for what is under way, flushes the audit log and signs how
// far it came. The store stays open.
func (v *Vault) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	err := v.work.drain(ctx)
	v.noteUses(ctx)
	v.audit.close()
	if v.audited.Load() {
		v.signAudit(ctx)
	}
	return err
}

// workers counts what goes on detached from its caller, so that Close can wait
// for it.
type workers struct {
	mu      sync.Mutex // orders begin before or after drain
	closed  bool
	closing chan struct{} // closed by drain
	running sync.WaitGroup
}

// begin reports whether work may begin; if so, call running.Done after it.
func (w *workers) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.running.Add(1)
	}
	return !w.closed
}

func (w *workers) drain(ctx context.Context) error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.closing)
	}
	w.mu.Unlock()
	drained := make(chan struct{})
	go func() { w.running.Wait(); close(drained) }()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closed with refreshes under way: %w", ctx.Err())
	}
}

// checkActor checks that the actor belongs here.
func (v *Vault) checkActor(actor Actor) error {
	if actor.Owner.Tenant != v.opts.Tenant {
		return fmt.Errorf("actor of another tenant: %w", ErrUnauthenticated)
	}
	switch actor.Kind {
	case ActorAdmin, ActorSystem:
		return nil
	case ActorVisitor:
		if v.opts.VerifyURL == "" {
			return fmt.Errorf("a visitor without a host that proves users: %w", ErrUnauthenticated)
		}
		return nil
	case ActorUser, ActorAgent, ActorBackend:
	}
	if actor.ID == "" {
		return fmt.Errorf("actor without an id: %w", ErrUnauthenticated)
	}
	return actor.Owner.Validate()
}

// event returns an audit entry of the actor.
func (v *Vault) event(kind EventKind, actor Actor, owner Owner) Event {
	if !v.audited.Load() {
		v.audited.Store(true)
	}
	e := Event{Kind: kind, Tenant: v.opts.Tenant, ActorKind: actor.Kind, ActorID: actor.ID, Owner: owner}
	if actor.IsAgent() && actor.Owner.UserID != owner.UserID {
		e.ForUserID = actor.Owner.UserID
	}
	return e
}
