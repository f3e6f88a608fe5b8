package client

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/stdwebhook"
)

// signedAs returns the headers of a message that was signed at a time.
func signedAs(t *testing.T, id, body string, at time.Time, secrets ...string) http.Header {
	t.Helper()
	signature, err := stdwebhook.Sign(id, at, []byte(body), secrets...)
	if err != nil {
		t.Fatal(err)
	}
	h := make(http.Header)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	h.Set("webhook-signature", signature)
	return h
}

func TestVerifyWebhook(t *testing.T) {
	before, after, foreign := stdwebhook.NewSecret(), stdwebhook.NewSecret(), stdwebhook.NewSecret()
	now := time.Now()
	const body = `{"type":"connection.revoked","timestamp":"2026-01-31T12:00:00Z","data":{"tenant":"default","userId":"alice","credentialId":"cn_1","status":"revoked"},"later":1}`
	both := signedAs(t, "msg_1", body, now, after, before)
	held := func(texts ...string) (secrets []tokenvault.Secret) {
		for _, text := range texts {
			secrets = append(secrets, tokenvault.NewSecret(text))
		}
		return secrets
	}
	for name, secrets := range map[string][]tokenvault.Secret{"before": held(before), "after": held(after), "both": held(foreign, before, after)} {
		m, err := VerifyWebhook(secrets, both, []byte(body), now)
		if err != nil || m.ID != "msg_1" || m.Type != tokenvault.WebhookConnectionRevoked || m.Data.CredentialID != "cn_1" || m.Data.UserID != "alice" {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	for name, tc := range map[string]struct {
		secrets []tokenvault.Secret
		header  http.Header
		body    string
		now     time.Time
		want    error
	}{
		"a forged signature":      {held(before), signedAs(t, "msg_1", body, now, foreign), body, now, tokenvault.ErrUnauthenticated},
		"a changed body":          {held(before), both, strings.Replace(body, "alice", "mallory", 1), now, tokenvault.ErrUnauthenticated},
		"no headers":              {held(before), http.Header{}, body, now, tokenvault.ErrUnauthenticated},
		"no secrets":              {nil, both, body, now, tokenvault.ErrUnauthenticated},
		"a replay":                {held(before), both, body, now.Add(6 * time.Minute), tokenvault.ErrExpired},
		"from the future":         {held(before), both, body, now.Add(-6 * time.Minute), tokenvault.ErrExpired},
		"a secret that is none":   {held("hunter2"), both, body, now, tokenvault.ErrInvalid},
		"signed and no message":   {held(before), signedAs(t, "msg_1", "[]", now, before), "[]", now, tokenvault.ErrInvalid},
		"signed and without type": {held(before), signedAs(t, "msg_1", "{}", now, before), "{}", now, tokenvault.ErrInvalid},
	} {
		m, err := VerifyWebhook(tc.secrets, tc.header, []byte(tc.body), tc.now)
		if !errors.Is(err, tc.want) || m != (WebhookMessage{}) {
			t.Errorf("%s: %+v, %v; want %v", name, m, err, tc.want)
		}
		for _, secret := range append(tc.secrets, tokenvault.NewSecret(foreign)) {
			if err != nil && strings.Contains(err.Error(), secret.Reveal()) {
				t.Errorf("%s: the error shows a secret", name)
			}
		}
	}
}
