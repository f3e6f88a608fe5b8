package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func attemptCases() []testCase {
	return []testCase{
		{"an attempt is stored whole", attemptStored},
		{"an attempt moves from state to state once", attemptMoves},
		{"an attempt in another state does not move", attemptWrongState},
		{"an unknown state hash is invalid", attemptUnknown},
		{"an attempt ends at its time", attemptExpires},
		{"a sweep deletes attempts past their time", attemptSwept},
		{"a settled request has no attempts", attemptOfSettled},
		{"an expired request has no attempts", attemptOfExpired},
		{"an unknown request has no attempts", attemptOfUnknown},
		{"a state hash is used once", attemptTwice},
		{"several attempts of a request run side by side", attemptsSideBySide},
		{"a returned attempt is handed over to another hash", attemptHandedOver},
		{"only a returned attempt is handed over", attemptNotHandedOver},
		{"turns to ask about an attempt are an interval apart", attemptPolled},
		{"of concurrent turns to ask about an attempt one is held", attemptPollRace},
		{"an attempt that is over, or not asked about, has no turns", attemptNotPolled},
		{"an attempt is read by its id until its time", attemptRead},
		{"the latest attempt of a request is the one begun last", attemptLatest},
		{"a nonce is used once until its time", nonceOnce},
		{"of concurrent uses of a nonce one wins", nonceRace},
	}
}

func (f *fixture) attempt(req tokenvault.AuthRequest) tokenvault.NewAttempt {
	id := f.id("at")
	return tokenvault.NewAttempt{
		Attempt: tokenvault.Attempt{
			ID: id, AuthRequestID: req.ID, Owner: req.Owner, ProviderID: provider, AppID: "app", StateHash: "state of " + id,
			BrowserHash: "browser of " + id, Issuer: "https://auth.mail.example", ReturnURL: "/done", Scopes: []string{"read"},
			PermissionTTL: time.Hour, NewAccount: true, Private: f.sealed(),
		},
		TTL:   5 * time.Minute,
		Event: f.event(tokenvault.EventConnectStarted, req.Owner),
	}
}

// begin stores an attempt of a new request of alice's.
func (f *fixture) begin(t *testing.T) tokenvault.NewAttempt {
	t.Helper()
	cmd := f.attempt(f.open(t, alice()))
	if err := f.BeginAttempt(t.Context(), cmd); err != nil {
		t.Fatalf("BeginAttempt: %v", err)
	}
	return cmd
}

func (f *fixture) refusesAttempt(t *testing.T, want error, cmd tokenvault.NewAttempt) {
	t.Helper()
	f.refuses(t, want, func() error { return f.BeginAttempt(t.Context(), cmd) })
}

func (f *fixture) refusesAdvance(t *testing.T, stateHash string, from, to tokenvault.AttemptState) {
	t.Helper()
	got, err := f.AdvanceAttempt(t.Context(), stateHash, from, to)
	wantError(t, "AdvanceAttempt", err, tokenvault.ErrStateInvalid)
	equal(t, "attempt beside an error", got, tokenvault.Attempt{})
}

func attemptStored(t *testing.T, f *fixture) {
	cmd := f.attempt(f.open(t, alice()))
	want := cmd.Attempt
	want.State, want.CreatedAt, want.ExpiresAt = tokenvault.AttemptConsumed, f.now(), f.now().Add(5*time.Minute)
	// These are the store's to set.
	cmd.Attempt.State, cmd.Attempt.CreatedAt = tokenvault.AttemptReturned, f.now().Add(-time.Hour)
	cmd.Attempt.ExpiresAt = f.now().Add(time.Hour)
	f.writes(t, func() {
		if err := f.BeginAttempt(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}, cmd.Event)
	got, err := f.AdvanceAttempt(t.Context(), want.StateHash, tokenvault.AttemptBegun, tokenvault.AttemptConsumed)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "AdvanceAttempt", got, want)
}

func attemptMoves(t *testing.T, f *fixture) {
	hash := f.begin(t).Attempt.StateHash
	for _, step := range [][2]tokenvault.AttemptState{
		{tokenvault.AttemptBegun, tokenvault.AttemptReturned}, {tokenvault.AttemptReturned, tokenvault.AttemptConsumed},
	} {
		got, err := f.AdvanceAttempt(t.Context(), hash, step[0], step[1])
		if err != nil || got.State != step[1] {
			t.Errorf("AdvanceAttempt = %s, %v, want %s", got.State, err, step[1])
		}
		f.refusesAdvance(t, hash, step[0], step[1])
	}
}

func attemptWrongState(t *testing.T, f *fixture) {
	hash := f.begin(t).Attempt.StateHash
	f.refusesAdvance(t, hash, tokenvault.AttemptReturned, tokenvault.AttemptConsumed)
	f.refusesAdvance(t, hash, tokenvault.AttemptConsumed, tokenvault.AttemptConsumed)
	f.refusesAdvance(t, hash, tokenvault.AttemptBegun, tokenvault.AttemptBegun)
	if _, err := f.AdvanceAttempt(t.Context(), hash, tokenvault.AttemptBegun, tokenvault.AttemptConsumed); err != nil {
		t.Errorf("AdvanceAttempt after refusals: %v", err)
	}
}

func attemptUnknown(t *testing.T, f *fixture) {
	f.begin(t)
	f.refusesAdvance(t, "unknown", tokenvault.AttemptBegun, tokenvault.AttemptConsumed)
	f.refusesAdvance(t, "", tokenvault.AttemptBegun, tokenvault.AttemptConsumed)
}

func attemptExpires(t *testing.T, f *fixture) {
	first, second := f.begin(t).Attempt.StateHash, f.begin(t).Attempt.StateHash
	f.advance(5*time.Minute - time.Microsecond)
	if _, err := f.AdvanceAttempt(t.Context(), first, tokenvault.AttemptBegun, tokenvault.AttemptReturned); err != nil {
		t.Errorf("AdvanceAttempt before its time: %v", err)
	}
	f.advance(time.Microsecond)
	f.refusesAdvance(t, first, tokenvault.AttemptReturned, tokenvault.AttemptConsumed)
	f.refusesAdvance(t, second, tokenvault.AttemptBegun, tokenvault.AttemptConsumed)
}

func attemptSwept(t *testing.T, f *fixture) {
	old := f.begin(t)
	f.advance(4 * time.Minute)
	recent := f.attempt(tokenvault.AuthRequest{ID: old.Attempt.AuthRequestID, Owner: alice()})
	if err := f.BeginAttempt(t.Context(), recent); err != nil {
		t.Fatal(err)
	}
	f.advance(time.Minute)
	if got := f.sweep(t, 10); len(got) != 0 {
		t.Errorf("the sweep settled %d requests, want none", len(got))
	}
	f.refusesAdvance(t, old.Attempt.StateHash, tokenvault.AttemptBegun, tokenvault.AttemptConsumed)
	if _, err := f.AdvanceAttempt(t.Context(), recent.Attempt.StateHash, tokenvault.AttemptBegun, tokenvault.AttemptConsumed); err != nil {
		t.Errorf("the attempt that is not due: %v", err)
	}
	// Its hash is free again, which shows that the row is gone.
	again := f.attempt(tokenvault.AuthRequest{ID: old.Attempt.AuthRequestID, Owner: alice()})
	again.Attempt.StateHash = old.Attempt.StateHash
	if err := f.BeginAttempt(t.Context(), again); err != nil {
		t.Errorf("BeginAttempt with the hash of a deleted attempt: %v", err)
	}
}

func attemptOfSettled(t *testing.T, f *fixture) {
	req := f.open(t, alice())
	f.settle(t, f.connecting(req, f.fresh(alice(), "acc")))
	f.refusesAttempt(t, tokenvault.ErrConflict, f.attempt(req))
	f.advance(time.Hour)
	f.refusesAttempt(t, tokenvault.ErrConflict, f.attempt(req))
}

func attemptOfExpired(t *testing.T, f *fixture) {
	req := f.open(t, alice())
	f.advance(10 * time.Minute)
	cmd := f.attempt(req)
	f.refusesAttempt(t, tokenvault.ErrExpired, cmd)
	f.sweep(t, 10)
	f.refusesAttempt(t, tokenvault.ErrExpired, cmd)
	f.refusesAdvance(t, cmd.Attempt.StateHash, tokenvault.AttemptBegun, tokenvault.AttemptConsumed)
}

func attemptOfUnknown(t *testing.T, f *fixture) {
	f.open(t, alice())
	cmd := f.attempt(tokenvault.AuthRequest{ID: "ar_missing", Owner: alice()})
	f.refusesAttempt(t, tokenvault.ErrNotFound, cmd)
	f.refusesAdvance(t, cmd.Attempt.StateHash, tokenvault.AttemptBegun, tokenvault.AttemptConsumed)
}

func attemptTwice(t *testing.T, f *fixture) {
	first := f.begin(t)
	second := f.attempt(f.open(t, alice()))
	second.Attempt.StateHash = first.Attempt.StateHash
	f.refusesAttempt(t, tokenvault.ErrConflict, second)
	got, err := f.AdvanceAttempt(t.Context(), first.Attempt.StateHash, tokenvault.AttemptBegun, tokenvault.AttemptConsumed)
	if err != nil || got.ID != first.Attempt.ID {
		t.Errorf("AdvanceAttempt = %s, %v, want %s", got.ID, err, first.Attempt.ID)
	}
}

func attemptsSideBySide(t *testing.T, f *fixture) {
	req := f.open(t, alice())
	for range 2 {
		cmd := f.attempt(req)
		if err := f.BeginAttempt(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := f.AdvanceAttempt(t.Context(), cmd.Attempt.StateHash, tokenvault.AttemptBegun, tokenvault.AttemptConsumed); err != nil {
				t.Error(err)
			}
		}()
	}
}

func attemptHandedOver(t *testing.T, f *fixture) {
	cmd := f.begin(t)
	old := cmd.Attempt.StateHash
	if _, err := f.AdvanceAttempt(t.Context(), old, tokenvault.AttemptBegun, tokenvault.AttemptReturned); err != nil {
		t.Fatal(err)
	}
	over := tokenvault.AttemptHandOver{StateHash: old, NewHash: "handle", Private: f.sealed(), TTL: time.Minute}
	if err := f.HandOver(t.Context(), over); err != nil {
		t.Fatalf("HandOver: %v", err)
	}
	f.refusesAdvance(t, old, tokenvault.AttemptReturned, tokenvault.AttemptConsumed)
	wantError(t, "HandOver again", f.HandOver(t.Context(), over), tokenvault.ErrStateInvalid)
	got, err := f.AdvanceAttempt(t.Context(), "handle", tokenvault.AttemptReturned, tokenvault.AttemptConsumed)
	if err != nil {
		t.Fatal(err)
	}
	want := cmd.Attempt
	want.State, want.StateHash, want.Private = tokenvault.AttemptConsumed, "handle", over.Private
	want.CreatedAt, want.ExpiresAt = f.now(), f.now().Add(time.Minute)
	equal(t, "AdvanceAttempt", got, want)
	f.refusesAdvance(t, "handle", tokenvault.AttemptReturned, tokenvault.AttemptConsumed)
}

func attemptNotHandedOver(t *testing.T, f *fixture) {
	begun, late := f.begin(t).Attempt.StateHash, f.begin(t).Attempt.StateHash
	refuses := func(hash string) {
		t.Helper()
		err := f.HandOver(t.Context(), tokenvault.AttemptHandOver{StateHash: hash, NewHash: f.id("h"), Private: f.sealed(), TTL: time.Hour})
		wantError(t, "HandOver", err, tokenvault.ErrStateInvalid)
	}
	refuses(begun)
	refuses("unknown")
	if _, err := f.AdvanceAttempt(t.Context(), late, tokenvault.AttemptBegun, tokenvault.AttemptReturned); err != nil {
		t.Fatal(err)
	}
	f.advance(5 * time.Minute)
	refuses(late)
}

func attemptRead(t *testing.T, f *fixture) {
	cmd := f.begin(t)
	want := cmd.Attempt
	want.State, want.CreatedAt, want.ExpiresAt = tokenvault.AttemptBegun, f.now(), f.now().Add(5*time.Minute)
	reads := func() {
		t.Helper()
		got, err := f.GetAttempt(t.Context(), want.Owner, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "GetAttempt", got, want)
	}
	reads()
	if _, err := f.AdvanceAttempt(t.Context(), want.StateHash, tokenvault.AttemptBegun, tokenvault.AttemptConsumed); err != nil {
		t.Fatal(err)
	}
	want.State = tokenvault.AttemptConsumed
	f.advance(5*time.Minute - time.Microsecond)
	reads()
	_, err := f.GetAttempt(t.Context(), want.Owner, "unknown")
	wantError(t, "GetAttempt of an unknown one", err, tokenvault.ErrNotFound)
	f.advance(time.Microsecond)
	got, err := f.GetAttempt(t.Context(), want.Owner, want.ID)
	wantError(t, "GetAttempt after its time", err, tokenvault.ErrNotFound)
	equal(t, "attempt beside an error", got, tokenvault.Attempt{})
}

func attemptLatest(t *testing.T, f *fixture) {
	req := f.open(t, alice())
	latest := func(want string) {
		t.Helper()
		got, err := f.LatestAttempt(t.Context(), alice(), req.ID)
		if err != nil || got.ID != want {
			t.Errorf("LatestAttempt = %s, %v, want %s", got.ID, err, want)
		}
	}
	_, err := f.LatestAttempt(t.Context(), alice(), req.ID)
	wantError(t, "LatestAttempt of none", err, tokenvault.ErrNotFound)
	begin := func(id string, ttl time.Duration) {
		t.Helper()
		cmd := f.attempt(req)
		cmd.Attempt.ID, cmd.TTL = id, ttl
		if err := f.BeginAttempt(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}
	begin("at_z", time.Hour)
	f.advance(time.Second)
	begin("at_c", 2*time.Minute)
	begin("at_b", time.Minute)
	f.begin(t) // another request's
	latest("at_c")
	f.advance(2 * time.Minute)
	latest("at_z")
	f.advance(time.Hour)
	_, err = f.LatestAttempt(t.Context(), alice(), req.ID)
	wantError(t, "LatestAttempt after their time", err, tokenvault.ErrNotFound)
}

// beginPolled stores an attempt at which the provider is asked.
func (f *fixture) beginPolled(t *testing.T, interval time.Duration) tokenvault.Attempt {
	t.Helper()
	cmd := f.attempt(f.open(t, alice()))
	cmd.Attempt.Interval = interval
	if err := f.BeginAttempt(t.Context(), cmd); err != nil {
		t.Fatalf("BeginAttempt: %v", err)
	}
	return cmd.Attempt
}

func attemptPolled(t *testing.T, f *fixture) {
	want := f.beginPolled(t, 5*time.Second)
	want.State, want.CreatedAt, want.ExpiresAt = tokenvault.AttemptBegun, f.now(), f.now().Add(5*time.Minute)
	polls := func(held bool, next time.Duration) {
		t.Helper()
		turn, err := f.PollAttempt(t.Context(), want.StateHash)
		if err != nil {
			t.Fatal(err)
		}
		want.PollAt = f.now().Add(next)
		equal(t, "PollAttempt", turn, tokenvault.AttemptTurn{Attempt: want, Held: held})
	}
	polls(false, 5*time.Second)
	f.advance(5*time.Second - time.Microsecond)
	polls(false, time.Microsecond)
	f.advance(time.Microsecond)
	polls(true, 5*time.Second)
	polls(false, 5*time.Second)
	f.advance(time.Second)
	want.Interval, want.PollAt = 8*time.Second, f.now().Add(8*time.Second)
	slower, err := f.SlowAttempt(t.Context(), want.StateHash, 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "SlowAttempt", slower, want)
	f.advance(7 * time.Second)
	polls(false, time.Second)
	f.advance(time.Second)
	polls(true, 8*time.Second)
}

func attemptPollRace(t *testing.T, f *fixture) {
	hash := f.beginPolled(t, time.Second).StateHash
	f.advance(time.Second)
	const callers = 16
	held := make(chan bool, callers)
	for range callers {
		go func() {
			turn, err := f.PollAttempt(t.Context(), hash)
			held <- err == nil && turn.Held
		}()
	}
	winners := 0
	for range callers {
		if <-held {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d turns are held, want 1", winners)
	}
}

func attemptNotPolled(t *testing.T, f *fixture) {
	refuses := func(hash string) {
		t.Helper()
		turn, err := f.PollAttempt(t.Context(), hash)
		wantError(t, "PollAttempt", err, tokenvault.ErrStateInvalid)
		equal(t, "turn beside an error", turn, tokenvault.AttemptTurn{})
		slower, err := f.SlowAttempt(t.Context(), hash, time.Second)
		wantError(t, "SlowAttempt", err, tokenvault.ErrStateInvalid)
		equal(t, "attempt beside an error", slower, tokenvault.Attempt{})
	}
	refuses("unknown")
	refuses(f.begin(t).Attempt.StateHash)
	consumed, late := f.beginPolled(t, time.Second).StateHash, f.beginPolled(t, time.Second).StateHash
	if _, err := f.AdvanceAttempt(t.Context(), consumed, tokenvault.AttemptBegun, tokenvault.AttemptConsumed); err != nil {
		t.Fatal(err)
	}
	refuses(consumed)
	f.advance(5 * time.Minute)
	refuses(late)
}

func nonceOnce(t *testing.T, f *fixture) {
	use := func(tenant string) error {
		return f.UseNonce(t.Context(), tokenvault.Nonce{Tenant: tenant, Hash: "n", TTL: time.Minute})
	}
	used := func(tenant, hash string, want bool) {
		t.Helper()
		if got, err := f.NonceUsed(t.Context(), tenant, hash); err != nil || got != want {
			t.Errorf("NonceUsed of %s and %s = %t, %v; want %t", tenant, hash, got, err, want)
		}
	}
	for range 2 {
		used(acme, "n", false)
		if err := use(acme); err != nil {
			t.Fatalf("UseNonce: %v", err)
		}
		used(acme, "n", true)
		used(acme, "m", false)
		used("other", "n", false)
		wantError(t, "UseNonce again", use(acme), tokenvault.ErrConflict)
		f.advance(time.Minute - time.Microsecond)
		wantError(t, "UseNonce before its end", use(acme), tokenvault.ErrConflict)
		used(acme, "n", true)
		f.advance(time.Microsecond)
	}
	if err := use("other"); err != nil {
		t.Errorf("UseNonce of another tenant: %v", err)
	}
	f.sweep(t, 10)
	wantError(t, "UseNonce after a sweep", use("other"), tokenvault.ErrConflict)
}

func nonceRace(t *testing.T, f *fixture) {
	const callers = 16
	won := make(chan bool, callers)
	for range callers {
		go func() {
			won <- f.UseNonce(t.Context(), tokenvault.Nonce{Tenant: acme, Hash: "n", TTL: time.Minute}) == nil
		}()
	}
	winners := 0
	for range callers {
		if <-won {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d winners, want 1", winners)
	}
}
