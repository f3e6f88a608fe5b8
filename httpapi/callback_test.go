package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func TestTheCallbackLeadsToThePageOfTheRequest(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct{ returnURL, want string }{
		{"", origin + "/connect/{id}"},
		{"/settings?tab=accounts", origin + "/settings?authRequestId={id}&status=connected&tab=accounts"},
		{"https://app.example/done?x=1", "https://app.example/done?authRequestId={id}&status=connected&x=1"},
	} {
		req, err := r.RequestConnect(t.Context(), person("alice"), tokenvault.ConnectRequest{ProviderID: "mail"})
		if err != nil {
			t.Fatal(err)
		}
		res := r.back("alice", r.leave(t, "alice", req.ID, tc.returnURL), "code=code-canary")
		if want := strings.ReplaceAll(tc.want, "{id}", req.ID); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want {
			t.Errorf("status %d, led to %s, want %s", res.StatusCode, res.Header.Get("Location"), want)
		}
		if set := res.Header.Get("Set-Cookie"); !strings.Contains(set, "Max-Age=0") || !strings.HasPrefix(set, "__Host-tv_attempt_") {
			t.Errorf("the attempt's cookie is kept: %s", set)
		}
	}
}

// Every way in which a return can be wrong ends at a page that says so, with
// nothing exchanged and nothing of what the provider wrote passed on.
func TestAWrongReturnLeadsToAnError(t *testing.T) {
	const canary = "canary-of-the-provider"
	for name, tc := range map[string]struct {
		user, query string
		change      func(*sent)
		code        string
		known       bool // the request is told, as the return belonged to the user
	}{
		"signed out":       {user: "", query: "code=" + canary, code: "signed_out"},
		"another user":     {user: "eve", query: "code=" + canary, code: "state_invalid"},
		"without cookie":   {user: "alice", query: "code=" + canary, change: func(s *sent) { s.cookie = nil }, code: "state_invalid"},
		"wrong cookie":     {user: "alice", query: "code=" + canary, change: func(s *sent) { s.cookie.Value = canary }, code: "state_invalid"},
		"foreign state":    {user: "alice", query: "code=" + canary, change: func(s *sent) { s.state = canary }, code: "state_invalid"},
		"no state":         {user: "alice", query: "code=" + canary, change: func(s *sent) { s.state = "" }, code: "state_invalid"},
		"state twice":      {user: "alice", query: "state=other&code=" + canary, code: "state_invalid"},
		"code twice":       {user: "alice", query: "code=a&code=" + canary, code: "state_invalid"},
		"no code":          {user: "alice", query: "x=" + canary, code: "state_invalid"},
		"issuer twice":     {user: "alice", query: "iss=https://evil.example&code=" + canary, code: "state_invalid"},
		"provider's error": {user: "alice", query: "error=server_error&error_description=" + canary, code: "provider_error", known: true},
		"unknown error":    {user: "alice", query: "error=" + canary, code: "provider_error", known: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			req := r.ask(t, "alice")
			s := r.leave(t, "alice", req.ID, "")
			if tc.change != nil {
				tc.change(&s)
			}
			res := r.back(tc.user, s, tc.query)
			want := origin + "/connect/error?code=" + tc.code
			if tc.known {
				want = origin + "/connect/" + req.ID + "?error=" + tc.code
			}
			if got := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || got != want {
				t.Errorf("status %d, led to %s, want %s", res.StatusCode, got, want)
			}
			if strings.Contains(res.text, canary) {
				t.Errorf("body: %s", res.text)
			}
			if r.flow.exchanges.Load() != 0 {
				t.Error("a code was exchanged")
			}
		})
	}
}

func TestAReplayedReturnIsRefused(t *testing.T) {
	r := newRig(t)
	req := r.ask(t, "alice")
	s := r.leave(t, "alice", req.ID, "")
	r.back("alice", s, "code=code")
	if got := r.back("alice", s, "code=code").Header.Get("Location"); got != origin+"/connect/error?code=state_invalid" {
		t.Errorf("led to %s", got)
	}
	if n := r.flow.exchanges.Load(); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

func TestAProviderThatIsDownLeavesTheRequestOpen(t *testing.T) {
	r := newRig(t)
	r.flow.err = &tokenvault.ProviderError{ProviderID: "mail", Op: "exchange", Transient: true}
	req := r.ask(t, "alice")
	res := r.back("alice", r.leave(t, "alice", req.ID, ""), "code=code")
	if got := res.Header.Get("Location"); got != origin+"/connect/"+req.ID+"?error=provider_error" {
		t.Errorf("led to %s", got)
	}
	if now, err := r.AuthRequest(t.Context(), person("alice"), req.ID); err != nil || now.Status != tokenvault.AuthPending {
		t.Errorf("status %s, %v", now.Status, err)
	}
}

// C13: what a request says about its host changes no URL.
func TestC13TheHostHeaderChangesNoURL(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-URL"} {
		poison := func(req *http.Request) {
			req.Header.Set(name, "evil.example")
			if name == "Host" {
				req.Host = "evil.example"
			}
		}
		res := r.as("root", "POST", "/oauth-config", `{"providerId":"mail","clientId":"client"}`, poison)
		res.want(t, http.StatusOK, "")
		if got, _ := res.json(t, "redirectUrl").(string); !strings.HasPrefix(got, origin+r.Mount()+"/oauth/callback/") {
			t.Errorf("%s: callback %s", name, got)
		}
		if got := r.as("alice", "GET", "/oauth/authorize?providerId=mail", "", poison).Header.Get("Location"); got != origin+"/connect/new?providerId=mail" {
			t.Errorf("%s: authorize leads to %s", name, got)
		}
		paused := r.with(r.agentKey(t, "zoe"), "POST", "/v1/credentials/mail/resolve", `{}`, poison)
		if got, _ := paused.json(t, "authRequest.connectUrl").(string); !strings.HasPrefix(got, origin+"/connect/") {
			t.Errorf("%s: connect URL %s", name, got)
		}
	}
}

// C5: a state whose time is over is like one that never was, in the browser too.
func TestC5AStateAfterItsTimeLeadsToAnError(t *testing.T) {
	r := newRig(t, func(o *tokenvault.Options) { o.AttemptTTL = time.Nanosecond })
	left := r.leave(t, "alice", r.ask(t, "alice").ID, "")
	res := r.back("alice", left, "code=code")
	if got := res.Header.Get("Location"); got != origin+"/connect/error?code=state_invalid" {
		t.Errorf("the return led to %q", got)
	}
	if n := r.flow.exchanges.Load(); n != 0 {
		t.Errorf("%d codes were exchanged", n)
	}
}
