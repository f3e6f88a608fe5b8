package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ai-token-vault/tokenvault"
)

// auditWriter is the one writer of every chain: the file has one write lock.
const auditWriter = "sqlite"

const (
	// eventColumns is for scanEvent.
	eventColumns = `seq, at, tenant, kind, actor_kind, actor_id, owner_tenant, organization_id, user_id, for_user_id,
		provider_id, connection_id, auth_request_id, run_id, thread_id, detail, writer, position, hash`
	sqlInsertEvent = `INSERT INTO audit (` + eventColumns + `) VALUES ` + sqlEventRow
	sqlEventRow    = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

	// sqlInsertEvents writes eventsTogether events, in less time than one by one.
	sqlInsertEvents = `INSERT INTO audit (` + eventColumns + `) VALUES ` + sqlFourRows + `, ` + sqlFourRows + `, ` + sqlFourRows + `, ` + sqlFourRows
	sqlFourRows     = sqlEventRow + `, ` + sqlEventRow + `, ` + sqlEventRow + `, ` + sqlEventRow
	eventsTogether  = 16

	// sqlAuditEnd reads how far the file and a chain have come. The newest entry of
	// the file is never dropped.
	sqlAuditEnd = `SELECT coalesce((SELECT max(seq) FROM audit), 0), coalesce((SELECT position ` + sqlNewestOfChain + `), 0),
		coalesce((SELECT hash ` + sqlNewestOfChain + `), '')`
	sqlNewestOfChain = `FROM audit WHERE tenant = ?1 AND writer = '` + auditWriter + `' AND position > 0 ORDER BY position DESC LIMIT 1`

	sqlWantedAudit = ` AND (?4 = '' OR kind = ?4) AND (?5 = '' OR actor_id = ?5 AND actor_kind IN ('agent', 'backend'))
		AND (?6 = '' OR user_id = ?6 OR for_user_id = ?6) AND (?7 = '' OR organization_id = ?7)
		AND (?8 = '' OR connection_id = ?8) AND at >= ?9`
	sqlListAudit = `SELECT ` + eventColumns + ` FROM audit
		WHERE tenant = ?1 AND seq > ?2` + sqlWantedAudit + ` ORDER BY seq LIMIT ?3`
	sqlListAuditNewest = `SELECT ` + eventColumns + ` FROM audit
		WHERE tenant = ?1 AND seq < ?2` + sqlWantedAudit + ` ORDER BY seq DESC LIMIT ?3`
)

func scanEvent(from row) (tokenvault.Event, error) {
	var e tokenvault.Event
	var seq, at int64
	err := from.Scan(&seq, &at, &e.Tenant, (*string)(&e.Kind), (*string)(&e.ActorKind), &e.ActorID,
		&e.Owner.Tenant, &e.Owner.OrganizationID, &e.Owner.UserID, &e.ForUserID, &e.ProviderID, &e.ConnectionID,
		&e.AuthRequestID, &e.RunID, &e.ThreadID, &e.Detail, &e.Writer, &e.Position, &e.Hash)
	if err != nil {
		return tokenvault.Event{}, err
	}
	e.ID, e.At = eventID(seq), timeOf(at)
	return e, nil
}

// eventID returns "ev_" and the sequence number in sixteen digits, so that ids
// sort as texts in the order of writing.
func eventID(seq int64) string { return fmt.Sprintf("ev_%016d", seq) }

// eventSeq returns the number in an event id, or what stands for an empty one.
func eventSeq(id string, none int64) (int64, error) {
	if id == "" {
		return none, nil
	}
	digits, ok := strings.CutPrefix(id, "ev_")
	seq, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || seq < 0 {
		return 0, &tokenvault.FieldError{Field: "after", Reason: "must be the id of an event"}
	}
	return seq, nil
}

// An auditEnd is how far the chains have come in a transaction.
type auditEnd struct {
	seq    int64 // of the newest entry of the file
	chains map[string]chainEnd
}

type chainEnd struct {
	position int64
	hash     string
}

// chain returns the end of a tenant's chain. It is read once in a transaction.
func (t *tx) chain(ctx context.Context, tenant string) (chainEnd, error) {
	if end, ok := t.audit.chains[tenant]; ok {
		return end, nil
	}
	var seq int64
	var end chainEnd
	if err := t.QueryRowContext(ctx, sqlAuditEnd, tenant).Scan(&seq, &end.position, &end.hash); err != nil {
		return chainEnd{}, err
	}
	if t.audit.chains == nil {
		t.audit = auditEnd{seq: seq, chains: make(map[string]chainEnd)}
	}
	return end, nil
}

// appendEvents writes events in the transaction. An event without a kind is none.
func (t *tx) appendEvents(ctx context.Context, events ...tokenvault.Event) error {
	var args []any
	rows := 0
	for _, e := range events {
		if e.Kind == "" {
			continue
		}
		var err error
		if args, err = t.link(ctx, e, args); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if rows++; rows%eventsTogether == 0 {
			if _, err := t.exec(ctx, sqlInsertEvents, args...); err != nil {
				return fmt.Errorf("audit: %w", err)
			}
			args = args[:0]
		}
	}
	for one := range slices.Chunk(args, eventArgs) {
		if _, err := t.exec(ctx, sqlInsertEvent, one...); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
	}
	return nil
}

// eventArgs is how many arguments a row of the audit log has.
const eventArgs = 19

// link makes e the next of its chain, and appends its row's arguments to args.
func (t *tx) link(ctx context.Context, e tokenvault.Event, args []any) ([]any, error) {
	end, err := t.chain(ctx, e.Tenant)
	if err != nil {
		return nil, err
	}
	t.audit.seq++
	e.ID, e.At = eventID(t.audit.seq), timeOf(t.now)
	e.Writer, e.Position = auditWriter, end.position+1
	e.Hash = e.ChainHash(end.hash)
	t.audit.chains[e.Tenant] = chainEnd{e.Position, e.Hash}
	return append(args, t.audit.seq, t.now, e.Tenant, string(e.Kind), string(e.ActorKind), e.ActorID,
		e.Owner.Tenant, e.Owner.OrganizationID, e.Owner.UserID, e.ForUserID, e.ProviderID, e.ConnectionID,
		e.AuthRequestID, e.RunID, e.ThreadID, e.Detail, e.Writer, e.Position, e.Hash), nil
}

// AppendAudit implements [tokenvault.AuditStore].
func (s *Store) AppendAudit(ctx context.Context, events []tokenvault.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.write(ctx, "append audit", func(t *tx) error { return t.appendEvents(ctx, events...) })
}

// ListAudit implements [tokenvault.AuditStore]. It fails with a
// [tokenvault.FieldError] if the page's After is no event id.
func (s *Store) ListAudit(ctx context.Context, tenant string, q tokenvault.EventQuery) ([]tokenvault.Event, error) {
	query, none := sqlListAudit, int64(0)
	if q.Newest {
		query, none = sqlListAuditNewest, 1<<62
	}
	after, err := eventSeq(q.After, none)
	if err != nil {
		return nil, fmt.Errorf("sqlite: list audit: %w", err)
	}
	return list(ctx, s, "list audit", scanEvent, query, tenant, after, limited(q.Page),
		string(q.Kind), q.AgentID, q.UserID, q.OrganizationID, q.ConnectionID, microsOf(q.Since))
}
