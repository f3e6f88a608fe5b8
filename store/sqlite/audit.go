package sqlite

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// eventColumns is for scanEvent; seq is before it.
	eventColumns = `at, tenant, kind, actor_kind, actor_id, owner_tenant, organization_id, user_id, provider_id, connection_id,
		auth_request_id, run_id, thread_id, detail`
	sqlInsertEvent = `INSERT INTO audit (` + eventColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlListAudit   = `SELECT seq, ` + eventColumns + ` FROM audit WHERE tenant = ? AND seq > ? ORDER BY seq LIMIT ?`
)

func scanEvent(from row) (tokenvault.Event, error) {
	var e tokenvault.Event
	var seq, at int64
	err := from.Scan(&seq, &at, &e.Tenant, (*string)(&e.Kind), (*string)(&e.ActorKind), &e.ActorID,
		&e.Owner.Tenant, &e.Owner.OrganizationID, &e.Owner.UserID, &e.ProviderID, &e.ConnectionID,
		&e.AuthRequestID, &e.RunID, &e.ThreadID, &e.Detail)
	if err != nil {
		return tokenvault.Event{}, err
	}
	e.ID, e.At = eventID(seq), timeOf(at)
	return e, nil
}

// eventID returns "ev_" and the sequence number in sixteen digits, so that ids
// sort as texts in the order of writing.
func eventID(seq int64) string { return fmt.Sprintf("ev_%016d", seq) }

// eventSeq returns the number in an event id; empty is before the first.
func eventSeq(id string) (int64, error) {
	if id == "" {
		return 0, nil
	}
	digits, ok := strings.CutPrefix(id, "ev_")
	seq, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || seq < 0 {
		return 0, &tokenvault.FieldError{Field: "after", Reason: "must be the id of an event"}
	}
	return seq, nil
}

// appendEvents writes events in the transaction. An event without a kind is none.
func (t *tx) appendEvents(ctx context.Context, events ...tokenvault.Event) error {
	stmt := t.StmtContext(ctx, t.store.insertEvent)
	defer func() { _ = stmt.Close() }() // of this transaction; the kept one stays
	for _, e := range events {
		if e.Kind == "" {
			continue
		}
		_, err := stmt.ExecContext(ctx, t.now, e.Tenant, string(e.Kind), string(e.ActorKind), e.ActorID,
			e.Owner.Tenant, e.Owner.OrganizationID, e.Owner.UserID, e.ProviderID, e.ConnectionID,
			e.AuthRequestID, e.RunID, e.ThreadID, e.Detail)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
	}
	return nil
}

// AppendAudit implements [tokenvault.AuditStore].
func (s *Store) AppendAudit(ctx context.Context, events []tokenvault.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.write(ctx, "append audit", func(t *tx) error { return t.appendEvents(ctx, events...) })
}

// ListAudit implements [tokenvault.AuditStore]. It fails with a
// [tokenvault.FieldError] if page.After is no event id.
func (s *Store) ListAudit(ctx context.Context, tenant string, page tokenvault.Page) ([]tokenvault.Event, error) {
	after, err := eventSeq(page.After)
	if err != nil {
		return nil, fmt.Errorf("sqlite: list audit: %w", err)
	}
	return list(ctx, s, "list audit", scanEvent, sqlListAudit, tenant, after, limited(page))
}
