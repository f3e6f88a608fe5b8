package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

const (
	webhookFields = `tenant, id, organization_id, url, types, enabled, version, overlap_until, created_at, updated_at`
	// webhookColumns is for scanWebhook; webhookColumnsBare reads no sealed data.
	webhookColumns     = webhookFields + `, key_space, key_version, sealed`
	webhookColumnsBare = webhookFields + `, '', 0::bigint, NULL::bytea`
)

func scanWebhook(from row) (tokenvault.SealedWebhook, error) {
	var w tokenvault.SealedWebhook
	var types []string
	var overlap *time.Time
	var keyVersion int64
	err := from.Scan(&w.Tenant, &w.ID, &w.OrganizationID, &w.URL, &types, &w.Enabled, &w.Version, &overlap, &w.CreatedAt, &w.UpdatedAt,
		&w.Record.KeySpace, &keyVersion, (*[]byte)(&w.Record.Blob))
	if err != nil {
		return tokenvault.SealedWebhook{}, err
	}
	for _, t := range types {
		w.Types = append(w.Types, tokenvault.WebhookType(t))
	}
	w.OverlapUntil, w.CreatedAt, w.UpdatedAt = timeOf(overlap), w.CreatedAt.UTC(), w.UpdatedAt.UTC()
	w.Record.KeyVersion = uint32(keyVersion) //nolint:gosec // written from a uint32
	return w, nil
}

func scanBareWebhook(from row) (tokenvault.Webhook, error) {
	w, err := scanWebhook(from)
	return w.Webhook, err
}

// typesColumn returns the column of types, which is never NULL.
func typesColumn(types []tokenvault.WebhookType) []string {
	texts := make([]string, len(types))
	for i, t := range types {
		texts[i] = string(t)
	}
	return texts
}

const (
	sqlInsertWebhook = `INSERT INTO tv.webhooks (` + webhookColumns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, $12) RETURNING ` + webhookColumnsBare
	sqlReplaceWebhook = `UPDATE tv.webhooks SET url = $4, types = $5, enabled = $6, version = $7,
			overlap_until = coalesce($8, overlap_until), updated_at = $9, key_space = $10, key_version = $11, sealed = $12
		WHERE tenant = $1 AND id = $2 AND organization_id = $3 AND version = $7 - 1 RETURNING ` + webhookColumnsBare
)

// PutWebhook implements [tokenvault.WebhookStore].
func (s *Store) PutWebhook(ctx context.Context, cmd tokenvault.WebhookPut) (tokenvault.Webhook, error) {
	var stored tokenvault.Webhook
	w := cmd.Webhook
	err := s.write(ctx, "put webhook", w.Tenant, func(t *tx) error {
		query := sqlReplaceWebhook
		if w.Version == 1 {
			query = sqlInsertWebhook
		}
		args := append([]any{
			w.Tenant, w.ID, w.OrganizationID, w.URL, typesColumn(w.Types), w.Enabled, w.Version, t.expiry(cmd.Overlap), t.now,
		}, recordArgs(w.Record)...)
		var err error
		stored, err = scanBareWebhook(t.row(ctx, query, args...))
		if err != nil {
			return conflictIfNone(err)
		}
		if err := t.checkKey(ctx, w.Tenant, w.Record); err != nil {
			return err
		}
		t.appendEvents(cmd.Event)
		return nil
	})
	if err != nil {
		return tokenvault.Webhook{}, err
	}
	return stored, nil
}

const sqlGetWebhook = `SELECT ` + webhookColumns + ` FROM tv.webhooks WHERE tenant = $1 AND id = $2`

// GetWebhook implements [tokenvault.WebhookStore].
func (s *Store) GetWebhook(ctx context.Context, tenant, id string) (tokenvault.SealedWebhook, error) {
	return get(ctx, s, "get webhook", tenant, scanWebhook, sqlGetWebhook, tenant, id)
}

const sqlListWebhooks = `SELECT ` + webhookColumnsBare + ` FROM tv.webhooks
	WHERE tenant = $1 AND id > $3 AND ($2 = '' OR organization_id = $2) ORDER BY id LIMIT $4`

// ListWebhooks implements [tokenvault.WebhookStore].
func (s *Store) ListWebhooks(ctx context.Context, tenant, organizationID string, page tokenvault.Page) ([]tokenvault.Webhook, error) {
	return list(ctx, s, "list webhooks", tenant, scanBareWebhook, sqlListWebhooks, tenant, organizationID, page.After, limited(page))
}

const (
	sqlLockWebhook       = `SELECT 1 FROM tv.webhooks WHERE tenant = $1 AND id = $2 FOR UPDATE`
	sqlDeleteWebhookJobs = `DELETE FROM tv.jobs WHERE tenant = $1 AND id IN (SELECT id FROM tv.deliveries WHERE tenant = $1 AND webhook_id = $2)`
	sqlDeleteWebhook     = `DELETE FROM tv.webhooks WHERE tenant = $1 AND id = $2` // and its deliveries with it
)

// DeleteWebhook implements [tokenvault.WebhookStore]. The row is locked before its
// deliveries are looked for: one that is written meanwhile waits for it, and is not.
func (s *Store) DeleteWebhook(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	return s.write(ctx, "delete webhook", tenant, func(t *tx) error {
		if err := t.row(ctx, sqlLockWebhook, tenant, id).Scan(nil); err != nil {
			return err
		}
		for _, query := range []string{sqlDeleteWebhookJobs, sqlDeleteWebhook} {
			if _, err := t.exec(ctx, query, tenant, id); err != nil {
				return err
			}
		}
		t.appendEvents(event)
		return nil
	})
}

const (
	deliveryColumns = `id, webhook_id, tenant, organization_id, user_id, type, body, attempts, status_code, error,
		created_at, attempted_at, delivered_at, said, due_at`
	// deliveriesWithJobs is deliveries with what their jobs say.
	deliveriesWithJobs = ` FROM (SELECT d.*,
			CASE WHEN j.state IN ('ready', 'leased') THEN 'pending' WHEN j.state IS NULL AND d.delivered_at IS NOT NULL THEN 'delivered' ELSE 'dead' END AS said,
			CASE WHEN j.state IN ('ready', 'leased') THEN j.due_at END AS due_at
		FROM tv.deliveries AS d LEFT JOIN tv.jobs AS j ON j.tenant = d.tenant AND j.id = d.id) AS shown`
)

func scanDelivery(from row) (tokenvault.WebhookDelivery, error) {
	var d tokenvault.WebhookDelivery
	var attempted, delivered, due *time.Time
	err := from.Scan(&d.ID, &d.WebhookID, &d.Owner.Tenant, &d.Owner.OrganizationID, &d.Owner.UserID, (*string)(&d.Type), &d.Body,
		&d.Attempts, &d.StatusCode, &d.Error, &d.CreatedAt, &attempted, &delivered, (*string)(&d.State), &due)
	d.CreatedAt, d.AttemptedAt, d.DeliveredAt, d.NextTryAt = d.CreatedAt.UTC(), timeOf(attempted), timeOf(delivered), timeOf(due)
	return d, err
}

const sqlListDeliveries = `SELECT ` + deliveryColumns + deliveriesWithJobs + `
	WHERE tenant = $1 AND ($2 = '' OR webhook_id = $2) AND ($3 = '' OR id < $3) AND ($4 = '' OR said = $4) ORDER BY id DESC LIMIT $5`

// ListDeliveries implements [tokenvault.DeliveryStore].
func (s *Store) ListDeliveries(ctx context.Context, tenant string, q tokenvault.DeliveryQuery) ([]tokenvault.WebhookDelivery, error) {
	return list(ctx, s, "list deliveries", tenant, scanDelivery, sqlListDeliveries,
		tenant, q.WebhookID, q.After, string(q.State), limited(q.Page))
}

const sqlGetDelivery = `SELECT ` + deliveryColumns + deliveriesWithJobs + ` WHERE tenant = $1 AND id = $2`

// GetDelivery implements [tokenvault.DeliveryStore].
func (s *Store) GetDelivery(ctx context.Context, tenant, id string) (tokenvault.DueDelivery, error) {
	var due tokenvault.DueDelivery
	err := s.read(ctx, "get delivery", tenant, func(t *tx) error {
		var err error
		due.Now = t.now
		if due.WebhookDelivery, err = scanDelivery(t.row(ctx, sqlGetDelivery, tenant, id)); err != nil {
			return err
		}
		due.Webhook, err = scanWebhook(t.row(ctx, sqlGetWebhook, tenant, due.WebhookID))
		return err
	})
	if err != nil {
		return tokenvault.DueDelivery{}, err
	}
	return due, nil
}

const (
	// insertDeliveries writes deliveries to the webhooks that a condition names, and
	// their jobs: see Webhook.Wants and WebhookMessage.DeliveryID.
	insertDeliveries = `WITH told AS (
		INSERT INTO tv.deliveries (tenant, id, webhook_id, organization_id, user_id, type, body, created_at)
		SELECT $1::text, $2::text || substr(w.id, 3), w.id, $3::text, $4::text, $5::text, $6::text, $7::timestamptz
		FROM tv.webhooks AS w WHERE w.tenant = $1 AND `
	// A webhook that is deleted meanwhile is left out, rather than in the way.
	insertTheirJobs = ` FOR KEY SHARE OF w ON CONFLICT DO NOTHING RETURNING id)
		INSERT INTO tv.jobs (tenant, id, organization_id, user_id, kind, provider_id, connection_id, state, created_at, due_at)
		SELECT $1, id, $3, $4, 'deliver_webhook', $8::text, $9::text, 'ready', $7, $7 FROM told`
	sqlTell = insertDeliveries + `w.organization_id IN ('', $3) AND w.enabled AND (cardinality(w.types) = 0 OR $5 = ANY (w.types))` + insertTheirJobs
	sqlSend = insertDeliveries + `w.id = $10` + insertTheirJobs
)

func messageArgs(m tokenvault.WebhookMessage, now time.Time) []any {
	return []any{m.Owner.Tenant, m.ID, m.Owner.OrganizationID, m.Owner.UserID, string(m.Type), m.Body, now, m.ProviderID, m.ConnectionID}
}

// tellHooks writes, with the commit, a delivery and its job for each endpoint that
// wants the message.
func (t *tx) tellHooks(m tokenvault.WebhookMessage) { t.later(sqlTell, messageArgs(m, t.now)...) }

// SendWebhook implements [tokenvault.DeliveryStore].
func (s *Store) SendWebhook(ctx context.Context, cmd tokenvault.WebhookSending) (tokenvault.WebhookDelivery, error) {
	var sent tokenvault.WebhookDelivery
	m := cmd.Message
	err := s.write(ctx, "send webhook", m.Owner.Tenant, func(t *tx) error {
		n, err := t.exec(ctx, sqlSend, append(messageArgs(m, t.now), cmd.WebhookID)...)
		if err != nil {
			return err
		}
		if n == 0 {
			return tokenvault.ErrNotFound
		}
		if sent, err = scanDelivery(t.row(ctx, sqlGetDelivery, m.Owner.Tenant, m.DeliveryID(cmd.WebhookID))); err != nil {
			return err
		}
		t.appendEvents(cmd.Event)
		return nil
	})
	if err != nil {
		return tokenvault.WebhookDelivery{}, err
	}
	return sent, nil
}

// sqlLockDelivery has calls about one delivery follow each other: its job may not be
// there to be locked.
const (
	sqlLockDelivery = `SELECT organization_id, user_id FROM tv.deliveries WHERE tenant = $1 AND id = $2 FOR UPDATE`
	sqlLockJob      = sqlJobState + ` FOR UPDATE`
)

// Redeliver implements [tokenvault.DeliveryStore].
func (s *Store) Redeliver(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	return s.write(ctx, "redeliver", tenant, func(t *tx) error {
		owner := tokenvault.Owner{Tenant: tenant}
		if err := t.row(ctx, sqlLockDelivery, tenant, id).Scan(&owner.OrganizationID, &owner.UserID); err != nil {
			return err
		}
		var state string
		err := t.row(ctx, sqlLockJob, tenant, id).Scan(&state)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			err = t.insertJob(ctx, tokenvault.Job{ID: id, Kind: tokenvault.JobDeliverWebhook, Owner: owner})
		case err == nil && state == string(tokenvault.JobLeased):
			err = tokenvault.ErrConflict
		case err == nil:
			_, err = t.exec(ctx, sqlJobAgain, tenant, id, t.now)
		}
		if err != nil {
			return err
		}
		t.appendEvents(event)
		return nil
	})
}

const (
	sqlNoteAttempt = `UPDATE tv.deliveries SET attempts = attempts + 1, status_code = $3, error = $4, attempted_at = $5,
			delivered_at = CASE WHEN $6 THEN $5 ELSE delivered_at END
		WHERE tenant = $1 AND id = $2`
	sqlDisableWebhook = `UPDATE tv.webhooks SET enabled = false, updated_at = $3
		WHERE tenant = $1 AND id = (SELECT webhook_id FROM tv.deliveries WHERE tenant = $1 AND id = $2)`
)

// noteAttempt notes, with the commit, how an attempt at a delivery went.
func (t *tx) noteAttempt(tenant string, cmd tokenvault.JobResult) {
	t.later(sqlNoteAttempt, tenant, cmd.ID, cmd.Delivery.StatusCode, cmd.Error, t.now, cmd.Done)
	if cmd.Delivery.Disable {
		t.later(sqlDisableWebhook, tenant, cmd.ID, t.now)
	}
}

const sqlPruneDeliveries = `WITH old AS MATERIALIZED (
		SELECT d.id FROM tv.deliveries AS d LEFT JOIN tv.jobs AS j ON j.tenant = d.tenant AND j.id = d.id
		WHERE d.tenant = $1 AND d.created_at < $2 AND (j.state IS NULL OR j.state = 'dead')
		ORDER BY d.created_at LIMIT $3 FOR UPDATE OF d SKIP LOCKED),
	jobs AS (DELETE FROM tv.jobs WHERE tenant = $1 AND id IN (SELECT id FROM old))
	DELETE FROM tv.deliveries WHERE tenant = $1 AND id IN (SELECT id FROM old)`

// PruneDeliveries implements [tokenvault.DeliveryStore].
func (s *Store) PruneDeliveries(ctx context.Context, tenant string, age time.Duration, limit int) (int, error) {
	var pruned int64
	err := s.write(ctx, "prune deliveries", tenant, func(t *tx) error {
		var err error
		pruned, err = t.exec(ctx, sqlPruneDeliveries, tenant, t.after(-age), max(limit, 0))
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(pruned), nil
}
