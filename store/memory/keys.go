package memory

import (
	"context"
	"slices"

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
		return copyDataKey(key), nil
	}
	return tokenvault.DataKey{}, failed("any data key", tokenvault.ErrNotFound)
}

func copyAPIKey(k tokenvault.APIKey) tokenvault.APIKey {
	k.MAC = slices.Clone(k.MAC)
	return k
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
	key = copyAPIKey(key)
	key.CreatedAt = now
	s.apiKeys[key.ID] = key
	s.write(now, event)
	return copyAPIKey(key), nil
}

// GetAPIKey implements [tokenvault.APIKeyStore].
func (s *Store) GetAPIKey(ctx context.Context, id string) (tokenvault.APIKey, error) {
	_, unlock, err := s.lock(ctx, "get API key")
	if err != nil {
		return tokenvault.APIKey{}, err
	}
	defer unlock()
	key, ok := s.apiKeys[id]
	if !ok {
		return tokenvault.APIKey{}, failed("get API key", tokenvault.ErrNotFound)
	}
	return copyAPIKey(key), nil
}

// ListAPIKeys implements [tokenvault.APIKeyStore]. Revoked keys are listed too.
func (s *Store) ListAPIKeys(ctx context.Context, tenant string, page tokenvault.Page) ([]tokenvault.APIKey, error) {
	_, unlock, err := s.lock(ctx, "list API keys")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var keys []tokenvault.APIKey
	for _, k := range s.apiKeys {
		if k.Owner.Tenant == tenant {
			keys = append(keys, copyAPIKey(k))
		}
	}
	return paged(keys, func(k tokenvault.APIKey) string { return k.ID }, page), nil
}

// RevokeAPIKey implements [tokenvault.APIKeyStore]. Revoking twice changes
// nothing and is no error.
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
	if !key.RevokedAt.IsZero() {
		return nil
	}
	key.RevokedAt = now
	s.apiKeys[id] = key
	s.write(now, event)
	return nil
}
