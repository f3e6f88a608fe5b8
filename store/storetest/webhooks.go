package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func webhookCases() []testCase {
	return []testCase{
		{"a webhook is stored, replaced and read", webhookStored},
		{"a webhook is replaced from the version before only", webhookConflict},
		{"the secret of before signs until the overlap ends", webhookOverlap},
		{"webhooks are listed page by page, of an organization or all", webhookList},
		{"webhooks of another tenant do not exist", webhookForeign},
		{"a webhook goes with its deliveries and their jobs", webhookDeleted},
		{"an organization's webhooks go with it", webhookOfOwner},
	}
}

// webhook returns an enabled webhook of the organization, for everything, not
// stored yet.
func (f *fixture) webhook(organizationID string, types ...tokenvault.WebhookType) tokenvault.SealedWebhook {
	return tokenvault.SealedWebhook{
		Webhook: tokenvault.Webhook{
			ID: f.id("wh"), Tenant: acme, OrganizationID: organizationID, URL: "https://host.example/hook", Types: types, Enabled: true, Version: 1,
		},
		Record: f.sealed(),
	}
}

func (f *fixture) webhookPut(w tokenvault.SealedWebhook) tokenvault.WebhookPut {
	return tokenvault.WebhookPut{Webhook: w, Event: f.event(tokenvault.EventWebhookSet, tokenvault.Owner{Tenant: w.Tenant, OrganizationID: w.OrganizationID})}
}

func (f *fixture) putWebhook(t *testing.T, w tokenvault.SealedWebhook) tokenvault.SealedWebhook {
	t.Helper()
	stored, err := f.PutWebhook(t.Context(), f.webhookPut(w))
	if err != nil {
		t.Fatalf("PutWebhook: %v", err)
	}
	return tokenvault.SealedWebhook{Webhook: stored, Record: w.Record}
}

func (f *fixture) wantWebhook(t *testing.T, want tokenvault.SealedWebhook) {
	t.Helper()
	got, err := f.GetWebhook(t.Context(), want.Tenant, want.ID)
	if err != nil {
		t.Fatalf("GetWebhook: %v", err)
	}
	equal(t, "webhook", got, want)
}

func webhookStored(t *testing.T, f *fixture) {
	want := f.webhook("eng", tokenvault.WebhookAuthCreated, tokenvault.WebhookConnectionRevoked)
	cmd := f.webhookPut(want)
	f.writes(t, func() {
		if _, err := f.PutWebhook(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}, cmd.Event)
	want.CreatedAt, want.UpdatedAt = f.now(), f.now()
	f.wantWebhook(t, want)

	f.advance(time.Minute)
	want.URL, want.Types, want.Enabled, want.Version, want.Record = "https://other.example/", nil, false, 2, f.sealed()
	want.UpdatedAt = f.now()
	equal(t, "replaced", f.putWebhook(t, want), want)
	f.wantWebhook(t, want)
}

func webhookConflict(t *testing.T, f *fixture) {
	first := f.putWebhook(t, f.webhook("eng"))
	elsewhere, lost, same := first, first, first
	elsewhere.Version, elsewhere.OrganizationID = 2, "ops"
	lost.Version, lost.Record.KeyVersion = 2, 9
	skipped := first
	skipped.Version = 3
	for name, w := range map[string]tokenvault.SealedWebhook{
		"the same version": same, "a version that was skipped": skipped, "another organization": elsewhere, "a data key that is not there": lost,
	} {
		_, err := f.PutWebhook(t.Context(), f.webhookPut(w))
		wantError(t, name, err, tokenvault.ErrConflict)
	}
	f.wantWebhook(t, first)
}

func webhookOverlap(t *testing.T, f *fixture) {
	w := f.putWebhook(t, f.webhook(""))
	if !w.OverlapUntil.IsZero() {
		t.Errorf("a new webhook has an overlap until %s", w.OverlapUntil)
	}
	cmd := f.webhookPut(w)
	cmd.Webhook.Version, cmd.Overlap = 2, time.Hour
	rotated, err := f.PutWebhook(t.Context(), cmd)
	if err != nil || !rotated.OverlapUntil.Equal(f.now().Add(time.Hour)) {
		t.Fatalf("the overlap ends at %s, want in an hour; %v", rotated.OverlapUntil, err)
	}
	f.advance(time.Minute)
	w.Version, w.URL = 3, "https://other.example/"
	if moved := f.putWebhook(t, w); !moved.OverlapUntil.Equal(rotated.OverlapUntil) {
		t.Errorf("a change moved the end of the overlap to %s", moved.OverlapUntil)
	}
}

func webhookList(t *testing.T, f *fixture) {
	var all, ours []string
	for _, org := range []string{"eng", "", "eng", "ops", "eng"} {
		w := f.putWebhook(t, f.webhook(org))
		all = append(all, w.ID)
		if org == "eng" {
			ours = append(ours, w.ID)
		}
	}
	id := func(w tokenvault.Webhook) string { return w.ID }
	checkPages(t, func(p tokenvault.Page) ([]tokenvault.Webhook, error) { return f.ListWebhooks(t.Context(), acme, "", p) }, id, all)
	checkPages(t, func(p tokenvault.Page) ([]tokenvault.Webhook, error) {
		return f.ListWebhooks(t.Context(), acme, "eng", p)
	}, id, ours)
}

func webhookForeign(t *testing.T, f *fixture) {
	w := f.putWebhook(t, f.webhook(""))
	f.open(t, alice())
	d := f.deliveries(t, w.ID)[0]
	ctx, event := t.Context(), f.event(tokenvault.EventWebhookDeleted, tokenvault.Owner{Tenant: "globex"})
	foreign := tokenvault.MessageOfRequest(tokenvault.AuthRequest{ID: "ar", Owner: tokenvault.Owner{Tenant: "globex", UserID: "eve"}, Status: tokenvault.AuthPending})
	for name, call := range map[string]func() error{
		"GetWebhook":    func() error { _, err := f.GetWebhook(ctx, "globex", w.ID); return err },
		"DeleteWebhook": func() error { return f.DeleteWebhook(ctx, "globex", w.ID, event) },
		"GetDelivery":   func() error { _, err := f.GetDelivery(ctx, "globex", d.ID); return err },
		"Redeliver":     func() error { return f.Redeliver(ctx, "globex", d.ID, event) },
		"SendWebhook": func() error {
			_, err := f.SendWebhook(ctx, tokenvault.WebhookSending{WebhookID: w.ID, Message: foreign, Event: event})
			return err
		},
	} {
		wantError(t, name, call(), tokenvault.ErrNotFound)
	}
	list, err := f.ListWebhooks(ctx, "globex", "", tokenvault.Page{Limit: 10})
	deliveries, listErr := f.ListDeliveries(ctx, "globex", tokenvault.DeliveryQuery{WebhookID: w.ID})
	if err != nil || listErr != nil || len(list)+len(deliveries) != 0 {
		t.Errorf("another tenant lists %v, %v; %v, %v", list, deliveries, err, listErr)
	}
	f.advance(time.Hour)
	f.ended(t, f.claimJobs(t)[0], tokenvault.JobResult{Done: true})
	if n, err := f.PruneDeliveries(ctx, "globex", time.Minute, 10); n != 0 || err != nil {
		t.Errorf("another tenant prunes %d; %v", n, err)
	}
}

func webhookDeleted(t *testing.T, f *fixture) {
	w, other := f.putWebhook(t, f.webhook("")), f.putWebhook(t, f.webhook(""))
	f.open(t, alice())
	event := f.event(tokenvault.EventWebhookDeleted, tokenvault.Owner{Tenant: acme})
	f.writes(t, func() {
		if err := f.DeleteWebhook(t.Context(), acme, w.ID, event); err != nil {
			t.Fatal(err)
		}
	}, event)
	_, err := f.GetWebhook(t.Context(), acme, w.ID)
	wantError(t, "GetWebhook", err, tokenvault.ErrNotFound)
	wantError(t, "DeleteWebhook", f.DeleteWebhook(t.Context(), acme, w.ID, event), tokenvault.ErrNotFound)
	if gone, kept := f.deliveries(t, w.ID), f.deliveries(t, other.ID); len(gone) != 0 || len(kept) != 1 {
		t.Errorf("%d deliveries are left, and %d of another webhook, want 0 and 1", len(gone), len(kept))
	}
	if jobs := f.claimJobs(t); len(jobs) != 1 || jobs[0].ID != f.deliveries(t, other.ID)[0].ID {
		t.Errorf("jobs = %+v, want that of the other webhook", jobs)
	}
}

func webhookOfOwner(t *testing.T, f *fixture) {
	tenants, orgs, others := f.putWebhook(t, f.webhook("")), f.putWebhook(t, f.webhook("eng")), f.putWebhook(t, f.webhook("ops"))
	for _, owner := range []tokenvault.Owner{eng(), member("alice"), alice()} {
		f.open(t, owner)
	}
	f.deletes(t, f.deletion(member("alice")))
	if ours, all := f.deliveries(t, orgs.ID), f.deliveries(t, tenants.ID); len(ours) != 1 || len(all) != 2 {
		t.Errorf("after the member %d and %d deliveries are left, want 1 and 2", len(ours), len(all))
	}
	f.deletes(t, f.deletion(eng()))
	_, err := f.GetWebhook(t.Context(), acme, orgs.ID)
	wantError(t, "GetWebhook", err, tokenvault.ErrNotFound)
	f.wantWebhook(t, tenants)
	f.wantWebhook(t, others)
	left := f.deliveries(t, tenants.ID)
	if len(left) != 1 || left[0].Owner != alice() {
		t.Errorf("deliveries = %+v, want the one that names neither", left)
	}
	if jobs := f.claimJobs(t); len(jobs) != 1 || jobs[0].ID != left[0].ID {
		t.Errorf("jobs = %+v, want the one of what is left", jobs)
	}
}
