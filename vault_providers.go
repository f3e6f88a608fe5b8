package tokenvault

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// customTTL is how long a custom provider, or that there is none, is believed
	// without asking the store.
	customTTL = 5 * time.Second
	// maxCustom bounds what is remembered.
	maxCustom = 10_000
)

// customProviders remembers custom providers for five seconds, so that a warm
// resolve asks the store for nothing else. Reading takes no lock.
type customProviders struct {
	known sync.Map // of customID to knownProvider
	count atomic.Int64
}

type customID struct{ organizationID, id string }

type knownProvider struct {
	provider Provider
	err      error // wraps ErrNotFound: there is none
	until    time.Time
}

func (c *customProviders) keep(id customID, found knownProvider) {
	if _, replaced := c.known.Swap(id, found); !replaced && c.count.Add(1) > maxCustom {
		c.forgetAll()
	}
}

// forgetAll forgets everything: an id of the tenant is known for each of its
// organizations.
func (c *customProviders) forgetAll() {
	c.known.Clear()
	c.count.Store(0)
}

// provider returns the provider with the id that owner can use: the catalog's, or
// one that owner's organization or tenant defined. Everybody else's are
// [ErrNotFound].
func (v *Vault) provider(ctx context.Context, owner Owner, id string) (Provider, error) {
	p, err := v.catalog.Provider(id)
	if err == nil || v.opts.LintProvider == nil || !ValidProviderID(id) {
		return p, err
	}
	key := customID{owner.OrganizationID, id}
	if found, ok := v.custom.known.Load(key); ok {
		if known, ok := found.(knownProvider); ok && time.Now().Before(known.until) {
			return known.provider, known.err
		}
	}
	custom, storeErr := v.findCustom(ctx, owner.OrganizationID, id)
	switch {
	case errors.Is(storeErr, ErrNotFound):
	case storeErr != nil:
		return Provider{}, storeErr
	default:
		p, err = custom.Provider, nil
	}
	v.custom.keep(key, knownProvider{provider: p, err: err, until: time.Now().Add(customTTL)})
	return p, err
}

// findCustom reads what PutProvider stored.
func (v *Vault) findCustom(ctx context.Context, organizationID, id string) (CustomProvider, error) {
	sealed, err := v.store.FindProvider(ctx, v.opts.Tenant, organizationID, id)
	if err != nil {
		return CustomProvider{}, fmt.Errorf("provider %s: %w", printable(id), err)
	}
	return v.openProvider(ctx, sealed)
}

// providerPlace is in the tenant's key space, also for an organization's.
func providerPlace(p SealedProvider) place {
	return place{table: "provider", owner: Owner{Tenant: p.Tenant}, row: p.OrganizationID + "\x00" + p.ID, field: "definition", version: p.Version}
}

func (v *Vault) openProvider(ctx context.Context, sealed SealedProvider) (CustomProvider, error) {
	plaintext, err := v.keys.open(ctx, providerPlace(sealed), sealed.Record, nil)
	if err != nil {
		return CustomProvider{}, err
	}
	out := CustomProvider{
		OrganizationID: sealed.OrganizationID, Version: sealed.Version, CreatedAt: sealed.CreatedAt, UpdatedAt: sealed.UpdatedAt,
	}
	if err := json.Unmarshal(plaintext, &out.Provider); err != nil {
		return CustomProvider{}, fmt.Errorf("provider record: %w", ErrUnsealable)
	}
	return out, nil
}

// Provider returns the provider with the id that the actor can use, or
// [ErrNotFound].
func (v *Vault) Provider(ctx context.Context, actor Actor, id string) (Provider, error) {
	if err := v.checkActor(actor); err != nil {
		return Provider{}, err
	}
	return v.provider(ctx, actor.Owner, id)
}

// Providers returns the providers that the actor can use, in ascending order of
// their ids: the catalog's and those that the actor's organization and tenant
// defined.
func (v *Vault) Providers(ctx context.Context, actor Actor) ([]Provider, error) {
	if err := v.checkActor(actor); err != nil {
		return nil, err
	}
	all := slices.Collect(v.catalog.All())
	if v.opts.LintProvider == nil {
		return all, nil
	}
	custom, err := v.listCustom(ctx, actor.Owner.OrganizationID)
	if err != nil {
		return nil, err
	}
	for _, c := range custom {
		if _, err := v.catalog.Provider(c.Provider.ID); err != nil {
			all = append(all, c.Provider)
		}
	}
	slices.SortFunc(all, func(a, b Provider) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

func (v *Vault) listCustom(ctx context.Context, organizationID string) ([]CustomProvider, error) {
	sealed, err := v.store.ListProviders(ctx, v.opts.Tenant, organizationID)
	if err != nil {
		return nil, fmt.Errorf("providers: %w", err)
	}
	out := make([]CustomProvider, 0, len(sealed))
	for _, s := range sealed {
		c, err := v.openProvider(ctx, s)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}
