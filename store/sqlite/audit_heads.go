package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// headColumns is for scanHead.
	headColumns = `tenant, writer, position, hash, seq, at, key_version, mac, cut`

	sqlUnsignedAudit = `SELECT tenant, writer, position, hash, seq, at, 0, NULL, NULL FROM audit
		WHERE tenant = ?1 AND writer = '` + auditWriter + `' AND position > 0
			AND position > coalesce((SELECT max(position) FROM audit_heads WHERE tenant = ?1 AND writer = '` + auditWriter + `'), 0)
		ORDER BY position DESC LIMIT 1`
	sqlSignAudit = `INSERT INTO audit_heads (` + headColumns + `)
		SELECT tenant, writer, position, hash, seq, at, ?, ?, NULL FROM audit
		WHERE tenant = ? AND writer = ? AND position = ? AND position > 0 AND hash = ?
		ON CONFLICT DO NOTHING`
	sqlGetHead        = `SELECT ` + headColumns + ` FROM audit_heads WHERE tenant = ? AND writer = ? AND position = ?`
	sqlListAuditHeads = `SELECT ` + headColumns + ` FROM audit_heads WHERE tenant = ? AND seq > ? ORDER BY seq LIMIT ?`

	// The newest head within the limit, else the oldest.
	sqlPrunableAudit = `WITH old AS NOT MATERIALIZED (SELECT ` + headColumns + ` FROM audit_heads
			WHERE tenant = ?2 AND writer = '` + auditWriter + `' AND position > ` + sqlLastCut + ` AND at <= ` + sqlNow + ` - ?3)
		SELECT * FROM old WHERE position = coalesce(
			(SELECT max(position) FROM old WHERE position <= ` + sqlLastCut + ` + ?4), (SELECT min(position) FROM old))`
	sqlLastCut = `coalesce((SELECT max(position) FROM audit_heads
		WHERE tenant = ?2 AND writer = '` + auditWriter + `' AND cut IS NOT NULL), 0)`
	sqlCutAudit = `UPDATE audit_heads SET cut = ?
		WHERE tenant = ? AND writer = ? AND position = ? AND hash = ? AND cut IS NULL RETURNING seq`
	sqlPruneAudit     = `DELETE FROM audit WHERE tenant = ? AND writer = ? AND position > 0 AND position <= ?`
	sqlPruneUnchained = `DELETE FROM audit WHERE tenant = ? AND seq < ? AND position = 0`
)

func scanHead(from row) (tokenvault.AuditHead, error) {
	var h tokenvault.AuditHead
	var seq, at, keyVersion int64
	err := from.Scan(&h.Tenant, &h.Writer, &h.Position, &h.Hash, &seq, &at, &keyVersion, (*blob)(&h.MAC), (*blob)(&h.Cut))
	if err != nil {
		return tokenvault.AuditHead{}, err
	}
	h.EventID, h.At, h.KeyVersion = eventID(seq), timeOf(at), uint32(keyVersion) //nolint:gosec // written from a uint32
	return h, nil
}

// UnsignedAudit implements [tokenvault.AuditHeadStore].
func (s *Store) UnsignedAudit(ctx context.Context, tenant string) ([]tokenvault.AuditHead, error) {
	return list(ctx, s, "unsigned audit", scanHead, sqlUnsignedAudit, tenant)
}

// SignAudit implements [tokenvault.AuditHeadStore].
func (s *Store) SignAudit(ctx context.Context, heads []tokenvault.AuditHead) error {
	return s.write(ctx, "sign audit", func(t *tx) error {
		for _, h := range heads {
			added, err := t.exec(ctx, sqlSignAudit, int64(h.KeyVersion), h.MAC, h.Tenant, h.Writer, h.Position, h.Hash)
			if err == nil && added == 0 {
				_, err = scanHead(t.QueryRowContext(ctx, sqlGetHead, h.Tenant, h.Writer, h.Position))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ListAuditHeads implements [tokenvault.AuditHeadStore].
func (s *Store) ListAuditHeads(ctx context.Context, tenant string, page tokenvault.Page) ([]tokenvault.AuditHead, error) {
	after, err := eventSeq(page.After, 0)
	if err != nil {
		return nil, fmt.Errorf("sqlite: list audit heads: %w", err)
	}
	return list(ctx, s, "list audit heads", scanHead, sqlListAuditHeads, tenant, after, limited(page))
}

// PrunableAudit implements [tokenvault.AuditHeadStore].
func (s *Store) PrunableAudit(ctx context.Context, tenant string, age time.Duration, limit int64) ([]tokenvault.AuditHead, error) {
	return list(ctx, s, "prunable audit", scanHead, sqlPrunableAudit, s.boundNow(), tenant, age.Microseconds(), limit)
}

// PruneAudit implements [tokenvault.AuditHeadStore].
func (s *Store) PruneAudit(ctx context.Context, cmd tokenvault.AuditPruning) (dropped int64, err error) {
	err = s.write(ctx, "prune audit", func(t *tx) error {
		if err := t.appendEvents(ctx, cmd.Event); err != nil {
			return err
		}
		var seq int64
		h := cmd.Head
		err := t.QueryRowContext(ctx, sqlCutAudit, h.Cut, h.Tenant, h.Writer, h.Position, h.Hash).Scan(&seq)
		if err != nil {
			return conflictIfNone(err)
		}
		if dropped, err = t.exec(ctx, sqlPruneAudit, h.Tenant, h.Writer, h.Position); err != nil {
			return err
		}
		unchained, err := t.exec(ctx, sqlPruneUnchained, h.Tenant, seq)
		dropped += unchained
		return err
	})
	if err != nil {
		return 0, err
	}
	return dropped, nil
}
