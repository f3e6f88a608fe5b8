package server

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
	"github.com/ai-token-vault/tokenvault/flow/apikeyflow"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/spool"
	"github.com/ai-token-vault/tokenvault/store/postgres"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
)

// An Opened vault is a vault over the configured store. Close it after use.
type Opened struct {
	Vault *tokenvault.Vault
	// Keyring holds the root keys.
	Keyring *keyring.Keyring
	// CreatedDir and CreatedKey name what did not exist before; empty if it did.
	CreatedDir string
	CreatedKey string

	// Postgres is the store, if it is in a PostgreSQL database; else nil.
	Postgres *postgres.Store

	store   tokenvault.Store
	sqlite  *sqlite.Store      // else nil
	browser tokenvault.Browser // nil: there are none
}

// Open opens the store and the root key of the configuration, creating both on
// first use, and returns a vault over them. A root key is never created over
// existing data.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Opened, error) {
	return open(ctx, cfg, log, nil, nil)
}

// open is Open for a server, whose owners sign in by the browser. It is closed with
// the result.
func open(ctx context.Context, cfg Config, log *slog.Logger, observer tokenvault.Observer, browser tokenvault.Browser) (*Opened, error) {
	cat, err := catalog.Load(cfg.ProviderFiles...)
	if err != nil {
		return nil, err
	}
	exists, err := CheckStorage(cfg)
	if err != nil {
		return nil, err
	}
	o := &Opened{browser: browser}
	if !exists {
		if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
			return nil, cannotCreate(cfg.DataDir, err)
		}
		o.CreatedDir = cfg.DataDir
	}
	if err := o.openStore(ctx, cfg, log); err != nil {
		return nil, err
	}
	if err := o.openVault(ctx, cfg, cat, log, observer); err != nil {
		return nil, errors.Join(err, o.store.Close())
	}
	return o, nil
}

func (o *Opened) openStore(ctx context.Context, cfg Config, log *slog.Logger) error {
	if cfg.UsesPostgres() {
		store, err := openPostgres(ctx, cfg, log)
		o.store, o.Postgres = store, store
		return err
	}
	if cfg.UserTable+cfg.OrganizationTable != "" {
		return errors.New("user-table, organization-table: are for a PostgreSQL database, which the host's tables are in: name it, or leave them out")
	}
	store, err := sqlite.Open(ctx, cfg.DatabasePath(), &sqlite.Options{Logger: log})
	o.store, o.sqlite = store, store
	return err
}

func (o *Opened) openVault(ctx context.Context, cfg Config, cat *tokenvault.Catalog, log *slog.Logger, observer tokenvault.Observer) error {
	_, err := o.store.AnyDataKey(ctx)
	if err != nil && !errors.Is(err, tokenvault.ErrNotFound) {
		return err
	}
	var created bool
	o.Keyring, created, err = keyring.Load(cfg.KeyPath(), cfg.RootKey, cfg.OldRootKey, err == nil)
	if err != nil {
		return err
	}
	if created {
		o.CreatedKey = cfg.KeyPath()
	}
	audit := tokenvault.AuditSync
	if cfg.Audit == "async" {
		audit = tokenvault.AuditAsync
	}
	kept, err := spool.Open(filepath.Join(cfg.DataDir, "spool"))
	if err != nil {
		return err
	}
	o.Vault, err = tokenvault.New(o.store, o.Keyring, cat, &tokenvault.Options{
		Spool:  kept,
		Tenant: cfg.Tenant, PublicURL: cfg.PublicURL, Mount: cfg.Mount, Origins: cfg.Origins, VerifyURL: cfg.VerifyURL,
		LintProvider: catalog.Check, AllowHosts: cfg.AllowHosts,
		Flows: withBrowser(map[tokenvault.AuthMethod]tokenvault.Flow{
			tokenvault.AuthAPIKey: apikeyflow.New(&apikeyflow.Options{Allow: cfg.AllowHosts}),
			tokenvault.AuthOAuth2: oauth2flow.New(&oauth2flow.Options{Allow: cfg.AllowHosts, PerHost: cfg.LimitTokenEndpoint, Logger: log}),
		}, o.browser),
		NodeURL: cfg.NodeURL, LoginTTL: cfg.BrowserLoginTTL, SessionIdle: cfg.BrowserSessionIdle,
		DeviceAuthorization: cfg.DeviceAuthorization,
		ReturnURLs:          cfg.ReturnURLs, AuthRequestTTL: cfg.AuthRequestTTL, AttemptTTL: cfg.AttemptTTL, ProbeEvery: cfg.ProbeEvery,
		RequestRetention: cfg.RequestRetention, WebhookRetention: cfg.WebhookRetention,
		Audit: audit, Observer: observer, Logger: log,
	})
	return err
}

// Admin is the actor of the operator who runs commands beside the store.
func (o *Opened) Admin() tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: o.Vault.Tenant()}}
}

// Close drains the vault, ends its browsers, and closes the store.
func (o *Opened) Close(ctx context.Context) error {
	err := o.Vault.Close(ctx)
	if o.browser != nil {
		err = errors.Join(err, o.browser.Close())
	}
	return errors.Join(err, o.store.Close())
}
