package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// ClaimConnections implements [tokenvault.UpkeepStore]. What is due longest comes
// first.
func (s *Store) ClaimConnections(ctx context.Context, tenant string, limit int, pause time.Duration) ([]tokenvault.DueConnection, error) {
	now, unlock, err := s.lock(ctx, "claim connections")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var due []connection
	for _, c := range s.connections {
		if c.Owner.Tenant == tenant && c.Status == tokenvault.ConnectionActive && !now.Before(c.lookAt) {
			due = append(due, c)
		}
	}
	slices.SortFunc(due, func(a, b connection) int { return cmp.Or(a.lookAt.Compare(b.lookAt), cmp.Compare(a.ID, b.ID)) })
	var claimed []tokenvault.DueConnection
	for _, c := range due[:min(len(due), max(limit, 0))] {
		c.lookAt = now.Add(pause)
		s.keepConnection(c)
		claimed = append(claimed, tokenvault.DueConnection{SealedConnection: c.copied(), Claimed: c.lookAt, Now: now})
	}
	return claimed, nil
}

// PutOffConnections implements [tokenvault.UpkeepStore].
func (s *Store) PutOffConnections(ctx context.Context, tenant string, next []tokenvault.NextLook) error {
	now, unlock, err := s.lock(ctx, "put off connections")
	if err != nil {
		return err
	}
	defer unlock()
	for _, n := range next {
		if c, ok := s.connections[rowID{tenant, n.ID}]; ok && c.lookAt.Equal(n.Claimed) {
			c.lookAt = now.Add(n.In)
			s.keepConnection(c)
		}
	}
	return nil
}

// TouchConnections implements [tokenvault.UpkeepStore].
func (s *Store) TouchConnections(ctx context.Context, tenant string, uses []tokenvault.ConnectionUse, idle time.Duration) error {
	now, unlock, err := s.lock(ctx, "touch connections")
	if err != nil {
		return err
	}
	defer unlock()
	for _, use := range uses {
		c, ok := s.connections[rowID{tenant, use.ID}]
		if !ok {
			continue
		}
		if !c.LastUsedAt.Add(idle).After(now) && c.lookAt.After(now) {
			c.lookAt = now
		}
		c.LastUsedAt, c.LastUsedBy = now, use.AgentID
		s.keepConnection(c)
	}
	return nil
}
