package server_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

// connectedTo connects alice's account while the provider misbehaves as told.
func (s *site) connectedTo(t *testing.T, mode string) *client.Client {
	t.Helper()
	s.op.Mode(t, mode)
	return s.connected(t)
}

// Every way in which a provider spoils the way back ends without a connect.
func TestEverySpoiltReturnIsRefused(t *testing.T) {
	s := misbehaving(t)
	ends := map[string]string{
		"state_dropped": "/connect/error?code=state_invalid", "state_duplicated": "/connect/error?code=state_invalid",
		"wrong_iss": "/connect/error?code=state_invalid", "denied_with_script": "/connect/ar_",
	}
	for _, mode := range s.op.Modes(t).Callback {
		want, ok := ends[mode]
		if !ok {
			t.Errorf("%s: no end is stated", mode)
			continue
		}
		s.op.Mode(t, mode)
		asked := s.tokenRequests(t)
		req := mustAsk(t, s.agent(t, "alice"))
		end := s.browser(t, "alice").connect(t, req, "alice")
		if !strings.HasPrefix(end.url, s.url+want) || strings.Contains(end.text, "alert(1)") || strings.Contains(end.text, "evil") {
			t.Errorf("%s: led to %s: %s", mode, end.url, end.text)
		}
		if n := s.tokenRequests(t) - asked; n != 0 || len(s.connectionsOf(t, "alice")) != 0 {
			t.Errorf("%s: %d codes were exchanged", mode, n)
		}
	}
}

// R11: an expires_in that is absent, text, negative or huge: the lifetime is
// clamped or unknown, and the provider is asked once for what has expired, not
// again and again.
func TestR11NoLifetimeMakesARefreshLoop(t *testing.T) {
	for mode, lifetime := range map[string]time.Duration{
		"no_expires_in": 0, "expires_in_negative": 0, "expires_in_string": time.Hour, "expires_in_huge": 400 * 24 * time.Hour,
	} {
		t.Run(mode, func(t *testing.T) {
			s := misbehaving(t)
			agent := s.connectedTo(t, mode)
			s.wantLifetime(t, lifetime)
			asked := s.tokenRequests(t)
			for range 50 {
				mustResolve(t, agent)
			}
			if n := s.tokenRequests(t) - asked; n != 0 {
				t.Errorf("a fresh token was refreshed %d times", n)
			}
			s.expire(t)
			for range 50 {
				mustResolve(t, agent)
			}
			if n := s.tokenRequests(t) - asked; n != 1 {
				t.Errorf("an expired token was refreshed %d times, want once", n)
			}
			s.wantLifetime(t, lifetime)
		})
	}
}

// wantLifetime checks how long the access token is taken to be valid; 0: nobody
// knows.
func (s *site) wantLifetime(t *testing.T, want time.Duration) {
	t.Helper()
	c := s.connection(t)
	got := c.ExpiresAt.Sub(c.ObtainedAt).Round(time.Second)
	if c.ExpiresAt.IsZero() {
		got = 0
	}
	if got != want {
		t.Errorf("the token is taken to live %v, want %v", got, want)
	}
}

// R12: a refresh answer without a refresh token keeps the old one in use.
func TestR12WithoutANewRefreshTokenTheOldOneStays(t *testing.T) {
	s := misbehaving(t)
	agent := s.connectedTo(t, "ok")
	s.op.Mode(t, "no_refresh_token")
	for want := int64(2); want < 5; want++ {
		s.expire(t)
		if token := mustResolve(t, agent); token.Version != want {
			t.Errorf("version %d, want %d", token.Version, want)
		}
	}
	if c := s.connection(t); c.Status != tokenvault.ConnectionActive {
		t.Errorf("connection is %s (%s)", c.Status, c.Reason)
	}
}

// R13: scopes that a refresh takes away are recorded, and the agent is told.
func TestR13ScopesTakenAwayAreTold(t *testing.T) {
	s := misbehaving(t)
	agent := s.connectedTo(t, "ok")
	s.op.Mode(t, "scope_downgrade")
	s.expire(t)
	if req := mustAsk(t, agent); req.Reason != tokenvault.ReasonInsufficientScope {
		t.Errorf("reason = %s, want insufficient_scope", req.Reason)
	}
	if c := s.connection(t); !slices.Equal(c.Scopes, []string{"read"}) || c.Status != tokenvault.ConnectionActive {
		t.Errorf("connection is %s with %q", c.Status, c.Scopes)
	}
}

// What the provider writes into an answer, secrets that were sent to it too, is in
// no answer of ours, no log and no audit entry.
func TestAnEchoingProviderIsNotQuoted(t *testing.T) {
	s := misbehaving(t)
	agent := s.connectedTo(t, "ok")
	s.op.Mode(t, "secret_in_error")
	s.expire(t)
	_, err := agent.Resolve(t.Context(), ask())
	refused, ok := errors.AsType[*client.Error](err)
	if !ok || refused.Code != "provider_error" {
		t.Fatalf("err = %v, want provider_error", err)
	}
	for where, text := range map[string]string{"answer": fmt.Sprintf("%+v", refused), "log": s.log.String(), "audit": fmt.Sprint(s.events(t, tokenvault.EventRefreshFailed))} {
		if strings.Contains(text, "grant_type") || strings.Contains(text, clientSecret) {
			t.Errorf("the %s quotes the provider: %s", where, text)
		}
	}
}
