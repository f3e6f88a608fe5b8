package memory

import (
	"context"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

type keyID struct {
	tenant, space string
	version       uint32
}

func copyDataKey(k tokenvault.DataKey) tokenvault.DataKey {
	k.Wrapped = slices.Clone(k.Wrapped)
	return k
}

// GetDataKey implements [tokenvault.DataKeyStore].
func (s *Store) GetDataKey(ctx context.Context, tenant, space string, version uint32) (tokenvault.DataKey, error) {
	_, unlock, err := s.lock(ctx, "get data key")
	if err != nil {
		return tokenvault.DataKey{}, err
	}
	defer unlock()
	if version == 0 {
		for id := range s.dataKeys {
			if id.tenant == tenant && id.space == space {
				version = max(version, id.version)
			}
		}
	}
	key, ok := s.dataKeys[keyID{tenant, space, version}]
	if !ok {
		return tokenvault.DataKey{}, failed("get data key", tokenvault.ErrNotFound)
	}
	return copyDataKey(key), nil
}

// CreateDataKey implements [tokenvault.DataKeyStore].
func (s *Store) CreateDataKey(ctx context.Context, key tokenvault.DataKey, event tokenvault.Event) (tokenvault.DataKey, error) {
	now, unlock, err := s.lock(ctx, "create data key")
	if err != nil {
		return tokenvault.DataKey{}, err
	}
	defer unlock()
	id := keyID{key.Tenant, key.Space, key.Version}
	if there, ok := s.dataKeys[id]; ok {
		return copyDataKey(there), nil
	}
	key = copyDataKey(key)
	key.CreatedAt = now
	s.dataKeys[id] = key
	s.write(now, event)
	return copyDataKey(key), nil
}

// AnyDataKey implements [tokenvault.DataKeyStore].
func (s *Store) AnyDataKey(ctx context.Context) (tokenvault.DataKey, error) {
	_, unlock, err := s.lock(ctx, "any data key")
	if err != nil {
		return tokenvault.DataKey{}, err
	}
	defer unlock()
	for _, key := range s.dataKeys {
		if len(key.Wrapped) > 0 {
			return copyDataKey(key), nil
		}
	}
	return tokenvault.DataKey{}, failed("any data key", tokenvault.ErrNotFound)
}

func copyAPIKey(k tokenvault.APIKey) tokenvault.APIKey {
	k.MAC = slices.Clone(k.MAC)
	return k
}

// newAPIKey returns the row of a new key.
func newAPIKey(key tokenvault.APIKey, now time.Time) tokenvault.APIKey {
	key = copyAPIKey(key)
	key.CreatedAt, key.RevokedAt, key.LastUsedAt = now, time.Time{}, time.Time{}
	return key
}

// CreateAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) CreateAPIKey(ctx context.Context, key tokenvault.APIKey, event tokenvault.Event) (tokenvault.APIKey, error) {
	now, unlock, err := s.lock(ctx, "create API key")
	if err != nil {
		return tokenvault.APIKey{}, err
	}
	defer unlock()
	if _, taken := s.apiKeys[key.ID]; taken {
		return tokenvault.APIKey{}, failed("create API key", tokenvault.ErrConflict)
	}
	key = newAPIKey(key, now)
	s.apiKeys[key.ID] = key
	s.write(now, event)
	return copyAPIKey(key), nil
}

// GetAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) GetAPIKey(ctx context.Context, id string) (tokenvault.FoundAPIKey, error) {
	now, unlock, err := s.lock(ctx, "get API key")
	if err != nil {
		return tokenvault.FoundAPIKey{}, err
	}
	defer unlock()
	key, ok := s.apiKeys[id]
	if !ok {
		return tokenvault.FoundAPIKey{}, failed("get API key", tokenvault.ErrNotFound)
	}
	return tokenvault.FoundAPIKey{APIKey: copyAPIKey(key), Now: now}, nil
}

// ListAPIKeys implements [tokenvault.APIKeyStore].
func (s *Store) ListAPIKeys(ctx context.Context, tenant, organizationID string, page tokenvault.Page) ([]tokenvault.APIKey, error) {
	_, unlock, err := s.lock(ctx, "list API keys")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var keys []tokenvault.APIKey
	for _, k := range s.apiKeys {
		if k.Owner.Tenant == tenant && (organizationID == "" || k.Owner.OrganizationID == organizationID) {
			keys = append(keys, copyAPIKey(k))
		}
	}
	return paged(keys, func(k tokenvault.APIKey) string { return k.ID }, page), nil
}

// RotateAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) RotateAPIKey(ctx context.Context, cmd tokenvault.APIKeyRotation) (tokenvault.APIKey, error) {
	now, unlock, err := s.lock(ctx, "rotate API key")
	if err != nil {
		return tokenvault.APIKey{}, err
	}
	defer unlock()
	old, ok := s.apiKeys[cmd.ID]
	if !ok || old.Owner.Tenant != cmd.Next.Owner.Tenant {
		return tokenvault.APIKey{}, failed("rotate API key", tokenvault.ErrNotFound)
	}
	_, taken := s.apiKeys[cmd.Next.ID]
	if taken || !old.RevokedAt.IsZero() || old.State(now) != tokenvault.KeyActive {
		return tokenvault.APIKey{}, failed("rotate API key", tokenvault.ErrConflict)
	}
	old.RevokedAt = now.Add(cmd.Overlap)
	s.apiKeys[old.ID] = old
	next := newAPIKey(cmd.Next, now)
	s.apiKeys[next.ID] = next
	s.write(now, cmd.Events...)
	return copyAPIKey(next), nil
}

// RevokeAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) RevokeAPIKey(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	now, unlock, err := s.lock(ctx, "revoke API key")
	if err != nil {
		return err
	}
	defer unlock()
	key, ok := s.apiKeys[id]
	if !ok || key.Owner.Tenant != tenant {
		return failed("revoke API key", tokenvault.ErrNotFound)
	}
	if over(key.RevokedAt, now) {
		return nil
	}
	key.RevokedAt = now
	s.apiKeys[id] = key
	s.write(now, event)
	return nil
}

// TouchAPIKeys implements [tokenvault.APIKeyStore].
func (s *Store) TouchAPIKeys(ctx context.Context, tenant string, ids []string) error {
	now, unlock, err := s.lock(ctx, "touch API keys")
	if err != nil {
		return err
	}
	defer unlock()
	for _, id := range ids {
		if key, ok := s.apiKeys[id]; ok && key.Owner.Tenant == tenant {
			key.LastUsedAt = now
			s.apiKeys[id] = key
		}
	}
	return nil
}
