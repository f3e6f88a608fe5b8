package tokenvault_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func TestPauseConnectResume(t *testing.T) {
	r := newRig(t)
	req := r.mustAsk(t, "read")
	if req.Reason != tokenvault.ReasonMissing || req.ConnectURL != "https://vault.example/connect/"+req.ID {
		t.Errorf("request = %+v", req)
	}
	connected := r.connect(t, "read")
	if connected.ID != req.ID {
		t.Errorf("a second resolve opened %s beside %s", connected.ID, req.ID)
	}
	if got := r.token(t, "read"); got != "at-0" {
		t.Errorf("token = %q", got)
	}
	if n := len(r.events(t, tokenvault.EventReleased)); n != 1 {
		t.Errorf("%d releases audited, want 1", n)
	}
}

func TestParallelResolvesOpenOneRequest(t *testing.T) {
	r := newRig(t)
	ids := make([]string, 50)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() { ids[i] = r.mustAsk(t).ID })
	}
	wg.Wait()
	if n := len(slices.Compact(slices.Sorted(slices.Values(ids)))); n != 1 {
		t.Errorf("50 calls opened %d requests", n)
	}
}

func TestAnAgentNeverApproves(t *testing.T) {
	r := newRig(t)
	req := r.mustAsk(t)
	_, err := r.StartConnect(t.Context(), aliceAgent, tokenvault.StartConnect{AuthRequestID: req.ID})
	if !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("StartConnect by an agent: %v", err)
	}
	if _, err := r.Decline(t.Context(), aliceAgent, req.ID); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("Decline by an agent: %v", err)
	}
}

func TestAnotherUserSeesNothing(t *testing.T) {
	r := newRig(t)
	req := r.mustAsk(t)
	other := aliceAgent
	other.ID = "other"
	for name, actor := range map[string]tokenvault.Actor{"user": bobUser, "agent": other} {
		if _, err := r.AuthRequest(t.Context(), actor, req.ID); !errors.Is(err, tokenvault.ErrNotFound) {
			t.Errorf("another %s: err = %v, want ErrNotFound", name, err)
		}
	}
	if _, err := r.StartConnect(t.Context(), bobUser, tokenvault.StartConnect{AuthRequestID: req.ID}); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("StartConnect by another user: %v", err)
	}
}

func TestAReturnIsRefusedUnlessEverythingFits(t *testing.T) {
	for name, change := range map[string]func(*tokenvault.Return){
		"foreign state":   func(ret *tokenvault.Return) { ret.State = tokenvault.NewSecret("guess") },
		"other browser":   func(ret *tokenvault.Return) { ret.Browser = tokenvault.NewSecret("guess") },
		"no browser":      func(ret *tokenvault.Return) { ret.Browser = tokenvault.Secret{} },
		"other app":       func(ret *tokenvault.Return) { ret.AppID = "app_other" },
		"legacy callback": func(ret *tokenvault.Return) { ret.AppID = "" },
		"other issuer":    func(ret *tokenvault.Return) { ret.Iss = "https://evil.example" },
		"no code":         func(ret *tokenvault.Return) { ret.Code = tokenvault.Secret{} },
		"issuer of error": func(ret *tokenvault.Return) { ret.Iss, ret.Error = "https://evil.example", "access_denied" },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			req := r.mustAsk(t)
			ret := r.start(t, req.ID)
			change(&ret)
			_, err := r.FinishConnect(t.Context(), aliceUser, ret)
			if !errors.Is(err, tokenvault.ErrStateInvalid) {
				t.Errorf("err = %v, want ErrStateInvalid", err)
			}
			r.wantNothingStored(t, req.ID)
		})
	}
}

func TestAReturnOfAnotherUserIsRefused(t *testing.T) {
	r := newRig(t)
	req := r.mustAsk(t)
	ret := r.start(t, req.ID)
	if _, err := r.FinishConnect(t.Context(), bobUser, ret); !errors.Is(err, tokenvault.ErrStateInvalid) {
		t.Errorf("err = %v, want ErrStateInvalid", err)
	}
	r.wantNothingStored(t, req.ID)
	if _, err := r.FinishConnect(t.Context(), aliceUser, ret); !errors.Is(err, tokenvault.ErrStateInvalid) {
		t.Errorf("the state was taken once, and worked again: %v", err)
	}
}

// wantNothingStored checks that no code was exchanged and the request is open.
func (r *rig) wantNothingStored(t *testing.T, requestID string) {
	t.Helper()
	if exchanges, _, _ := r.flow.counts(); exchanges != 0 {
		t.Errorf("%d codes were exchanged", exchanges)
	}
	if n := len(r.connections(t)); n != 0 {
		t.Errorf("%d connections were stored", n)
	}
	req, err := r.AuthRequest(t.Context(), aliceUser, requestID)
	if err != nil || req.Status != tokenvault.AuthPending {
		t.Errorf("request is %s, %v; want pending", req.Status, err)
	}
	if n := len(r.events(t, tokenvault.EventConnectRefused)); n != 1 {
		t.Errorf("%d refusals audited, want 1", n)
	}
}

func TestAStateIsTakenOnce(t *testing.T) {
	r := newRig(t)
	ret := r.start(t, r.mustAsk(t).ID)
	if _, err := r.FinishConnect(t.Context(), aliceUser, ret); err != nil {
		t.Fatal(err)
	}
	if _, err := r.FinishConnect(t.Context(), aliceUser, ret); !errors.Is(err, tokenvault.ErrStateInvalid) {
		t.Errorf("replayed state: err = %v, want ErrStateInvalid", err)
	}
}

func TestC5StateAfterItsTime(t *testing.T) {
	r := newRig(t)
	ret := r.start(t, r.mustAsk(t).ID)
	r.clock.advance(10*time.Minute + time.Second)
	if _, err := r.FinishConnect(t.Context(), aliceUser, ret); !errors.Is(err, tokenvault.ErrStateInvalid) {
		t.Errorf("err = %v, want ErrStateInvalid", err)
	}
}

func TestALateCallbackStoresNothing(t *testing.T) {
	for name, settle := range map[string]func(t *testing.T, r *rig, id string){
		"declined": func(t *testing.T, r *rig, id string) {
			t.Helper()
			if _, err := r.Decline(t.Context(), aliceUser, id); err != nil {
				t.Fatal(err)
			}
		},
		"expired": func(_ *testing.T, r *rig, _ string) { r.clock.advance(time.Hour + time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *tokenvault.Options) { o.AuthRequestTTL, o.AttemptTTL = time.Hour, 2*time.Hour })
			req := r.mustAsk(t)
			ret := r.start(t, req.ID)
			settle(t, r, req.ID)
			_, err := r.FinishConnect(t.Context(), aliceUser, ret)
			if !errors.Is(err, tokenvault.ErrConflict) && !errors.Is(err, tokenvault.ErrExpired) {
				t.Errorf("err = %v, want ErrConflict or ErrExpired", err)
			}
			if n := len(r.connections(t)); n != 0 {
				t.Errorf("%d connections were stored", n)
			}
		})
	}
}

func TestReconnectHealsInPlace(t *testing.T) {
	r := newRig(t)
	first := r.connect(t, "read")
	r.flow.outcome = func(int, tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		return tokenvault.Rejected{Err: &tokenvault.ProviderError{ProviderID: "mail", Op: "refresh", Code: "invalid_grant"}}
	}
	r.clock.advance(2 * time.Hour)
	req := r.mustAsk(t, "read")
	if req.Reason != tokenvault.ReasonExpired || req.ConnectionID != first.ConnectionID {
		t.Errorf("request = %s for %q, want expired for %q", req.Reason, req.ConnectionID, first.ConnectionID)
	}
	if c := r.connections(t)[0]; c.Status != tokenvault.ConnectionNeedsReauth || c.Reason != tokenvault.ReauthRejected {
		t.Errorf("connection is %s (%s)", c.Status, c.Reason)
	}
	r.flow.completed.Credential = credential("at-new", "rt-new")
	again := r.connect(t, "read")
	if again.ConnectionID != first.ConnectionID || len(r.connections(t)) != 1 {
		t.Errorf("reconnecting made %s beside %s", again.ConnectionID, first.ConnectionID)
	}
	if got := r.token(t, "read"); got != "at-new" {
		t.Errorf("token = %q", got)
	}
}

func TestC23ReconnectWithAnotherAccount(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	req := r.mustAsk(t, "read", "write")
	r.flow.completed.Account = tokenvault.Account{ID: "acc-2", Label: "bob@mail.example"}
	r.flow.completed.Credential = credential("at-bob", "rt-bob")
	_, err := r.FinishConnect(t.Context(), aliceUser, r.start(t, req.ID))
	if !errors.Is(err, tokenvault.ErrAccountMismatch) {
		t.Fatalf("err = %v, want ErrAccountMismatch", err)
	}
	if got := r.token(t, "read"); got != "at-0" {
		t.Errorf("the old credential was not kept: token = %q", got)
	}
	if _, _, revoked := r.flow.counts(); !slices.Equal(revoked, []string{"at-bob"}) {
		t.Errorf("grants ended at the provider: %q, want the one that was not kept", revoked)
	}
}

// Whoever waits learns that the owner signed in with another account, and that they
// try again; the tool goes on waiting.
func TestC23WhoWaitsIsToldOfAnotherAccount(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	req := r.mustAsk(t, "read", "write")
	type outcome struct {
		req tokenvault.AuthRequest
		err error
	}
	waits := func(wait func() (tokenvault.AuthRequest, error)) <-chan outcome {
		out := make(chan outcome, 1)
		go func() {
			req, err := wait()
			out <- outcome{req, err}
		}()
		return out
	}
	end := waits(func() (tokenvault.AuthRequest, error) { return r.Wait(t.Context(), aliceAgent, req.ID) })
	change := waits(func() (tokenvault.AuthRequest, error) { return r.WaitChange(t.Context(), aliceUser, req) })
	r.flow.completed.Account = tokenvault.Account{ID: "acc-2", Label: "bob@mail.example"}
	if _, err := r.finishAs(t, tokenvault.StartConnect{AuthRequestID: req.ID}); !errors.Is(err, tokenvault.ErrAccountMismatch) {
		t.Fatalf("err = %v, want ErrAccountMismatch", err)
	}
	noted := <-change
	if noted.err != nil || noted.req.Status != tokenvault.AuthPending || noted.req.Notice != tokenvault.NoticeOtherAccount || noted.req.NoticedAt.IsZero() {
		t.Fatalf("told %+v, %v", noted.req, noted.err)
	}
	change = waits(func() (tokenvault.AuthRequest, error) { return r.WaitChange(t.Context(), aliceUser, noted.req) })
	r.flow.completed.Account = tokenvault.Account{ID: "acc-1", Label: "alice@mail.example"}
	ret := r.start(t, req.ID)
	if cleared := <-change; cleared.err != nil || cleared.req.Notice != "" || cleared.req.Status.Settled() {
		t.Errorf("of a new attempt is told %+v, %v", cleared.req, cleared.err)
	}
	select {
	case early := <-end:
		t.Errorf("the tool stopped waiting: %+v, %v", early.req, early.err)
	default:
	}
	if _, err := r.FinishConnect(t.Context(), aliceUser, ret); err != nil {
		t.Fatal(err)
	}
	if settled := <-end; settled.err != nil || settled.req.Status != tokenvault.AuthConnected || settled.req.Notice != "" {
		t.Errorf("the end: %+v, %v", settled.req, settled.err)
	}
}

func TestAMissingScopeIsASteppedUpUnion(t *testing.T) {
	r := newRig(t)
	first := r.connect(t, "read")
	req := r.mustAsk(t, "write")
	if req.Reason != tokenvault.ReasonInsufficientScope || !slices.Equal(req.Scopes, []string{"read", "write"}) {
		t.Errorf("request = %s for %q", req.Reason, req.Scopes)
	}
	if again := r.connect(t, "write"); again.ConnectionID != first.ConnectionID {
		t.Error("the step-up made another connection")
	}
	r.token(t, "read", "write")
}

func TestAWithheldScopeFailsTheRequest(t *testing.T) {
	r := newRig(t)
	r.flow.completed.Scopes = []string{"read"}
	done, err := r.FinishConnect(t.Context(), aliceUser, r.start(t, r.mustAsk(t, "read", "write").ID))
	if err != nil || done.Request.Status != tokenvault.AuthFailed || done.Request.FailureCode != tokenvault.FailScopeNotGranted {
		t.Errorf("request = %s (%s), %v", done.Request.Status, done.Request.FailureCode, err)
	}
}

func TestC24ADenialAtTheProviderDeclines(t *testing.T) {
	r := newRig(t)
	ret := r.start(t, r.mustAsk(t).ID)
	ret.Code, ret.Error = tokenvault.Secret{}, "access_denied"
	done, err := r.FinishConnect(t.Context(), aliceUser, ret)
	if err != nil || done.Request.Status != tokenvault.AuthDeclined {
		t.Errorf("request = %s, %v; want declined", done.Request.Status, err)
	}
}

func TestAnotherAgentNeedsItsOwnPermission(t *testing.T) {
	r := newRig(t)
	first := r.connect(t, "read")
	other := aliceAgent
	other.ID = "other"
	_, err := r.Resolve(t.Context(), other, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok || required.Request.Reason != tokenvault.ReasonPermissionRequired {
		t.Fatalf("err = %v, want permission_required", err)
	}
	settled, err := r.Permit(t.Context(), aliceUser, tokenvault.Permit{AuthRequestID: required.Request.ID})
	if err != nil || settled.ConnectionID != first.ConnectionID {
		t.Fatalf("Permit = %+v, %v", settled, err)
	}
	access, err := r.Resolve(t.Context(), other, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := access.Reveal(); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("Reveal with release inject: %v", err)
	}
}

func TestA6AWiderReleaseIsDeniedAndAudited(t *testing.T) {
	r := newRig(t)
	ask := tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}}
	_, err := r.Resolve(t.Context(), aliceAgent, ask)
	required, _ := errors.AsType[*tokenvault.AuthRequiredError](err)
	if _, err := r.FinishConnect(t.Context(), aliceUser, r.start(t, required.Request.ID)); err != nil {
		t.Fatal(err)
	}
	_, err = r.resolve(t, "read")
	if wider, ok := errors.AsType[*tokenvault.ReleaseError](err); !ok || wider.Release != tokenvault.ReleaseToken || !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("release token with a permission to inject: %v", err)
	}
	if n := len(r.events(t, tokenvault.EventReleaseDenied)); n != 1 {
		t.Errorf("%d denials audited, want 1", n)
	}
}

func TestSeveralAccountsAreAQuestion(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	r.flow.completed.Account = tokenvault.Account{ID: "acc-2", Label: "work@mail.example"}
	r.flow.completed.Credential = credential("at-work", "rt-work")
	own, err := r.RequestConnect(t.Context(), aliceUser, tokenvault.ConnectRequest{ProviderID: "mail", Scopes: []string{"read"}})
	if err != nil {
		t.Fatal(err)
	}
	work, err := r.FinishConnect(t.Context(), aliceUser, r.start(t, own.ID))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.token(t, "read"); got != "at-0" {
		t.Errorf("the chosen account changed: %q", got)
	}
	other := aliceAgent
	other.ID = "other"
	ask := tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}, Release: tokenvault.ReleaseToken}
	_, err = r.Resolve(t.Context(), other, ask)
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok || required.Request.Reason != tokenvault.ReasonChooseAccount {
		t.Fatalf("err = %v, want choose_account", err)
	}
	if _, err := r.Permit(t.Context(), aliceUser, tokenvault.Permit{AuthRequestID: required.Request.ID, ConnectionID: work.Request.ConnectionID}); err != nil {
		t.Fatal(err)
	}
	access, err := r.Resolve(t.Context(), other, ask)
	if err != nil || access.Connection().ID != work.Request.ConnectionID {
		t.Errorf("resolved %+v, %v", access, err)
	}
}

func TestReturnURLs(t *testing.T) {
	r := newRig(t)
	req := r.mustAsk(t)
	for text, allowed := range map[string]bool{
		"/settings?tab=1": true, "https://app.example/done": true, "https://app.example/done?thread=1": true,
		"//evil.example": false, "/\\evil.example": false, "https://evil.example/done": false, "https://app.example/other": false,
		"https://app.example:444/done": false, "https://user@app.example/done": false, "javascript:alert(1)": false,
		"http://app.example/done": false, "/a\nb": false, "https://app.example/done#x": false,
	} {
		_, err := r.StartConnect(t.Context(), aliceUser, tokenvault.StartConnect{AuthRequestID: req.ID, ReturnURL: text})
		if (err == nil) != allowed {
			t.Errorf("%q: err = %v, want allowed = %t", text, err, allowed)
		}
	}
}

func TestWaitersWake(t *testing.T) {
	r := newRig(t)
	req := r.mustAsk(t)
	results := make(chan tokenvault.AuthRequest, 100)
	var wg sync.WaitGroup
	for range cap(results) {
		wg.Go(func() {
			got, err := r.Wait(t.Context(), aliceAgent, req.ID)
			if err != nil {
				t.Error(err)
			}
			results <- got
		})
	}
	if _, err := r.Decline(t.Context(), aliceUser, req.ID); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for range cap(results) {
		if got := <-results; got.Status != tokenvault.AuthDeclined {
			t.Errorf("a waiter saw %s", got.Status)
		}
	}
}

func TestWaitEndsWhenTheRequestExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *tokenvault.Options) { o.AuthRequestTTL = time.Hour })
		req := r.mustAsk(t)
		go func() {
			<-time.After(time.Minute)
			r.clock.advance(2 * time.Hour)
		}()
		got, err := r.Wait(t.Context(), aliceAgent, req.ID)
		if err != nil || got.Status != tokenvault.AuthExpired {
			t.Errorf("Wait = %s, %v; want expired", got.Status, err)
		}
	})
}

func TestWaitTellsTheStateWhenTheCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		req := r.mustAsk(t)
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		got, err := r.Wait(ctx, aliceAgent, req.ID)
		if !errors.Is(err, context.DeadlineExceeded) || got.Status != tokenvault.AuthPending {
			t.Errorf("Wait = %s, %v", got.Status, err)
		}
	})
}

// A caller whose time is over before the store answers is told what it knew.
func TestAWaitThatIsOverTellsWhatWasSeen(t *testing.T) {
	r := newRig(t)
	req := r.mustAsk(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := r.WaitChange(ctx, aliceAgent, req)
	if !errors.Is(err, context.Canceled) || got.ID != req.ID || got.Status != tokenvault.AuthPending {
		t.Errorf("WaitChange = %+v, %v", got, err)
	}
	if got, err = r.Wait(ctx, aliceAgent, req.ID); !errors.Is(err, context.Canceled) || got.ID != "" {
		t.Errorf("Wait = %+v, %v", got, err)
	}
}
