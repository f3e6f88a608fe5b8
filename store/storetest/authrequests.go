package storetest

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func requestCases() []testCase {
	return []testCase{
		{"a request is found in its tenant without its owner", requestFound},
		{"a request is stored whole", requestStored},
		{"the same request is joined", requestJoined},
		{"the order of scopes does not matter", requestScopeOrder},
		{"another request is not joined", requestNotJoined},
		{"a settled request is not joined", settledNotJoined},
		{"an expired request is settled and not joined", expiredNotJoined},
		{"a request expires at its time, before a sweep", requestExpires},
		{"a sweep settles what is due", sweepSettles},
		{"a sweep has its limit", sweepLimit},
		{"a sweep leaves settled requests alone", sweepLeavesSettled},
		{"settled requests are pruned when they are old", requestPruned},
		{"an unknown request is not found", requestUnknown},
	}
}

func requestStored(t *testing.T, f *fixture) {
	cmd := f.opening(f.request(alice()))
	want := cmd.Request
	want.Status, want.CreatedAt, want.ExpiresAt = tokenvault.AuthPending, f.now(), f.now().Add(10*time.Minute)
	// These are the store's to set.
	cmd.Request.Status, cmd.Request.CreatedAt = tokenvault.AuthConnected, f.now().Add(-time.Hour)
	cmd.Request.ExpiresAt, cmd.Request.SettledAt = f.now().Add(time.Hour), f.now()
	f.writes(t, func() {
		got, joined, err := f.OpenOrJoin(t.Context(), cmd)
		if err != nil || joined {
			t.Fatalf("OpenOrJoin: joined = %t, err = %v", joined, err)
		}
		equal(t, "OpenOrJoin", got, want)
	}, cmd.Event)
	equal(t, "GetAuthRequest", f.getRequest(t, want), want)
}

func (f *fixture) getRequest(t *testing.T, req tokenvault.AuthRequest) tokenvault.AuthRequest {
	t.Helper()
	got, err := f.GetAuthRequest(t.Context(), req.Owner, req.ID)
	if err != nil {
		t.Fatalf("GetAuthRequest: %v", err)
	}
	return got
}

// joins opens a request like req under another id, and reports whether it
// joined.
func (f *fixture) joins(t *testing.T, req tokenvault.AuthRequest) (tokenvault.AuthRequest, bool) {
	t.Helper()
	req.ID = f.id("ar")
	got, joined, err := f.OpenOrJoin(t.Context(), f.opening(req))
	if err != nil {
		t.Fatalf("OpenOrJoin: %v", err)
	}
	return got, joined
}

func requestJoined(t *testing.T, f *fixture) {
	first := f.open(t, alice())
	f.advance(time.Minute)
	again := first
	again.RunID, again.ThreadID = "another", "another"
	f.writes(t, func() {
		got, joined := f.joins(t, again)
		if !joined {
			t.Error("the same request was opened twice")
		}
		equal(t, "OpenOrJoin", got, first)
	})
}

func requestScopeOrder(t *testing.T, f *fixture) {
	first := f.open(t, alice())
	again := first
	again.Scopes = slices.Concat(first.Scopes, first.Scopes)
	slices.Reverse(again.Scopes)
	if got, joined := f.joins(t, again); !joined || got.ID != first.ID {
		t.Errorf("joined = %t, id = %s, want to join %s", joined, got.ID, first.ID)
	}
}

func requestNotJoined(t *testing.T, f *fixture) {
	first := f.open(t, member("alice"))
	for name, change := range map[string]func(*tokenvault.AuthRequest){
		"agent":        func(r *tokenvault.AuthRequest) { r.AgentID = "other" },
		"provider":     func(r *tokenvault.AuthRequest) { r.ProviderID = "other" },
		"connection":   func(r *tokenvault.AuthRequest) { r.ConnectionID = "cn_other" },
		"release":      func(r *tokenvault.AuthRequest) { r.Release = tokenvault.ReleaseToken },
		"scopes":       func(r *tokenvault.AuthRequest) { r.Scopes = []string{"read"} },
		"user":         func(r *tokenvault.AuthRequest) { r.Owner = member("bob") },
		"organization": func(r *tokenvault.AuthRequest) { r.Owner = alice() },
		"tenant":       func(r *tokenvault.AuthRequest) { r.Owner.Tenant = "globex" },
	} {
		other := first
		change(&other)
		if got, joined := f.joins(t, other); joined || got.ID == first.ID {
			t.Errorf("a request for another %s joined", name)
		}
	}
}

func settledNotJoined(t *testing.T, f *fixture) {
	first := f.open(t, alice())
	decline := f.connecting(first, nil)
	decline.Status = tokenvault.AuthDeclined
	f.settle(t, decline)
	if _, joined := f.joins(t, first); joined {
		t.Error("a declined request was joined")
	}
	if got := f.getRequest(t, first); got.Status != tokenvault.AuthDeclined {
		t.Errorf("status = %s, want declined", got.Status)
	}
}

func expiredNotJoined(t *testing.T, f *fixture) {
	first := f.open(t, alice())
	f.advance(10 * time.Minute)
	before := len(f.events(t, acme))
	second, joined := f.joins(t, first)
	if written := f.events(t, acme)[before:]; len(written) != 2 || written[0].Kind != tokenvault.EventAuthExpired || written[0].AuthRequestID != first.ID {
		t.Errorf("events %+v, want that the first expired, and that the second was opened", written)
	}
	if joined || second.ID == first.ID {
		t.Error("an expired request was joined")
	}
	if got := f.getRequest(t, first); got.Status != tokenvault.AuthExpired || !got.SettledAt.Equal(f.now()) {
		t.Errorf("status = %s, settled %s, want expired now", got.Status, got.SettledAt)
	}
	if got := f.sweep(t, 10); len(got) != 0 {
		t.Errorf("a sweep settled %d requests again", len(got))
	}
	if third, joined := f.joins(t, first); !joined || third.ID != second.ID {
		t.Error("the new request is not joined")
	}
}

func requestExpires(t *testing.T, f *fixture) {
	req := f.open(t, alice())
	f.advance(10*time.Minute - time.Microsecond)
	if got := f.getRequest(t, req); got.Status != tokenvault.AuthPending {
		t.Errorf("status = %s before its time, want pending", got.Status)
	}
	f.advance(time.Microsecond)
	if got := f.getRequest(t, req); got.Status != tokenvault.AuthExpired {
		t.Errorf("status = %s at its time, want expired", got.Status)
	}
}

// sweep returns the requests that a sweep settled, in order of ids.
func (f *fixture) sweep(t *testing.T, limit int) []tokenvault.AuthRequest {
	t.Helper()
	got, err := f.ExpireAuthRequests(t.Context(), limit)
	if err != nil {
		t.Fatalf("ExpireAuthRequests: %v", err)
	}
	slices.SortFunc(got, func(a, b tokenvault.AuthRequest) int { return cmp.Compare(a.ID, b.ID) })
	return got
}

func sweepSettles(t *testing.T, f *fixture) {
	due := []tokenvault.AuthRequest{f.open(t, alice()), f.open(t, bob()), f.open(t, tokenvault.Owner{Tenant: "globex", UserID: "x"})}
	f.advance(time.Minute)
	pending := f.open(t, alice())
	f.advance(9 * time.Minute)
	for i := range due {
		due[i].Status, due[i].SettledAt = tokenvault.AuthExpired, f.now()
	}
	before := len(f.events(t, acme))
	equal(t, "ExpireAuthRequests", f.sweep(t, 10), due)
	if written := f.events(t, acme)[before:]; len(written) != 2 || written[0].Kind != tokenvault.EventAuthExpired {
		t.Errorf("a sweep of two of the tenant's requests wrote %+v", written)
	}
	for _, req := range due {
		equal(t, "GetAuthRequest", f.getRequest(t, req), req)
	}
	equal(t, "the request that is not due", f.getRequest(t, pending), pending)
	if again := f.sweep(t, 10); len(again) != 0 {
		t.Errorf("a second sweep settled %d requests", len(again))
	}
}

func sweepLimit(t *testing.T, f *fixture) {
	for range 5 {
		f.open(t, alice())
	}
	f.advance(time.Hour)
	for _, want := range []int{2, 2, 1, 0} {
		if got := f.sweep(t, 2); len(got) != want {
			t.Errorf("ExpireAuthRequests settled %d requests, want %d", len(got), want)
		}
	}
}

func sweepLeavesSettled(t *testing.T, f *fixture) {
	req := f.open(t, alice())
	want := f.settle(t, f.connecting(req, f.fresh(alice(), "acc")))
	f.advance(time.Hour)
	if got := f.sweep(t, 10); len(got) != 0 {
		t.Errorf("a sweep settled %d requests, want none", len(got))
	}
	equal(t, "GetAuthRequest", f.getRequest(t, req), want)
}

func requestPruned(t *testing.T, f *fixture) {
	attempt := f.begin(t).Attempt
	first, err := f.FindAuthRequest(t.Context(), acme, attempt.AuthRequestID)
	if err != nil {
		t.Fatalf("FindAuthRequest: %v", err)
	}
	f.settle(t, f.connecting(first, f.fresh(alice(), "acc")))
	f.advance(time.Second)
	old := []tokenvault.AuthRequest{first, f.open(t, alice()), f.open(t, bob())}
	kept := []tokenvault.AuthRequest{f.open(t, tokenvault.Owner{Tenant: "globex", UserID: "x"})}
	f.advance(10 * time.Minute)
	f.sweep(t, 10) // the others expire: they are settled now
	kept = append(kept, f.open(t, alice()))
	prune := func(age time.Duration, limit, want int) {
		t.Helper()
		if n, err := f.PruneAuthRequests(t.Context(), acme, age, limit); n != want || err != nil {
			t.Errorf("%d were pruned, want %d; %v", n, want, err)
		}
	}
	prune(0, 0, 0)
	prune(10*time.Minute+time.Second, 10, 0)
	prune(0, 10, 1)
	_, err = f.GetAttempt(t.Context(), alice(), attempt.ID)
	wantError(t, "GetAttempt of a pruned request", err, tokenvault.ErrNotFound)
	f.advance(time.Microsecond)
	prune(0, 1, 1)
	prune(0, 10, 1)
	prune(0, 10, 0)
	for _, req := range old {
		_, err := f.FindAuthRequest(t.Context(), acme, req.ID)
		wantError(t, "FindAuthRequest of a pruned request", err, tokenvault.ErrNotFound)
	}
	for _, req := range kept {
		if _, err := f.FindAuthRequest(t.Context(), req.Owner.Tenant, req.ID); err != nil {
			t.Errorf("%s: a request of %s: %v", req.Status, req.Owner.Tenant, err)
		}
	}
}

func requestUnknown(t *testing.T, f *fixture) {
	_, err := f.GetAuthRequest(t.Context(), alice(), "ar_missing")
	wantError(t, "GetAuthRequest", err, tokenvault.ErrNotFound)
	f.refusesSettle(t, tokenvault.ErrNotFound, f.connecting(tokenvault.AuthRequest{ID: "ar_missing", Owner: alice()}, f.fresh(alice(), "acc")))
}

func requestFound(t *testing.T, f *fixture) {
	req := f.open(t, alice())
	got, err := f.FindAuthRequest(t.Context(), acme, req.ID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "FindAuthRequest", got, req)
	for tenant, id := range map[string]string{"other": req.ID, acme: "ar_unknown"} {
		_, err := f.FindAuthRequest(t.Context(), tenant, id)
		wantError(t, "FindAuthRequest", err, tokenvault.ErrNotFound)
	}
	f.advance(time.Hour)
	if got, err := f.FindAuthRequest(t.Context(), acme, req.ID); err != nil || got.Status != tokenvault.AuthExpired {
		t.Errorf("after its time: %s, %v, want expired", got.Status, err)
	}
}
