package memory

import (
	"context"
	"maps"

	"github.com/ai-token-vault/tokenvault"
)

// Transfer implements [tokenvault.SharingStore].
func (s *Store) Transfer(ctx context.Context, cmd tokenvault.Transfer) (tokenvault.Connection, error) {
	now, unlock, err := s.lock(ctx, "transfer")
	if err != nil {
		return tokenvault.Connection{}, err
	}
	defer unlock()
	c, err := s.connection(cmd.From, cmd.ConnectionID)
	if err == nil {
		err = s.checkTransfer(c, cmd)
	}
	if err != nil {
		return tokenvault.Connection{}, failed("transfer", err)
	}
	if there, taken := s.account(cmd.To, c.ProviderID, c.Account.ID); taken {
		delete(s.connections, rowID{there.Owner.Tenant, there.ID}) // it is revoked
	}
	c.Owner, c.SharedBy, c.Version, c.Record, c.UpdatedAt = cmd.To, cmd.SharedBy, cmd.Version, copyRecord(cmd.Record), now
	c.fenceOff()
	s.keepConnection(c)
	maps.DeleteFunc(s.permissions, func(id rowID, p tokenvault.Permission) bool {
		return id.tenant == c.Owner.Tenant && p.ConnectionID == c.ID && !p.Owner.Sees(c.Owner)
	})
	s.tell(now, tokenvault.MessageOfConnection(tokenvault.WebhookConnectionUpdated, c.Connection))
	s.write(now, cmd.Event)
	return c.copied().Connection, nil
}

func (s *Store) checkTransfer(c connection, cmd tokenvault.Transfer) error {
	there, taken := s.account(cmd.To, c.ProviderID, c.Account.ID)
	switch {
	case c.Owner != cmd.From || cmd.To.Tenant != cmd.From.Tenant:
		return tokenvault.ErrNotFound
	case c.Version != cmd.Version-1 || c.Status == tokenvault.ConnectionRevoked:
		return tokenvault.ErrConflict
	case taken && there.Status != tokenvault.ConnectionRevoked:
		return tokenvault.ErrAccountTaken
	case c.marked:
		return tokenvault.ErrConflict
	}
	return s.checkKey(cmd.To.Tenant, cmd.Record)
}
