package tokenvault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/record"
	"github.com/ai-token-vault/tokenvault/internal/stdwebhook"
)

const (
	maxWebhooks    = 50 // of an organization, or of the tenant as a whole
	maxWebhookURL  = 2048
	webhookOverlap = 24 * time.Hour // for which messages are signed with two secrets
)

// A WebhookInput describes an endpoint that is told of changes.
type WebhookInput struct {
	// OrganizationID is whose changes it is told of; empty: everybody's in the tenant.
	// It cannot be changed.
	OrganizationID string
	URL            string        // https at a public host, or what [Options.AllowHosts] lists
	Types          []WebhookType // empty: all, also those to come
	Disabled       bool
}

// CreateWebhook registers an endpoint and returns the secret that its messages are
// signed with (Standard Webhooks: "whsec_…"), which cannot be read again. Only an
// administrator may, within its organization. From then on the endpoint is told,
// at least once, of every change of an auth request and of a connection that it
// asked for; docs/webhooks.md says how.
func (v *Vault) CreateWebhook(ctx context.Context, actor Actor, in WebhookInput) (Webhook, Secret, error) {
	if err := v.mayManageWebhooks(actor, in.OrganizationID); err != nil {
		return Webhook{}, Secret{}, err
	}
	if err := v.checkWebhook(in); err != nil {
		return Webhook{}, Secret{}, err
	}
	others, err := v.store.ListWebhooks(ctx, v.opts.Tenant, "", Page{Limit: maxPage})
	if err != nil {
		return Webhook{}, Secret{}, fmt.Errorf("webhooks: %w", err)
	}
	others = slices.DeleteFunc(others, func(w Webhook) bool { return w.OrganizationID != in.OrganizationID })
	if len(others) >= maxWebhooks {
		return Webhook{}, Secret{}, invalid("url", fmt.Sprintf("would be one too many: there are %d webhooks already", maxWebhooks))
	}
	w := SealedWebhook{Webhook: Webhook{
		ID: newID(webhookPrefix), Tenant: v.opts.Tenant, OrganizationID: in.OrganizationID,
		URL: in.URL, Types: in.Types, Enabled: !in.Disabled, Version: 1,
	}}
	secrets := webhookSecrets{current: NewSecret(stdwebhook.NewSecret())}
	stored, err := v.putWebhook(ctx, w, secrets, 0, v.webhookEvent(EventWebhookSet, actor, w.Webhook))
	return stored, secrets.current, err
}

func (v *Vault) checkWebhook(in WebhookInput) error {
	if !validID(in.OrganizationID) {
		return invalid("organizationId", "must be at most 255 bytes without control characters")
	}
	u, err := url.Parse(in.URL)
	if err != nil || len(in.URL) > maxWebhookURL || !isVisibleASCII(in.URL) || u.User != nil || u.Fragment != "" || !v.mayName(u.Scheme, hostPort(u)) {
		return invalid("url", fmt.Sprintf("%s, at most %d characters, without user and fragment", notPublic, maxWebhookURL))
	}
	for i, kind := range in.Types {
		if !slices.Contains(WebhookTypes(), kind) {
			return invalid(fmt.Sprintf("types[%d]", i), fmt.Sprintf("must be among: %v", WebhookTypes()))
		}
	}
	return nil
}

func (v *Vault) mayManageWebhooks(actor Actor, organizationID string) error {
	if err := v.checkActor(actor); err != nil {
		return err
	}
	if actor.Kind != ActorAdmin || !actor.MayAdminister(v.opts.Tenant, organizationID) {
		return fmt.Errorf("only an administrator manages webhooks, within its organization: %w", ErrDenied)
	}
	return actor.need(ScopeWebhooks)
}

// webhookOf returns an endpoint that the administrator manages.
func (v *Vault) webhookOf(ctx context.Context, actor Actor, id string) (SealedWebhook, error) {
	if err := v.mayManageWebhooks(actor, actor.Owner.OrganizationID); err != nil {
		return SealedWebhook{}, err
	}
	w, err := v.store.GetWebhook(ctx, v.opts.Tenant, id)
	if err == nil && !actor.MayAdminister(w.Tenant, w.OrganizationID) {
		err = ErrNotFound
	}
	if err != nil {
		return SealedWebhook{}, fmt.Errorf("webhook: %w", err)
	}
	return w, nil
}

func (v *Vault) webhookEvent(kind EventKind, actor Actor, w Webhook) Event {
	event := v.event(kind, actor, webhookOwner(w))
	event.Detail = w.ID
	return event
}

func webhookOwner(w Webhook) Owner { return Owner{Tenant: w.Tenant, OrganizationID: w.OrganizationID} }

func webhookPlace(w Webhook) place {
	return place{table: string(SealedWebhooks), owner: webhookOwner(w), row: w.ID, field: "secrets", version: w.Version}
}

// webhookSecrets are what messages are signed with.
type webhookSecrets struct {
	current Secret
	before  Secret // zero: the secret was never rotated
}

const (
	tagWebhookSecret = 1
	tagWebhookBefore = 2
)

func (s webhookSecrets) marshal() []byte {
	var w record.Writer
	w.String(tagWebhookSecret, s.current.Reveal())
	w.String(tagWebhookBefore, s.before.Reveal())
	return w.Bytes()
}

func (v *Vault) openWebhook(ctx context.Context, w SealedWebhook) (webhookSecrets, error) {
	plaintext, err := v.keys.open(ctx, webhookPlace(w.Webhook), w.Record, nil)
	if err != nil {
		return webhookSecrets{}, err
	}
	var s webhookSecrets
	err = record.Each(plaintext, func(tag byte, value []byte) {
		switch tag {
		case tagWebhookSecret:
			s.current = NewSecret(string(value))
		case tagWebhookBefore:
			s.before = NewSecret(string(value))
		}
	})
	if err != nil {
		return webhookSecrets{}, fmt.Errorf("webhook record: %w", ErrUnsealable)
	}
	return s, nil
}

// putWebhook seals the secrets for the endpoint's version and stores both.
func (v *Vault) putWebhook(ctx context.Context, w SealedWebhook, secrets webhookSecrets, overlap time.Duration, event Event) (Webhook, error) {
	var err error
	if w.Record, err = v.keys.seal(ctx, webhookPlace(w.Webhook), secrets.marshal()); err != nil {
		return Webhook{}, err
	}
	stored, err := v.store.PutWebhook(ctx, WebhookPut{Webhook: w, Overlap: overlap, Event: event})
	if err != nil {
		return Webhook{}, fmt.Errorf("webhook: %w", err)
	}
	return stored, nil
}

// UpdateWebhook replaces URL, types and state of an endpoint. Its organization and
// its secret stay.
func (v *Vault) UpdateWebhook(ctx context.Context, actor Actor, id string, in WebhookInput) (Webhook, error) {
	w, err := v.webhookOf(ctx, actor, id)
	if err != nil {
		return Webhook{}, err
	}
	in.OrganizationID = w.OrganizationID
	if err := v.checkWebhook(in); err != nil {
		return Webhook{}, err
	}
	secrets, err := v.openWebhook(ctx, w)
	if err != nil {
		return Webhook{}, err
	}
	w.URL, w.Types, w.Enabled = in.URL, in.Types, !in.Disabled
	w.Version++
	return v.putWebhook(ctx, w, secrets, 0, v.webhookEvent(EventWebhookSet, actor, w.Webhook))
}

// RotateWebhook gives an endpoint a new secret and returns it. For 24 hours messages
// are signed with that of before too, so that the receiver can change in between. A
// second rotation ends the overlap of the first one. It also heals an endpoint whose
// secret cannot be opened any more.
func (v *Vault) RotateWebhook(ctx context.Context, actor Actor, id string) (Webhook, Secret, error) {
	w, err := v.webhookOf(ctx, actor, id)
	if err != nil {
		return Webhook{}, Secret{}, err
	}
	old, err := v.openWebhook(ctx, w)
	if err != nil && !errors.Is(err, ErrUnsealable) {
		return Webhook{}, Secret{}, err
	}
	secrets := webhookSecrets{current: NewSecret(stdwebhook.NewSecret()), before: old.current}
	w.Version++
	stored, err := v.putWebhook(ctx, w, secrets, webhookOverlap, v.webhookEvent(EventWebhookRotated, actor, w.Webhook))
	return stored, secrets.current, err
}

// Webhooks returns the tenant's endpoints, or those within the organization that
// the administrator is confined to, without their secrets.
func (v *Vault) Webhooks(ctx context.Context, actor Actor, page Page) ([]Webhook, error) {
	if err := v.mayManageWebhooks(actor, actor.Owner.OrganizationID); err != nil {
		return nil, err
	}
	return v.store.ListWebhooks(ctx, v.opts.Tenant, actor.Owner.OrganizationID, page.limited())
}

// Webhook returns an endpoint without its secret.
func (v *Vault) Webhook(ctx context.Context, actor Actor, id string) (Webhook, error) {
	w, err := v.webhookOf(ctx, actor, id)
	return w.Webhook, err
}

// DeleteWebhook deletes an endpoint with all that was told to it, and all that was
// still to be.
func (v *Vault) DeleteWebhook(ctx context.Context, actor Actor, id string) error {
	w, err := v.webhookOf(ctx, actor, id)
	if err != nil {
		return err
	}
	if err := v.store.DeleteWebhook(ctx, v.opts.Tenant, id, v.webhookEvent(EventWebhookDeleted, actor, w.Webhook)); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

// TestWebhook sends the endpoint a message of type [WebhookTest], also if it is
// disabled. It is delivered in the background, like any other.
func (v *Vault) TestWebhook(ctx context.Context, actor Actor, id string) (WebhookDelivery, error) {
	w, err := v.webhookOf(ctx, actor, id)
	if err != nil {
		return WebhookDelivery{}, err
	}
	sent, err := v.store.SendWebhook(ctx, WebhookSending{
		WebhookID: id, Message: testMessage(w.Webhook, time.Now(), rand.Text()), Event: v.webhookEvent(EventWebhookTested, actor, w.Webhook),
	})
	if err != nil {
		return WebhookDelivery{}, fmt.Errorf("webhook: %w", err)
	}
	v.wakeJobs()
	return sent, nil
}

// WebhookDeliveries returns what was told to the endpoint and what is still to be,
// the newest first.
func (v *Vault) WebhookDeliveries(ctx context.Context, actor Actor, q DeliveryQuery) ([]WebhookDelivery, error) {
	if _, err := v.webhookOf(ctx, actor, q.WebhookID); err != nil {
		return nil, err
	}
	if q.State != "" && q.State != DeliveryPending && q.State != DeliveryDelivered && q.State != DeliveryDead {
		return nil, invalid("state", "must be pending, delivered or dead")
	}
	q.Page = q.limited()
	list, err := v.store.ListDeliveries(ctx, v.opts.Tenant, q)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return list, nil
}

// RedeliverWebhook sends a message again at once, with its id, whatever became of
// it. It fails with [ErrConflict] while it is being sent, and while the endpoint is
// disabled.
func (v *Vault) RedeliverWebhook(ctx context.Context, actor Actor, webhookID, deliveryID string) (WebhookDelivery, error) {
	w, err := v.webhookOf(ctx, actor, webhookID)
	if err != nil {
		return WebhookDelivery{}, err
	}
	d, err := v.store.GetDelivery(ctx, v.opts.Tenant, deliveryID)
	if err == nil && d.WebhookID != webhookID {
		err = ErrNotFound
	}
	if err == nil && !w.Enabled && d.Type != WebhookTest {
		err = fmt.Errorf("it is disabled: %w", ErrConflict)
	}
	if err != nil {
		return WebhookDelivery{}, fmt.Errorf("webhook: %w", err)
	}
	event := v.webhookEvent(EventWebhookResent, actor, w.Webhook)
	event.Detail = d.ID
	if err := v.store.Redeliver(ctx, v.opts.Tenant, d.ID, event); err != nil {
		return WebhookDelivery{}, fmt.Errorf("webhook: %w", err)
	}
	v.wakeJobs()
	again, err := v.store.GetDelivery(ctx, v.opts.Tenant, d.ID)
	return again.WebhookDelivery, err
}
