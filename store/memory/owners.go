package memory

import (
	"context"
	"maps"

	"github.com/ai-token-vault/tokenvault"
)

// ListOwned implements [tokenvault.OwnerStore].
func (s *Store) ListOwned(ctx context.Context, owner tokenvault.Owner, page tokenvault.Page) ([]tokenvault.SealedConnection, error) {
	_, unlock, err := s.lock(ctx, "list owned")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var owned []tokenvault.SealedConnection
	for _, c := range s.connections {
		if owner.Covers(c.Owner) {
			owned = append(owned, c.copied())
		}
	}
	return paged(owned, func(c tokenvault.SealedConnection) string { return c.ID }, page), nil
}

// DeleteOwner implements [tokenvault.OwnerStore].
func (s *Store) DeleteOwner(ctx context.Context, cmd tokenvault.OwnerDeletion) (done bool, err error) {
	now, unlock, err := s.lock(ctx, "delete owner")
	if err != nil {
		return false, err
	}
	defer unlock()
	if err := s.checkOwned(cmd); err != nil {
		return false, failed("delete owner", err)
	}
	for _, owned := range cmd.Connections {
		if owned.Job != nil {
			s.enqueue(*owned.Job, now)
		}
		delete(s.connections, rowID{cmd.Owner.Tenant, owned.ID})
		s.deletePermissions(cmd.Owner.Tenant, owned.ID)
	}
	for _, c := range s.connections {
		if cmd.Owner.Covers(c.Owner) {
			return false, nil
		}
	}
	if s.deleteRest(cmd)+len(cmd.Connections) > 0 {
		s.write(now, cmd.Event)
	}
	return true, nil
}

// checkOwned reports what would keep DeleteOwner from doing all of cmd.
func (s *Store) checkOwned(cmd tokenvault.OwnerDeletion) error {
	for _, owned := range cmd.Connections {
		c, ok := s.connections[rowID{cmd.Owner.Tenant, owned.ID}]
		if !ok || !cmd.Owner.Covers(c.Owner) || c.Version != owned.Version {
			return tokenvault.ErrConflict
		}
		if owned.Job == nil {
			continue
		}
		if _, taken := s.jobs[owned.Job.ID]; taken {
			return tokenvault.ErrConflict
		}
		if err := s.checkKey(cmd.Owner.Tenant, owned.Job.Record); err != nil {
			return err
		}
	}
	return nil
}

// deleteRest deletes what is not a connection, and returns how much that was.
func (s *Store) deleteRest(cmd tokenvault.OwnerDeletion) int {
	before := s.rows()
	owner := cmd.Owner
	maps.DeleteFunc(s.permissions, func(_ rowID, p tokenvault.Permission) bool { return owner.Covers(p.Owner) })
	maps.DeleteFunc(s.requests, func(_ rowID, r tokenvault.AuthRequest) bool { return owner.Covers(r.Owner) })
	maps.DeleteFunc(s.attempts, func(_ string, a tokenvault.Attempt) bool { return owner.Covers(a.Owner) })
	maps.DeleteFunc(s.apiKeys, func(_ string, k tokenvault.APIKey) bool { return owner.Covers(k.Owner) })
	maps.DeleteFunc(s.apps, func(_ rowID, a tokenvault.SealedApp) bool {
		return owner.Covers(tokenvault.Owner{Tenant: a.Tenant, OrganizationID: a.OrganizationID})
	})
	maps.DeleteFunc(s.providers, func(id providerID, _ tokenvault.SealedProvider) bool {
		return owner.Covers(tokenvault.Owner{Tenant: id.tenant, OrganizationID: id.organizationID})
	})
	maps.DeleteFunc(s.webhooks, func(_ rowID, w tokenvault.SealedWebhook) bool {
		return owner.Covers(tokenvault.Owner{Tenant: w.Tenant, OrganizationID: w.OrganizationID})
	})
	s.deleteDeliveries(func(d tokenvault.WebhookDelivery) bool { return owner.Covers(d.Owner) })
	for _, c := range s.connections {
		if owner.UserID != "" && owner.Covers(tokenvault.Owner{Tenant: c.Owner.Tenant, OrganizationID: c.Owner.OrganizationID, UserID: c.SharedBy}) {
			c.SharedBy = ""
			s.keepConnection(c)
		}
	}
	return before - s.rows() + s.destroyKeys(owner.Tenant, cmd.KeySpace)
}

func (s *Store) rows() int {
	return len(s.permissions) + len(s.requests) + len(s.attempts) + len(s.apiKeys) + len(s.apps) + len(s.providers) +
		len(s.webhooks) + len(s.deliveries)
}

// destroyKeys erases the data keys of a space, of which the newest version is
// remembered, and returns how many it erased.
func (s *Store) destroyKeys(tenant, space string) (erased int) {
	if space == "" {
		return 0
	}
	var newest keyID
	for id, key := range s.dataKeys {
		if id.tenant != tenant || id.space != space {
			continue
		}
		if len(key.Wrapped) > 0 {
			erased++
		}
		if id.version > newest.version {
			newest = id
		}
	}
	kept, ok := s.dataKeys[newest]
	maps.DeleteFunc(s.dataKeys, func(id keyID, _ tokenvault.DataKey) bool { return id.tenant == tenant && id.space == space })
	if ok {
		kept.Wrapped = nil
		s.dataKeys[newest] = kept
	}
	return erased
}
