package tokenvault_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func providerError(code string) *tokenvault.ProviderError {
	return &tokenvault.ProviderError{ProviderID: "mail", Op: "refresh", Code: code}
}

func TestAnExpiredCredentialIsRefreshedOnce(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	r.clock.advance(2 * time.Hour)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if got := r.token(t, "read"); got != "at-1" {
				t.Errorf("token = %q, want at-1", got)
			}
		})
	}
	wg.Wait()
	if _, refreshes, _ := r.flow.counts(); refreshes != 1 {
		t.Errorf("%d refreshes, want 1", refreshes)
	}
}

func TestR2ACallerThatGivesUpDoesNotCancelTheRefresh(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	r.clock.advance(2 * time.Hour)
	entered, release := make(chan struct{}), make(chan struct{})
	r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		close(entered)
		<-release
		return rotated(n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := r.Resolve(ctx, aliceAgent, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}, Release: tokenvault.ReleaseToken})
		gaveUp <- err
	}()
	<-entered
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	close(release)
	if got := r.token(t, "read"); got != "at-1" {
		t.Errorf("token = %q, want at-1", got)
	}
	if _, refreshes, _ := r.flow.counts(); refreshes != 1 {
		t.Errorf("%d refreshes, want 1", refreshes)
	}
}

func TestR5ALostReplyIsTriedOnceMore(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	r.clock.advance(2 * time.Hour)
	r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		if n == 1 {
			return tokenvault.Uncertain{Err: providerError("")}
		}
		return tokenvault.Rejected{Err: providerError("invalid_grant")}
	}
	req := r.mustAsk(t, "read")
	if req.Reason != tokenvault.ReasonExpired {
		t.Errorf("reason = %s, want expired", req.Reason)
	}
	if c := r.connections(t)[0]; c.Reason != tokenvault.ReauthLostResponse {
		t.Errorf("connection needs reauth because of %q, want lost_response", c.Reason)
	}
	if _, refreshes, _ := r.flow.counts(); refreshes != 2 {
		t.Errorf("%d refreshes, want 2", refreshes)
	}
}

func TestR6AGracePeriodRecovers(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	r.clock.advance(2 * time.Hour)
	r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		if n == 1 {
			return tokenvault.Uncertain{Err: providerError("")}
		}
		return rotated(n)
	}
	if got := r.token(t, "read"); got != "at-2" {
		t.Errorf("token = %q, want at-2", got)
	}
}

func TestATransientFailureKeepsTheGrant(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	r.clock.advance(2 * time.Hour)
	r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		if n == 1 {
			return tokenvault.Transient{Err: &tokenvault.ProviderError{ProviderID: "mail", Op: "refresh", Status: 503, Transient: true}}
		}
		return rotated(n)
	}
	_, err := r.resolve(t, "read")
	if failed, ok := errors.AsType[*tokenvault.ProviderError](err); !ok || failed.Status != 503 {
		t.Errorf("err = %v, want the provider's 503", err)
	}
	if c := r.connections(t)[0]; c.Status != tokenvault.ConnectionActive {
		t.Errorf("connection is %s", c.Status)
	}
	if got := r.token(t, "read"); got != "at-2" {
		t.Errorf("token = %q, want at-2", got)
	}
}

func TestTheSoftWindowRefreshesBehind(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	refreshed := make(chan struct{})
	r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		defer close(refreshed)
		return rotated(n)
	}
	r.clock.advance(time.Hour - time.Minute)
	if got := r.token(t, "read"); got != "at-0" {
		t.Errorf("token = %q, want the one that is still valid", got)
	}
	<-refreshed
}

func TestR12ARefreshWithoutARefreshTokenKeepsTheOld(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	seen := make(chan string, 2)
	r.flow.outcome = func(_ int, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		seen <- in.Credential.RefreshToken.Reveal()
		return tokenvault.Rotated{Credential: credential("at-x", ""), ExpiresIn: time.Hour}
	}
	for range 2 {
		r.clock.advance(2 * time.Hour)
		r.token(t, "read")
		if got := <-seen; got != "rt-0" {
			t.Errorf("refresh token = %q, want rt-0", got)
		}
	}
}

func TestR11AnUnknownLifetimeIsNeverExpired(t *testing.T) {
	r := newRig(t)
	r.flow.completed.ExpiresIn = 0
	r.connect(t, "read")
	r.clock.advance(1000 * time.Hour)
	if got := r.token(t, "read"); got != "at-0" {
		t.Errorf("token = %q, want at-0", got)
	}
}

func TestExpiredWithoutRefreshTokenAsksTheOwner(t *testing.T) {
	r := newRig(t)
	r.flow.completed.Credential = credential("at-0", "")
	r.connect(t, "read")
	r.clock.advance(2 * time.Hour)
	r.mustAsk(t, "read")
	if c := r.connections(t)[0]; c.Reason != tokenvault.ReauthNoRefresh {
		t.Errorf("reason = %q, want no_refresh", c.Reason)
	}
}

func TestR16AnUpstream401RefreshesOncePerVersion(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	access, err := r.resolve(t, "read")
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := access.Rejected(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := access.Rejected(t.Context()); err != nil || again.Connection().Version != renewed.Connection().Version {
		t.Errorf("reporting the old version again: %v", err)
	}
	_, err = renewed.Rejected(t.Context())
	if _, ok := errors.AsType[*tokenvault.AuthRequiredError](err); !ok {
		t.Errorf("err = %v, want an AuthRequiredError", err)
	}
	if _, refreshes, _ := r.flow.counts(); refreshes != 1 {
		t.Errorf("%d refreshes, want 1", refreshes)
	}
	if c := r.connections(t)[0]; c.Reason != tokenvault.ReauthUpstream {
		t.Errorf("reason = %q, want upstream_401", c.Reason)
	}
}

func TestWithoutRefreshTokenAValidTokenStaysInUse(t *testing.T) {
	r := newRig(t)
	r.flow.completed.Credential = credential("at-0", "")
	r.connect(t, "read")
	r.clock.advance(time.Hour - time.Second)
	for range 3 {
		if got := r.token(t, "read"); got != "at-0" {
			t.Errorf("token = %q, want at-0", got)
		}
	}
	if c := r.connections(t)[0]; c.Status != tokenvault.ConnectionActive {
		t.Errorf("connection is %s (%s) while its token is valid", c.Status, c.Reason)
	}
}

// The refresh token that a rotation replaced is kept, sealed, for one version.
func TestThePreviousRefreshTokenIsKeptForOneVersion(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	var previous []string
	r.flow.outcome = func(n int, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		previous = append(previous, in.Credential.PreviousRefreshToken.Reveal())
		return rotated(n)
	}
	for range 3 {
		r.clock.advance(2 * time.Hour)
		r.token(t, "read")
	}
	if want := []string{"", "rt-0", "rt-1"}; !slices.Equal(previous, want) {
		t.Errorf("previous refresh tokens = %q, want %q", previous, want)
	}
}
