package tokenvault_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/limit"
)

func down(int, tokenvault.RefreshInput) tokenvault.RefreshOutcome {
	return tokenvault.Transient{Err: &tokenvault.ProviderError{ProviderID: "mail", Op: "refresh", Status: 503, Transient: true}}
}

// use resolves for the user's agent.
func (r *rig) use(t *testing.T, user string) error {
	t.Helper()
	_, err := r.Resolve(t.Context(), agentOf(user), tokenvault.ResolveRequest{ProviderID: "mail"})
	return err
}

// breakMail has bob, whose token is expired, fail until the provider is left alone.
func (r *rig) breakMail(t *testing.T) {
	t.Helper()
	for range 5 {
		err := r.use(t, "bob")
		if failed, ok := errors.AsType[*tokenvault.ProviderError](err); !ok || errors.Is(err, tokenvault.ErrProviderUnavailable) || !failed.Transient {
			t.Fatalf("err = %v, want the provider's own", err)
		}
	}
}

// R15: while a provider is down, tokens that are valid are served, whoever needs
// another is told at once when to come back, and nothing is written for it.
func TestR15AProviderThatKeepsFailingIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := upkeepRig(t, func(o *tokenvault.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		r.connectFor(t, "bob")
		<-time.After(time.Hour - time.Minute)
		r.connectFor(t, "carol")
		<-time.After(time.Minute)
		r.flow.outcome = down
		r.breakMail(t)
		<-time.After(time.Second)
		_, asked, _ := r.flow.counts()
		written := len(r.events(t, tokenvault.EventRefreshFailed))
		for range 10 {
			err := r.use(t, "bob")
			failed, ok := errors.AsType[*tokenvault.ProviderError](err)
			if !ok || !errors.Is(err, tokenvault.ErrProviderUnavailable) || !failed.Transient || failed.RetryAfter != 9*time.Second {
				t.Fatalf("err = %v, want to come back after 9 s", err)
			}
			if err := r.use(t, "carol"); err != nil {
				t.Fatalf("a valid token: %v", err)
			}
		}
		if _, n, _ := r.flow.counts(); n != asked || len(r.events(t, tokenvault.EventRefreshFailed)) != written {
			t.Errorf("%d calls while left alone", n-asked)
		}
		if failing := r.Stats().FailingProviders; !slices.Equal(failing, []string{"mail"}) {
			t.Errorf("failing are %q", failing)
		}
		r.flow.outcome = nil
		<-time.After(9 * time.Second)
		if err := errors.Join(r.use(t, "bob"), r.use(t, "bob")); err != nil {
			t.Error(err)
		}
		if failing := r.Stats().FailingProviders; len(failing) != 0 {
			t.Errorf("failing are %q afterwards", failing)
		}
		if n := bytes.Count(log.Bytes(), []byte("token endpoint")); n != 2 {
			t.Errorf("%d changes are logged, want 2: %s", n, &log)
		}
	})
}

// What concerns one grant, one client or our own limits is no reason to leave the
// provider alone.
func TestOneGrantsFailureIsNobodyElses(t *testing.T) {
	failed := func(status int, code string, err error) *tokenvault.ProviderError {
		return &tokenvault.ProviderError{ProviderID: "mail", Op: "refresh", Status: status, Code: code, Err: err, Transient: true}
	}
	for name, outcome := range map[string]tokenvault.RefreshOutcome{
		"rejected":    tokenvault.Rejected{Err: failed(400, "invalid_grant", nil)},
		"client":      tokenvault.Transient{Err: failed(401, "invalid_client", nil)},
		"throttled":   tokenvault.Transient{Err: failed(429, "", nil)},
		"refused":     tokenvault.Transient{Err: failed(403, "", errors.New("unreadable"))},
		"not sent":    tokenvault.Transient{Err: failed(0, "", &limit.BusyError{RetryAfter: time.Second})},
		"our own key": tokenvault.Transient{Err: failed(0, "", &tokenvault.FieldError{Field: "clientSecret"})},
		"no reason":   tokenvault.Transient{},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for i := range 20 {
				r.connectFor(t, fmt.Sprint("user-", i))
			}
			r.clock.advance(2 * time.Hour)
			r.flow.outcome = func(int, tokenvault.RefreshInput) tokenvault.RefreshOutcome { return outcome }
			for i := range 20 {
				if err := r.use(t, fmt.Sprint("user-", i)); err == nil || errors.Is(err, tokenvault.ErrProviderUnavailable) {
					t.Fatalf("user %d: %v", i, err)
				}
			}
			if failing := r.Stats().FailingProviders; len(failing) != 0 {
				t.Errorf("failing are %q", failing)
			}
		})
	}
}

// R15: a provider that hangs longer than we wait, time and again, ends no grant: all
// are refreshed once it works.
func TestR15AProviderThatHangsForLongEndsNoGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := upkeepRig(t)
		const users = 200
		for i := range users {
			r.connectFor(t, fmt.Sprint("user-", i))
		}
		<-time.After(2 * time.Hour)
		r.flow.outcome = func(int, tokenvault.RefreshInput) tokenvault.RefreshOutcome {
			<-time.After(20 * time.Second)
			return tokenvault.Uncertain{Err: &tokenvault.ProviderError{ProviderID: "mail", Op: "refresh"}}
		}
		all := func(want func(error) bool) {
			var wg sync.WaitGroup
			for i := range users {
				wg.Go(func() {
					if err := r.use(t, fmt.Sprint("user-", i)); !want(err) {
						t.Errorf("user %d: %v", i, err)
					}
				})
			}
			wg.Wait()
		}
		for range 10 { // some minutes
			all(func(err error) bool {
				failed, ok := errors.AsType[*tokenvault.ProviderError](err)
				return ok && failed.Transient
			})
			<-time.After(20 * time.Second)
		}
		if _, n, _ := r.flow.counts(); n > users+20 {
			t.Errorf("a provider that hangs was asked %d times", n)
		}
		r.flow.outcome = nil
		<-time.After(time.Minute)
		if err := r.use(t, "user-0"); err != nil { // the one try
			t.Fatal(err)
		}
		all(func(err error) bool { return err == nil })
		if n := len(r.events(t, tokenvault.EventReauth)); n != 0 {
			t.Errorf("%d owners are asked again", n)
		}
	})
}

// R5: two replies are lost, and the third says that the token was spent: the reason
// is kept until then.
func TestR5RepliesAreLostUntilOneIsNot(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	r.clock.advance(2 * time.Hour)
	r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		if n <= 2 {
			return tokenvault.Uncertain{}
		}
		return tokenvault.Rejected{Err: providerError("invalid_grant")}
	}
	_, err := r.resolve(t, "read")
	if failed, ok := errors.AsType[*tokenvault.ProviderError](err); !ok || !failed.Transient {
		t.Errorf("err = %v, want that the provider fails for now", err)
	}
	if c := r.connections(t)[0]; c.Status != tokenvault.ConnectionActive {
		t.Errorf("connection is %s (%s)", c.Status, c.Reason)
	}
	r.mustAsk(t, "read")
	if c := r.connections(t)[0]; c.Reason != tokenvault.ReauthLostResponse {
		t.Errorf("reason = %q, want lost_response", c.Reason)
	}
	if _, n, _ := r.flow.counts(); n != 3 {
		t.Errorf("%d refreshes, want 3", n)
	}
}

// Background refresh waits until the provider is asked again.
func TestUpkeepLeavesAFailingProviderAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := upkeepRig(t)
		r.connectFor(t, "bob")
		<-time.After(30 * time.Minute)
		r.connect(t, "read")
		r.token(t, "read")
		<-time.After(30 * time.Minute)
		r.flow.outcome = func(n int, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
			o, _ := down(n, in).(tokenvault.Transient)
			o.Err.RetryAfter = 24 * time.Hour // as long as it may ask for
			return o
		}
		<-time.After(15 * time.Minute)
		r.breakMail(t)
		_, asked, _ := r.flow.counts()
		runFor(t, 14*time.Minute, r.Vault) // alice's token is stale meanwhile
		if _, n, _ := r.flow.counts(); n != asked {
			t.Errorf("%d calls while left alone", n-asked)
		}
		r.flow.outcome = nil
		runFor(t, 2*time.Minute, r.Vault)
		if _, n, _ := r.flow.counts(); n != asked+1 {
			t.Errorf("%d calls afterwards, want alice's", n-asked)
		}
	})
}

// An organization's own provider fails for itself, though it names the endpoint of
// another.
func TestACustomProviderFailsForItselfOnly(t *testing.T) {
	r := newRig(t, custom)
	p := crm()
	p.OAuth2.TokenURL = mailProvider().OAuth2.TokenURL
	r.define(t, boss, "ops", p)
	r.connectFor(t, "bob")
	agent := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "helper", Owner: dora.Owner}
	resolve := func() error {
		_, err := r.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: "crm"})
		return err
	}
	if _, err := r.SetApp(t.Context(), boss, tokenvault.AppInput{OrganizationID: "ops", ProviderID: "crm", ClientID: "client"}); err != nil {
		t.Fatal(err)
	}
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](resolve())
	if !ok {
		t.Fatal("nothing is asked for")
	}
	ret := r.startAs(t, dora, required.Request.ID)
	ret.AppID, ret.Iss = r.AppID("ops", "crm"), "https://crm.example"
	if _, err := r.FinishConnect(t.Context(), dora, ret); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(2 * time.Hour)
	r.flow.outcome = down
	var err error
	for range 6 {
		err = resolve()
	}
	if !errors.Is(err, tokenvault.ErrProviderUnavailable) || !slices.Equal(r.Stats().FailingProviders, []string{""}) {
		t.Errorf("err = %v, failing are %q", err, r.Stats().FailingProviders)
	}
	r.flow.outcome = nil
	if err := r.use(t, "bob"); err != nil {
		t.Errorf("another's provider at the same endpoint: %v", err)
	}
}
