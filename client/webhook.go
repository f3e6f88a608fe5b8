package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/stdwebhook"
)

// A WebhookMessage is a webhook that was verified.
type WebhookMessage struct {
	// ID is the same each time the message is sent: whoever has seen it does nothing
	// again.
	ID string

	tokenvault.WebhookEvent
}

// VerifyWebhook returns the message of a webhook of the vault's (Standard Webhooks).
// Secrets are those that the endpoint may be signing with: one, or while it is
// rotated that of before and that of after. Body is what arrived, byte by byte; now
// is usually time.Now().
//
// It fails with [tokenvault.ErrUnauthenticated] if no secret made a signature of it;
// with [tokenvault.ErrExpired] if it was signed more than five minutes from now, so
// that what somebody recorded cannot be sent again later; and with
// [tokenvault.ErrInvalid] if a secret is none, or what was signed is no message.
// Within the five minutes, and whenever the vault tries again, a message can come
// more than once: tell by its ID.
//
// A message says that something changed, and not what it is now: messages can come
// late and in another order. Look at the vault before anything depends on it.
func VerifyWebhook(secrets []tokenvault.Secret, header http.Header, body []byte, now time.Time) (WebhookMessage, error) {
	held := make([]string, len(secrets))
	for i, secret := range secrets {
		held[i] = secret.Reveal()
	}
	id, err := stdwebhook.Verify(header, body, now, held...)
	switch {
	case errors.Is(err, stdwebhook.ErrSecret):
		return WebhookMessage{}, &tokenvault.FieldError{Field: "secrets", Reason: err.Error()}
	case errors.Is(err, stdwebhook.ErrTimestamp):
		return WebhookMessage{}, fmt.Errorf("%w: %w", err, tokenvault.ErrExpired)
	case err != nil:
		return WebhookMessage{}, fmt.Errorf("%w: %w", err, tokenvault.ErrUnauthenticated)
	}
	m := WebhookMessage{ID: id}
	if err := json.Unmarshal(body, &m.WebhookEvent); err != nil || m.Type == "" {
		return WebhookMessage{}, &tokenvault.FieldError{Field: "body", Reason: "must be a JSON object with type, timestamp and data"}
	}
	return m, nil
}
