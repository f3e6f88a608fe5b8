package sqlite

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	sqlClaimConnections = `UPDATE connections SET look_at = ?1
		WHERE rowid IN (SELECT rowid FROM connections WHERE tenant = ?2 AND status = 'active' AND look_at <= ?3 ORDER BY look_at LIMIT ?4)
		RETURNING ` + connectionColumns
	sqlPutOffConnection = `UPDATE connections SET look_at = ?1 WHERE tenant = ?2 AND id = ?3 AND look_at = ?4`
	sqlTouchConnection  = `UPDATE connections SET look_at = iif(used_at <= ?2, min(look_at, ?1), look_at), used_at = ?1, used_by = ?3
		WHERE tenant = ?4 AND id = ?5`
)

// ClaimConnections implements [tokenvault.UpkeepStore].
func (s *Store) ClaimConnections(ctx context.Context, tenant string, limit int, pause time.Duration) ([]tokenvault.DueConnection, error) {
	var due []tokenvault.DueConnection
	err := s.write(ctx, "claim connections", func(t *tx) error {
		rows, err := t.QueryContext(ctx, sqlClaimConnections, t.after(pause), tenant, t.now, max(limit, 0))
		due, err = collect(rows, err, func(from row) (tokenvault.DueConnection, error) {
			c, err := scanConnection(from)
			return tokenvault.DueConnection{SealedConnection: c, Claimed: timeOf(t.after(pause)), Now: timeOf(t.now)}, err
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return due, nil
}

// PutOffConnections implements [tokenvault.UpkeepStore].
func (s *Store) PutOffConnections(ctx context.Context, tenant string, next []tokenvault.NextLook) error {
	return s.write(ctx, "put off connections", func(t *tx) error {
		for _, n := range next {
			if _, err := t.exec(ctx, sqlPutOffConnection, t.after(n.In), tenant, n.ID, microsOf(n.Claimed)); err != nil {
				return err
			}
		}
		return nil
	})
}

// TouchConnections implements [tokenvault.UpkeepStore].
func (s *Store) TouchConnections(ctx context.Context, tenant string, uses []tokenvault.ConnectionUse, idle time.Duration) error {
	return s.write(ctx, "touch connections", func(t *tx) error {
		for _, use := range uses {
			if _, err := t.exec(ctx, sqlTouchConnection, t.now, t.after(-idle), use.AgentID, tenant, use.ID); err != nil {
				return err
			}
		}
		return nil
	})
}
