package tokenvault

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

// A ProviderInput defines a custom provider.
type ProviderInput struct {
	OrganizationID string // empty: the whole tenant's
	// Provider is the definition. Service defaults to the id, UsageMode to token,
	// Verified to unverified.
	Provider Provider
	// Version is that of the definition to replace; 0: whatever is there.
	Version int64
}

// PutProvider defines a provider for an organization or for the whole tenant, or
// replaces the definition. Only its administrator may. An id must be neither the
// catalog's nor defined for the tenant or an organization already, in the other
// way. Addresses must be public, unless [Options.AllowHosts] lists them.
//
// While an app or a connection uses the provider, nothing can be changed that
// decides where credentials go: [ErrInUse]. It fails with [ErrConflict] if the
// version moved on, and with a [FieldError] on a definition that is not sound.
func (v *Vault) PutProvider(ctx context.Context, actor Actor, in ProviderInput) (CustomProvider, error) {
	if err := v.mayDefine(actor, in.OrganizationID); err != nil {
		return CustomProvider{}, err
	}
	p := in.Provider
	p.Service, p.UsageMode, p.Verified = cmp.Or(p.Service, p.ID), cmp.Or(p.UsageMode, UsageToken), cmp.Or(p.Verified, "unverified")
	if err := v.checkDefinition(p, in.OrganizationID); err != nil {
		return CustomProvider{}, err
	}
	old, err := v.findCustom(ctx, in.OrganizationID, p.ID)
	fresh := errors.Is(err, ErrNotFound)
	switch {
	case err != nil && !fresh:
		return CustomProvider{}, err
	case !fresh && old.OrganizationID != in.OrganizationID:
		return CustomProvider{}, invalid("id", "is that of a provider for everybody in the tenant: choose another")
	case in.Version != 0 && in.Version != old.Version:
		return CustomProvider{}, fmt.Errorf("provider %s: its version is %d: %w", p.ID, old.Version, ErrConflict)
	}
	sealed := SealedProvider{Tenant: v.opts.Tenant, OrganizationID: in.OrganizationID, ID: p.ID, Version: old.Version + 1}
	definition, err := json.Marshal(p)
	if err != nil {
		return CustomProvider{}, fmt.Errorf("provider %s: %w", p.ID, err)
	}
	if sealed.Record, err = v.keys.seal(ctx, providerPlace(sealed), definition); err != nil {
		return CustomProvider{}, err
	}
	stored, err := v.store.PutProvider(ctx, ProviderPut{
		Provider: sealed, Unused: fresh || redirects(old.Provider, p), Event: v.providerEvent(EventProviderSet, actor, in.OrganizationID, p.ID),
	})
	if err != nil {
		return CustomProvider{}, whyNot(p.ID, err)
	}
	v.custom.forgetAll()
	return CustomProvider{
		Provider: p, OrganizationID: stored.OrganizationID, Version: stored.Version, CreatedAt: stored.CreatedAt, UpdatedAt: stored.UpdatedAt,
	}, nil
}

func (v *Vault) mayDefine(actor Actor, organizationID string) error {
	if err := v.checkActor(actor); err != nil {
		return err
	}
	if !actor.MayAdminister(v.opts.Tenant, organizationID) {
		return fmt.Errorf("only an administrator defines providers: %w", ErrDenied)
	}
	if v.opts.LintProvider == nil {
		return fmt.Errorf("this vault has no custom providers: %w", ErrInvalid)
	}
	return nil
}

func (v *Vault) checkDefinition(p Provider, organizationID string) error {
	if !validID(organizationID) {
		return invalid("organizationId", "must be at most 255 bytes without control characters")
	}
	if err := v.opts.LintProvider(p); err != nil {
		return err
	}
	if _, err := v.catalog.Provider(p.ID); err == nil {
		return invalid("id", "is that of a provider that ships with the vault or stands in its configuration: choose another")
	}
	return v.checkAddresses(p)
}

// checkAddresses refuses addresses of which one can see that they are not public:
// what a tenant defines must not lead the vault, or a browser, into its network.
func (v *Vault) checkAddresses(p Provider) error {
	for i, host := range p.Hosts {
		if !v.mayName("https", canonicalHost(host)) {
			return invalid(fmt.Sprintf("hosts[%d]", i), notPublic)
		}
	}
	for field, domain := range loginDomains(p) {
		if !v.mayName("https", canonicalHost(domain)) {
			return invalid(field, notPublic)
		}
	}
	for field, text := range addresses(p) {
		u, err := url.Parse(text)
		if text == "" || err == nil && v.mayName(u.Scheme, hostPort(u)) {
			continue
		}
		return invalid(field, notPublic)
	}
	return nil
}

const notPublic = "must be at a public host, by https (exceptions are exact host:port entries of the server's configuration)"

func (v *Vault) mayName(scheme, hostPort string) bool {
	if slices.Contains(v.opts.AllowHosts, hostPort) {
		return true
	}
	host, _, err := net.SplitHostPort(hostPort)
	return err == nil && scheme == "https" && !netguard.Literal(host)
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// addresses returns the URLs of a definition by field.
func addresses(p Provider) map[string]string {
	all := map[string]string{"iconUrl": p.IconURL}
	if o := p.OAuth2; o != nil {
		all["oauth2.issuer"], all["oauth2.authorizationUrl"], all["oauth2.tokenUrl"] = o.Issuer, o.AuthorizationURL, o.TokenURL
		all["oauth2.refreshUrl"], all["oauth2.pushedAuthorizationUrl"] = o.RefreshURL, o.PushedAuthorizationURL
		all["oauth2.revocationUrl"], all["oauth2.userInfoUrl"], all["oauth2.jwksUrl"] = o.RevocationURL, o.UserInfoURL, o.JWKSURL
		all["oauth2.deviceAuthorizationUrl"], all["oauth2.consoleUrl"] = o.DeviceAuthorizationURL, o.ConsoleURL
	}
	if k := p.APIKey; k != nil {
		all["apiKey.probe.url"] = strings.NewReplacer("{", "", "}", "").Replace(k.Probe.URL)
		for i, f := range k.Fields {
			all[fmt.Sprintf("apiKey.fields[%d].helpUrl", i)] = f.HelpURL
		}
	}
	if l := p.Login; l != nil {
		all["login.url"], all["login.landingUrl"] = l.URL, l.LandingURL
		if l.Probe != nil {
			all["login.probe.url"] = l.Probe.URL
		}
	}
	return all
}

// loginDomains returns the domains that a definition's browser may go to, by field.
func loginDomains(p Provider) map[string]string {
	all := map[string]string{}
	if p.Login == nil {
		return all
	}
	for i, domain := range p.Login.Domains {
		all[fmt.Sprintf("login.domains[%d]", i)] = domain
	}
	for i, domain := range p.Login.VisitDomains {
		all[fmt.Sprintf("login.visitDomains[%d]", i)] = domain
	}
	return all
}

// whyNot says what to do about a provider that the store refuses.
func whyNot(id string, err error) error {
	switch {
	case errors.Is(err, ErrInUse):
		return fmt.Errorf("provider %s: an app or a connection uses it: delete its apps and revoke its connections first, or choose another id: %w", id, err)
	case errors.Is(err, ErrConflict):
		return fmt.Errorf("provider %s: it was changed meanwhile, or an organization has one with this id: %w", id, err)
	}
	return fmt.Errorf("provider %s: %w", printable(id), err)
}

func (v *Vault) providerEvent(kind EventKind, actor Actor, organizationID, id string) Event {
	event := v.event(kind, actor, Owner{Tenant: v.opts.Tenant, OrganizationID: organizationID})
	event.ProviderID = printable(id)
	return event
}

// CustomProviders returns the definitions of the organization and of the tenant,
// for its administrator; with an empty id the tenant's alone.
func (v *Vault) CustomProviders(ctx context.Context, actor Actor, organizationID string) ([]CustomProvider, error) {
	if err := v.mayDefine(actor, organizationID); err != nil {
		return nil, err
	}
	return v.listCustom(ctx, organizationID)
}

// DeleteProvider deletes a custom provider. It fails with [ErrInUse] while an app
// or a connection uses it: they go first.
func (v *Vault) DeleteProvider(ctx context.Context, actor Actor, organizationID, id string) error {
	if err := v.mayDefine(actor, organizationID); err != nil {
		return err
	}
	err := v.store.DeleteProvider(ctx, ProviderDeletion{
		Tenant: v.opts.Tenant, OrganizationID: organizationID, ID: id, Event: v.providerEvent(EventProviderDeleted, actor, organizationID, id),
	})
	if err != nil {
		return whyNot(id, err)
	}
	v.custom.forgetAll()
	return nil
}
