package tokenvault_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// another is another process on the rig's store, whose provider answers as told.
func (r *rig) another(t *testing.T, outcome func(int, tokenvault.RefreshInput) tokenvault.RefreshOutcome) *rig {
	t.Helper()
	other := *r
	other.flow = &scriptedFlow{outcome: outcome}
	other.Vault = newVault(t, r.store, r.key, other.flow)
	return &other
}

// R7: a process that is frozen while it refreshes, and wakes up after its lease was
// taken over, stores nothing and releases nothing.
func TestR7AZombieIsFenced(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	r.clock.advance(2 * time.Hour)
	entered, wake := make(chan struct{}), make(chan struct{})
	r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		close(entered)
		<-wake
		return rotated(n)
	}
	zombie := make(chan error, 1)
	go func() {
		_, err := r.resolve(t, "read")
		zombie <- err
	}()
	<-entered
	r.clock.advance(41 * time.Second) // its lease is over
	other := r.another(t, func(int, tokenvault.RefreshInput) tokenvault.RefreshOutcome { return rotated(7) })
	if got := other.token(t, "read"); got != "at-7" {
		t.Fatalf("token = %q, want at-7", got)
	}
	close(wake)
	if err := <-zombie; !errors.Is(err, tokenvault.ErrFenced) {
		t.Errorf("the zombie got %v, want ErrFenced", err)
	}
	if got := r.token(t, "read"); got != "at-7" {
		t.Errorf("token = %q afterwards, want at-7", got)
	}
}

// A process that is told to end does not wait for a lease that another one holds,
// and takes none any more.
func TestAWaitForAnotherProcessEndsWithTheVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.connect(t, "read")
		r.clock.advance(2 * time.Hour)
		answer := make(chan struct{})
		r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
			<-answer
			return rotated(n)
		}
		refreshing, other := make(chan error, 1), r.another(t, nil)
		go func() { _, err := r.resolve(t, "read"); refreshing <- err }()
		synctest.Wait()
		waiting := make(chan error, 1)
		go func() { _, err := other.resolve(t, "read"); waiting <- err }()
		synctest.Wait()
		begun := time.Now()
		if err := other.Close(t.Context()); err != nil || time.Since(begun) != 0 {
			t.Errorf("closed after %v, %v, want at once", time.Since(begun), err)
		}
		if err := <-waiting; !errors.Is(err, tokenvault.ErrClosed) {
			t.Errorf("who waited got %v, want ErrClosed", err)
		}
		close(answer)
		if err := <-refreshing; err != nil {
			t.Error(err)
		}
	})
}

// R13: a provider that takes scopes away with a refresh: what is left is recorded,
// and a call that needs more pauses for its owner.
func TestR13AScopeDowngradeIsRecordedAndTold(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read", "write")
	r.clock.advance(2 * time.Hour)
	r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		o := rotated(n)
		o.Scopes = []string{"read"}
		return o
	}
	if req := r.mustAsk(t, "read", "write"); req.Reason != tokenvault.ReasonInsufficientScope {
		t.Errorf("reason = %s, want insufficient_scope", req.Reason)
	}
	if c := r.connections(t)[0]; fmt.Sprint(c.Scopes) != "[read]" || c.Status != tokenvault.ConnectionActive {
		t.Errorf("connection is %s with %q", c.Status, c.Scopes)
	}
	if got := r.token(t, "read"); got != "at-1" {
		t.Errorf("token = %q, want at-1", got)
	}
}

// R14: the store's clock decides, however far off a process' own clock is.
func TestR14TheStoresClockDecides(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		r := newRig(t)
		r.clock.advance(off)
		r.connect(t, "read")
		other := r.another(t, nil)
		for range 3 {
			if got := r.token(t, "read"); got != "at-0" {
				t.Errorf("%v: token = %q, want at-0, which is fresh", off, got)
			}
		}
		r.clock.advance(2 * time.Hour)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { []*rig{r, other}[i%2].token(t, "read") })
		}
		wg.Wait()
		_, mine, _ := r.flow.counts()
		_, theirs, _ := other.flow.counts()
		if mine+theirs != 1 {
			t.Errorf("%v: %d refreshes, want 1", off, mine+theirs)
		}
	}
}

// R15: 200 connections at a provider that hangs hold nobody else up.
func TestR15AHungProviderHoldsNobodyElseUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		const hung = 200
		for i := range hung {
			r.connectFor(t, fmt.Sprintf("user-%d", i))
		}
		r.clock.advance(2 * time.Hour)
		r.connect(t, "read") // alice's is fresh
		r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
			<-time.After(30 * time.Second)
			return rotated(n)
		}
		begun := time.Now()
		var wg sync.WaitGroup
		for i := range hung {
			wg.Go(func() {
				if _, err := r.Resolve(t.Context(), agentOf(fmt.Sprintf("user-%d", i)), tokenvault.ResolveRequest{ProviderID: "mail"}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // all hang
		if _, refreshes, _ := r.flow.counts(); refreshes != hung {
			t.Errorf("%d refreshes under way, want %d", refreshes, hung)
		}
		for range 100 {
			r.token(t, "read")
		}
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("others waited %v", waited)
		}
		wg.Wait()
	})
}

func agentOf(user string) tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "helper", Owner: tokenvault.Owner{Tenant: "default", UserID: user}}
}

// connectFor connects an account of a user for their agent.
func (r *rig) connectFor(t *testing.T, user string) {
	t.Helper()
	actor := agentOf(user)
	_, err := r.Resolve(t.Context(), actor, tokenvault.ResolveRequest{ProviderID: "mail"})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatal(err)
	}
	person := tokenvault.Actor{Kind: tokenvault.ActorUser, ID: user, Owner: actor.Owner}
	if _, err := r.FinishConnect(t.Context(), person, r.startAs(t, person, required.Request.ID)); err != nil {
		t.Fatal(err)
	}
}

// R17: the operator changed the client secret at the provider only: that is told,
// grants are untouched, and all goes on once the app is registered again.
func TestR17ARotatedClientSecretTouchesNoGrant(t *testing.T) {
	var log strings.Builder
	r := newRig(t, func(o *tokenvault.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	r.connect(t, "read")
	r.clock.advance(2 * time.Hour)
	r.flow.outcome = func(n int, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		if in.Client.Secret.Reveal() == "client-secret" {
			return tokenvault.Transient{Err: &tokenvault.ProviderError{ProviderID: "mail", Op: "refresh", Status: 401, Code: "invalid_client", Transient: true}}
		}
		return rotated(n)
	}
	for range 3 {
		if _, err := r.resolve(t, "read"); err == nil {
			t.Fatal("resolved")
		}
	}
	if c := r.connections(t)[0]; c.Status != tokenvault.ConnectionActive {
		t.Errorf("connection is %s", c.Status)
	}
	failed := r.events(t, tokenvault.EventRefreshFailed)
	if len(failed) == 0 || failed[0].Detail != "invalid_client" || !strings.Contains(log.String(), "register the app again") {
		t.Errorf("the operator is not told: %+v\n%s", failed, &log)
	}
	_, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client", ClientSecret: tokenvault.NewSecret("new-secret")})
	if err != nil {
		t.Fatal(err)
	}
	r.token(t, "read")
}
