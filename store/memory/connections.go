package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// A connection is a row with the state of its refresh.
type connection struct {
	tokenvault.SealedConnection
	fence      int64     // of the turn under way, or of the last one
	underWay   bool      // the turn with the fence was not ended by anybody
	leaseUntil time.Time // nobody gets a turn before; zero: at once
	marked     bool      // a refresh request may have been sent
	lookAt     time.Time // when background work should look at it; zero: at once
}

// fenceOff ends the turn under way, if there is one, and forgets its mark.
func (c *connection) fenceOff() {
	c.fence++
	c.underWay, c.marked, c.leaseUntil = false, false, time.Time{}
}

// copied returns what a caller may keep and change.
func (c connection) copied() tokenvault.SealedConnection {
	out := c.SealedConnection
	out.Scopes = slices.Clone(out.Scopes)
	out.Record = copyRecord(out.Record)
	return out
}

// connection returns the row with the id if the owner sees it.
func (s *Store) connection(owner tokenvault.Owner, id string) (connection, error) {
	c, ok := s.connections[rowID{owner.Tenant, id}]
	if !ok || !owner.Sees(c.Owner) {
		return connection{}, tokenvault.ErrNotFound
	}
	return c, nil
}

func (s *Store) keepConnection(c connection) { s.connections[rowID{c.Owner.Tenant, c.ID}] = c }

// FindUsable implements [tokenvault.ConnectionStore].
func (s *Store) FindUsable(ctx context.Context, q tokenvault.FindQuery) (tokenvault.Found, error) {
	now, unlock, err := s.lock(ctx, "find usable")
	if err != nil {
		return tokenvault.Found{}, err
	}
	defer unlock()
	found := tokenvault.Found{Now: now}
	for _, c := range s.connections {
		if !q.Owner.Sees(c.Owner) || c.ProviderID != q.ProviderID || q.ConnectionID != "" && c.ID != q.ConnectionID {
			continue
		}
		c.Name, c.LastUsedAt, c.LastUsedBy = "", time.Time{}, "" // not read here, as in a database
		found.Candidates = append(found.Candidates, tokenvault.Candidate{
			SealedConnection: c.copied(),
			Permission:       s.permissionFor(q.Owner, q.AgentID, c.ID, now),
			WrappedKey:       s.wrappedKey(c),
		})
	}
	slices.SortFunc(found.Candidates, func(a, b tokenvault.Candidate) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

// permissionFor returns the agent's permission of exactly this owner, or nil if
// it has none in force.
func (s *Store) permissionFor(owner tokenvault.Owner, agentID, connectionID string, now time.Time) *tokenvault.Permission {
	p, ok := s.findPermission(owner, agentID, connectionID)
	if !ok || over(p.ExpiresAt, now) {
		return nil
	}
	p.Scopes = slices.Clone(p.Scopes)
	return &p
}

// wrappedKey returns the data key of the row's record.
func (s *Store) wrappedKey(c connection) tokenvault.Sealed {
	key := s.dataKeys[keyID{c.Owner.Tenant, c.Record.KeySpace, c.Record.KeyVersion}]
	return slices.Clone(key.Wrapped)
}

// GetConnection implements [tokenvault.ConnectionStore].
func (s *Store) GetConnection(ctx context.Context, owner tokenvault.Owner, id string) (tokenvault.SealedConnection, error) {
	_, unlock, err := s.lock(ctx, "get connection")
	if err != nil {
		return tokenvault.SealedConnection{}, err
	}
	defer unlock()
	c, err := s.connection(owner, id)
	if err != nil {
		return tokenvault.SealedConnection{}, failed("get connection", err)
	}
	return c.copied(), nil
}

// FindAccount implements [tokenvault.ConnectionStore].
func (s *Store) FindAccount(ctx context.Context, owner tokenvault.Owner, providerID, accountID string) (tokenvault.SealedConnection, error) {
	_, unlock, err := s.lock(ctx, "find account")
	if err != nil {
		return tokenvault.SealedConnection{}, err
	}
	defer unlock()
	c, ok := s.account(owner, providerID, accountID)
	if !ok {
		return tokenvault.SealedConnection{}, failed("find account", tokenvault.ErrNotFound)
	}
	return c.copied(), nil
}

// account returns the only row of exactly this owner with the account.
func (s *Store) account(owner tokenvault.Owner, providerID, accountID string) (connection, bool) {
	for _, c := range s.connections {
		if c.Owner == owner && c.ProviderID == providerID && c.Account.ID == accountID {
			return c, true
		}
	}
	return connection{}, false
}

// ListConnections implements [tokenvault.ConnectionStore].
func (s *Store) ListConnections(ctx context.Context, owner tokenvault.Owner, page tokenvault.Page) ([]tokenvault.Connection, error) {
	_, unlock, err := s.lock(ctx, "list connections")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var seen []tokenvault.Connection
	for _, c := range s.connections {
		if owner.Sees(c.Owner) && c.Status != tokenvault.ConnectionRevoked {
			seen = append(seen, c.copied().Connection)
		}
	}
	return paged(seen, func(c tokenvault.Connection) string { return c.ID }, page), nil
}

// Revoke implements [tokenvault.ConnectionStore].
func (s *Store) Revoke(ctx context.Context, cmd tokenvault.Revocation) (tokenvault.Connection, error) {
	now, unlock, err := s.lock(ctx, "revoke")
	if err != nil {
		return tokenvault.Connection{}, err
	}
	defer unlock()
	c, err := s.connection(cmd.Owner, cmd.ConnectionID)
	if err != nil {
		return tokenvault.Connection{}, failed("revoke", err)
	}
	if c.Status == tokenvault.ConnectionRevoked {
		return c.copied().Connection, nil
	}
	if cmd.Job != nil {
		if _, taken := s.jobs[cmd.Job.ID]; taken {
			return tokenvault.Connection{}, failed("revoke", tokenvault.ErrConflict)
		}
		if err := s.checkKey(c.Owner.Tenant, cmd.Job.Record); err != nil {
			return tokenvault.Connection{}, failed("revoke", err)
		}
		s.enqueue(*cmd.Job, now)
	}
	c.Status, c.Reason, c.Record = tokenvault.ConnectionRevoked, "", tokenvault.SealedRecord{}
	c.RevokedAt, c.UpdatedAt = now, now
	c.fenceOff()
	s.keepConnection(c)
	s.deletePermissions(c.Owner.Tenant, c.ID)
	s.tell(now, tokenvault.MessageOfConnection(tokenvault.WebhookConnectionRevoked, c.Connection))
	s.write(now, cmd.Event)
	return c.copied().Connection, nil
}

// Rename implements [tokenvault.ConnectionStore].
func (s *Store) Rename(ctx context.Context, cmd tokenvault.Renaming) (tokenvault.Connection, error) {
	now, unlock, err := s.lock(ctx, "rename")
	if err != nil {
		return tokenvault.Connection{}, err
	}
	defer unlock()
	c, err := s.connection(cmd.Owner, cmd.ConnectionID)
	if err == nil && (c.Owner != cmd.Owner || c.Status == tokenvault.ConnectionRevoked) {
		err = tokenvault.ErrNotFound
	}
	if err != nil {
		return tokenvault.Connection{}, failed("rename", err)
	}
	if c.Name != cmd.Name {
		c.Name, c.UpdatedAt = cmd.Name, now
		s.keepConnection(c)
		s.write(now, cmd.Event)
	}
	return c.copied().Connection, nil
}
