package tokenvault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

const hookURL = "https://host.example/hooks"

// opsAdmin is an administrator that is confined to the organization ops.
var opsAdmin = tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "ops-operator", Owner: tokenvault.Owner{Tenant: "default", OrganizationID: "ops"}}

func (r *rig) hook(t *testing.T, in tokenvault.WebhookInput) (tokenvault.Webhook, tokenvault.Secret) {
	t.Helper()
	if in.URL == "" {
		in.URL = hookURL
	}
	w, secret, err := r.CreateWebhook(t.Context(), admin, in)
	if err != nil {
		t.Fatal(err)
	}
	return w, secret
}

func TestAWebhooksSecretIsShownOnce(t *testing.T) {
	r := newRig(t)
	w, secret := r.hook(t, tokenvault.WebhookInput{Types: []tokenvault.WebhookType{tokenvault.WebhookAuthConnected}})
	if !strings.HasPrefix(secret.Reveal(), "whsec_") || !strings.HasPrefix(w.ID, "wh_") || !w.Enabled || w.URL != hookURL {
		t.Errorf("webhook = %+v", w)
	}
	sealed, err := r.store.GetWebhook(t.Context(), "default", w.ID)
	if err != nil || strings.Contains(string(sealed.Record.Blob), secret.Reveal()) {
		t.Errorf("the secret is stored in clear; %v", err)
	}
	list, err := r.Webhooks(t.Context(), admin, tokenvault.Page{})
	if err != nil || len(list) != 1 || strings.Contains(fmt.Sprintf("%+v", list), secret.Reveal()) {
		t.Errorf("list = %+v, %v", list, err)
	}
	changed, err := r.UpdateWebhook(t.Context(), admin, w.ID, tokenvault.WebhookInput{URL: "https://other.example/", Disabled: true, OrganizationID: "ignored"})
	if err != nil || changed.URL != "https://other.example/" || changed.Enabled || len(changed.Types) != 0 || changed.Version != 2 || changed.OrganizationID != "" {
		t.Errorf("changed = %+v, %v", changed, err)
	}
	rotated, next, err := r.RotateWebhook(t.Context(), admin, w.ID)
	if err != nil || next.Reveal() == secret.Reveal() || !rotated.OverlapUntil.Equal(rotated.UpdatedAt.Add(24*60*60*1e9)) {
		t.Errorf("rotated = %+v, %v", rotated, err)
	}
	if err := r.DeleteWebhook(t.Context(), admin, w.ID); err != nil {
		t.Error(err)
	}
	if _, err := r.Webhook(t.Context(), admin, w.ID); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("err = %v", err)
	}
	for _, kind := range []tokenvault.EventKind{tokenvault.EventWebhookSet, tokenvault.EventWebhookRotated, tokenvault.EventWebhookDeleted} {
		events := r.events(t, kind)
		if len(events) == 0 || events[0].Detail != w.ID || events[0].ActorID != "operator" {
			t.Errorf("%s: %+v", kind, events)
		}
	}
}

func TestWhoManagesWebhooks(t *testing.T) {
	r := newRig(t)
	tenants, _ := r.hook(t, tokenvault.WebhookInput{})
	ours, _ := r.hook(t, tokenvault.WebhookInput{OrganizationID: "ops"})
	theirs, _ := r.hook(t, tokenvault.WebhookInput{OrganizationID: "evil"})
	for name, actor := range map[string]tokenvault.Actor{
		"user": aliceUser, "agent": aliceAgent, "organization's administrator in a session": boss,
		"administrator without the scope": {Kind: tokenvault.ActorAdmin, ID: "k", Owner: admin.Owner, Scopes: tokenvault.NewKeyScopes(tokenvault.ScopeKeys)},
	} {
		_, _, err := r.CreateWebhook(t.Context(), actor, tokenvault.WebhookInput{URL: hookURL})
		_, listErr := r.Webhooks(t.Context(), actor, tokenvault.Page{})
		deleteErr := r.DeleteWebhook(t.Context(), actor, tenants.ID)
		if !errors.Is(err, tokenvault.ErrDenied) || !errors.Is(listErr, tokenvault.ErrDenied) || !errors.Is(deleteErr, tokenvault.ErrDenied) {
			t.Errorf("%s: %v, %v, %v", name, err, listErr, deleteErr)
		}
	}
	list, err := r.Webhooks(t.Context(), opsAdmin, tokenvault.Page{})
	if err != nil || len(list) != 1 || list[0].ID != ours.ID {
		t.Errorf("list = %+v, %v", list, err)
	}
	if _, _, err := r.CreateWebhook(t.Context(), opsAdmin, tokenvault.WebhookInput{URL: hookURL}); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("a webhook of the whole tenant: err = %v", err)
	}
	if _, _, err := r.CreateWebhook(t.Context(), opsAdmin, tokenvault.WebhookInput{URL: hookURL, OrganizationID: "ops"}); err != nil {
		t.Error(err)
	}
	sent, err := r.TestWebhook(t.Context(), admin, theirs.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []tokenvault.Webhook{tenants, theirs} {
		for name, call := range map[string]func() error{
			"Webhook": func() error { _, err := r.Webhook(t.Context(), opsAdmin, w.ID); return err },
			"UpdateWebhook": func() error {
				_, err := r.UpdateWebhook(t.Context(), opsAdmin, w.ID, tokenvault.WebhookInput{URL: hookURL})
				return err
			},
			"RotateWebhook": func() error { _, _, err := r.RotateWebhook(t.Context(), opsAdmin, w.ID); return err },
			"TestWebhook":   func() error { _, err := r.TestWebhook(t.Context(), opsAdmin, w.ID); return err },
			"DeleteWebhook": func() error { return r.DeleteWebhook(t.Context(), opsAdmin, w.ID) },
			"WebhookDeliveries": func() error {
				_, err := r.WebhookDeliveries(t.Context(), opsAdmin, tokenvault.DeliveryQuery{WebhookID: w.ID})
				return err
			},
			"RedeliverWebhook": func() error { _, err := r.RedeliverWebhook(t.Context(), opsAdmin, w.ID, sent.ID); return err },
			"RedeliverWebhook by way of another": func() error {
				_, err := r.RedeliverWebhook(t.Context(), opsAdmin, ours.ID, sent.ID)
				return err
			},
		} {
			if err := call(); !errors.Is(err, tokenvault.ErrNotFound) {
				t.Errorf("%s: err = %v", name, err)
			}
		}
	}
}

// SSRF, first line: what can be seen to lead into a network is not registered.
func TestAWebhooksURLMustBePublic(t *testing.T) {
	r := newRig(t, func(o *tokenvault.Options) { o.AllowHosts = []string{"127.0.0.1:9000"} })
	for _, url := range []string{
		"", "host.example", "//host.example", "http://host.example/", "ftp://host.example/", "https://", "https:///path", "https://127.0.0.1/",
		"https://localhost/", "https://169.254.169.254/latest", "https://[::1]/", "https://10.0.0.1/", "https://0x7f.1/", "https://2130706433/",
		"http://127.0.0.1:9001/", "https://user:password@host.example/", "https://host.example/#fragment", "https://host.example/\n",
		"https://host.example/" + strings.Repeat("a", 2048),
	} {
		_, _, err := r.CreateWebhook(t.Context(), admin, tokenvault.WebhookInput{URL: url})
		field, ok := errors.AsType[*tokenvault.FieldError](err)
		if !ok || field.Field != "url" || url != "" && strings.Contains(err.Error(), url) {
			t.Errorf("%q: err = %v", url, err)
		}
	}
	for _, url := range []string{"https://host.example", "https://host.example:8443/a?b=c", "http://127.0.0.1:9000/hook"} {
		w, _ := r.hook(t, tokenvault.WebhookInput{URL: url})
		if _, err := r.UpdateWebhook(t.Context(), admin, w.ID, tokenvault.WebhookInput{URL: "http://10.0.0.1/"}); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("err = %v", err)
		}
	}
	for _, kind := range []tokenvault.WebhookType{"", "auth_request", "credential.released", tokenvault.WebhookTest} {
		_, _, err := r.CreateWebhook(t.Context(), admin, tokenvault.WebhookInput{URL: hookURL, Types: []tokenvault.WebhookType{kind}})
		if field, ok := errors.AsType[*tokenvault.FieldError](err); !ok || field.Field != "types[0]" {
			t.Errorf("%q: err = %v", kind, err)
		}
	}
}

func TestWebhooksAreLimited(t *testing.T) {
	r := newRig(t)
	for range 50 {
		r.hook(t, tokenvault.WebhookInput{})
	}
	if _, _, err := r.CreateWebhook(t.Context(), admin, tokenvault.WebhookInput{URL: hookURL}); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("err = %v", err)
	}
	r.hook(t, tokenvault.WebhookInput{OrganizationID: "ops"}) // has its own
}
