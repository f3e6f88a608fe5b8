package tokenvault

import (
	"context"
	"time"
)

// WebhookStore keeps the endpoints that are told of changes. Every command that
// changes an auth request or a connection so that a [WebhookType] names it also
// writes, in its transaction, a [WebhookDelivery] and a [Job] of kind
// [JobDeliverWebhook] with the same id, [WebhookMessage.DeliveryID], for each
// endpoint that [Webhook.Wants] the message. What is written already stays as it
// is. DeleteOwner tells nothing: who deletes an owner knows.
type WebhookStore interface {
	// PutWebhook stores the endpoint as a new row if its Version is 1, else in place
	// of the version before: [ErrConflict] if that moved on.
	PutWebhook(ctx context.Context, cmd WebhookPut) (Webhook, error)
	GetWebhook(ctx context.Context, tenant, id string) (SealedWebhook, error)
	// ListWebhooks returns the endpoints of the organization; empty: all of the
	// tenant's.
	ListWebhooks(ctx context.Context, tenant, organizationID string, page Page) ([]Webhook, error)
	// DeleteWebhook deletes an endpoint with its deliveries and their jobs.
	DeleteWebhook(ctx context.Context, tenant, id string, event Event) error
}

// A SealedWebhook is an endpoint with its sealed secrets.
type SealedWebhook struct {
	Webhook
	Record SealedRecord
}

// A WebhookPut is the command of WebhookStore.PutWebhook.
type WebhookPut struct {
	Webhook SealedWebhook // times are set by the store
	// Overlap is for how long from now the secret of before signs too; 0: as it was.
	Overlap time.Duration
	Event   Event
}

// DeliveryStore keeps what was told, and what is still to be.
type DeliveryStore interface {
	// ListDeliveries returns deliveries, the newest first.
	ListDeliveries(ctx context.Context, tenant string, q DeliveryQuery) ([]WebhookDelivery, error)
	// GetDelivery returns a delivery with the endpoint that it goes to.
	GetDelivery(ctx context.Context, tenant, id string) (DueDelivery, error)
	// SendWebhook writes a delivery of the message to one endpoint, whatever it asks
	// for, and its job. [ErrNotFound] if there is no such endpoint.
	SendWebhook(ctx context.Context, cmd WebhookSending) (WebhookDelivery, error)
	// Redeliver has a delivery sent at once: it writes its job again, or makes it due.
	// It returns [ErrConflict] while a turn is under way.
	Redeliver(ctx context.Context, tenant, id string, event Event) error
	// PruneDeliveries deletes up to limit deliveries that were written longer ago than
	// age, with their jobs, unless they are pending. It returns how many.
	PruneDeliveries(ctx context.Context, tenant string, age time.Duration, limit int) (int, error)
}

// A DeliveryQuery asks for one page of an endpoint's deliveries, the newest first:
// Page.After is the id that they come before. What is empty does not restrict.
type DeliveryQuery struct {
	Page

	WebhookID string
	State     DeliveryState
}

// A DueDelivery is a delivery with what it takes to send it.
type DueDelivery struct {
	WebhookDelivery
	Webhook SealedWebhook
	Now     time.Time // the store's clock
}

// A WebhookSending is the command of DeliveryStore.SendWebhook.
type WebhookSending struct {
	WebhookID string
	Message   WebhookMessage // of the endpoint's tenant
	Event     Event
}

// A DeliveryResult says how an attempt at a delivery went. It is a part of the
// [JobResult] that ends the turn.
type DeliveryResult struct {
	StatusCode int  // HTTP status of the answer; 0: there was none
	Disable    bool // the endpoint wants nothing more
}
