package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func deliveryCases() []testCase {
	return []testCase{
		{"each change is told, with its transaction", deliveryChanges},
		{"what is refused is not told", deliveryRefused},
		{"a webhook is told what it asked for, of whom it asked for", deliveryWanted},
		{"a delivery is a job, and its attempts are noted", deliveryAttempts},
		{"a delivery that is dead says why, and is sent again", deliveryDead},
		{"a delivery is not sent again while a turn is under way", deliveryBusy},
		{"a webhook that wants nothing more is disabled", deliveryGone},
		{"a test goes to one webhook, whatever it asked for", deliveryTest},
		{"deliveries are listed from the newest, by state", deliveryList},
		{"deliveries are pruned unless they are pending", deliveryPruned},
	}
}

func (f *fixture) deliveries(t *testing.T, webhookID string) []tokenvault.WebhookDelivery {
	t.Helper()
	list, err := f.ListDeliveries(t.Context(), acme, tokenvault.DeliveryQuery{WebhookID: webhookID})
	if err != nil {
		t.Fatalf("ListDeliveries: %v", err)
	}
	return list
}

// ended ends a job's turn.
func (f *fixture) ended(t *testing.T, job tokenvault.Job, result tokenvault.JobResult) {
	t.Helper()
	result.ID, result.Attempt = job.ID, job.Attempts
	if result.Delivery == nil {
		result.Delivery = &tokenvault.DeliveryResult{}
	}
	if err := f.FinishJob(t.Context(), result); err != nil {
		t.Fatalf("FinishJob: %v", err)
	}
}

// tells runs a command, which must tell the webhook exactly the messages of these
// types, and returns their data by type.
func (f *fixture) tells(t *testing.T, webhookID string, command func(), want ...tokenvault.WebhookType) map[tokenvault.WebhookType]tokenvault.WebhookData {
	t.Helper()
	f.advance(time.Second)
	before := len(f.deliveries(t, webhookID))
	command()
	all := f.deliveries(t, webhookID)
	told, data := all[:len(all)-before], make(map[tokenvault.WebhookType]tokenvault.WebhookData)
	for _, d := range told {
		var event tokenvault.WebhookEvent
		if err := json.Unmarshal([]byte(d.Body), &event); err != nil || event.Type != d.Type || !event.Timestamp.Equal(f.now()) {
			t.Errorf("the body of %s is %s; %v", d.Type, d.Body, err)
		}
		if d.State != tokenvault.DeliveryPending || !d.CreatedAt.Equal(f.now()) || !d.NextTryAt.Equal(f.now()) {
			t.Errorf("a new delivery is %+v, want it pending and due", d)
		}
		data[d.Type] = event.Data
	}
	if len(told) != len(want) {
		t.Errorf("%d messages were told, want %d", len(told), len(want))
	}
	for _, kind := range want {
		if _, ok := data[kind]; !ok {
			t.Errorf("%s was not told: %v", kind, data)
		}
	}
	return data
}

func deliveryChanges(t *testing.T, f *fixture) {
	w := f.putWebhook(t, f.webhook(""))
	var req tokenvault.AuthRequest
	told := f.tells(t, w.ID, func() { req = f.open(t, member("alice")) }, tokenvault.WebhookAuthCreated)
	want := tokenvault.WebhookData{
		Tenant: acme, OrganizationID: "eng", UserID: "alice", ProviderID: provider, AuthRequestID: req.ID, AgentID: agent,
		Status: "pending", Reason: "missing", RunID: "run", ThreadID: "thread", ConnectURL: req.ConnectURL,
	}
	equal(t, "created", told[tokenvault.WebhookAuthCreated], want)

	c := f.fresh(member("alice"), "acc")
	told = f.tells(t, w.ID, func() { f.settle(t, f.connecting(req, c)) }, tokenvault.WebhookAuthConnected, tokenvault.WebhookConnectionCreated)
	want.Status, want.CredentialID, want.ConnectURL = "connected", c.ID, ""
	equal(t, "connected", told[tokenvault.WebhookAuthConnected], want)
	conn := tokenvault.WebhookData{Tenant: acme, OrganizationID: "eng", UserID: "alice", ProviderID: provider, CredentialID: c.ID, Status: "active"}
	equal(t, "connection created", told[tokenvault.WebhookConnectionCreated], conn)

	turn := f.claim(t, f.get(t, c.Owner, c.ID).Connection, time.Minute)
	f.tells(t, w.ID, func() {
		cmd := f.commit(turn)
		if _, err := f.CommitRefresh(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}) // a refresh is no change
	turn = f.claim(t, f.get(t, c.Owner, c.ID).Connection, time.Minute)
	f.tells(t, w.ID, func() {
		if err := f.FailRefresh(t.Context(), f.failure(turn)); err != nil {
			t.Fatal(err)
		}
	}) // nor is a failure that may pass
	turn = f.claim(t, f.get(t, c.Owner, c.ID).Connection, time.Minute)
	told = f.tells(t, w.ID, func() {
		cmd := f.failure(turn)
		cmd.Reason = tokenvault.ReauthRejected
		if err := f.FailRefresh(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}, tokenvault.WebhookConnectionReauth)
	conn.Status, conn.Reason = "needs_reauth", "rejected"
	equal(t, "needs reauth", told[tokenvault.WebhookConnectionReauth], conn)

	req = f.open(t, member("alice"))
	told = f.tells(t, w.ID, func() { f.settle(t, f.connecting(req, f.renewed(f.get(t, c.Owner, c.ID)))) },
		tokenvault.WebhookAuthConnected, tokenvault.WebhookConnectionUpdated)
	conn.Status, conn.Reason = "active", ""
	equal(t, "connection updated", told[tokenvault.WebhookConnectionUpdated], conn)

	now := f.get(t, c.Owner, c.ID)
	told = f.tells(t, w.ID, func() {
		if _, err := f.Transfer(t.Context(), tokenvault.Transfer{
			From: c.Owner, To: eng(), ConnectionID: c.ID, SharedBy: "alice", Version: now.Version + 1, Record: f.sealed(),
			Event: f.event(tokenvault.EventShared, c.Owner),
		}); err != nil {
			t.Fatal(err)
		}
	}, tokenvault.WebhookConnectionUpdated)
	conn.UserID = ""
	equal(t, "connection shared", told[tokenvault.WebhookConnectionUpdated], conn)

	told = f.tells(t, w.ID, func() { f.revoke(t, f.get(t, eng(), c.ID)) }, tokenvault.WebhookConnectionRevoked)
	conn.Status = "revoked"
	equal(t, "connection revoked", told[tokenvault.WebhookConnectionRevoked], conn)
	f.tells(t, w.ID, func() { f.revoke(t, f.get(t, eng(), c.ID)) }) // it was before

	deliverySettled(t, f, w.ID)
}

// deliverySettled tells of requests that come to nothing.
func deliverySettled(t *testing.T, f *fixture, webhookID string) {
	for status, kind := range map[tokenvault.AuthRequestStatus]tokenvault.WebhookType{
		tokenvault.AuthDeclined: tokenvault.WebhookAuthDeclined, tokenvault.AuthFailed: tokenvault.WebhookAuthFailed,
	} {
		cmd := f.connecting(f.open(t, alice()), nil)
		cmd.Status, cmd.FailureCode = status, map[tokenvault.AuthRequestStatus]string{tokenvault.AuthFailed: tokenvault.FailProvider}[status]
		told := f.tells(t, webhookID, func() { f.settle(t, cmd) }, kind)
		if got := told[kind]; got.Status != string(status) || got.FailureCode != cmd.FailureCode {
			t.Errorf("%s tells %+v", kind, got)
		}
	}
	old := f.request(alice())
	if _, _, err := f.OpenOrJoin(t.Context(), f.opening(old)); err != nil {
		t.Fatal(err)
	}
	f.advance(time.Hour)
	again := func() tokenvault.NewAuthRequest { // the same request
		old.ID = f.id("ar")
		return f.opening(old)
	}
	f.tells(t, webhookID, func() {
		if _, joined, err := f.OpenOrJoin(t.Context(), again()); err != nil || joined {
			t.Fatal(joined, err)
		}
	}, tokenvault.WebhookAuthExpired, tokenvault.WebhookAuthCreated)
	f.tells(t, webhookID, func() {
		if _, joined, err := f.OpenOrJoin(t.Context(), again()); err != nil || !joined {
			t.Fatal(joined, err)
		}
	}) // it is joined
	f.advance(time.Hour)
	f.tells(t, webhookID, func() {
		if _, err := f.ExpireAuthRequests(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
	}, tokenvault.WebhookAuthExpired)
}

func deliveryRefused(t *testing.T, f *fixture) {
	w := f.putWebhook(t, f.webhook(""))
	c := f.connect(t, alice(), "acc")
	req := f.open(t, alice())
	f.settle(t, f.connecting(req, nil))
	f.tells(t, w.ID, func() {
		_, err := f.Settle(t.Context(), f.connecting(req, nil)) // it is settled already
		wantError(t, "Settle", err, tokenvault.ErrConflict)
		cmd := f.connecting(f.request(alice()), nil)
		_, err = f.Settle(t.Context(), cmd) // it was never opened
		wantError(t, "Settle", err, tokenvault.ErrNotFound)
	})
	stale := f.connecting(f.open(t, alice()), f.renewed(c))
	stale.Connection.Version++
	f.tells(t, w.ID, func() {
		_, err := f.Settle(t.Context(), stale) // the request is fine, what comes of it is not
		wantError(t, "Settle", err, tokenvault.ErrConflict)
		wantError(t, "FailRefresh", f.FailRefresh(t.Context(), tokenvault.RefreshFailure{
			Owner: alice(), ConnectionID: c.ID, Fence: 9, Reason: tokenvault.ReauthRejected,
		}), tokenvault.ErrFenced)
	})
}

func deliveryWanted(t *testing.T, f *fixture) {
	all, ours := f.putWebhook(t, f.webhook("")), f.putWebhook(t, f.webhook("eng"))
	some := f.putWebhook(t, f.webhook("", tokenvault.WebhookConnectionCreated, tokenvault.WebhookAuthDeclined))
	off := f.webhook("")
	off.Enabled = false
	f.putWebhook(t, off)
	foreign := f.webhook("")
	foreign.Tenant = "globex"
	f.putWebhook(t, foreign)

	f.connect(t, alice(), "a")
	f.connect(t, member("bob"), "b")
	f.connect(t, eng(), "c")
	f.connect(t, tokenvault.Owner{Tenant: acme, OrganizationID: "ops", UserID: "bob"}, "d")
	for id, want := range map[string]int{all.ID: 12, ours.ID: 6, some.ID: 4, off.ID: 0} { // created, connected, connection created
		if got := f.deliveries(t, id); len(got) != want {
			t.Errorf("%s was told %d messages, want %d", id, len(got), want)
		}
	}
	for _, d := range f.deliveries(t, ours.ID) {
		if d.Owner.OrganizationID != "eng" {
			t.Errorf("an organization was told of %+v", d.Owner)
		}
	}
	if list, err := f.ListDeliveries(t.Context(), "globex", tokenvault.DeliveryQuery{}); err != nil || len(list) != 0 {
		t.Errorf("another tenant was told %v; %v", list, err)
	}
	if jobs := f.claimJobs(t); len(jobs) != 22 {
		t.Errorf("%d jobs, want one for each delivery", len(jobs))
	}
}

func deliveryAttempts(t *testing.T, f *fixture) {
	w := f.putWebhook(t, f.webhook(""))
	req := f.open(t, alice())
	created := f.now()
	want := f.deliveries(t, w.ID)[0]
	job := f.claimJobs(t)[0]
	equal(t, "job", job, tokenvault.Job{
		ID: want.ID, Kind: tokenvault.JobDeliverWebhook, Owner: alice(), ProviderID: provider, Attempts: 1, CreatedAt: created,
	})
	if message := tokenvault.MessageOfRequest(req); want.ID != message.DeliveryID(w.ID) || want.Body != message.Body {
		t.Errorf("delivery = %+v, want that of the message %+v", want, message)
	}
	due, err := f.GetDelivery(t.Context(), acme, want.ID)
	want.NextTryAt = f.now().Add(time.Minute) // the lease
	equal(t, "due", due, tokenvault.DueDelivery{WebhookDelivery: want, Webhook: w, Now: f.now()})
	if err != nil {
		t.Fatal(err)
	}

	f.advance(time.Second)
	f.ended(t, job, tokenvault.JobResult{RetryIn: 5 * time.Second, Error: "http_500", Delivery: &tokenvault.DeliveryResult{StatusCode: 500}})
	want.Attempts, want.StatusCode, want.Error, want.AttemptedAt, want.NextTryAt = 1, 500, "http_500", f.now(), f.now().Add(5*time.Second)
	equal(t, "after a failure", f.deliveries(t, w.ID), []tokenvault.WebhookDelivery{want})

	f.advance(time.Minute)
	job = f.claimJobs(t)[0]
	if err := f.FinishJob(t.Context(), tokenvault.JobResult{ID: job.ID, Attempt: job.Attempts, RetryIn: time.Second}); err != nil {
		t.Fatal(err)
	}
	want.NextTryAt = f.now().Add(time.Second)
	equal(t, "after a turn without an attempt", f.deliveries(t, w.ID), []tokenvault.WebhookDelivery{want})

	f.advance(time.Minute)
	f.ended(t, f.claimJobs(t)[0], tokenvault.JobResult{Done: true, Delivery: &tokenvault.DeliveryResult{StatusCode: 204}})
	want.Attempts, want.StatusCode, want.Error, want.AttemptedAt, want.NextTryAt = 2, 204, "", f.now(), time.Time{}
	want.DeliveredAt, want.State = f.now(), tokenvault.DeliveryDelivered
	equal(t, "after it was delivered", f.deliveries(t, w.ID), []tokenvault.WebhookDelivery{want})
	if jobs := f.claimJobs(t); len(jobs) != 0 {
		t.Errorf("jobs = %v, want none", jobs)
	}
}

func deliveryDead(t *testing.T, f *fixture) {
	w := f.putWebhook(t, f.webhook(""))
	f.open(t, alice())
	job := f.claimJobs(t)[0]
	f.ended(t, job, tokenvault.JobResult{Dead: true, Error: "timeout"})
	if d := f.deliveries(t, w.ID)[0]; d.State != tokenvault.DeliveryDead || d.Error != "timeout" || !d.NextTryAt.IsZero() {
		t.Errorf("delivery = %+v, want it dead", d)
	}
	event := f.event(tokenvault.EventWebhookResent, tokenvault.Owner{Tenant: acme})
	again := func() {
		f.writes(t, func() {
			if err := f.Redeliver(t.Context(), acme, job.ID, event); err != nil {
				t.Fatal(err)
			}
		}, event)
	}
	again()
	if d := f.deliveries(t, w.ID)[0]; d.State != tokenvault.DeliveryPending || d.Attempts != 1 {
		t.Errorf("delivery = %+v, want it pending", d)
	}
	job = f.claimJobs(t)[0]
	f.ended(t, job, tokenvault.JobResult{Done: true})
	again() // also what was delivered
	job = f.claimJobs(t)[0]
	if job.Owner != alice() || job.Kind != tokenvault.JobDeliverWebhook || job.Attempts != 1 {
		t.Errorf("job = %+v, want a new one of the same delivery", job)
	}
	f.ended(t, job, tokenvault.JobResult{Dead: true, Error: "http_404", Delivery: &tokenvault.DeliveryResult{StatusCode: 404}})
	if d := f.deliveries(t, w.ID)[0]; d.State != tokenvault.DeliveryDead || d.Attempts != 3 || d.DeliveredAt.IsZero() {
		t.Errorf("delivery = %+v, want it dead after three attempts, delivered once", d)
	}
	wantError(t, "Redeliver of what never was", f.Redeliver(t.Context(), acme, "msg_x", event), tokenvault.ErrNotFound)
}

func deliveryBusy(t *testing.T, f *fixture) {
	f.putWebhook(t, f.webhook(""))
	f.open(t, alice())
	job := f.claimJobs(t)[0]
	f.writes(t, func() {
		wantError(t, "Redeliver", f.Redeliver(t.Context(), acme, job.ID, f.event(tokenvault.EventWebhookResent, alice())), tokenvault.ErrConflict)
	})
}

func deliveryGone(t *testing.T, f *fixture) {
	w, other := f.putWebhook(t, f.webhook("")), f.putWebhook(t, f.webhook(""))
	f.open(t, alice())
	mine := f.deliveries(t, w.ID)[0]
	disabled := f.event(tokenvault.EventWebhookDisabled, tokenvault.Owner{Tenant: acme})
	for _, job := range f.claimJobs(t) {
		if job.ID == mine.ID {
			f.writes(t, func() {
				f.ended(t, job, tokenvault.JobResult{
					Dead: true, Error: "gone", Delivery: &tokenvault.DeliveryResult{StatusCode: 410, Disable: true}, Events: []tokenvault.Event{disabled},
				})
			}, disabled)
		}
	}
	w.Enabled = false
	f.wantWebhook(t, w)
	f.wantWebhook(t, other)
	f.open(t, alice())
	if mine, others := f.deliveries(t, w.ID), f.deliveries(t, other.ID); len(mine) != 1 || len(others) != 2 {
		t.Errorf("%d and %d deliveries, want none more to the disabled one", len(mine), len(others))
	}
}

func deliveryTest(t *testing.T, f *fixture) {
	w := f.webhook("eng", tokenvault.WebhookAuthExpired)
	w.Enabled = false
	f.putWebhook(t, w)
	f.putWebhook(t, f.webhook("eng"))
	message := tokenvault.WebhookMessage{ID: "msg_1", Type: tokenvault.WebhookTest, Owner: eng(), Body: `{"type":"webhook.test"}`}
	cmd := tokenvault.WebhookSending{WebhookID: w.ID, Message: message, Event: f.event(tokenvault.EventWebhookTested, eng())}
	var sent tokenvault.WebhookDelivery
	f.writes(t, func() {
		var err error
		if sent, err = f.SendWebhook(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}, cmd.Event)
	equal(t, "sent", sent, tokenvault.WebhookDelivery{
		ID: message.DeliveryID(w.ID), WebhookID: w.ID, Type: tokenvault.WebhookTest, Owner: eng(), Body: message.Body,
		State: tokenvault.DeliveryPending, CreatedAt: f.now(), NextTryAt: f.now(),
	})
	if jobs := f.claimJobs(t); len(jobs) != 1 || jobs[0].ID != sent.ID {
		t.Errorf("jobs = %+v, want the one of the test", jobs)
	}
}

func deliveryList(t *testing.T, f *fixture) {
	w := f.putWebhook(t, f.webhook(""))
	f.putWebhook(t, f.webhook(""))
	var want []string // the newest first
	for range 5 {
		f.advance(time.Second)
		want = append([]string{tokenvault.MessageOfRequest(f.open(t, alice())).DeliveryID(w.ID)}, want...)
	}
	id := func(d tokenvault.WebhookDelivery) string { return d.ID }
	list := func(q tokenvault.DeliveryQuery) func(tokenvault.Page) ([]tokenvault.WebhookDelivery, error) {
		return func(p tokenvault.Page) ([]tokenvault.WebhookDelivery, error) {
			q.Page = p
			return f.ListDeliveries(t.Context(), acme, q)
		}
	}
	checkPages(t, list(tokenvault.DeliveryQuery{WebhookID: w.ID}), id, want)
	for _, job := range f.claimJobs(t) {
		switch job.ID {
		case want[1]:
			f.ended(t, job, tokenvault.JobResult{Done: true})
		case want[3]:
			f.ended(t, job, tokenvault.JobResult{Dead: true})
		}
	}
	for state, ids := range map[tokenvault.DeliveryState][]string{
		tokenvault.DeliveryDelivered: {want[1]}, tokenvault.DeliveryDead: {want[3]}, tokenvault.DeliveryPending: {want[0], want[2], want[4]},
	} {
		checkPages(t, list(tokenvault.DeliveryQuery{WebhookID: w.ID, State: state}), id, ids)
	}
	if all, err := f.ListDeliveries(t.Context(), acme, tokenvault.DeliveryQuery{}); err != nil || len(all) != 10 {
		t.Errorf("%d deliveries of all webhooks, want 10; %v", len(all), err)
	}
}

func deliveryPruned(t *testing.T, f *fixture) {
	w := f.putWebhook(t, f.webhook(""))
	for range 4 {
		f.open(t, alice())
	}
	jobs := f.claimJobs(t)
	for i, result := range []tokenvault.JobResult{{Done: true}, {Dead: true}, {RetryIn: time.Hour}} { // and one that is leased
		f.ended(t, jobs[i], result)
	}
	f.advance(time.Hour)
	f.open(t, alice())
	prune := func(limit, want int) {
		t.Helper()
		if n, err := f.PruneDeliveries(t.Context(), acme, time.Hour-time.Second, limit); n != want || err != nil {
			t.Errorf("%d were pruned, want %d; %v", n, want, err)
		}
	}
	prune(0, 0)
	prune(1, 1)
	prune(10, 1)
	prune(10, 0)
	for _, d := range f.deliveries(t, w.ID) {
		if d.State != tokenvault.DeliveryPending {
			t.Errorf("a delivery is left that is %s", d.State)
		}
	}
	if left := f.deliveries(t, w.ID); len(left) != 3 {
		t.Errorf("%d deliveries are left, want three", len(left))
	}
	rows, err := f.ListJobs(t.Context(), acme, tokenvault.JobQuery{State: tokenvault.JobDead})
	if err != nil || len(rows) != 0 {
		t.Errorf("dead jobs are left: %v, %v", rows, err)
	}
}

// deleteHookRace deletes a webhook while changes are told to it and to another one.
func deleteHookRace(t *testing.T, f *fixture) {
	doomed, other := f.putWebhook(t, f.webhook("")), f.putWebhook(t, f.webhook(""))
	requests, deleted := make([]tokenvault.NewAuthRequest, racers), f.event(tokenvault.EventWebhookDeleted, alice())
	for i := range requests {
		requests[i] = f.opening(f.request(alice()))
	}
	race(func(i int) {
		if i == racers/2 {
			if err := f.DeleteWebhook(t.Context(), acme, doomed.ID, deleted); err != nil {
				t.Errorf("DeleteWebhook: %v", err)
			}
		}
		if _, _, err := f.OpenOrJoin(t.Context(), requests[i]); err != nil {
			t.Errorf("OpenOrJoin: %v", err)
		}
	})
	if gone, told := f.deliveries(t, doomed.ID), f.deliveries(t, other.ID); len(gone) != 0 || len(told) != racers {
		t.Errorf("%d and %d deliveries, want none and %d", len(gone), len(told), racers)
	}
	if jobs := f.claimJobs(t); len(jobs) != racers {
		t.Errorf("%d jobs, want %d: one for each delivery that is left", len(jobs), racers)
	}
}

// redeliverRace sends one delivery again from all sides.
func redeliverRace(t *testing.T, f *fixture) {
	w := f.putWebhook(t, f.webhook(""))
	f.open(t, alice())
	f.ended(t, f.claimJobs(t)[0], tokenvault.JobResult{Done: true})
	id := f.deliveries(t, w.ID)[0].ID
	event := f.event(tokenvault.EventWebhookResent, alice())
	race(func(int) {
		if err := f.Redeliver(t.Context(), acme, id, event); err != nil {
			t.Errorf("Redeliver: %v", err)
		}
	})
	if jobs := f.claimJobs(t); len(jobs) != 1 || jobs[0].ID != id || jobs[0].Attempts != 1 {
		t.Errorf("jobs = %+v, want one", jobs)
	}
}
