package postgres

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// eventColumns is for scanEvent.
	eventColumns = `id, at, tenant, kind, actor_kind, actor_id, owner_tenant, organization_id, user_id, for_user_id,
		provider_id, connection_id, auth_request_id, run_id, thread_id, detail, writer, position, hash`
	sqlInsertEvents = `INSERT INTO tv.audit (at, tenant, id, kind, actor_kind, actor_id, owner_tenant, organization_id, user_id,
			for_user_id, provider_id, connection_id, auth_request_id, run_id, thread_id, detail, writer, position, hash)
		SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
			$10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bigint[], $19::text[])`

	sqlWantedAudit = ` AND ($4 = '' OR kind = $4) AND ($5 = '' OR actor_id = $5 AND actor_kind IN ('agent', 'backend'))
		AND ($6 = '' OR user_id = $6 OR for_user_id = $6) AND ($7 = '' OR organization_id = $7)
		AND ($8 = '' OR connection_id = $8) AND ($9::timestamptz IS NULL OR at >= $9)`
	// sqlListAudit leaves out what was written beside transactions that are not over
	// yet: an entry of theirs would come before it, and a reader miss it.
	sqlListAudit = `SELECT ` + eventColumns + ` FROM tv.audit
		WHERE tenant = $1 AND id > $2
			AND id < (SELECT ` + sqlAuditPrefix + ` FROM tv.audit_epoch)` + sqlWantedAudit + ` ORDER BY id LIMIT $3`
	sqlAuditPrefix = `'ev_' || lpad(epoch::text, 4, '0') || lpad(pg_snapshot_xmin(pg_current_snapshot())::text, 20, '0')`

	sqlListAuditNewest = `SELECT ` + eventColumns + ` FROM tv.audit
		WHERE tenant = $1 AND ($2 = '' OR id < $2)` + sqlWantedAudit + ` ORDER BY id DESC LIMIT $3`
)

func scanEvent(from row) (tokenvault.Event, error) {
	var e tokenvault.Event
	err := from.Scan(&e.ID, &e.At, &e.Tenant, (*string)(&e.Kind), (*string)(&e.ActorKind), &e.ActorID,
		&e.Owner.Tenant, &e.Owner.OrganizationID, &e.Owner.UserID, &e.ForUserID, &e.ProviderID, &e.ConnectionID,
		&e.AuthRequestID, &e.RunID, &e.ThreadID, &e.Detail, &e.Writer, &e.Position, &e.Hash)
	e.At = e.At.UTC()
	return e, err
}

// eventPattern is the form of an event id: "ev_", the epoch in four digits, the
// transaction in twenty, and the entry's number in it in six.
var eventPattern = regexp.MustCompile(`^ev_[0-9]+$`)

const eventIDSize = len("ev_") + 4 + 20 + 6

func (t *tx) nextEventID() string {
	t.written++
	return fmt.Sprintf("ev_%04d%020d%06d", t.store.epoch, t.xid, t.written)
}

// appendEvents writes events with the commit. An event without a kind is none.
func (t *tx) appendEvents(events ...tokenvault.Event) {
	for len(events) > 0 { // by runs of one tenant
		n := 1
		for n < len(events) && events[n].Tenant == events[0].Tenant {
			n++
		}
		t.appendOfTenant(events[0].Tenant, events[:n])
		events = events[n:]
	}
}

func (t *tx) appendOfTenant(tenant string, events []tokenvault.Event) {
	var columns [16][]string
	var positions []int64
	for _, e := range events {
		if e.Kind == "" {
			continue
		}
		end := t.chain(tenant)
		e.ID, e.At, e.Writer, e.Position = t.nextEventID(), t.now, end.writer, end.position+1
		e.Hash = e.ChainHash(end.hash)
		end.position, end.hash = e.Position, e.Hash
		for i, text := range []string{
			e.ID, string(e.Kind), string(e.ActorKind), e.ActorID, e.Owner.Tenant, e.Owner.OrganizationID, e.Owner.UserID, e.ForUserID,
			e.ProviderID, e.ConnectionID, e.AuthRequestID, e.RunID, e.ThreadID, e.Detail, e.Writer, e.Hash,
		} {
			columns[i] = append(columns[i], text)
		}
		positions = append(positions, e.Position)
	}
	if len(positions) == 0 {
		return
	}
	args := []any{t.now, tenant}
	for _, column := range columns[:15] {
		args = append(args, column)
	}
	if tenant != t.tenant {
		t.later(sqlSetTenant, tenant)
		defer t.later(sqlSetTenant, t.tenant)
	}
	t.later(sqlInsertEvents, append(args, positions, columns[15])...)
}

// AppendAudit implements [tokenvault.AuditStore].
func (s *Store) AppendAudit(ctx context.Context, events []tokenvault.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.write(ctx, "append audit", events[0].Tenant, func(t *tx) error {
		t.appendEvents(events...)
		return nil
	})
}

// ListAudit implements [tokenvault.AuditStore]. It fails with a
// [tokenvault.FieldError] if the page's After is no event id.
func (s *Store) ListAudit(ctx context.Context, tenant string, q tokenvault.EventQuery) ([]tokenvault.Event, error) {
	if err := checkEventID(q.After); err != nil {
		return nil, s.wrap("list audit", err)
	}
	query := sqlListAudit
	if q.Newest {
		query = sqlListAuditNewest
	}
	return list(ctx, s, "list audit", tenant, scanEvent, query, tenant, q.After, limited(q.Page),
		string(q.Kind), q.AgentID, q.UserID, q.OrganizationID, q.ConnectionID, columnOf(q.Since))
}

func checkEventID(after string) error {
	if after != "" && (len(after) != eventIDSize || !eventPattern.MatchString(after)) {
		return &tokenvault.FieldError{Field: "after", Reason: "must be the id of an event"}
	}
	return nil
}

const (
	sqlEpoch    = `SELECT epoch FROM tv.audit_epoch`
	sqlOutdated = `SELECT coalesce(tv.newest_audit_id() >= ` + sqlAuditPrefix + `, false) FROM tv.audit_epoch`
	sqlNewEpoch = `UPDATE tv.audit_epoch SET epoch = epoch + 1 WHERE epoch = $1`
)

// readEpoch reads the epoch, and begins a new one if entries stand in the log that
// transactions to come would be numbered before: the database was restored into
// another cluster.
func (s *Store) readEpoch(ctx context.Context) error {
	var outdated bool
	if err := s.pool.QueryRow(ctx, s.sql(sqlOutdated)).Scan(&outdated); err != nil {
		return err
	}
	if err := s.pool.QueryRow(ctx, s.sql(sqlEpoch)).Scan(&s.epoch); err != nil || !outdated {
		return err
	}
	if _, err := s.pool.Exec(ctx, s.sql(sqlNewEpoch), s.epoch); err != nil {
		return err
	}
	return s.pool.QueryRow(ctx, s.sql(sqlEpoch)).Scan(&s.epoch)
}

const (
	// headColumns is for scanHead.
	headColumns = `tenant, writer, position, hash, event_id, at, key_version, mac, cut`

	// sqlUnsignedAudit goes from writer to writer by the index, since a table of
	// entries has few of them.
	sqlUnsignedAudit = `WITH RECURSIVE writers AS (
			(SELECT writer FROM tv.audit WHERE tenant = $1 ORDER BY writer LIMIT 1)
			UNION ALL
			SELECT (SELECT writer FROM tv.audit WHERE tenant = $1 AND writer > w.writer ORDER BY writer LIMIT 1)
			FROM writers AS w WHERE w.writer IS NOT NULL)
		SELECT e.tenant, e.writer, e.position, e.hash, e.id, e.at, 0::bigint, NULL::bytea, NULL::bytea
		FROM writers AS w CROSS JOIN LATERAL (
			SELECT * FROM tv.audit AS a WHERE a.tenant = $1 AND a.writer = w.writer ORDER BY position DESC LIMIT 1) AS e
		WHERE e.position > coalesce((SELECT max(position) FROM tv.audit_heads AS h WHERE h.tenant = $1 AND h.writer = w.writer), 0)`
	sqlSignAudit = `INSERT INTO tv.audit_heads (` + headColumns + `)
		SELECT tenant, writer, position, hash, id, at, $5, $6, NULL FROM tv.audit
		WHERE tenant = $1 AND writer = $2 AND position = $3 AND hash = $4
		ON CONFLICT DO NOTHING`
	sqlGetHead        = `SELECT ` + headColumns + ` FROM tv.audit_heads WHERE tenant = $1 AND writer = $2 AND position = $3`
	sqlListAuditHeads = `SELECT ` + headColumns + ` FROM tv.audit_heads WHERE tenant = $1 AND event_id > $2 ORDER BY event_id LIMIT $3`

	// Of each writer the newest head within the limit, else the oldest.
	sqlPrunableAudit = `WITH cuts AS (
			SELECT writer, coalesce(max(position) FILTER (WHERE cut IS NOT NULL), 0) AS last FROM tv.audit_heads WHERE tenant = $1 GROUP BY writer)
		SELECT DISTINCT ON (writer) ` + headColumns + ` FROM tv.audit_heads JOIN cuts USING (writer)
		WHERE tenant = $1 AND position > last AND at <= coalesce($2::timestamptz, clock_timestamp()) - $3::interval
		ORDER BY writer, position <= last + $4 DESC, CASE WHEN position <= last + $4 THEN -position ELSE position END`
	sqlCutAudit   = `UPDATE tv.audit_heads SET cut = $5 WHERE tenant = $1 AND writer = $2 AND position = $3 AND hash = $4 AND cut IS NULL`
	sqlPruneAudit = `DELETE FROM tv.audit WHERE tenant = $1 AND writer = $2 AND position <= $3`
)

func scanHead(from row) (tokenvault.AuditHead, error) {
	var h tokenvault.AuditHead
	var keyVersion int64
	if err := from.Scan(&h.Tenant, &h.Writer, &h.Position, &h.Hash, &h.EventID, &h.At, &keyVersion, &h.MAC, &h.Cut); err != nil {
		return tokenvault.AuditHead{}, err
	}
	h.At, h.KeyVersion = h.At.UTC(), uint32(keyVersion) //nolint:gosec // written from a uint32
	return h, nil
}

// UnsignedAudit implements [tokenvault.AuditHeadStore].
func (s *Store) UnsignedAudit(ctx context.Context, tenant string) ([]tokenvault.AuditHead, error) {
	return list(ctx, s, "unsigned audit", tenant, scanHead, sqlUnsignedAudit, tenant)
}

// SignAudit implements [tokenvault.AuditHeadStore].
func (s *Store) SignAudit(ctx context.Context, heads []tokenvault.AuditHead) error {
	if len(heads) == 0 {
		return nil
	}
	return s.write(ctx, "sign audit", heads[0].Tenant, func(t *tx) error {
		for _, h := range heads {
			err := t.as(ctx, h.Tenant, func() error {
				added, err := t.exec(ctx, sqlSignAudit, h.Tenant, h.Writer, h.Position, h.Hash, int64(h.KeyVersion), h.MAC)
				if err == nil && added == 0 {
					_, err = scanHead(t.row(ctx, sqlGetHead, h.Tenant, h.Writer, h.Position))
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ListAuditHeads implements [tokenvault.AuditHeadStore].
func (s *Store) ListAuditHeads(ctx context.Context, tenant string, page tokenvault.Page) ([]tokenvault.AuditHead, error) {
	if err := checkEventID(page.After); err != nil {
		return nil, s.wrap("list audit heads", err)
	}
	return list(ctx, s, "list audit heads", tenant, scanHead, sqlListAuditHeads, tenant, page.After, limited(page))
}

// PrunableAudit implements [tokenvault.AuditHeadStore].
func (s *Store) PrunableAudit(ctx context.Context, tenant string, age time.Duration, limit int64) ([]tokenvault.AuditHead, error) {
	return list(ctx, s, "prunable audit", tenant, scanHead, sqlPrunableAudit, tenant, s.boundNow(), age, limit)
}

// PruneAudit implements [tokenvault.AuditHeadStore]. Its event may be of another
// chain; the end of one that is cut whole stands in its head.
func (s *Store) PruneAudit(ctx context.Context, cmd tokenvault.AuditPruning) (dropped int64, err error) {
	h := cmd.Head
	err = s.write(ctx, "prune audit", h.Tenant, func(t *tx) error {
		t.appendEvents(cmd.Event)
		cut, err := t.exec(ctx, sqlCutAudit, h.Tenant, h.Writer, h.Position, h.Hash, h.Cut)
		if err == nil && cut == 0 {
			err = pgx.ErrNoRows
		}
		if err != nil {
			return conflictIfNone(err)
		}
		dropped, err = t.exec(ctx, sqlPruneAudit, h.Tenant, h.Writer, h.Position)
		return err
	})
	if err != nil {
		return 0, err
	}
	return dropped, nil
}
