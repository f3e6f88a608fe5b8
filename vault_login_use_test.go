package tokenvault_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

func TestALoginIsCheckedWhenItIsOld(t *testing.T) {
	r := newLoginRig(t)
	r.connect(t)
	r.clock.advance(12*time.Hour - time.Second)
	r.state(t)
	if _, checks := r.flow.counts(); checks != 0 {
		t.Errorf("%d checks of a fresh login, want none", checks)
	}
	r.clock.advance(time.Second)
	if got := r.state(t); got != "captured-1+" {
		t.Errorf("state = %q, want what the service renewed", got)
	}
	r.state(t)
	if _, checks := r.flow.counts(); checks != 1 {
		t.Errorf("%d checks, want one", checks)
	}
}

func TestALoginThatIsSignedOutNeedsItsOwner(t *testing.T) {
	r := newLoginRig(t)
	connected := r.connect(t)
	r.clock.advance(12 * time.Hour)
	r.flow.check = func(int) tokenvault.RefreshOutcome {
		return tokenvault.Rejected{Err: &tokenvault.ProviderError{ProviderID: "bank", Op: "check"}}
	}
	req := r.ask(t)
	if req.Reason != tokenvault.ReasonExpired || req.ConnectionID != connected.ConnectionID {
		t.Errorf("asked for %s of %s, want expired of %s", req.Reason, req.ConnectionID, connected.ConnectionID)
	}
	list, err := r.Connections(t.Context(), aliceUser, tokenvault.Page{})
	if err != nil || len(list) != 1 || list[0].Reason != tokenvault.ReauthSignedOut {
		t.Errorf("connections = %+v, %v, want one that is signed out", list, err)
	}
	login, browser := r.startFor(t, req.ID)
	if state := r.flow.requests()[1].State; state.StorageState.Reveal() != "captured-1" {
		t.Error("the browser did not begin with the earlier state: a remembered device is forgotten")
	}
	browser.signIn()
	if settled := r.settled(t, login.Request.ID); settled.ConnectionID != connected.ConnectionID {
		t.Errorf("healed %s, want %s", settled.ConnectionID, connected.ConnectionID)
	}
}

func TestALoginIsServedWhileItCannotBeChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLoginRig(t)
		r.connect(t)
		r.clock.advance(12 * time.Hour)
		r.flow.check = func(int) tokenvault.RefreshOutcome {
			return tokenvault.Transient{Err: &tokenvault.ProviderError{ProviderID: "bank", Op: "check", Transient: true}}
		}
		for range 3 {
			if got := r.state(t); got != "captured-1" {
				t.Errorf("state = %q, want the stored one", got)
			}
		}
		if _, checks := r.flow.counts(); checks != 1 {
			t.Errorf("%d checks, want no other right after one that failed", checks)
		}
		time.Sleep(6 * time.Second)
		r.flow.check = nil
		if got := r.state(t); got != "captured-1+" {
			t.Errorf("state = %q, want it checked again later", got)
		}
	})
}

func TestALoginBeyondItsTimeIsCheckedFirst(t *testing.T) {
	r := newLoginRig(t, func(p *tokenvault.Provider) { p.Login.Lifetime, p.Login.CheckEvery = time.Hour, 24*time.Hour })
	r.connect(t)
	r.clock.advance(time.Hour)
	r.flow.check = func(int) tokenvault.RefreshOutcome {
		return tokenvault.Transient{Err: &tokenvault.ProviderError{ProviderID: "bank", Op: "check", Transient: true}}
	}
	if _, err := r.resolve(t); err == nil {
		t.Error("a state beyond its documented time was served unchecked")
	}
	r.flow.check = nil
	if got := r.state(t); got != "captured-1+" {
		t.Errorf("state = %q, want the checked one", got)
	}
	r.clock.advance(2 * time.Hour)
	r.state(t)
	if _, checks := r.flow.counts(); checks != 2 {
		t.Errorf("%d checks, want no third: checks decide from now on", checks)
	}
}

func TestARejectedStateIsCheckedAtOnce(t *testing.T) {
	r := newLoginRig(t)
	r.connect(t)
	access, err := r.resolve(t)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := access.Rejected(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, checks := r.flow.counts(); checks != 1 {
		t.Errorf("%d checks, want one", checks)
	}
}

func TestUpkeepChecksLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLoginRig(t)
		r.store = memory.New(nil)
		r.Vault = r.another(t, "", r.flow)
		r.connect(t)
		runFor(t, 25*time.Hour, r.Vault)
		if _, checks := r.flow.counts(); checks != 2 {
			t.Errorf("%d checks within 25 h, want 2", checks)
		}
	})
}

func sessionRig(t testing.TB) *loginRig {
	t.Helper()
	return newLoginRig(t, func(p *tokenvault.Provider) { p.UsageMode = tokenvault.UsageSession })
}

func (r *loginRig) drive(t testing.TB, connectionID string, release tokenvault.Release) tokenvault.Wire {
	t.Helper()
	wire, err := r.Drive(t.Context(), aliceAgent, tokenvault.DriveRequest{ConnectionID: connectionID, Release: release})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = wire.Close() })
	return wire
}

// wire returns the far end of the wire that was opened last.
func (s *fakeSession) wire() *pipeWire {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.driver
}

func TestTheBrowserOfASessionIsDriven(t *testing.T) {
	r := sessionRig(t)
	login, browser := r.start(t)
	browser.signIn()
	connected := r.settled(t, login.Request.ID)
	r.login(t, login.ID)
	wire := r.drive(t, connected.ConnectionID, tokenvault.ReleaseInject)
	far := browser.wire()
	if far == nil {
		t.Fatal("another browser than that of the login is driven")
	}
	if err := wire.Send(t.Context(), []byte(`{"id":1,"method":"Page.navigate","params":{"url":"https://bank.example/"}}`)); err != nil {
		t.Fatal(err)
	}
	if got := string(<-far.sent); got != `{"id":1,"method":"Page.navigate","params":{"url":"https://bank.example/"}}` {
		t.Errorf("the browser got %s", got)
	}
	far.says <- []byte(`{"id":1,"result":{"frameId":"F"}}`)
	if got, err := wire.Receive(t.Context()); err != nil || string(got) != `{"id":1,"result":{"frameId":"F"}}` {
		t.Errorf("Receive = %s, %v", got, err)
	}
	if driven := r.details(t, tokenvault.EventSessionDriven); !slices.Equal(driven, []string{"inject"}) {
		t.Errorf("audited = %v, want one that was driven", driven)
	}
	if err := r.Revoke(t.Context(), aliceUser, connected.ConnectionID); err != nil {
		t.Fatal(err)
	}
	<-browser.ended
	if _, err := wire.Receive(t.Context()); err == nil {
		t.Error("the wire outlived the connection")
	}
}

func TestADriverMayNotReadTheCredential(t *testing.T) {
	r := sessionRig(t)
	connected := r.connect(t)
	session := func() *pipeWire {
		for _, req := range slices.Backward(r.flow.requests()) {
			return r.flow.session(req.ID).wire()
		}
		return nil
	}
	refused := []string{
		"Storage.getCookies", "Network.getAllCookies", "Network.getCookies", "DOMStorage.getDOMStorageItems", "IndexedDB.requestData",
		"Page.captureSnapshot", "HeapProfiler.takeHeapSnapshot",
	}
	never := []string{
		"Browser.close", "DOM.setFileInputFiles", "Target.sendMessageToTarget", "Target.createBrowserContext",
		"Tethering.bind", "SystemInfo.getInfo", "FileSystem.getDirectory", "Extensions.loadUnpacked", "Tracing.start", "", "cookies",
	}
	for _, release := range []tokenvault.Release{tokenvault.ReleaseInject, tokenvault.ReleaseToken} {
		wire := r.drive(t, connected.ConnectionID, release)
		far := session()
		for _, method := range slices.Concat(refused, never) {
			call, _ := json.Marshal(map[string]any{"id": 7, "sessionId": "S", "method": method})
			if err := wire.Send(t.Context(), call); err != nil {
				t.Fatal(err)
			}
			if release == tokenvault.ReleaseToken && slices.Contains(refused, method) {
				<-far.sent
				continue
			}
			answer, err := wire.Receive(t.Context())
			if err != nil || !strings.Contains(string(answer), `"id":7,"sessionId":"S","error"`) || len(far.sent) != 0 {
				t.Errorf("%s with release %s: %s, %v, want it refused", method, release, answer, err)
			}
		}
		if err := wire.Send(t.Context(), []byte(`{"id":8,"method":"Browser.setDownloadBehavior","params":{"behavior":"allow"}}`)); err != nil {
			t.Fatal(err)
		}
		if answer, err := wire.Receive(t.Context()); err != nil || string(answer) != `{"id":8,"result":{}}` || len(far.sent) != 0 {
			t.Errorf("a driver that wants to download: %s, %v, want it answered and not done", answer, err)
		}
		if err := wire.Send(t.Context(), []byte(`no call`)); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("Send of no call: %v, want ErrInvalid", err)
		}
		if err := wire.Send(t.Context(), []byte(`{"id":1,"method":"Page.enable","method":"Browser.close"}`)); err != nil {
			t.Fatal(err)
		}
		if _, err := wire.Receive(t.Context()); err != nil || len(far.sent) != 0 {
			t.Error("a call with two methods was passed on")
		}
	}
}

func TestADriverSeesNoCookiesOfTheNetwork(t *testing.T) {
	r := sessionRig(t)
	connected := r.connect(t)
	wire := r.drive(t, connected.ConnectionID, tokenvault.ReleaseInject)
	far := r.flow.session(r.flow.requests()[0].ID).wire()
	for _, event := range []string{
		`{"method":"Network.requestWillBeSentExtraInfo","params":{"associatedCookies":[{"cookie":{"value":"CANARY"}}],"headers":{"Cookie":"a=CANARY","Accept":"*/*"}}}`,
		`{"method":"Network.responseReceivedExtraInfo","params":{"headers":{"Set-cookie":"a=CANARY"},"headersText":"SET-COOKIE: a=CANARY"}}`,
		`{"method":"Fetch.requestPaused","params":{"responseHeaders":[{"name":"set-COOKIE","value":"a=CANARY"}]}}`,
	} {
		far.says <- []byte(event)
		got, err := wire.Receive(t.Context())
		if err != nil || strings.Contains(string(got), "CANARY") || !json.Valid(got) {
			t.Errorf("Receive = %s, %v, want it without cookies", got, err)
		}
	}
	const harmless = `{"method":"Network.dataReceived","params":{"n":12345678901234567890}}`
	far.says <- []byte(harmless)
	if got, err := wire.Receive(t.Context()); err != nil || string(got) != harmless {
		t.Errorf("Receive = %s, %v, want it as it is", got, err)
	}
}

func TestABrowserThatIsGoneIsOpenedAgainForItsDriver(t *testing.T) {
	r := sessionRig(t)
	connected := r.connect(t)
	r.drive(t, connected.ConnectionID, tokenvault.ReleaseInject)
	r.flow.session(r.flow.requests()[0].ID).end(tokenvault.BrowserEndCrashed)
	r.drive(t, connected.ConnectionID, tokenvault.ReleaseInject)
	opened := r.flow.requests()
	if len(opened) != 2 || opened[1].State.StorageState.Reveal() != "captured-1" {
		t.Errorf("%d browsers, want a second one with the state of the login", len(opened))
	}
}

func TestAnIdleSessionIsClosedAndItsStateKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := sessionRig(t)
		r.store = memory.New(nil)
		r.Vault = r.another(t, "", r.flow)
		connected := r.connect(t)
		r.drive(t, connected.ConnectionID, tokenvault.ReleaseInject)
		browser := r.flow.session(r.flow.requests()[0].ID)
		time.Sleep(9 * time.Minute)
		if browser.why() != "" {
			t.Fatal("the browser was closed before it was idle for 10 minutes")
		}
		<-browser.ended
		synctest.Wait()
		if ended := r.details(t, tokenvault.EventSessionEnded); !slices.Equal(ended, []string{"idle"}) {
			t.Errorf("audited = %v, want an idle end", ended)
		}
		if got := r.state(t); got != "captured-2" {
			t.Errorf("state = %q, want that of the driven browser", got)
		}
	})
}

func TestOnlyAPermittedAgentDrives(t *testing.T) {
	r := sessionRig(t)
	connected := r.connect(t)
	other := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "other", Owner: alice}
	_, err := r.Drive(t.Context(), other, tokenvault.DriveRequest{ConnectionID: connected.ConnectionID})
	if required, ok := errors.AsType[*tokenvault.AuthRequiredError](err); !ok || required.Request.Reason != tokenvault.ReasonPermissionRequired {
		t.Errorf("Drive by an agent without a permission: %v, want the owner asked", err)
	}
	foreign := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "helper", Owner: bob}
	if _, err := r.Drive(t.Context(), foreign, tokenvault.DriveRequest{ConnectionID: connected.ConnectionID}); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("Drive by another owner's agent: %v, want ErrNotFound", err)
	}
	token := newLoginRig(t)
	plain := token.connect(t)
	if _, err := token.Drive(t.Context(), aliceAgent, tokenvault.DriveRequest{ConnectionID: plain.ConnectionID}); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("Drive of a provider in usage mode token: %v, want ErrInvalid", err)
	}
}

// A wire is no more than the permission: both a withdrawn one and one whose time is
// over end it, and leave the browser to others.
func TestAWireEndsWithItsPermission(t *testing.T) {
	type end struct {
		ttl    time.Duration
		happen func(t *testing.T, r *loginRig)
	}
	for name, end := range map[string]end{
		"withdrawn": {0, func(t *testing.T, r *loginRig) {
			permissions, err := r.Permissions(t.Context(), aliceUser, tokenvault.Page{})
			if err != nil || len(permissions) != 1 {
				t.Fatalf("%d permissions, %v", len(permissions), err)
			}
			if err := r.WithdrawPermission(t.Context(), aliceUser, permissions[0].ID); err != nil {
				t.Fatal(err)
			}
		}},
		"over": {time.Minute, func(*testing.T, *loginRig) { wait(time.Minute) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := sessionRig(t)
				r.store = memory.New(nil)
				r.Vault = r.another(t, "", r.flow)
				login, err := r.StartLogin(t.Context(), aliceUser, tokenvault.StartLogin{StartConnect: tokenvault.StartConnect{
					AuthRequestID: r.ask(t).ID, PermissionTTL: end.ttl,
				}})
				if err != nil {
					t.Fatal(err)
				}
				browser := r.flow.session(login.ID)
				browser.signIn()
				wire := r.drive(t, r.settled(t, login.Request.ID).ConnectionID, tokenvault.ReleaseInject)
				wait(30 * time.Second)
				if err := wire.Send(t.Context(), []byte(`{"id":1,"method":"Page.reload"}`)); err != nil {
					t.Fatal(err)
				}
				end.happen(t, r)
				if _, err := wire.Receive(t.Context()); !errors.Is(err, tokenvault.ErrDenied) {
					t.Errorf("Receive: %v, want ErrDenied", err)
				}
				if err := wire.Send(t.Context(), []byte(`{"id":2,"method":"Page.reload"}`)); !errors.Is(err, tokenvault.ErrDenied) {
					t.Errorf("Send: %v, want ErrDenied", err)
				}
				if why := browser.why(); why != "" {
					t.Errorf("the browser ended: %s", why)
				}
			})
		})
	}
}
