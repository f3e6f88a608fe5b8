package oauth2flow_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// under test: a flow against one running provider.
type bench struct {
	flow     *oauth2flow.Flow
	op       *testop.OP
	provider tokenvault.Provider
	client   tokenvault.Client
}

func strict(t *testing.T) *bench {
	t.Helper()
	op := testop.Start(t, testop.Options{AccessTTL: "30"})
	return benchOf(op, tokenvault.OAuth2{
		AuthorizationURL: op.Issuer + "/auth", TokenURL: op.Issuer + "/token", RevocationURL: op.Issuer + "/token/revocation",
		UserInfoURL: op.Issuer + "/me", JWKSURL: op.Issuer + "/jwks", IssRequired: true,
		AuthorizationParams: map[string]string{"prompt": "consent"}, AlwaysScopes: []string{"openid", "offline_access"},
	}, "vault-basic", "secret-of-vault-basic-7f3a9c51d2")
}

func benchOf(op *testop.OP, o tokenvault.OAuth2, id, secret string) *bench {
	o.Issuer = op.Issuer
	hostPort := strings.TrimPrefix(op.Issuer, "http://")
	return &bench{
		flow: oauth2flow.New(&oauth2flow.Options{Allow: []string{hostPort}}), op: op,
		provider: tokenvault.Provider{ID: "test", Name: "Test", AuthMethod: tokenvault.AuthOAuth2, Hosts: []string{hostPort}, OAuth2: &o},
		client:   tokenvault.Client{AppID: "app_1", ID: id, Secret: tokenvault.NewSecret(secret)},
	}
}

// begin walks to the callback as the person and returns what Complete needs.
func (b *bench) begin(t *testing.T, name string) tokenvault.CompleteInput {
	t.Helper()
	step, err := b.flow.Begin(t.Context(), tokenvault.BeginInput{
		Provider: b.provider, Client: b.client, RedirectURL: testop.Callback, State: tokenvault.NewSecret("state-1"), Scopes: []string{"email"},
	})
	if err != nil {
		t.Fatal(err)
	}
	q := testop.NewPerson(t, name).Authorize(t, step.URL).Query()
	if q.Get("state") != "state-1" {
		t.Errorf("state = %q", q.Get("state"))
	}
	return tokenvault.CompleteInput{
		Provider: b.provider, Client: b.client, RedirectURL: testop.Callback, Private: step.Private,
		Code: tokenvault.NewSecret(q.Get("code")), Iss: q.Get("iss"), Scopes: []string{"email"},
	}
}

func (b *bench) connect(t *testing.T) tokenvault.Completed {
	t.Helper()
	done, err := b.flow.Complete(t.Context(), b.begin(t, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func (b *bench) refresh(ctx context.Context, c tokenvault.Credential) tokenvault.RefreshOutcome {
	return b.flow.Refresh(ctx, tokenvault.RefreshInput{Provider: b.provider, Client: b.client, Credential: c})
}

func TestConnectRefreshRevokeAtAStrictProvider(t *testing.T) {
	b := strict(t)
	done := b.connect(t)
	if done.Account.ID != "alice" || done.Account.Label != "alice@example.test" {
		t.Errorf("account = %+v", done.Account)
	}
	if done.ExpiresIn != 30*time.Second || done.Credential.RefreshToken.IsZero() || done.Credential.TokenURL != b.op.Issuer+"/token" {
		t.Errorf("completed = %+v", done)
	}
	next, ok := b.refresh(t.Context(), done.Credential).(tokenvault.Rotated)
	if !ok || next.Credential.RefreshToken.Reveal() == done.Credential.RefreshToken.Reveal() {
		t.Fatalf("refresh = %T", next)
	}
	if err := b.flow.RevokeGrant(t.Context(), tokenvault.RefreshInput{Provider: b.provider, Client: b.client, Credential: next.Credential}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a grant that is gone is no error
		if err := b.flow.RevokeGrant(t.Context(), tokenvault.RefreshInput{Provider: b.provider, Client: b.client, Credential: next.Credential}); err != nil {
			t.Errorf("revoking twice: %v", err)
		}
	}
	if out, ok := b.refresh(t.Context(), next.Credential).(tokenvault.Rejected); !ok || out.Err.Code != "invalid_grant" {
		t.Errorf("refresh after revocation = %#v", out)
	}
}

func TestC11ACodeOfAnotherAttemptIsNotExchanged(t *testing.T) {
	b := strict(t)
	victim, attacker := b.begin(t, "victim"), b.begin(t, "attacker")
	victim.Code = attacker.Code
	_, err := b.flow.Complete(t.Context(), victim)
	if failed, ok := errors.AsType[*tokenvault.ProviderError](err); !ok || failed.Code != "invalid_grant" {
		t.Errorf("err = %v, want invalid_grant", err)
	}
}

func TestAResponseOfAnotherIssuerIsNotExchanged(t *testing.T) {
	b := strict(t)
	for _, iss := range []string{"", "https://evil.example", b.op.Issuer + "/"} {
		in := b.begin(t, "alice")
		in.Iss = iss
		if _, err := b.flow.Complete(t.Context(), in); !errors.Is(err, tokenvault.ErrStateInvalid) {
			t.Errorf("iss %q: err = %v, want ErrStateInvalid", iss, err)
		}
	}
	if n := b.op.Stats(t)["POST /token"]; n != 0 {
		t.Errorf("%d requests reached the token endpoint", n)
	}
}

func TestRefreshFailuresAreSorted(t *testing.T) {
	b := strict(t)
	cred := b.connect(t).Credential
	for _, mode := range []string{"status:503", "status:429", "html200"} {
		b.op.Fault(t, "/token", mode, 1)
		if out, ok := b.refresh(t.Context(), cred).(tokenvault.Transient); !ok || !out.Err.Transient {
			t.Errorf("%s: %#v, want Transient", mode, out)
		}
	}
	b.op.Fault(t, "/token", "error200", 1)
	if out, ok := b.refresh(t.Context(), cred).(tokenvault.Rejected); !ok || out.Err.Code != "bad_refresh_token" {
		t.Errorf("error at status 200: %#v, want Rejected", out)
	}
	next, ok := b.refresh(t.Context(), cred).(tokenvault.Rotated)
	if !ok {
		t.Fatalf("none of these spent the grant: %#v", next)
	}
	b.op.Fault(t, "/token", "drop_after_commit", 1)
	if out, ok := b.refresh(t.Context(), next.Credential).(tokenvault.Uncertain); !ok {
		t.Errorf("lost reply: %#v, want Uncertain", out)
	}
	if out, ok := b.refresh(t.Context(), next.Credential).(tokenvault.Rejected); !ok {
		t.Errorf("after a lost reply a strict provider rejects: %#v", out)
	}
}

func TestATruncatedAnswerIsUncertain(t *testing.T) {
	b := strict(t)
	cred := b.connect(t).Credential
	b.op.Fault(t, "/token", "truncated", 1)
	if out, ok := b.refresh(t.Context(), cred).(tokenvault.Uncertain); !ok {
		t.Errorf("%#v, want Uncertain", out)
	}
}

func TestARefreshIsSentOnce(t *testing.T) {
	b := strict(t)
	cred := b.connect(t).Credential
	before := b.op.Stats(t)["POST /token"]
	b.op.Fault(t, "/token", "drop_after_commit", 1)
	b.refresh(t.Context(), cred)
	if n := b.op.Stats(t)["POST /token"] - before; n != 1 {
		t.Errorf("the refresh token was sent %d times", n)
	}
}

func TestNothingSentIsTransient(t *testing.T) {
	b := strict(t)
	cred := b.connect(t).Credential
	b.op.Kill()
	b.flow = oauth2flow.New(&oauth2flow.Options{Allow: b.provider.Hosts}) // without a connection that is open still
	if out, ok := b.refresh(t.Context(), cred).(tokenvault.Transient); !ok {
		t.Errorf("%#v, want Transient", out)
	}
}

func TestATokenEndpointThatChangedGetsNothing(t *testing.T) {
	b := strict(t)
	cred := b.connect(t).Credential
	cred.TokenURL = "https://honest.example/token"
	before := b.op.Stats(t)["POST /token"]
	if out, ok := b.refresh(t.Context(), cred).(tokenvault.Rejected); !ok || out.Err.Code != "token_endpoint_changed" {
		t.Errorf("%#v, want Rejected", out)
	}
	if b.op.Stats(t)["POST /token"] != before {
		t.Error("the refresh token was sent to another endpoint")
	}
}

func TestAnUnallowedPrivateProviderIsNotReached(t *testing.T) {
	b := strict(t)
	cred := b.connect(t).Credential
	b.flow = oauth2flow.New(nil)
	out, ok := b.refresh(t.Context(), cred).(tokenvault.Transient)
	if !ok || !strings.Contains(out.Err.Error(), "allow exactly this host:port") {
		t.Errorf("%#v, want a refusal that says what to do", out)
	}
}

func TestASecondIndependentProvider(t *testing.T) {
	op := testop.StartZitadel(t)
	b := benchOf(op, tokenvault.OAuth2{
		AuthorizationURL: op.Issuer + "/auth", TokenURL: op.Issuer + "/oauth/token", RevocationURL: op.Issuer + "/revoke",
		UserInfoURL: op.Issuer + "/userinfo", JWKSURL: op.Issuer + "/keys", AlwaysScopes: []string{"openid", "offline_access"},
	}, "web", "secret")
	done := b.connect(t)
	if done.Account.ID == "" || done.Credential.RefreshToken.IsZero() {
		t.Errorf("completed = %+v", done)
	}
	if out, ok := b.refresh(t.Context(), done.Credential).(tokenvault.Rotated); !ok {
		t.Errorf("refresh = %#v", out)
	}
}

// Every way in which a provider misbehaves at its token endpoint has one outcome.
func TestEveryMisbehaviourHasAnOutcome(t *testing.T) {
	op := testop.StartMock(t)
	b := benchOf(op, tokenvault.OAuth2{AuthorizationURL: op.Issuer + "/authorize", TokenURL: op.Issuer + "/token"}, "client", "canary-client-secret")
	cred := tokenvault.Credential{Issuer: op.Issuer, TokenURL: op.Issuer + "/token", RefreshToken: tokenvault.NewSecret("canary-refresh-token")}
	outcomes := map[string]func(tokenvault.RefreshOutcome) bool{
		"no_expires_in":       expires(0),
		"expires_in_string":   expires(time.Hour),
		"expires_in_huge":     expires(400 * 24 * time.Hour),
		"expires_in_negative": expires(0),
		"no_token_type":       rotates(func(tokenvault.Rotated) bool { return true }),
		"scope_array":         rotates(func(r tokenvault.Rotated) bool { return strings.Join(r.Scopes, " ") == "a b" }),
		"scope_downgrade":     rotates(func(r tokenvault.Rotated) bool { return strings.Join(r.Scopes, " ") == "read" }),
		"no_refresh_token":    rotates(func(r tokenvault.Rotated) bool { return r.Credential.RefreshToken.IsZero() }),
		"rotate":              rotates(func(r tokenvault.Rotated) bool { return r.Credential.RefreshToken.Reveal() == "rt-1" }),
		"invalid_grant":       isRejected,
		"error200":            isRejected,
		"slack_ok_false":      isRejected,
		"status_500":          isTransient,
		"status_429":          isTransient,
		"invalid_client":      isTransient,
		"secret_in_error":     isTransient,
		"token_8mb":           func(o tokenvault.RefreshOutcome) bool { _, ok := o.(tokenvault.Uncertain); return ok },
		"crlf_token":          isTransient,
	}
	for _, mode := range op.Modes(t).Token {
		want, ok := outcomes[mode]
		if !ok {
			t.Errorf("%s: no outcome is stated", mode)
			continue
		}
		op.Mode(t, mode)
		outcome := b.refresh(t.Context(), cred)
		if !want(outcome) {
			t.Errorf("%s: %T", mode, outcome)
		}
		if text := errorText(outcome); strings.Contains(text, "canary") {
			t.Errorf("%s: the error holds what was sent: %s", mode, text)
		}
	}
}

// An id_token that does not verify connects nobody.
func TestAMisbehavingIDTokenConnectsNobody(t *testing.T) {
	op := testop.StartMock(t)
	b := benchOf(op, tokenvault.OAuth2{
		AuthorizationURL: op.Issuer + "/authorize", TokenURL: op.Issuer + "/token", JWKSURL: op.Issuer + "/jwks", AlwaysScopes: []string{"openid"},
	}, "client", "canary-client-secret")
	op.Mode(t, "ok")
	if done := b.connect(t); done.Account.ID != "johndoe" {
		t.Fatalf("an id_token that is sound: %+v", done.Account)
	}
	modes := op.Modes(t).IDToken
	if len(modes) != 3 {
		t.Errorf("modes: %q, want 3", modes)
	}
	for _, mode := range modes {
		op.Mode(t, mode)
		_, err := b.flow.Complete(t.Context(), b.begin(t, "alice"))
		if failed, ok := errors.AsType[*tokenvault.ProviderError](err); !ok || failed.Op != "id_token" {
			t.Errorf("%s: err = %v, want one about the id_token", mode, err)
		}
	}
}

func expires(want time.Duration) func(tokenvault.RefreshOutcome) bool {
	return rotates(func(r tokenvault.Rotated) bool { return r.ExpiresIn == want })
}

func rotates(as func(tokenvault.Rotated) bool) func(tokenvault.RefreshOutcome) bool {
	return func(o tokenvault.RefreshOutcome) bool {
		r, ok := o.(tokenvault.Rotated)
		return ok && as(r)
	}
}

func isRejected(o tokenvault.RefreshOutcome) bool  { _, ok := o.(tokenvault.Rejected); return ok }
func isTransient(o tokenvault.RefreshOutcome) bool { _, ok := o.(tokenvault.Transient); return ok }

func errorText(o tokenvault.RefreshOutcome) string {
	switch o := o.(type) {
	case tokenvault.Rejected:
		return o.Err.Error()
	case tokenvault.Transient:
		return o.Err.Error()
	case tokenvault.Uncertain:
		return o.Err.Error()
	}
	return ""
}

func TestBeginBuildsTheAuthorizationURL(t *testing.T) {
	p := tokenvault.Provider{ID: "p", OAuth2: &tokenvault.OAuth2{
		AuthorizationURL: "https://auth.example/start?tenant=1", ScopeParam: "user_scope", ScopeSeparator: ",",
		AuthorizationParams: map[string]string{"access_type": "offline", "state": "overridden"},
	}}
	step, err := oauth2flow.New(nil).Begin(t.Context(), tokenvault.BeginInput{
		Provider: p, Client: tokenvault.Client{ID: "id"}, RedirectURL: "https://v.example/cb", State: tokenvault.NewSecret("s"), Scopes: []string{"a", "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(step.URL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, want := range map[string]string{
		"tenant": "1", "user_scope": "a,b", "access_type": "offline", "state": "s", "response_type": "code",
		"code_challenge_method": "S256", "redirect_uri": "https://v.example/cb", "scope": "", "nonce": "",
	} {
		if got := q.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if len(q.Get("code_challenge")) != 43 || strings.Contains(step.URL, step.Private.Reveal()) {
		t.Error("the code challenge is wrong, or the verifier is in the URL")
	}
}

func TestC21OnlyHTTPAuthorizationURLs(t *testing.T) {
	for _, target := range []string{"javascript:alert(1)", "file:///etc/passwd", "https:opaque", "//host/path", ""} {
		p := tokenvault.Provider{ID: "p", OAuth2: &tokenvault.OAuth2{AuthorizationURL: target}}
		if _, err := oauth2flow.New(nil).Begin(t.Context(), tokenvault.BeginInput{Provider: p}); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("%q: err = %v, want ErrInvalid", target, err)
		}
	}
}
