package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	webhookFields = `tenant, id, organization_id, url, types, enabled, version, overlap_until, created_at, updated_at`
	// webhookColumns is for scanWebhook; webhookColumnsBare reads no sealed data.
	webhookColumns     = webhookFields + `, key_space, key_version, sealed`
	webhookColumnsBare = webhookFields + `, '', 0, NULL`
)

func scanWebhook(from row) (tokenvault.SealedWebhook, error) {
	var w tokenvault.SealedWebhook
	var types string
	var overlap, created, updated, keyVersion int64
	err := from.Scan(&w.Tenant, &w.ID, &w.OrganizationID, &w.URL, &types, &w.Enabled, &w.Version, &overlap, &created, &updated,
		&w.Record.KeySpace, &keyVersion, (*[]byte)(&w.Record.Blob))
	if err != nil {
		return tokenvault.SealedWebhook{}, err
	}
	w.OverlapUntil, w.CreatedAt, w.UpdatedAt = timeOf(overlap), timeOf(created), timeOf(updated)
	w.Record.KeyVersion = uint32(keyVersion) //nolint:gosec // written from a uint32
	return w, json.Unmarshal([]byte(types), &w.Types)
}

func scanBareWebhook(from row) (tokenvault.Webhook, error) {
	w, err := scanWebhook(from)
	return w.Webhook, err
}

// typesColumn returns the column of types, an empty array if there are none.
func typesColumn(types []tokenvault.WebhookType) string {
	text, _ := json.Marshal(append([]tokenvault.WebhookType{}, types...)) // texts can always be marshaled
	return string(text)
}

const (
	sqlInsertWebhook = `INSERT INTO webhooks (` + webhookColumns + `)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11, ?12) RETURNING ` + webhookColumnsBare
	sqlReplaceWebhook = `UPDATE webhooks SET url = ?4, types = ?5, enabled = ?6, version = ?7,
			overlap_until = iif(?8 = 0, overlap_until, ?8), updated_at = ?9, key_space = ?10, key_version = ?11, sealed = ?12
		WHERE tenant = ?1 AND id = ?2 AND organization_id = ?3 AND version = ?7 - 1 RETURNING ` + webhookColumnsBare
)

// PutWebhook implements [tokenvault.WebhookStore].
func (s *Store) PutWebhook(ctx context.Context, cmd tokenvault.WebhookPut) (tokenvault.Webhook, error) {
	var stored tokenvault.Webhook
	err := s.write(ctx, "put webhook", func(t *tx) error {
		w := cmd.Webhook
		query := sqlReplaceWebhook
		if w.Version == 1 {
			query = sqlInsertWebhook
		}
		args := append([]any{
			w.Tenant, w.ID, w.OrganizationID, w.URL, typesColumn(w.Types), w.Enabled, w.Version, t.expiry(cmd.Overlap), t.now,
		}, recordArgs(w.Record)...)
		var err error
		stored, err = scanBareWebhook(t.QueryRowContext(ctx, query, args...))
		if err != nil {
			return conflictIfNone(err)
		}
		if err := t.checkKey(ctx, w.Tenant, w.Record); err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Event)
	})
	if err != nil {
		return tokenvault.Webhook{}, err
	}
	return stored, nil
}

const sqlGetWebhook = `SELECT ` + webhookColumns + ` FROM webhooks WHERE tenant = ? AND id = ?`

// GetWebhook implements [tokenvault.WebhookStore].
func (s *Store) GetWebhook(ctx context.Context, tenant, id string) (tokenvault.SealedWebhook, error) {
	return get(ctx, s, "get webhook", scanWebhook, sqlGetWebhook, tenant, id)
}

const sqlListWebhooks = `SELECT ` + webhookColumnsBare + ` FROM webhooks
	WHERE tenant = ?1 AND id > ?3 AND (?2 = '' OR organization_id = ?2) ORDER BY id LIMIT ?4`

// ListWebhooks implements [tokenvault.WebhookStore].
func (s *Store) ListWebhooks(ctx context.Context, tenant, organizationID string, page tokenvault.Page) ([]tokenvault.Webhook, error) {
	return list(ctx, s, "list webhooks", scanBareWebhook, sqlListWebhooks, tenant, organizationID, page.After, limited(page))
}

const (
	sqlDeleteWebhookJobs = `DELETE FROM jobs WHERE tenant = ?1 AND id IN (SELECT id FROM deliveries WHERE tenant = ?1 AND webhook_id = ?2)`
	sqlDeleteWebhook     = `DELETE FROM webhooks WHERE tenant = ?1 AND id = ?2` // and its deliveries with it
)

// DeleteWebhook implements [tokenvault.WebhookStore].
func (s *Store) DeleteWebhook(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	err := s.write(ctx, "delete webhook", func(t *tx) error {
		if _, err := t.exec(ctx, sqlDeleteWebhookJobs, tenant, id); err != nil {
			return err
		}
		deleted, err := t.exec(ctx, sqlDeleteWebhook, tenant, id)
		if err != nil {
			return err
		}
		if deleted == 0 {
			return tokenvault.ErrNotFound
		}
		return t.appendEvents(ctx, event)
	})
	if err == nil {
		s.emptyLog(ctx)
	}
	return err
}

const (
	deliveryColumns = `d.id, d.webhook_id, d.tenant, d.organization_id, d.user_id, d.type, d.body, d.attempts, d.status_code, d.error,
		d.created_at, d.attempted_at, d.delivered_at,
		CASE WHEN j.state IN ('ready', 'leased') THEN 'pending' WHEN j.state IS NULL AND d.delivered_at > 0 THEN 'delivered' ELSE 'dead' END AS said,
		iif(j.state IN ('ready', 'leased'), j.due_at, 0)`
	deliveriesWithJobs = ` FROM deliveries AS d LEFT JOIN jobs AS j ON j.tenant = d.tenant AND j.id = d.id`
)

func scanDelivery(from row) (tokenvault.WebhookDelivery, error) {
	var d tokenvault.WebhookDelivery
	var created, attempted, delivered, due int64
	err := from.Scan(&d.ID, &d.WebhookID, &d.Owner.Tenant, &d.Owner.OrganizationID, &d.Owner.UserID, (*string)(&d.Type), &d.Body,
		&d.Attempts, &d.StatusCode, &d.Error, &created, &attempted, &delivered, (*string)(&d.State), &due)
	d.CreatedAt, d.AttemptedAt, d.DeliveredAt, d.NextTryAt = timeOf(created), timeOf(attempted), timeOf(delivered), timeOf(due)
	return d, err
}

const (
	deliveriesNewest = ` AND d.id < ?3 AND (?4 = '' OR said = ?4) ORDER BY d.id DESC LIMIT ?5`
	// sqlListDeliveries is of one webhook, sqlAllDeliveries of all.
	sqlListDeliveries = `SELECT ` + deliveryColumns + deliveriesWithJobs + ` WHERE d.tenant = ?1 AND d.webhook_id = ?2` + deliveriesNewest
	sqlAllDeliveries  = `SELECT ` + deliveryColumns + deliveriesWithJobs + ` WHERE d.tenant = ?1 AND ?2 = ''` + deliveriesNewest

	// lastID is greater than every id.
	lastID = "\U0010ffff"
)

// ListDeliveries implements [tokenvault.DeliveryStore].
func (s *Store) ListDeliveries(ctx context.Context, tenant string, q tokenvault.DeliveryQuery) ([]tokenvault.WebhookDelivery, error) {
	query := sqlListDeliveries
	if q.WebhookID == "" {
		query = sqlAllDeliveries
	}
	if q.After == "" {
		q.After = lastID
	}
	return list(ctx, s, "list deliveries", scanDelivery, query, tenant, q.WebhookID, q.After, string(q.State), limited(q.Page))
}

const (
	deliveryByID   = ` WHERE d.tenant = ?1 AND d.id = ?2`
	sqlGetDelivery = `SELECT ` + deliveryColumns + deliveriesWithJobs + deliveryByID
)

// GetDelivery implements [tokenvault.DeliveryStore].
func (s *Store) GetDelivery(ctx context.Context, tenant, id string) (tokenvault.DueDelivery, error) {
	var due tokenvault.DueDelivery
	var err error
	if due.WebhookDelivery, err = get(ctx, s, "get delivery", scanDelivery, sqlGetDelivery, tenant, id); err != nil {
		return tokenvault.DueDelivery{}, err
	}
	if due.Webhook, err = s.GetWebhook(ctx, tenant, due.WebhookID); err != nil {
		return tokenvault.DueDelivery{}, err
	}
	due.Now, err = get(ctx, s, "get delivery", func(from row) (time.Time, error) {
		var now int64
		err := from.Scan(&now)
		return timeOf(now), err
	}, `SELECT `+sqlNow, s.boundNow())
	return due, err
}

const (
	// sqlTell writes a delivery for each endpoint that wants the message: see
	// Webhook.Wants and WebhookMessage.DeliveryID.
	sqlTell = `INSERT INTO deliveries (tenant, id, webhook_id, organization_id, user_id, type, body, created_at)
		SELECT ?1, ?2 || substr(w.id, 3), w.id, ?3, ?4, ?5, ?6, ?7 FROM webhooks AS w
		WHERE w.tenant = ?1 AND w.organization_id IN ('', ?3) AND w.enabled
			AND (w.types = '[]' OR EXISTS (SELECT 1 FROM json_each(w.types) AS wanted WHERE wanted.value = ?5))
		ON CONFLICT DO NOTHING RETURNING id`
	sqlSend = `INSERT INTO deliveries (tenant, id, webhook_id, organization_id, user_id, type, body, created_at)
		SELECT ?1, ?2 || substr(w.id, 3), w.id, ?3, ?4, ?5, ?6, ?7 FROM webhooks AS w WHERE w.tenant = ?1 AND w.id = ?8
		ON CONFLICT DO NOTHING RETURNING id`
)

func messageArgs(m tokenvault.WebhookMessage, now int64) []any {
	return []any{m.Owner.Tenant, m.ID, m.Owner.OrganizationID, m.Owner.UserID, string(m.Type), m.Body, now}
}

// tell writes a delivery and its job for each endpoint that wants the message.
func (t *tx) tell(ctx context.Context, m tokenvault.WebhookMessage) error {
	_, err := t.send(ctx, m, sqlTell, messageArgs(m, t.now)...)
	return err
}

func (t *tx) send(ctx context.Context, m tokenvault.WebhookMessage, query string, args ...any) (ids []string, err error) {
	rows, err := t.QueryContext(ctx, query, args...)
	ids, err = collect(rows, err, func(from row) (id string, err error) {
		err = from.Scan(&id)
		return id, err
	})
	for _, id := range ids {
		if err == nil {
			err = t.insertJob(ctx, tokenvault.Job{
				ID: id, Kind: tokenvault.JobDeliverWebhook, Owner: m.Owner, ProviderID: m.ProviderID, ConnectionID: m.ConnectionID,
			})
		}
	}
	return ids, err
}

// SendWebhook implements [tokenvault.DeliveryStore].
func (s *Store) SendWebhook(ctx context.Context, cmd tokenvault.WebhookSending) (tokenvault.WebhookDelivery, error) {
	var sent tokenvault.WebhookDelivery
	err := s.write(ctx, "send webhook", func(t *tx) error {
		m := cmd.Message
		ids, err := t.send(ctx, m, sqlSend, append(messageArgs(m, t.now), cmd.WebhookID)...)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return tokenvault.ErrNotFound
		}
		if sent, err = scanDelivery(t.QueryRowContext(ctx, sqlGetDelivery, m.Owner.Tenant, ids[0])); err != nil {
			return err
		}
		return t.appendEvents(ctx, cmd.Event)
	})
	if err != nil {
		return tokenvault.WebhookDelivery{}, err
	}
	return sent, nil
}

// Redeliver implements [tokenvault.DeliveryStore].
func (s *Store) Redeliver(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	return s.write(ctx, "redeliver", func(t *tx) error {
		d, err := scanDelivery(t.QueryRowContext(ctx, sqlGetDelivery, tenant, id))
		if err != nil {
			return err
		}
		var state string
		err = t.QueryRowContext(ctx, sqlJobState, tenant, id).Scan(&state)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			err = t.insertJob(ctx, tokenvault.Job{ID: id, Kind: tokenvault.JobDeliverWebhook, Owner: d.Owner})
		case err == nil && state == string(tokenvault.JobLeased):
			err = tokenvault.ErrConflict
		case err == nil:
			_, err = t.exec(ctx, sqlJobAgain, t.now, tenant, id)
		}
		if err != nil {
			return err
		}
		return t.appendEvents(ctx, event)
	})
}

const (
	sqlNoteAttempt = `UPDATE deliveries SET attempts = attempts + 1, status_code = ?1, error = ?2, attempted_at = ?3,
			delivered_at = iif(?4, ?3, delivered_at)
		WHERE id = ?5 AND tenant = ?6 RETURNING webhook_id`
	sqlDisableWebhook = `UPDATE webhooks SET enabled = 0, updated_at = ?1 WHERE tenant = ?2 AND id = ?3`
)

// noteAttempt notes how an attempt at a delivery went.
func (t *tx) noteAttempt(ctx context.Context, tenant string, cmd tokenvault.JobResult) error {
	var webhookID string
	err := t.QueryRowContext(ctx, sqlNoteAttempt, cmd.Delivery.StatusCode, cmd.Error, t.now, cmd.Done, cmd.ID, tenant).Scan(&webhookID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil && cmd.Delivery.Disable {
		_, err = t.exec(ctx, sqlDisableWebhook, t.now, tenant, webhookID)
	}
	return err
}

const (
	sqlPruneDeliveries = `DELETE FROM deliveries WHERE tenant = ?1 AND id IN (
			SELECT d.id` + deliveriesWithJobs + ` WHERE d.tenant = ?1 AND d.created_at < ?2 AND (j.state IS NULL OR j.state = 'dead')
			ORDER BY d.created_at LIMIT ?3)
		RETURNING id`
	sqlPruneJob = `DELETE FROM jobs WHERE tenant = ? AND id = ?`
)

// PruneDeliveries implements [tokenvault.DeliveryStore].
func (s *Store) PruneDeliveries(ctx context.Context, tenant string, age time.Duration, limit int) (int, error) {
	var pruned []string
	err := s.write(ctx, "prune deliveries", func(t *tx) error {
		rows, err := t.QueryContext(ctx, sqlPruneDeliveries, tenant, t.after(-age), max(limit, 0))
		pruned, err = collect(rows, err, func(from row) (id string, err error) {
			err = from.Scan(&id)
			return id, err
		})
		for _, id := range pruned {
			if err == nil {
				_, err = t.exec(ctx, sqlPruneJob, tenant, id)
			}
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(pruned), nil
}
