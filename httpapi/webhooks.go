package httpapi

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// webhookRow is an endpoint without its secret.
type webhookRow struct {
	ID             string                   `json:"id"`
	OrganizationID string                   `json:"organizationId,omitempty" jsonschema:"whose changes it is told of; absent: everybody's"`
	URL            string                   `json:"url"`
	Types          []tokenvault.WebhookType `json:"types" jsonschema:"empty: all, also those to come"`
	Enabled        bool                     `json:"enabled"`
	OverlapUntil   *time.Time               `json:"overlapUntil" jsonschema:"until when messages are signed with the secret of before too"`
	CreatedAt      time.Time                `json:"createdAt"`
	UpdatedAt      time.Time                `json:"updatedAt"`
}

func webhookRowOf(w tokenvault.Webhook) webhookRow {
	return webhookRow{
		ID: w.ID, OrganizationID: w.OrganizationID, URL: w.URL, Types: append([]tokenvault.WebhookType{}, w.Types...), Enabled: w.Enabled,
		OverlapUntil: instant(w.OverlapUntil), CreatedAt: w.CreatedAt.UTC(), UpdatedAt: w.UpdatedAt.UTC(),
	}
}

func listWebhooks(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in listInput) (pageOutput[webhookRow], error) {
	page := in.page()
	list, err := v.Webhooks(ctx, actor, page)
	return pageOf(list, page.Limit, webhookRowOf, func(w tokenvault.Webhook) string { return w.ID }), err
}

type newWebhookInput struct {
	OrganizationID string                   `json:"organizationId,omitempty" jsonschema:"whose changes it is told of; default: everybody's"`
	URL            string                   `json:"url" jsonschema:"https at a public host"`
	Types          []tokenvault.WebhookType `json:"types,omitempty" jsonschema:"default: all, also those to come"`
	Enabled        *bool                    `json:"enabled,omitempty" jsonschema:"default: true"`
}

type webhookOutput struct {
	webhookRow
	Secret string `json:"secret" jsonschema:"what messages are signed with, shown this once"`
}

func createWebhook(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in newWebhookInput) (webhookOutput, error) {
	w, secret, err := v.CreateWebhook(ctx, actor, tokenvault.WebhookInput{
		OrganizationID: in.OrganizationID, URL: in.URL, Types: in.Types, Disabled: in.Enabled != nil && !*in.Enabled,
	})
	return webhookOutput{webhookRowOf(w), secret.Reveal()}, err
}

func getWebhook(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (webhookRow, error) {
	w, err := v.Webhook(ctx, actor, in.ID)
	return webhookRowOf(w), err
}

type webhookInput struct {
	ID      string                   `json:"-" path:"id"`
	URL     string                   `json:"url"`
	Types   []tokenvault.WebhookType `json:"types,omitempty" jsonschema:"absent: all, also those to come"`
	Enabled *bool                    `json:"enabled,omitempty" jsonschema:"default: true"`
}

func putWebhook(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in webhookInput) (webhookRow, error) {
	w, err := v.UpdateWebhook(ctx, actor, in.ID, tokenvault.WebhookInput{URL: in.URL, Types: in.Types, Disabled: in.Enabled != nil && !*in.Enabled})
	return webhookRowOf(w), err
}

func deleteWebhook(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (successOutput, error) {
	err := v.DeleteWebhook(ctx, actor, in.ID)
	return successOutput{err == nil}, err
}

func rotateWebhook(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (webhookOutput, error) {
	w, secret, err := v.RotateWebhook(ctx, actor, in.ID)
	return webhookOutput{webhookRowOf(w), secret.Reveal()}, err
}

// deliveryRow is a message to one endpoint.
type deliveryRow struct {
	ID          string                   `json:"id" jsonschema:"the header webhook-id"`
	Type        tokenvault.WebhookType   `json:"type"`
	State       tokenvault.DeliveryState `json:"state" jsonschema:"pending, delivered or dead"`
	Attempts    int                      `json:"attempts"`
	StatusCode  int                      `json:"statusCode,omitempty" jsonschema:"HTTP status of the last answer; absent: there was none"`
	Error       string                   `json:"error,omitempty" jsonschema:"the code of the last failure"`
	CreatedAt   time.Time                `json:"createdAt"`
	AttemptedAt *time.Time               `json:"attemptedAt"`
	DeliveredAt *time.Time               `json:"deliveredAt"`
	NextTryAt   *time.Time               `json:"nextTryAt" jsonschema:"while pending"`
	Body        json.RawMessage          `json:"body"`
}

func deliveryRowOf(d tokenvault.WebhookDelivery) deliveryRow {
	return deliveryRow{
		ID: d.ID, Type: d.Type, State: d.State, Attempts: d.Attempts, StatusCode: d.StatusCode, Error: d.Error, CreatedAt: d.CreatedAt.UTC(),
		AttemptedAt: instant(d.AttemptedAt), DeliveredAt: instant(d.DeliveredAt), NextTryAt: instant(d.NextTryAt), Body: json.RawMessage(d.Body),
	}
}

func testWebhook(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in idInput) (deliveryRow, error) {
	return delivery(v.TestWebhook(ctx, actor, in.ID))
}

type deliveriesInput struct {
	listInput
	ID    string `json:"-" path:"id"`
	State string `query:"state"`
}

func listDeliveries(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in deliveriesInput) (pageOutput[deliveryRow], error) {
	q := tokenvault.DeliveryQuery{Page: in.page(), WebhookID: in.ID, State: tokenvault.DeliveryState(in.State)}
	list, err := v.WebhookDeliveries(ctx, actor, q)
	return pageOf(list, q.Limit, deliveryRowOf, func(d tokenvault.WebhookDelivery) string { return d.ID }), err
}

type redeliverInput struct {
	ID         string `json:"-" path:"id"`
	DeliveryID string `json:"-" path:"deliveryId"`
}

func redeliver(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in redeliverInput) (deliveryRow, error) {
	return delivery(v.RedeliverWebhook(ctx, actor, in.ID, in.DeliveryID))
}

func delivery(d tokenvault.WebhookDelivery, err error) (deliveryRow, error) {
	if err != nil {
		return deliveryRow{}, err
	}
	return deliveryRowOf(d), nil
}
