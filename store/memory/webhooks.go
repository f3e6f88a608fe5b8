package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// tell writes a delivery and its job for each endpoint that wants one of the
// messages.
func (s *Store) tell(now time.Time, messages ...tokenvault.WebhookMessage) {
	for _, m := range messages {
		for _, w := range s.webhooks {
			if w.Wants(m) {
				s.send(now, w.ID, m)
			}
		}
	}
}

// send writes a delivery and its job, unless they are there.
func (s *Store) send(now time.Time, webhookID string, m tokenvault.WebhookMessage) {
	d := tokenvault.WebhookDelivery{
		ID: m.DeliveryID(webhookID), WebhookID: webhookID, Type: m.Type, Owner: m.Owner, Body: m.Body, CreatedAt: now,
	}
	id := rowID{m.Owner.Tenant, d.ID}
	if _, sent := s.deliveries[id]; sent {
		return
	}
	s.deliveries[id] = d
	s.enqueue(tokenvault.Job{
		ID: d.ID, Kind: tokenvault.JobDeliverWebhook, Owner: m.Owner, ProviderID: m.ProviderID, ConnectionID: m.ConnectionID,
	}, now)
}

// shown returns d with what its job says.
func (s *Store) shown(d tokenvault.WebhookDelivery) tokenvault.WebhookDelivery {
	j, waits := s.jobs[d.ID]
	switch {
	case waits && j.state != tokenvault.JobDead:
		d.State, d.NextTryAt = tokenvault.DeliveryPending, j.dueAt
	case waits || d.DeliveredAt.IsZero():
		d.State = tokenvault.DeliveryDead
	default:
		d.State = tokenvault.DeliveryDelivered
	}
	return d
}

// finishDelivery notes how an attempt went.
func (s *Store) finishDelivery(now time.Time, tenant string, cmd tokenvault.JobResult) {
	id := rowID{tenant, cmd.ID}
	d, ok := s.deliveries[id]
	if !ok || cmd.Delivery == nil {
		return
	}
	d.Attempts++
	d.StatusCode, d.Error, d.AttemptedAt = cmd.Delivery.StatusCode, cmd.Error, now
	if cmd.Done {
		d.DeliveredAt = now
	}
	s.deliveries[id] = d
	hook := rowID{tenant, d.WebhookID}
	if w, ok := s.webhooks[hook]; ok && cmd.Delivery.Disable {
		w.Enabled, w.UpdatedAt = false, now
		s.webhooks[hook] = w
	}
}

func (s *Store) deleteDeliveries(doomed func(tokenvault.WebhookDelivery) bool) {
	maps.DeleteFunc(s.deliveries, func(_ rowID, d tokenvault.WebhookDelivery) bool {
		if doomed(d) {
			delete(s.jobs, d.ID)
			return true
		}
		return false
	})
}

func copyWebhook(w tokenvault.SealedWebhook) tokenvault.SealedWebhook {
	w.Types, w.Record = slices.Clone(w.Types), copyRecord(w.Record)
	return w
}

// PutWebhook implements [tokenvault.WebhookStore].
func (s *Store) PutWebhook(ctx context.Context, cmd tokenvault.WebhookPut) (tokenvault.Webhook, error) {
	now, unlock, err := s.lock(ctx, "put webhook")
	if err != nil {
		return tokenvault.Webhook{}, err
	}
	defer unlock()
	w := copyWebhook(cmd.Webhook)
	id := rowID{w.Tenant, w.ID}
	old, exists := s.webhooks[id]
	w.CreatedAt, w.UpdatedAt, w.OverlapUntil = now, now, time.Time{}
	if exists {
		w.CreatedAt, w.OverlapUntil = old.CreatedAt, old.OverlapUntil
	}
	if old.Version != w.Version-1 || old.OrganizationID != w.OrganizationID && exists {
		return tokenvault.Webhook{}, failed("put webhook", tokenvault.ErrConflict)
	}
	if err := s.checkKey(w.Tenant, w.Record); err != nil {
		return tokenvault.Webhook{}, failed("put webhook", err)
	}
	if cmd.Overlap > 0 {
		w.OverlapUntil = now.Add(cmd.Overlap)
	}
	s.webhooks[id] = w
	s.write(now, cmd.Event)
	return copyWebhook(w).Webhook, nil
}

// GetWebhook implements [tokenvault.WebhookStore].
func (s *Store) GetWebhook(ctx context.Context, tenant, id string) (tokenvault.SealedWebhook, error) {
	_, unlock, err := s.lock(ctx, "get webhook")
	if err != nil {
		return tokenvault.SealedWebhook{}, err
	}
	defer unlock()
	w, ok := s.webhooks[rowID{tenant, id}]
	if !ok {
		return tokenvault.SealedWebhook{}, failed("get webhook", tokenvault.ErrNotFound)
	}
	return copyWebhook(w), nil
}

// ListWebhooks implements [tokenvault.WebhookStore].
func (s *Store) ListWebhooks(ctx context.Context, tenant, organizationID string, page tokenvault.Page) ([]tokenvault.Webhook, error) {
	_, unlock, err := s.lock(ctx, "list webhooks")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var list []tokenvault.Webhook
	for _, w := range s.webhooks {
		if w.Tenant == tenant && (organizationID == "" || w.OrganizationID == organizationID) {
			list = append(list, copyWebhook(w).Webhook)
		}
	}
	return paged(list, func(w tokenvault.Webhook) string { return w.ID }, page), nil
}

// DeleteWebhook implements [tokenvault.WebhookStore].
func (s *Store) DeleteWebhook(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	now, unlock, err := s.lock(ctx, "delete webhook")
	if err != nil {
		return err
	}
	defer unlock()
	if _, ok := s.webhooks[rowID{tenant, id}]; !ok {
		return failed("delete webhook", tokenvault.ErrNotFound)
	}
	delete(s.webhooks, rowID{tenant, id})
	s.deleteDeliveries(func(d tokenvault.WebhookDelivery) bool { return d.Owner.Tenant == tenant && d.WebhookID == id })
	s.write(now, event)
	return nil
}

// ListDeliveries implements [tokenvault.DeliveryStore].
func (s *Store) ListDeliveries(ctx context.Context, tenant string, q tokenvault.DeliveryQuery) ([]tokenvault.WebhookDelivery, error) {
	_, unlock, err := s.lock(ctx, "list deliveries")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var list []tokenvault.WebhookDelivery
	for id, d := range s.deliveries {
		d = s.shown(d)
		if id.tenant == tenant && (q.WebhookID == "" || d.WebhookID == q.WebhookID) && (q.State == "" || d.State == q.State) &&
			(q.After == "" || d.ID < q.After) {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b tokenvault.WebhookDelivery) int { return cmp.Compare(b.ID, a.ID) })
	return list[:min(len(list), limited(q.Limit))], nil
}

// GetDelivery implements [tokenvault.DeliveryStore].
func (s *Store) GetDelivery(ctx context.Context, tenant, id string) (tokenvault.DueDelivery, error) {
	now, unlock, err := s.lock(ctx, "get delivery")
	if err != nil {
		return tokenvault.DueDelivery{}, err
	}
	defer unlock()
	d, ok := s.deliveries[rowID{tenant, id}]
	if !ok {
		return tokenvault.DueDelivery{}, failed("get delivery", tokenvault.ErrNotFound)
	}
	return tokenvault.DueDelivery{WebhookDelivery: s.shown(d), Webhook: copyWebhook(s.webhooks[rowID{tenant, d.WebhookID}]), Now: now}, nil
}

// SendWebhook implements [tokenvault.DeliveryStore].
func (s *Store) SendWebhook(ctx context.Context, cmd tokenvault.WebhookSending) (tokenvault.WebhookDelivery, error) {
	now, unlock, err := s.lock(ctx, "send webhook")
	if err != nil {
		return tokenvault.WebhookDelivery{}, err
	}
	defer unlock()
	tenant := cmd.Message.Owner.Tenant
	if _, ok := s.webhooks[rowID{tenant, cmd.WebhookID}]; !ok {
		return tokenvault.WebhookDelivery{}, failed("send webhook", tokenvault.ErrNotFound)
	}
	s.send(now, cmd.WebhookID, cmd.Message)
	s.write(now, cmd.Event)
	return s.shown(s.deliveries[rowID{tenant, cmd.Message.DeliveryID(cmd.WebhookID)}]), nil
}

// Redeliver implements [tokenvault.DeliveryStore].
func (s *Store) Redeliver(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	now, unlock, err := s.lock(ctx, "redeliver")
	if err != nil {
		return err
	}
	defer unlock()
	d, ok := s.deliveries[rowID{tenant, id}]
	if !ok {
		return failed("redeliver", tokenvault.ErrNotFound)
	}
	j, waits := s.jobs[id]
	switch {
	case waits && j.state == tokenvault.JobLeased:
		return failed("redeliver", tokenvault.ErrConflict)
	case waits:
		j.state, j.dueAt = tokenvault.JobReady, now
		s.jobs[id] = j
	default:
		s.enqueue(tokenvault.Job{ID: id, Kind: tokenvault.JobDeliverWebhook, Owner: d.Owner}, now)
	}
	s.write(now, event)
	return nil
}

// PruneDeliveries implements [tokenvault.DeliveryStore].
func (s *Store) PruneDeliveries(ctx context.Context, tenant string, age time.Duration, limit int) (int, error) {
	now, unlock, err := s.lock(ctx, "prune deliveries")
	if err != nil {
		return 0, err
	}
	defer unlock()
	var old []string
	for id, d := range s.deliveries {
		if id.tenant == tenant && s.shown(d).State != tokenvault.DeliveryPending && now.Sub(d.CreatedAt) > age {
			old = append(old, d.ID)
		}
	}
	slices.Sort(old)
	old = old[:min(len(old), max(limit, 0))]
	s.deleteDeliveries(func(d tokenvault.WebhookDelivery) bool {
		_, found := slices.BinarySearch(old, d.ID)
		return found && d.Owner.Tenant == tenant
	})
	return len(old), nil
}
