package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/ai-token-vault/tokenvault"
)

// A providerID is the key of a custom provider.
type providerID struct{ tenant, organizationID, id string }

func copyProvider(p tokenvault.SealedProvider) tokenvault.SealedProvider {
	p.Record = copyRecord(p.Record)
	return p
}

// PutProvider implements [tokenvault.ProviderStore].
func (s *Store) PutProvider(ctx context.Context, cmd tokenvault.ProviderPut) (tokenvault.SealedProvider, error) {
	now, unlock, err := s.lock(ctx, "put provider")
	if err != nil {
		return tokenvault.SealedProvider{}, err
	}
	defer unlock()
	p := copyProvider(cmd.Provider)
	key := providerID{p.Tenant, p.OrganizationID, p.ID}
	old, exists := s.providers[key]
	switch {
	case s.inOtherScope(key):
		return tokenvault.SealedProvider{}, failed("put provider", tokenvault.ErrConflict)
	case cmd.Unused && s.providerUsed(key):
		return tokenvault.SealedProvider{}, failed("put provider", tokenvault.ErrInUse)
	case exists != (p.Version > 1) || exists && old.Version != p.Version-1:
		return tokenvault.SealedProvider{}, failed("put provider", tokenvault.ErrConflict)
	}
	if err := s.checkKey(p.Tenant, p.Record); err != nil {
		return tokenvault.SealedProvider{}, failed("put provider", err)
	}
	p.CreatedAt, p.UpdatedAt = now, now
	if exists {
		p.CreatedAt = old.CreatedAt
	}
	s.providers[key] = p
	s.write(now, cmd.Event)
	return copyProvider(p), nil
}

// inOtherScope reports whether the id of an organization's provider is the
// tenant's, or that of a tenant's is some organization's.
func (s *Store) inOtherScope(key providerID) bool {
	for other := range s.providers {
		if other.tenant == key.tenant && other.id == key.id && (other.organizationID == "") != (key.organizationID == "") {
			return true
		}
	}
	return false
}

// providerUsed reports whether an app or a connection depends on the provider.
func (s *Store) providerUsed(key providerID) bool {
	for _, a := range s.apps {
		if a.Tenant == key.tenant && a.ProviderID == key.id && (key.organizationID == "" || a.OrganizationID == "" || a.OrganizationID == key.organizationID) {
			return true
		}
	}
	for _, c := range s.connections {
		if c.Owner.Tenant == key.tenant && c.ProviderID == key.id && c.Status != tokenvault.ConnectionRevoked &&
			(key.organizationID == "" || c.Owner.OrganizationID == key.organizationID) {
			return true
		}
	}
	return false
}

// FindProvider implements [tokenvault.ProviderStore].
func (s *Store) FindProvider(ctx context.Context, tenant, organizationID, id string) (tokenvault.SealedProvider, error) {
	_, unlock, err := s.lock(ctx, "find provider")
	if err != nil {
		return tokenvault.SealedProvider{}, err
	}
	defer unlock()
	p, ok := s.providers[providerID{tenant, organizationID, id}]
	if !ok {
		p, ok = s.providers[providerID{tenant, "", id}]
	}
	if !ok {
		return tokenvault.SealedProvider{}, failed("find provider", tokenvault.ErrNotFound)
	}
	return copyProvider(p), nil
}

// ListProviders implements [tokenvault.ProviderStore].
func (s *Store) ListProviders(ctx context.Context, tenant, organizationID string) ([]tokenvault.SealedProvider, error) {
	_, unlock, err := s.lock(ctx, "list providers")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var all []tokenvault.SealedProvider
	for key, p := range s.providers {
		if key.tenant == tenant && (key.organizationID == "" || key.organizationID == organizationID) {
			all = append(all, copyProvider(p))
		}
	}
	slices.SortFunc(all, func(a, b tokenvault.SealedProvider) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// DeleteProvider implements [tokenvault.ProviderStore].
func (s *Store) DeleteProvider(ctx context.Context, cmd tokenvault.ProviderDeletion) error {
	now, unlock, err := s.lock(ctx, "delete provider")
	if err != nil {
		return err
	}
	defer unlock()
	key := providerID{cmd.Tenant, cmd.OrganizationID, cmd.ID}
	if _, ok := s.providers[key]; !ok {
		return failed("delete provider", tokenvault.ErrNotFound)
	}
	if s.providerUsed(key) {
		return failed("delete provider", tokenvault.ErrInUse)
	}
	delete(s.providers, key)
	s.write(now, cmd.Event)
	return nil
}
