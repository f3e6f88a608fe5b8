package postgres

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// Materialized: see sqlClaimJobs.
	sqlClaimConnections = `WITH due AS MATERIALIZED (
			SELECT id AS due_id FROM tv.connections WHERE tenant = $1 AND status = 'active' AND look_at <= $3
			ORDER BY look_at LIMIT $4 FOR UPDATE SKIP LOCKED)
		UPDATE tv.connections AS connections SET look_at = $2
		FROM due WHERE tenant = $1 AND id = due_id
		RETURNING ` + connectionColumns
	// A connection is locked by who refreshes it for a moment only: in the order of
	// ids, so that two of these never wait for each other.
	sqlPutOffConnections = `WITH next AS MATERIALIZED (
			SELECT c.id AS next_id, n.due FROM tv.connections AS c
			JOIN unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) AS n (id, claimed, due) ON c.id = n.id AND c.look_at = n.claimed
			WHERE c.tenant = $1 ORDER BY c.id FOR UPDATE OF c)
		UPDATE tv.connections SET look_at = next.due FROM next WHERE tenant = $1 AND id = next_id`
	sqlTouchConnections = `WITH used AS MATERIALIZED (
			SELECT c.id AS used_id, u.agent FROM tv.connections AS c
			JOIN unnest($2::text[], $5::text[]) AS u (id, agent) ON c.id = u.id
			WHERE c.tenant = $1 ORDER BY c.id FOR UPDATE OF c)
		UPDATE tv.connections SET used_at = $3, used_by = agent,
			look_at = CASE WHEN used_at > $4 THEN look_at ELSE least(look_at, $3) END
		FROM used WHERE tenant = $1 AND id = used_id`
)

// ClaimConnections implements [tokenvault.UpkeepStore]. What another process is
// claiming in this moment is left to it.
func (s *Store) ClaimConnections(ctx context.Context, tenant string, limit int, pause time.Duration) ([]tokenvault.DueConnection, error) {
	if limit < 1 {
		return nil, nil
	}
	var due []tokenvault.DueConnection
	err := s.write(ctx, "claim connections", tenant, func(t *tx) (err error) {
		due, err = rows(ctx, t, func(from row) (tokenvault.DueConnection, error) {
			c, err := scanConnection(from)
			return tokenvault.DueConnection{SealedConnection: c, Claimed: micros(t.after(pause)), Now: t.now}, err
		}, sqlClaimConnections, tenant, micros(t.after(pause)), t.now, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return due, nil
}

// micros cuts a time to what a column keeps, so that it can be compared with one.
func micros(t time.Time) time.Time { return t.Truncate(time.Microsecond) }

// PutOffConnections implements [tokenvault.UpkeepStore].
func (s *Store) PutOffConnections(ctx context.Context, tenant string, next []tokenvault.NextLook) error {
	if len(next) == 0 {
		return nil
	}
	return s.write(ctx, "put off connections", tenant, func(t *tx) error {
		var ids []string
		var claimed, due []time.Time
		for _, n := range next {
			ids, claimed, due = append(ids, n.ID), append(claimed, n.Claimed), append(due, micros(t.after(n.In)))
		}
		_, err := t.exec(ctx, sqlPutOffConnections, tenant, ids, claimed, due)
		return err
	})
}

// TouchConnections implements [tokenvault.UpkeepStore].
func (s *Store) TouchConnections(ctx context.Context, tenant string, uses []tokenvault.ConnectionUse, idle time.Duration) error {
	if len(uses) == 0 {
		return nil
	}
	return s.write(ctx, "touch connections", tenant, func(t *tx) error {
		var ids, agents []string
		for _, use := range uses {
			ids, agents = append(ids, use.ID), append(agents, use.AgentID)
		}
		_, err := t.exec(ctx, sqlTouchConnections, tenant, ids, t.now, t.after(-idle), agents)
		return err
	})
}
