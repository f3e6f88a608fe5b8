package oauth2flow_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
	"github.com/ai-token-vault/tokenvault/internal/testop"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

func device(t *testing.T) *bench {
	t.Helper()
	op := testop.Start(t, testop.Options{AccessTTL: "3600"})
	return benchOf(op, tokenvault.OAuth2{
		AuthorizationURL: op.Issuer + "/auth", TokenURL: op.Issuer + "/token", DeviceAuthorizationURL: op.Issuer + "/device/auth",
		RevocationURL: op.Issuer + "/token/revocation", UserInfoURL: op.Issuer + "/me", JWKSURL: op.Issuer + "/jwks",
		AlwaysScopes: []string{"openid", "offline_access"},
	}, "vault-device", "secret-of-vault-device-5a1f8b6c20")
}

// A deviceVault is a vault that allows device authorization, on a clock that moves
// when told to.
type deviceVault struct {
	*vault
	ahead *atomic.Int64
}

func newDeviceVault(t *testing.T) *deviceVault {
	t.Helper()
	v := &deviceVault{ahead: &atomic.Int64{}}
	store := memory.New(&memory.Options{Clock: func() time.Time { return time.Now().Add(time.Duration(v.ahead.Load())) }})
	v.vault = device(t).vault(t, store, func(o *tokenvault.Options) { o.DeviceAuthorization = []string{"test"} })
	return v
}

func (v *deviceVault) advance(d time.Duration) { v.ahead.Add(int64(d)) }

// start asks as alice's agent and confirms as alice.
func (v *deviceVault) start(t *testing.T) (tokenvault.AuthRequest, tokenvault.Device) {
	t.Helper()
	asked := v.ask(t, "email")
	plan, err := v.PlanConnect(t.Context(), aliceUser, asked.ID)
	if err != nil || plan.Way != tokenvault.WayDevice {
		t.Fatalf("way %s, %v", plan.Way, err)
	}
	d, err := v.StartDevice(t.Context(), aliceUser, tokenvault.StartConnect{AuthRequestID: asked.ID, ReturnURL: "/done"})
	if err != nil {
		t.Fatal(err)
	}
	return asked, d
}

func (v *deviceVault) poll(t *testing.T, actor tokenvault.Actor, id string, d tokenvault.Device) (tokenvault.Polled, error) {
	t.Helper()
	return v.PollDevice(t.Context(), actor, tokenvault.PollDevice{AuthRequestID: id, Attempt: d.Attempt, Browser: d.CookieValue})
}

// waits polls when it is due, and fails unless the code still waits.
func (v *deviceVault) waits(t *testing.T, id string, d tokenvault.Device, interval time.Duration) {
	t.Helper()
	polled, err := v.poll(t, aliceUser, id, d)
	if err != nil || polled.Device == nil || polled.Device.UserCode != d.UserCode || polled.Device.VerificationURL != d.VerificationURL || polled.Device.Interval != interval {
		t.Fatalf("poll: %+v, %v, want the code again, every %s", polled.Device, err, interval)
	}
}

func (v *deviceVault) asked(t *testing.T) int {
	t.Helper()
	return v.op.Stats(t)["POST /token"]
}

func TestDeviceAuthorization(t *testing.T) {
	v := newDeviceVault(t)
	asked, d := v.start(t)
	if d.VerificationURL != v.op.Issuer+"/device" || len(d.UserCode) != 9 || d.Interval != 5*time.Second || d.CookieMaxAge > 10*time.Minute {
		t.Errorf("device: %+v", d)
	}
	v.waits(t, asked.ID, d, 5*time.Second)
	if n := v.asked(t); n != 0 {
		t.Errorf("the provider was asked %d times before the interval was over", n)
	}
	v.advance(5 * time.Second)
	v.waits(t, asked.ID, d, 5*time.Second) // authorization_pending
	v.waits(t, asked.ID, d, 5*time.Second) // too early: it is not asked
	if n := v.asked(t); n != 1 {
		t.Errorf("the provider was asked %d times, want once", n)
	}

	testop.NewPerson(t, "alice-at-idp").EnterCode(t, d.VerificationURL, d.UserCode, true)
	v.advance(5 * time.Second)
	polled, err := v.poll(t, aliceUser, asked.ID, d)
	if err != nil || polled.Request.Status != tokenvault.AuthConnected || polled.Device != nil || polled.ReturnURL != "/done" {
		t.Fatalf("poll: %+v, %v", polled, err)
	}
	access, err := v.resolve(t, "email")
	first := token(t, access, err)
	if c := access.Connection(); c.Account.ID != "alice-at-idp" || c.Account.Label != "alice-at-idp@example.test" {
		t.Errorf("account: %+v", c.Account)
	}
	access, err = access.Rejected(t.Context()) // it has a refresh token, like any other
	if token(t, access, err) == first {
		t.Error("the token was not renewed")
	}
	if _, err := v.poll(t, aliceUser, asked.ID, d); !errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("a settled request: %v, want ErrConflict", err)
	}
}

func TestC25AnotherUserCannotFinishADeviceFlow(t *testing.T) {
	v := newDeviceVault(t)
	asked, d := v.start(t)
	testop.NewPerson(t, "victim").EnterCode(t, d.VerificationURL, d.UserCode, true)
	v.advance(5 * time.Second)
	backend := tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "helper", Owner: alice}
	for name, tc := range map[string]struct {
		actor tokenvault.Actor
		want  error
	}{
		"another user": {bobUser, tokenvault.ErrNotFound}, "a visitor": {visitor, tokenvault.ErrDenied},
		"the agent": {aliceAgent, tokenvault.ErrDenied}, "a back end": {backend, tokenvault.ErrDenied},
	} {
		if _, err := v.poll(t, tc.actor, asked.ID, d); !errors.Is(err, tc.want) {
			t.Errorf("%s: err = %v, want %v", name, err, tc.want)
		}
	}
	// Another user cannot take the attempt to a request of their own, and the same
	// user cannot finish it in another browser.
	other, err := v.RequestConnect(t.Context(), bobUser, tokenvault.ConnectRequest{ProviderID: v.provider})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.poll(t, bobUser, other.ID, d); !errors.Is(err, tokenvault.ErrStateInvalid) {
		t.Errorf("another user's request: %v, want ErrStateInvalid", err)
	}
	mine, err := v.RequestConnect(t.Context(), aliceUser, tokenvault.ConnectRequest{ProviderID: v.provider})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.poll(t, aliceUser, mine.ID, d); !errors.Is(err, tokenvault.ErrStateInvalid) {
		t.Errorf("another request of the same user: %v, want ErrStateInvalid", err)
	}
	elsewhere := d
	elsewhere.CookieValue = tokenvault.NewSecret("another browser")
	if _, err := v.poll(t, aliceUser, asked.ID, elsewhere); !errors.Is(err, tokenvault.ErrStateInvalid) {
		t.Errorf("another browser: %v, want ErrStateInvalid", err)
	}
	if n := v.asked(t); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
	for _, person := range []tokenvault.Actor{bobUser, visitor, aliceAgent} {
		if _, err := v.StartDevice(t.Context(), person, tokenvault.StartConnect{AuthRequestID: asked.ID}); err == nil {
			t.Errorf("%s began an attempt", person.Kind)
		}
	}
	if _, err := v.PlanConnect(t.Context(), visitor, asked.ID); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("a visitor's plan: %v, want ErrUnauthenticated", err)
	}
}

func TestC25SlowDownGrowsTheInterval(t *testing.T) {
	v := newDeviceVault(t)
	asked, d := v.start(t)
	want := 5 * time.Second
	for _, mode := range []string{"oauth_error:slow_down", "status:503", "drop_after_commit"} {
		v.op.Fault(t, "/token", mode, 1)
		v.advance(want)
		want += 5 * time.Second
		v.waits(t, asked.ID, d, want)
	}
	before := v.asked(t)
	v.advance(want - 5*time.Second)
	v.waits(t, asked.ID, d, want)
	if n := v.asked(t) - before; n != 0 {
		t.Errorf("the provider was asked %d times before the longer interval was over", n)
	}
	v.advance(5 * time.Second)
	v.waits(t, asked.ID, d, want)
	if n := v.asked(t) - before; n != 1 {
		t.Errorf("the provider was asked %d times, want once", n)
	}
}

func TestARefusalAtTheProviderDeclines(t *testing.T) {
	v := newDeviceVault(t)
	asked, d := v.start(t)
	testop.NewPerson(t, "alice").EnterCode(t, d.VerificationURL, d.UserCode, false)
	v.advance(5 * time.Second)
	polled, err := v.poll(t, aliceUser, asked.ID, d)
	if err != nil || polled.Request.Status != tokenvault.AuthDeclined {
		t.Errorf("poll: %s, %v, want declined", polled.Request.Status, err)
	}
}

func TestADeviceAttemptEnds(t *testing.T) {
	v := newDeviceVault(t)
	asked, d := v.start(t)
	for mode, want := range map[string]error{"oauth_error:expired_token": tokenvault.ErrExpired, "oauth_error:invalid_grant": nil} {
		v.op.Fault(t, "/token", mode, 1)
		v.advance(5 * time.Second)
		_, err := v.poll(t, aliceUser, asked.ID, d)
		if failed, ok := errors.AsType[*tokenvault.ProviderError](err); want != nil && !errors.Is(err, want) || want == nil && (!ok || failed.Transient) {
			t.Errorf("%s: err = %v", mode, err)
		}
		if _, err := v.poll(t, aliceUser, asked.ID, d); !errors.Is(err, tokenvault.ErrStateInvalid) {
			t.Errorf("%s: the attempt goes on: %v", mode, err)
		}
		// The request is open, and another attempt may fulfil it.
		if d, err = v.StartDevice(t.Context(), aliceUser, tokenvault.StartConnect{AuthRequestID: asked.ID}); err != nil {
			t.Fatal(err)
		}
	}
	v.advance(d.CookieMaxAge)
	if _, err := v.poll(t, aliceUser, asked.ID, d); !errors.Is(err, tokenvault.ErrStateInvalid) {
		t.Errorf("after its time: %v, want ErrStateInvalid", err)
	}
}

func TestDeviceAuthorizationIsOffByDefault(t *testing.T) {
	b := device(t)
	v := b.vault(t, memory.New(nil))
	asked := v.ask(t)
	if plan, err := v.PlanConnect(t.Context(), aliceUser, asked.ID); err != nil || plan.Way != tokenvault.WayRedirect {
		t.Errorf("way %s, %v, want a redirect", plan.Way, err)
	}
	if _, err := v.StartDevice(t.Context(), aliceUser, tokenvault.StartConnect{AuthRequestID: asked.ID}); !errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("StartDevice: %v, want ErrConflict", err)
	}
	b.provider.OAuth2.DeviceAuthorizationURL = ""
	cat, err := tokenvault.NewCatalog(b.provider)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"test", "canary"} {
		_, err := tokenvault.New(memory.New(nil), nil, cat, &tokenvault.Options{DeviceAuthorization: []string{id}})
		if field, ok := errors.AsType[*tokenvault.FieldError](err); !ok || field.Field != "deviceAuthorization" || strings.Contains(err.Error(), "canary") {
			t.Errorf("allowing a provider without the endpoint: %v", err)
		}
	}
}

// What a provider answers is shown to a person, who is sent there: it must be fit
// for that.
func TestOddDeviceAnswersAreRefused(t *testing.T) {
	var answer atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, answer.Load())
	}))
	defer server.Close()
	flow := oauth2flow.New(&oauth2flow.Options{Allow: []string{strings.TrimPrefix(server.URL, "http://")}})
	in := tokenvault.GrantInput{Provider: tokenvault.Provider{ID: "test", OAuth2: &tokenvault.OAuth2{DeviceAuthorizationURL: server.URL}}}
	const good = `{"device_code":"d","user_code":"WDJB-MJHT","verification_uri":"https://idp.example/device","expires_in":1800,"interval":7}`
	answer.Store(good)
	code, err := flow.BeginDevice(t.Context(), in)
	if err != nil || code.Interval != 7*time.Second || code.ExpiresIn != 30*time.Minute {
		t.Fatalf("BeginDevice: %+v, %v", code, err)
	}
	for _, change := range [][2]string{
		{"https://idp", "javascript://idp"},
		{"https://idp", "http://idp"},
		{"https://idp.example/device", "/device"},
		{"https://", "https://me:canary@"},
		{"WDJB-MJHT", ""},
		{"WDJB-MJHT", strings.Repeat("x", 65)},
		{"WDJB-MJHT", `a\u202eb`},
		{`"d"`, `""`},
		{"1800", "0"},
		{`"d"`, "7"},
		{"}", ""},
		{"{", `{"error":"canary",`},
		{good, "[]"},
		{good, ""},
	} {
		answer.Store(strings.Replace(good, change[0], change[1], 1))
		_, err := flow.BeginDevice(t.Context(), in)
		if _, ok := errors.AsType[*tokenvault.ProviderError](err); !ok || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v: err = %v, want a ProviderError", change, err)
		}
	}
	for text, want := range map[string]time.Duration{"0": time.Second, "-1": time.Second, "86400": time.Minute, `"9"`: 9 * time.Second} {
		answer.Store(strings.Replace(good, "7}", text+"}", 1))
		if code, err := flow.BeginDevice(t.Context(), in); err != nil || code.Interval != want {
			t.Errorf("interval %s: %s, %v, want %s", text, code.Interval, err, want)
		}
	}
}

func TestADeviceFlowIsAudited(t *testing.T) {
	v := newDeviceVault(t)
	asked, d := v.start(t)
	d.CookieValue = tokenvault.NewSecret("another browser")
	if _, err := v.poll(t, aliceUser, asked.ID, d); err == nil {
		t.Fatal("another browser polls")
	}
	events, err := v.Events(t.Context(), admin, tokenvault.EventQuery{Page: tokenvault.Page{Limit: 100}})
	if err != nil {
		t.Fatal(err)
	}
	has := func(kind tokenvault.EventKind, detail string) bool {
		return slices.ContainsFunc(events, func(e tokenvault.Event) bool {
			return e.Kind == kind && e.Detail == detail && e.AuthRequestID == asked.ID
		})
	}
	if !has(tokenvault.EventConnectStarted, "") || !has(tokenvault.EventConnectRefused, "browser") {
		t.Errorf("events: %+v", events)
	}
}
