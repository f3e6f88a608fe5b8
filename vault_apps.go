package tokenvault

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

// An AppInput registers an OAuth app.
type AppInput struct {
	OrganizationID string // empty: the tenant's default
	ProviderID     string
	ClientID       string
	ClientSecret   Secret // empty: a public client, or keep the one that is stored
	Scopes         []string
	LegacyCallback bool
}

// AppID returns the id that the app of an organization (empty: the tenant's
// default) at a provider has or will have.
func (v *Vault) AppID(organizationID, providerID string) string {
	sum := sha256.Sum256(envelope.AAD("app", v.opts.Tenant, organizationID, providerID))
	return "app_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

// CallbackURL returns the redirect URL to register at the provider for app. It
// follows from the configuration alone.
func (v *Vault) CallbackURL(app App) string {
	base := v.opts.PublicURL + v.opts.Mount + "/oauth/callback"
	if app.LegacyCallback {
		return base
	}
	return base + "/" + app.ID
}

// SetApp registers or replaces the OAuth app of an organization or of the
// tenant. Only its administrator may. Without a secret the stored one stays.
func (v *Vault) SetApp(ctx context.Context, actor Actor, in AppInput) (App, error) {
	if err := v.checkActor(actor); err != nil {
		return App{}, err
	}
	if !actor.MayAdminister(v.opts.Tenant, in.OrganizationID) {
		return App{}, fmt.Errorf("only an administrator registers apps: %w", ErrDenied)
	}
	p, err := v.provider(ctx, Owner{Tenant: v.opts.Tenant, OrganizationID: in.OrganizationID}, in.ProviderID)
	if err != nil {
		return App{}, err
	}
	if err := checkApp(p, in); err != nil {
		return App{}, err
	}
	id := v.AppID(in.OrganizationID, p.ID)
	old, err := v.store.GetApp(ctx, v.opts.Tenant, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return App{}, err
	}
	app := SealedApp{App: App{
		ID: id, Tenant: v.opts.Tenant, OrganizationID: in.OrganizationID, ProviderID: p.ID, ClientID: in.ClientID,
		Scopes: in.Scopes, LegacyCallback: in.LegacyCallback, Version: old.Version + 1,
	}}
	if err := v.sealAppSecret(ctx, &app, old, in.ClientSecret); err != nil {
		return App{}, err
	}
	event := v.event(EventAppSet, actor, appOwner(app.App))
	event.ProviderID = p.ID
	stored, err := v.store.PutApp(ctx, app, event)
	if err != nil {
		return App{}, fmt.Errorf("register app: %w", err)
	}
	return stored, nil
}

func checkApp(p Provider, in AppInput) error {
	switch {
	case p.OAuth2 == nil:
		return invalid("providerId", "must name a provider with auth method oauth2")
	case in.ClientID == "" || len(in.ClientID) > 500 || !isVisibleASCII(in.ClientID):
		return invalid("clientId", "must be 1 to 500 visible ASCII characters")
	case len(in.ClientSecret.Reveal()) > 2000 || !isVisibleASCII(in.ClientSecret.Reveal()):
		return invalid("clientSecret", "must be at most 2000 visible ASCII characters")
	case !validID(in.OrganizationID):
		return invalid("organizationId", "must be at most 255 bytes without control characters")
	}
	return checkScopes(in.Scopes)
}

func isVisibleASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

// sealAppSecret seals the new secret, or the stored one again for its new
// version.
func (v *Vault) sealAppSecret(ctx context.Context, app *SealedApp, old SealedApp, secret Secret) error {
	if secret.IsZero() && old.HasSecret {
		plaintext, err := v.keys.open(ctx, appPlace(old.App), old.Record, nil)
		if err != nil {
			return err
		}
		secret = NewSecret(string(plaintext))
	}
	if secret.IsZero() {
		return nil
	}
	var err error
	app.HasSecret = true
	app.Record, err = v.keys.seal(ctx, appPlace(app.App), []byte(secret.Reveal()))
	return err
}

func appOwner(app App) Owner { return Owner{Tenant: app.Tenant, OrganizationID: app.OrganizationID} }

func appPlace(app App) place {
	return place{table: "app", owner: appOwner(app), row: app.ID, field: "client_secret", version: app.Version}
}

// Apps returns the apps of the organization; empty: the tenant's defaults.
// Secrets cannot be read back.
func (v *Vault) Apps(ctx context.Context, actor Actor, organizationID string) ([]App, error) {
	if err := v.checkActor(actor); err != nil {
		return nil, err
	}
	if !actor.MayAdminister(v.opts.Tenant, organizationID) {
		return nil, ErrDenied
	}
	return v.store.ListApps(ctx, v.opts.Tenant, organizationID)
}

// DeleteApp deletes an app. Connections made with it work until their next
// refresh.
func (v *Vault) DeleteApp(ctx context.Context, actor Actor, organizationID, providerID string) error {
	if err := v.checkActor(actor); err != nil {
		return err
	}
	if !actor.MayAdminister(v.opts.Tenant, organizationID) {
		return ErrDenied
	}
	event := v.event(EventAppDeleted, actor, Owner{Tenant: v.opts.Tenant, OrganizationID: organizationID})
	event.ProviderID = providerID
	if err := v.store.DeleteApp(ctx, v.opts.Tenant, v.AppID(organizationID, providerID), event); err != nil {
		return fmt.Errorf("app: %w", err)
	}
	return nil
}

// appOf returns the app with which owner connects at p: the organization's, else
// the tenant's default.
func (v *Vault) appOf(ctx context.Context, owner Owner, p Provider) (SealedApp, error) {
	app, err := v.store.FindApp(ctx, owner.Tenant, owner.OrganizationID, p.ID)
	if errors.Is(err, ErrNotFound) {
		return SealedApp{}, fmt.Errorf("provider %s: %w: an administrator registers one with 'tokenvault app set %s' or POST %s/oauth-config",
			p.ID, ErrNoApp, p.ID, v.opts.Mount)
	}
	return app, err
}

// clientOf returns the client of the app that a grant of owner belongs to.
func (v *Vault) clientOf(ctx context.Context, owner Owner, appID string) (Client, error) {
	app, err := v.store.GetApp(ctx, owner.Tenant, appID)
	if errors.Is(err, ErrNotFound) {
		return Client{}, fmt.Errorf("the app of this connection was deleted: %w", ErrNoApp)
	}
	if err != nil {
		return Client{}, err
	}
	return v.openClient(ctx, app)
}

func (v *Vault) openClient(ctx context.Context, app SealedApp) (Client, error) {
	client := Client{AppID: app.ID, ID: app.ClientID}
	if !app.HasSecret {
		return client, nil
	}
	plaintext, err := v.keys.open(ctx, appPlace(app.App), app.Record, nil)
	if err != nil {
		return Client{}, err
	}
	client.Secret = NewSecret(string(plaintext))
	return client, nil
}
