package memory

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// findPermission returns what exactly this owner permitted the agent to do with
// the connection. There is at most one.
func (s *Store) findPermission(owner tokenvault.Owner, agentID, connectionID string) (tokenvault.Permission, bool) {
	for _, p := range s.permissions {
		if p.Owner == owner && p.AgentID == agentID && p.ConnectionID == connectionID {
			return p, true
		}
	}
	return tokenvault.Permission{}, false
}

// grant stores p, or widens the permission that is there. One that expired is
// replaced: what it allowed was not confirmed again.
func (s *Store) grant(p tokenvault.Permission, ttl time.Duration, now time.Time) {
	p.Scopes, p.GrantedAt, p.ExpiresAt = slices.Clone(p.Scopes), now, expiry(now, ttl)
	if old, ok := s.findPermission(p.Owner, p.AgentID, p.ConnectionID); ok {
		p.ID = old.ID
		if !over(old.ExpiresAt, now) {
			p = old.Widened(p)
		}
	}
	s.permissions[rowID{p.Owner.Tenant, p.ID}] = p
}

func (s *Store) deletePermissions(tenant, connectionID string) {
	maps.DeleteFunc(s.permissions, func(id rowID, p tokenvault.Permission) bool {
		return id.tenant == tenant && p.ConnectionID == connectionID
	})
}

// ListPermissions implements [tokenvault.PermissionStore]. It lists what exactly
// this owner granted.
func (s *Store) ListPermissions(ctx context.Context, owner tokenvault.Owner, page tokenvault.Page) ([]tokenvault.Permission, error) {
	_, unlock, err := s.lock(ctx, "list permissions")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var granted []tokenvault.Permission
	for _, p := range s.permissions {
		if p.Owner == owner {
			p.Scopes = slices.Clone(p.Scopes)
			granted = append(granted, p)
		}
	}
	return paged(granted, func(p tokenvault.Permission) string { return p.ID }, page), nil
}

// WithdrawPermission implements [tokenvault.PermissionStore]. Only the owner who
// granted a permission withdraws it.
func (s *Store) WithdrawPermission(ctx context.Context, owner tokenvault.Owner, id string, event tokenvault.Event) error {
	now, unlock, err := s.lock(ctx, "withdraw permission")
	if err != nil {
		return err
	}
	defer unlock()
	row := rowID{owner.Tenant, id}
	if p, ok := s.permissions[row]; !ok || p.Owner != owner {
		return failed("withdraw permission", tokenvault.ErrNotFound)
	}
	delete(s.permissions, row)
	s.write(now, event)
	return nil
}
