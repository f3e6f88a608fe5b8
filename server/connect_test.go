package server_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// wantRefused checks that a return led to the error page and was good for nothing.
func (s *site) wantRefused(t *testing.T, end page, code string, asked int) {
	t.Helper()
	if !strings.HasPrefix(end.url, s.url+"/connect/error?") || !strings.HasSuffix(end.url, "code="+code) {
		t.Errorf("the return led to %s, want the error %s", end.url, code)
	}
	if n := s.tokenRequests(t) - asked; n != 0 {
		t.Errorf("%d codes were exchanged", n)
	}
	if n := len(s.connectionsOf(t, "alice")); n != 0 {
		t.Errorf("%d connections were stored", n)
	}
}

func TestC3ALinkWithoutASessionBindsNothing(t *testing.T) {
	s := strict(t, testop.Options{})
	req := mustAsk(t, s.agent(t, "alice"))
	nobody := s.browser(t, "")
	if shown := nobody.open(t, req.ConnectURL); shown.status != http.StatusUnauthorized || strings.Contains(shown.text, "assistant") {
		t.Errorf("nobody is shown, with status %d: %s", shown.status, shown.text)
	}
	if left := nobody.post(t, req.ConnectURL+"/confirm", nil); left.status != http.StatusUnauthorized {
		t.Errorf("nobody confirms: status %d", left.status)
	}
	got, err := s.AuthRequest(t.Context(), s.person("alice"), req.ID)
	if err != nil || got.Status != tokenvault.AuthPending {
		t.Errorf("the request is %s, %v", got.Status, err)
	}
}

// C8: two tenants with users of one name, in one browser, at one provider: what was
// begun at one is not ended at the other.
func TestC8ACallbackOfAnotherTenantIsRefused(t *testing.T) {
	s := strict(t, testop.Options{})
	other := newSite(t, s.op, s.cfg.DataDir, slices.Concat(session(t), []string{"--tenant=other", "--provider-files=" + s.cfg.ProviderFiles[0]})...)
	s.op.Callbacks(t, s.callback(), other.callback())
	for name, paths := range map[string][2]string{
		"as it came":                  {other.callback(), strings.Replace(other.callback(), other.url, s.url, 1)},
		"with the other tenant's app": {other.callback(), s.callback()},
	} {
		t.Run(name, func(t *testing.T) {
			alice := other.browser(t, "alice") // the cookies of both servers are hers: a port makes no other site
			req := mustAsk(t, other.agent(t, "alice"))
			back := testop.NewPerson(t, "mallory").Authorize(t, alice.confirm(t, req)).String()
			asked := s.tokenRequests(t)
			s.wantRefused(t, alice.open(t, strings.Replace(back, paths[0], paths[1], 1)), "state_invalid", asked)
			if n := len(other.connectionsOf(t, "alice")); n != 0 {
				t.Errorf("%d connections were stored at the other tenant", n)
			}
			// The state was taken: it is of no use at its own tenant any more.
			if end := alice.open(t, back); !strings.HasSuffix(end.url, "code=state_invalid") {
				t.Errorf("a state that was seen elsewhere led to %s", end.url)
			}
		})
	}
	if got := s.events(t, tokenvault.EventConnectRefused); !slices.Equal(got, []string{"tenant", "tenant"}) {
		t.Errorf("audited as %q", got)
	}
}

// callback is the site's callback URL.
func (s *site) callback() string { return s.url + s.Mount() + "/oauth/callback/" + s.AppID("", "idp") }

// C11: an attacker's code in the victim's flow: the verifier does not fit, and the
// state is used up.
func TestC11AnAttackersCodeConnectsNothing(t *testing.T) {
	s := strict(t, testop.Options{})
	req := mustAsk(t, s.agent(t, "alice"))
	alice, mallory := s.browser(t, "alice"), s.browser(t, "mallory")
	hers := testop.NewPerson(t, "alice").Authorize(t, alice.confirm(t, req))
	theirs := testop.NewPerson(t, "mallory").Authorize(t, mallory.confirm(t, mustAsk(t, s.agent(t, "mallory"))))
	swapped, q := *hers, hers.Query()
	q.Set("code", theirs.Query().Get("code"))
	swapped.RawQuery = q.Encode()
	if end := alice.open(t, swapped.String()); !strings.Contains(end.url, "error=provider_error") {
		t.Errorf("the attacker's code led to %s", end.url)
	}
	s.wantRefused(t, alice.open(t, hers.String()), "state_invalid", s.tokenRequests(t))
}

// C13: what a request says about its host changes no URL.
func TestC13TheCallbackIsConfigured(t *testing.T) {
	s := strict(t, testop.Options{})
	req, alice := mustAsk(t, s.agent(t, "alice")), s.browser(t, "alice")
	left := alice.send(t, http.MethodPost, req.ConnectURL+"/confirm", nil, func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Host = "evil.example"
		for _, name := range []string{"X-Forwarded-Host", "X-Original-Host", "X-Forwarded-Server", "Forwarded"} {
			r.Header.Set(name, "host=evil.example")
		}
	})
	if link := linkPattern.FindStringSubmatch(left.text); link != nil {
		if !strings.Contains(link[1], url.QueryEscape(s.callback())) {
			t.Errorf("the way to the provider names another callback: %s", link[1])
		}
	} else if left.status < 400 {
		t.Errorf("status %d: %s", left.status, left.text)
	}
	if strings.Contains(left.text, "evil") {
		t.Errorf("the page names the host of the request: %s", left.text)
	}
}

// C23: alice reconnects as bob: that is refused, hers is kept, and the grant of his
// is ended at the provider.
func TestC23AnotherAccountIsRefusedAndEnded(t *testing.T) {
	s := strict(t, testop.Options{})
	agent := s.connected(t)
	before := s.connection(t)
	more := ask()
	more.Scopes = []string{"email", "profile"}
	_, err := agent.Resolve(t.Context(), more)
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok || required.Request.Reason != tokenvault.ReasonInsufficientScope {
		t.Fatalf("err = %v, want insufficient_scope", err)
	}
	if end := s.browser(t, "alice").connect(t, required.Request, "bob"); !strings.Contains(end.url, "error=account_mismatch") {
		t.Errorf("connecting bob's account led to %s", end.url)
	}
	if now := s.connection(t); now.Account.ID != "alice" || now.Version != before.Version || now.Status != tokenvault.ConnectionActive {
		t.Errorf("connection: %+v", now)
	}
	if n := s.op.Stats(t)["POST /token/revocation"]; n != 1 {
		t.Errorf("%d grants were ended at the provider, want bob's", n)
	}
	mustResolve(t, agent)
}

// C24: whoever does not agree does not leave the agent hanging.
func TestC24ARefusalAndAClosedWindowEndTheWait(t *testing.T) {
	for want, tc := range map[tokenvault.AuthRequestStatus]struct {
		ttl string
		act func(t *testing.T, s *site, req tokenvault.AuthRequest)
	}{
		tokenvault.AuthDeclined: {"1h", func(t *testing.T, s *site, req tokenvault.AuthRequest) {
			t.Helper()
			alice := s.browser(t, "alice")
			left, err := url.Parse(alice.confirm(t, req))
			if err != nil {
				t.Fatal(err)
			}
			q := url.Values{"error": {"access_denied"}, "error_description": {"<script>"}, "state": {left.Query().Get("state")}, "iss": {s.op.Issuer}}
			if end := alice.open(t, s.callback()+"?"+q.Encode()); strings.Contains(end.text, "<script>") {
				t.Errorf("the page shows what the provider says: %s", end.text)
			}
		}},
		tokenvault.AuthExpired: {"1s", func(t *testing.T, s *site, req tokenvault.AuthRequest) {
			t.Helper()
			s.browser(t, "alice").confirm(t, req) // and the window is closed
		}},
	} {
		t.Run(string(want), func(t *testing.T) {
			s := strict(t, testop.Options{}, "--auth-request-ttl="+tc.ttl)
			_, err := s.agent(t, "alice").ResolveWait(t.Context(), ask(), func(req tokenvault.AuthRequest) { tc.act(t, s, req) })
			if required, ok := errors.AsType[*tokenvault.AuthRequiredError](err); !ok || required.Request.Status != want {
				t.Errorf("the agent got %v, want a request that is %s", err, want)
			}
		})
	}
}

// Whoever opens the address that the server prints finds their accounts.
func TestTheRootLeadsToTheAccounts(t *testing.T) {
	s := strict(t, testop.Options{})
	shown := s.browser(t, "alice").open(t, s.url+"/")
	if shown.status != http.StatusOK || shown.url != s.url+"/connect/accounts" {
		t.Errorf("the root leads to %s, status %d", shown.url, shown.status)
	}
}
