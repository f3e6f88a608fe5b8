package tokenvault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/stdwebhook"
)

// A host stands in for the hosts' endpoints, on the bubble's clock. The guard that
// is in between otherwise has tests of its own.
type host struct {
	answer func(n int, r *http.Request) (status int, header http.Header, err error) // nil: 204

	mu       sync.Mutex
	received []received
}

type received struct {
	at     time.Time
	url    string
	header http.Header
	body   []byte
}

func (h *host) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.received = append(h.received, received{time.Now(), r.URL.String(), r.Header, body})
	n := len(h.received)
	h.mu.Unlock()
	res := &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}
	if h.answer != nil {
		res.StatusCode, res.Header, err = h.answer(n, r)
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (h *host) all() []received {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.received)
}

// at returns what came to a URL.
func (h *host) at(url string) (those []received) {
	for _, r := range h.all() {
		if r.url == url {
			those = append(those, r)
		}
	}
	return those
}

func always(status int) func(int, *http.Request) (int, http.Header, error) {
	return func(int, *http.Request) (int, http.Header, error) { return status, nil, nil }
}

// verify returns the event of a message that is signed.
func (m received) verify(t *testing.T, secrets ...tokenvault.Secret) (id string, event tokenvault.WebhookEvent) {
	t.Helper()
	var held []string
	for _, s := range secrets {
		held = append(held, s.Reveal())
	}
	id, err := stdwebhook.Verify(m.header, m.body, m.at, held...)
	if err == nil {
		err = json.Unmarshal(m.body, &event)
	}
	if err != nil {
		t.Errorf("%s: %v", m.body, err)
	}
	return id, event
}

// hookRig is a rig on the bubble's clock whose webhooks go to h.
func hookRig(t *testing.T, h *host, change ...func(*tokenvault.Options)) *rig {
	t.Helper()
	r := upkeepRig(t, change...)
	tokenvault.SendWebhooksBy(r.Vault, h)
	return r
}

func (r *rig) deliveries(t *testing.T, webhookID string) []tokenvault.WebhookDelivery {
	t.Helper()
	list, err := r.WebhookDeliveries(t.Context(), admin, tokenvault.DeliveryQuery{WebhookID: webhookID})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A connection's life is told to whoever asked for it: signed, and without a secret
// or a name.
func TestChangesAreDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := &host{}
		r := hookRig(t, h, func(o *tokenvault.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		w, secret := r.hook(t, tokenvault.WebhookInput{})
		some, _ := r.hook(t, tokenvault.WebhookInput{URL: "https://other.example/?token=kept", Types: []tokenvault.WebhookType{tokenvault.WebhookConnectionRevoked}})
		req := r.connect(t, "read")
		runFor(t, time.Second, r.Vault)
		if err := r.Revoke(t.Context(), aliceUser, req.ConnectionID); err != nil {
			t.Fatal(err)
		}
		runFor(t, time.Second, r.Vault)

		ids, kinds := make(map[string]bool), make(map[tokenvault.WebhookType]tokenvault.WebhookData)
		for _, m := range h.at(hookURL) {
			id, event := m.verify(t, secret)
			ids[id], kinds[event.Type] = true, event.Data
			if m.header.Get("Content-Type") != "application/json" || event.Data.Tenant != "default" || event.Data.UserID != "alice" || event.Data.ProviderID != "mail" {
				t.Errorf("header %v, body %s", m.header, m.body)
			}
			for _, hidden := range []string{"acc-1", "mail.example", "at-0", "rt-0", "client"} {
				if strings.Contains(string(m.body), hidden) {
					t.Errorf("%q is told: %s", hidden, m.body)
				}
			}
		}
		if len(ids) != 4 || len(kinds) != 4 || len(h.at(hookURL)) != 4 {
			t.Errorf("%d messages of %d types were told, want four: %v", len(ids), len(kinds), kinds)
		}
		if got := kinds[tokenvault.WebhookAuthConnected]; got.AuthRequestID != req.ID || got.AgentID != "helper" || got.CredentialID != req.ConnectionID {
			t.Errorf("connected tells %+v", got)
		}
		if got := h.at(some.URL); len(got) != 1 {
			t.Errorf("%d messages went to the other endpoint, want one", len(got))
		}
		for _, d := range r.deliveries(t, w.ID) {
			if d.State != tokenvault.DeliveryDelivered || d.Attempts != 1 || d.StatusCode != 204 || !ids[d.ID] {
				t.Errorf("delivery = %+v", d)
			}
		}
		if strings.Contains(log.String(), "kept") || strings.Contains(log.String(), secret.Reveal()) {
			t.Errorf("the log shows a secret: %s", &log)
		}
	})
}

// Every attempt has the same id and a signature of its own time. After ten the
// delivery is dead, visibly, and can be sent again.
func TestADeliveryIsTriedTenTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{answer: always(http.StatusInternalServerError)}
		r := hookRig(t, h)
		w, secret := r.hook(t, tokenvault.WebhookInput{Types: []tokenvault.WebhookType{tokenvault.WebhookAuthCreated}})
		r.mustAsk(t, "read")
		begun := time.Now()
		runFor(t, 100*time.Hour, r.Vault)
		all := h.all()
		if len(all) != 10 {
			t.Fatalf("%d attempts, want ten", len(all))
		}
		first, _ := all[0].verify(t, secret)
		for i, pause := range []time.Duration{
			0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		} {
			before := begun
			if i > 0 {
				before = all[i-1].at
			}
			if waited := all[i].at.Sub(before); waited < pause || waited > pause*6/5+10*time.Second {
				t.Errorf("attempt %d came after %s, want %s and up to a fifth more", i+1, waited, pause)
			}
			if id, _ := all[i].verify(t, secret); id != first {
				t.Errorf("attempt %d has the id %s, the first one %s", i+1, id, first)
			}
		}
		d := r.deliveries(t, w.ID)[0]
		if d.State != tokenvault.DeliveryDead || d.Attempts != 10 || d.StatusCode != 500 || d.Error != "http_500" {
			t.Errorf("delivery = %+v", d)
		}
		jobs, err := r.Jobs(t.Context(), admin, tokenvault.JobQuery{State: tokenvault.JobDead})
		if err != nil || len(jobs) != 1 || jobs[0].ID != d.ID || jobs[0].Kind != tokenvault.JobDeliverWebhook || jobs[0].Error != "http_500" {
			t.Errorf("jobs = %+v, %v", jobs, err)
		}
		h.answer = nil
		again, err := r.RedeliverWebhook(t.Context(), admin, w.ID, d.ID)
		if err != nil || again.State != tokenvault.DeliveryPending {
			t.Fatalf("again = %+v, %v", again, err)
		}
		runFor(t, time.Second, r.Vault)
		if id, _ := h.all()[10].verify(t, secret); id != first || r.deliveries(t, w.ID)[0].State != tokenvault.DeliveryDelivered {
			t.Errorf("it was sent again as %s: %+v", id, r.deliveries(t, w.ID))
		}
		if _, err := r.RedeliverWebhook(t.Context(), admin, w.ID, d.ID); err != nil { // also what was delivered
			t.Error(err)
		}
		runFor(t, time.Second, r.Vault)
		if len(h.all()) != 12 {
			t.Errorf("%d attempts, want twelve", len(h.all()))
		}
	})
}

func TestADeliveryThatFailsForAWhileArrivesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{answer: func(n int, _ *http.Request) (int, http.Header, error) {
			switch n {
			case 1:
				return http.StatusTooManyRequests, http.Header{"Retry-After": {"60"}}, nil
			case 2:
				return http.StatusFound, http.Header{"Location": {"https://elsewhere.example/"}}, nil
			case 3:
				return 0, nil, errors.New("connection refused: https://host.example/?token=kept")
			}
			return http.StatusOK, nil, nil
		}}
		r := hookRig(t, h)
		other := newVault(t, r.store, r.key, r.flow) // another process
		tokenvault.SendWebhooksBy(other, h)
		w, _ := r.hook(t, tokenvault.WebhookInput{Types: []tokenvault.WebhookType{tokenvault.WebhookAuthCreated}})
		r.mustAsk(t, "read")
		runFor(t, 2*time.Hour, r.Vault, other)
		all := h.all()
		if len(all) != 4 {
			t.Fatalf("%d attempts, want four", len(all))
		}
		if waited := all[1].at.Sub(all[0].at); waited < time.Minute {
			t.Errorf("it came again after %s, and was asked to wait a minute", waited)
		}
		if d := r.deliveries(t, w.ID)[0]; d.State != tokenvault.DeliveryDelivered || d.Attempts != 4 || d.Error != "" {
			t.Errorf("delivery = %+v", d)
		}
		for _, m := range all {
			if m.url != hookURL {
				t.Errorf("a redirect was followed to %s", m.url)
			}
		}
	})
}

func TestAnEndpointThatIsGoneIsDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{answer: always(http.StatusGone)}
		r := hookRig(t, h)
		w, _ := r.hook(t, tokenvault.WebhookInput{Types: []tokenvault.WebhookType{tokenvault.WebhookAuthCreated}})
		r.mustAsk(t, "read")
		r.mustAsk(t, "write")
		runFor(t, time.Minute, r.Vault)
		r.mustAsk(t, "more")
		runFor(t, time.Hour, r.Vault)
		now, err := r.Webhook(t.Context(), admin, w.ID)
		if err != nil || now.Enabled {
			t.Errorf("webhook = %+v, %v", now, err)
		}
		if events := r.events(t, tokenvault.EventWebhookDisabled); len(events) == 0 || events[0].Detail != w.ID || events[0].ActorKind != tokenvault.ActorSystem {
			t.Errorf("events = %+v", events)
		}
		list := r.deliveries(t, w.ID)
		if len(list) != 2 {
			t.Errorf("%d deliveries, want none since it is disabled", len(list))
		}
		for _, d := range list {
			if d.State != tokenvault.DeliveryDead || d.Error != "gone" {
				t.Errorf("delivery = %+v", d)
			}
			if _, err := r.RedeliverWebhook(t.Context(), admin, w.ID, d.ID); !errors.Is(err, tokenvault.ErrConflict) {
				t.Errorf("err = %v", err)
			}
		}
		h.answer = nil
		sent, err := r.TestWebhook(t.Context(), admin, w.ID) // which goes through all the same
		if err != nil {
			t.Fatal(err)
		}
		runFor(t, time.Second, r.Vault)
		if d := r.deliveries(t, w.ID)[0]; d.ID != sent.ID || d.State != tokenvault.DeliveryDelivered || d.Type != tokenvault.WebhookTest {
			t.Errorf("test = %+v", d)
		}
	})
}

// What is due to an endpoint that was disabled meanwhile is given up, with the
// reason.
func TestNothingIsSentToADisabledEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		r := hookRig(t, h)
		w, _ := r.hook(t, tokenvault.WebhookInput{})
		r.mustAsk(t, "read")
		if _, err := r.UpdateWebhook(t.Context(), admin, w.ID, tokenvault.WebhookInput{URL: hookURL, Disabled: true}); err != nil {
			t.Fatal(err)
		}
		runFor(t, time.Minute, r.Vault)
		if d := r.deliveries(t, w.ID)[0]; d.State != tokenvault.DeliveryDead || d.Error != "endpoint_disabled" || len(h.all()) != 0 {
			t.Errorf("delivery = %+v, %d requests", d, len(h.all()))
		}
	})
}

// An endpoint that hangs takes nobody's turn: not that of other endpoints, not that
// of other background work, and of its own deliveries one attempt at a time.
func TestAHangingEndpointHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		h.answer = func(_ int, r *http.Request) (int, http.Header, error) {
			if r.URL.String() == hookURL {
				<-r.Context().Done()
				return 0, nil, r.Context().Err()
			}
			return http.StatusOK, nil, nil
		}
		r := hookRig(t, h)
		kinds := []tokenvault.WebhookType{tokenvault.WebhookAuthCreated}
		slow, _ := r.hook(t, tokenvault.WebhookInput{Types: kinds})
		quick, _ := r.hook(t, tokenvault.WebhookInput{URL: "https://quick.example/", Types: kinds})
		for _, scope := range []string{"a", "b", "c", "d", "e", "f"} {
			r.mustAsk(t, scope)
		}
		begun := time.Now()
		runFor(t, 18*time.Second, r.Vault)
		for _, m := range h.at(quick.URL) {
			if waited := m.at.Sub(begun); waited > time.Second {
				t.Errorf("the other endpoint waited for %s", waited)
			}
		}
		if n, own := len(h.at(quick.URL)), len(h.at(slow.URL)); n != 6 || own != 1 {
			t.Errorf("%d and %d requests, want six and one", n, own)
		}
		attempts := 0
		for _, d := range r.deliveries(t, slow.ID) {
			attempts += d.Attempts
			if d.State != tokenvault.DeliveryPending || d.Attempts > 0 && d.Error != "timeout" {
				t.Errorf("delivery = %+v", d)
			}
		}
		if attempts != 1 {
			t.Errorf("%d attempts are counted, want one", attempts)
		}
		h.answer = nil // it comes back
		runFor(t, 2*time.Minute, r.Vault)
		for _, d := range r.deliveries(t, slow.ID) {
			if d.State != tokenvault.DeliveryDelivered {
				t.Errorf("delivery = %+v", d)
			}
		}
	})
}

func TestTwoSecretsSignForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		r := hookRig(t, h)
		w, before := r.hook(t, tokenvault.WebhookInput{})
		send := func() received {
			t.Helper()
			if _, err := r.TestWebhook(t.Context(), admin, w.ID); err != nil {
				t.Fatal(err)
			}
			runFor(t, time.Second, r.Vault)
			all := h.all()
			return all[len(all)-1]
		}
		signatures := func(m received) int { return len(strings.Fields(m.header.Get("webhook-signature"))) }
		if m := send(); signatures(m) != 1 {
			t.Errorf("signed as %q", m.header.Get("webhook-signature"))
		}
		_, after, err := r.RotateWebhook(t.Context(), admin, w.ID)
		if err != nil {
			t.Fatal(err)
		}
		during := send()
		during.verify(t, before)
		during.verify(t, after)
		if _, err := r.UpdateWebhook(t.Context(), admin, w.ID, tokenvault.WebhookInput{URL: hookURL}); err != nil {
			t.Fatal(err)
		}
		wait(23 * time.Hour)
		during = send()
		during.verify(t, before)
		during.verify(t, after)
		wait(time.Hour)
		m := send()
		m.verify(t, after)
		if signatures(m) != 1 {
			t.Errorf("after a day it is signed as %q", m.header.Get("webhook-signature"))
		}
	})
}

// Rotation of data keys seals a webhook's secret again.
func TestAWebhooksSecretOutlivesKeyRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		r := hookRig(t, h)
		w, secret := r.hook(t, tokenvault.WebhookInput{OrganizationID: "ops"})
		before, err := r.store.GetWebhook(t.Context(), "default", w.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.RotateDataKeys(t.Context(), admin, tokenvault.DataKeyRotation{}); err != nil {
			t.Fatal(err)
		}
		after, err := r.store.GetWebhook(t.Context(), "default", w.ID)
		if err != nil || after.Record.KeyVersion != before.Record.KeyVersion+1 {
			t.Errorf("sealed by version %d, before by %d; %v", after.Record.KeyVersion, before.Record.KeyVersion, err)
		}
		if _, err := r.TestWebhook(t.Context(), admin, w.ID); err != nil {
			t.Fatal(err)
		}
		runFor(t, time.Second, r.Vault)
		h.all()[0].verify(t, secret)
	})
}

func TestOldDeliveriesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := hookRig(t, &host{}, func(o *tokenvault.Options) { o.WebhookRetention = 90 * time.Minute })
		w, _ := r.hook(t, tokenvault.WebhookInput{})
		if _, err := r.TestWebhook(t.Context(), admin, w.ID); err != nil {
			t.Fatal(err)
		}
		runFor(t, 61*time.Minute, r.Vault)
		if n := len(r.deliveries(t, w.ID)); n != 1 {
			t.Errorf("%d deliveries after an hour, want one", n)
		}
		runFor(t, 61*time.Minute, r.Vault)
		if n := len(r.deliveries(t, w.ID)); n != 0 {
			t.Errorf("%d deliveries after two hours, want none", n)
		}
	})
}
