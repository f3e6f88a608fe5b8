package tokenvault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

func (r *loginRig) resolve(t testing.TB) (*tokenvault.Access, error) {
	t.Helper()
	return r.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{ProviderID: "bank", Release: tokenvault.ReleaseToken})
}

func (r *loginRig) ask(t testing.TB) tokenvault.AuthRequest {
	t.Helper()
	_, err := r.resolve(t)
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("Resolve: err = %v, want an AuthRequiredError", err)
	}
	return required.Request
}

// start starts a login for alice's agent.
func (r *loginRig) start(t testing.TB) (tokenvault.BrowserLogin, *fakeSession) {
	t.Helper()
	return r.startFor(t, r.ask(t).ID)
}

func (r *loginRig) startFor(t testing.TB, requestID string) (tokenvault.BrowserLogin, *fakeSession) {
	t.Helper()
	login, err := r.StartLogin(t.Context(), aliceUser, tokenvault.StartLogin{StartConnect: tokenvault.StartConnect{AuthRequestID: requestID}})
	if err != nil {
		t.Fatal(err)
	}
	return login, r.flow.session(login.ID)
}

// connect signs alice in.
func (r *loginRig) connect(t testing.TB) tokenvault.AuthRequest {
	t.Helper()
	login, browser := r.start(t)
	browser.signIn()
	return r.settled(t, login.Request.ID)
}

// settled waits for a request as its agent does.
func (r *loginRig) settled(t testing.TB, id string) tokenvault.AuthRequest {
	t.Helper()
	req, err := r.Wait(t.Context(), aliceAgent, id)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func (r *loginRig) login(t testing.TB, id string) tokenvault.BrowserLogin {
	t.Helper()
	login, err := r.Login(t.Context(), aliceUser, id)
	if err != nil {
		t.Fatal(err)
	}
	return login
}

func (r *loginRig) state(t testing.TB) string {
	t.Helper()
	access, err := r.resolve(t)
	if err != nil {
		t.Fatal(err)
	}
	cred, err := access.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	return cred.Browser.StorageState.Reveal()
}

func (r *loginRig) details(t testing.TB, kind tokenvault.EventKind) (details []string) {
	t.Helper()
	all, err := r.Events(t.Context(), admin, tokenvault.EventQuery{Kind: kind})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		details = append(details, e.Detail)
	}
	return details
}

func TestALoginPausesAndResumesTheAgent(t *testing.T) {
	r := newLoginRig(t)
	login, browser := r.start(t)
	if now := r.login(t, login.ID); now.Status.Phase != tokenvault.BrowserOpen || !now.Viewable || now.Request.Status != tokenvault.AuthPending {
		t.Errorf("login = %+v, want an open browser that can be seen", now)
	}
	browser.signIn()
	settled := r.settled(t, login.Request.ID)
	if settled.Status != tokenvault.AuthConnected || settled.ConnectionID != login.ConnectionID {
		t.Errorf("request is %s with connection %s, want connected with the reserved %s", settled.Status, settled.ConnectionID, login.ConnectionID)
	}
	if got := r.state(t); got != "captured-1" {
		t.Errorf("state = %q, want what was captured", got)
	}
	<-browser.ended
	if captured := r.details(t, tokenvault.EventLoginCaptured); len(captured) != 1 {
		t.Errorf("%d captures in the audit log, want 1", len(captured))
	}
	if over := r.login(t, login.ID); over.Status.Phase != tokenvault.BrowserEnded || !over.Status.Authenticated || over.Request.Status != tokenvault.AuthConnected {
		t.Errorf("login = %+v, want an ended one that connected", over)
	}
}

func TestALoginOfAReservedIDIsNoCredential(t *testing.T) {
	r := newLoginRig(t)
	login, _ := r.start(t)
	list, err := r.Connections(t.Context(), aliceUser, tokenvault.Page{})
	if err != nil || len(list) != 0 {
		t.Errorf("%d connections, %v, want none before the login is done", len(list), err)
	}
	_, err = r.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{ProviderID: "bank", ConnectionID: login.ConnectionID})
	if !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("Resolve of the reserved id: %v, want ErrNotFound", err)
	}
}

func TestSignsWithoutALoginCaptureNothing(t *testing.T) {
	r := newLoginRig(t)
	r.flow.capture = func(n int) error {
		if n < 3 {
			return fmt.Errorf("nobody is signed in: %w", tokenvault.ErrDenied)
		}
		return nil
	}
	login, browser := r.start(t)
	for range 2 { // the button, before the second factor is done
		now, err := r.FinishLogin(t.Context(), aliceUser, login.ID)
		if err != nil || now.Notice != tokenvault.LoginNotSignedIn || now.Request.Status != tokenvault.AuthPending {
			t.Fatalf("FinishLogin = %s, %s, %v, want a pending request and the notice", now.Notice, now.Request.Status, err)
		}
	}
	done, err := r.FinishLogin(t.Context(), aliceUser, login.ID)
	if err != nil || done.Request.Status != tokenvault.AuthConnected || done.ConnectionID != login.ConnectionID {
		t.Errorf("FinishLogin = %s, %v, want connected", done.Request.Status, err)
	}
	again, err := r.FinishLogin(t.Context(), aliceUser, login.ID)
	if err != nil || again.Request.Status != tokenvault.AuthConnected {
		t.Errorf("FinishLogin of a finished login = %s, %v", again.Request.Status, err)
	}
	<-browser.ended
}

func TestSignsThatDeceiveAreLookedAtAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLoginRig(t)
		r.flow.capture = func(n int) error {
			if n < 4 {
				return tokenvault.ErrDenied
			}
			return nil
		}
		login, browser := r.start(t)
		begun := time.Now()
		browser.signIn()
		r.settled(t, login.Request.ID)
		if waited := time.Since(begun); waited < 14*time.Second {
			t.Errorf("looked 4 times within %s, want pauses of 2, 4 and 8 s", waited)
		}
	})
}

func TestB5ALoginThatEndsIsTold(t *testing.T) {
	for end, code := range map[tokenvault.BrowserEnd]string{
		tokenvault.BrowserEndCrashed: tokenvault.FailBrowserCrashed,
		tokenvault.BrowserEndIdle:    tokenvault.FailLoginIdle,
		tokenvault.BrowserEndTimeout: tokenvault.FailLoginTimeout,
		tokenvault.BrowserEndFailed:  tokenvault.FailBrowserFailed,
		tokenvault.BrowserEndClosed:  tokenvault.FailLoginInterrupted,
	} {
		t.Run(string(end), func(t *testing.T) {
			r := newLoginRig(t)
			login, browser := r.start(t)
			browser.end(end)
			settled := r.settled(t, login.Request.ID)
			if settled.Status != tokenvault.AuthFailed || settled.FailureCode != code {
				t.Errorf("request is %s (%s), want failed (%s)", settled.Status, settled.FailureCode, code)
			}
			if told := r.details(t, tokenvault.EventLoginEnded); !slices.Equal(told, []string{code}) {
				t.Errorf("audited ends = %v, want %s", told, code)
			}
			if captures, _ := r.flow.counts(); captures != 0 {
				t.Errorf("%d captures, want none", captures)
			}
		})
	}
}

func TestACancelledLoginIsDeclined(t *testing.T) {
	r := newLoginRig(t)
	login, browser := r.start(t)
	over, err := r.CancelLogin(t.Context(), aliceUser, login.ID)
	if err != nil || over.Request.Status != tokenvault.AuthDeclined {
		t.Fatalf("CancelLogin = %s, %v, want declined", over.Request.Status, err)
	}
	<-browser.ended
	if settled := r.settled(t, login.Request.ID); settled.Status != tokenvault.AuthDeclined {
		t.Errorf("the agent is told %s, want declined", settled.Status)
	}
	if _, err := r.CancelLogin(t.Context(), aliceUser, login.ID); err != nil {
		t.Errorf("cancelling twice: %v", err)
	}
}

func TestARequestThatIsDeclinedElsewhereEndsItsLogin(t *testing.T) {
	r := newLoginRig(t)
	login, browser := r.start(t)
	if _, err := r.another(t, "", r.flow).Decline(t.Context(), aliceUser, login.Request.ID); err != nil {
		t.Fatal(err)
	}
	<-browser.ended // noticed by polling: the other process wakes nobody here
}

func TestALoginThatIsDoneTooLateIsDropped(t *testing.T) {
	r := newLoginRig(t)
	login, browser := r.start(t)
	r.flow.capture = func(int) error {
		_, err := r.Decline(context.Background(), aliceUser, login.Request.ID)
		return err
	}
	browser.signIn()
	<-browser.ended
	list, err := r.Connections(t.Context(), aliceUser, tokenvault.Page{})
	if err != nil || len(list) != 0 {
		t.Errorf("%d connections, %v, want none", len(list), err)
	}
}

func TestB1AnotherUserHasNoLogin(t *testing.T) {
	r := newLoginRig(t)
	login, _ := r.start(t)
	for name, call := range map[string]func(tokenvault.Actor) error{
		"Login":       func(a tokenvault.Actor) error { _, err := r.Login(t.Context(), a, login.ID); return err },
		"LoginOf":     func(a tokenvault.Actor) error { _, err := r.LoginOf(t.Context(), a, login.Request.ID); return err },
		"FinishLogin": func(a tokenvault.Actor) error { _, err := r.FinishLogin(t.Context(), a, login.ID); return err },
		"CancelLogin": func(a tokenvault.Actor) error { _, err := r.CancelLogin(t.Context(), a, login.ID); return err },
		"ViewTicket": func(a tokenvault.Actor) error {
			_, err := r.ViewTicket(t.Context(), a, login.ID, "https://vault.example")
			return err
		},
		"StartLogin": func(a tokenvault.Actor) error {
			_, err := r.StartLogin(t.Context(), a, tokenvault.StartLogin{StartConnect: tokenvault.StartConnect{AuthRequestID: login.Request.ID}})
			return err
		},
	} {
		if err := call(bobUser); !errors.Is(err, tokenvault.ErrNotFound) {
			t.Errorf("%s by another user: %v, want ErrNotFound", name, err)
		}
		if err := call(aliceAgent); !errors.Is(err, tokenvault.ErrDenied) && !errors.Is(err, tokenvault.ErrNotFound) {
			t.Errorf("%s by the agent: %v, want it refused", name, err)
		}
	}
}

func TestB1ATicketOpensOneView(t *testing.T) {
	const own, host = "https://vault.example", "https://app.example"
	r := newLoginRig(t)
	login, browser := r.start(t)
	other, _ := r.startOwn(t)
	ticket := func(origin string) tokenvault.Secret {
		t.Helper()
		issued, err := r.ViewTicket(t.Context(), aliceUser, login.ID, origin)
		if err != nil {
			t.Fatal(err)
		}
		return issued.Ticket
	}
	opens := func(want error, id string, ticket tokenvault.Secret, origin string) {
		t.Helper()
		if _, err := r.OpenView(t.Context(), id, ticket, origin); !errors.Is(err, want) {
			t.Errorf("OpenView: %v, want %v", err, want)
		}
	}
	once := ticket(own)
	opens(tokenvault.ErrUnauthenticated, login.ID, once, host)
	opens(tokenvault.ErrUnauthenticated, other.ID, once, own)
	opens(tokenvault.ErrUnauthenticated, login.ID, tokenvault.NewSecret("guessed"), own)
	opens(tokenvault.ErrUnauthenticated, login.ID, tokenvault.Secret{}, own)
	opens(nil, login.ID, once, own)
	opens(tokenvault.ErrUnauthenticated, login.ID, once, own)
	opens(nil, login.ID, ticket(host), host)
	if _, err := r.ViewTicket(t.Context(), aliceUser, login.ID, "https://evil.example"); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("a ticket for a foreign origin: %v, want ErrDenied", err)
	}
	if viewed := r.details(t, tokenvault.EventLoginViewed); len(viewed) != 2 {
		t.Errorf("%d views in the audit log, want 2", len(viewed))
	}
	last := ticket(own)
	browser.end(tokenvault.BrowserEndCrashed)
	r.settled(t, login.Request.ID)
	opens(tokenvault.ErrNotFound, login.ID, last, own)
	if _, err := r.ViewTicket(t.Context(), aliceUser, login.ID, own); !errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("a ticket for an ended login: %v, want ErrConflict", err)
	}
}

// startOwn starts a login of alice's own accord.
func (r *loginRig) startOwn(t testing.TB) (tokenvault.BrowserLogin, *fakeSession) {
	t.Helper()
	req, err := r.RequestConnect(t.Context(), aliceUser, tokenvault.ConnectRequest{ProviderID: "bank"})
	if err != nil {
		t.Fatal(err)
	}
	return r.startFor(t, req.ID)
}

func TestB1ATicketIsShortLived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLoginRig(t)
		login, _ := r.start(t)
		issued, err := r.ViewTicket(t.Context(), aliceUser, login.ID, "https://vault.example")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(issued.ExpiresAt))
		if _, err := r.OpenView(t.Context(), login.ID, issued.Ticket, "https://vault.example"); !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("OpenView: %v, want ErrUnauthenticated", err)
		}
		if issued.ExpiresAt.After(time.Now().Add(time.Minute)) {
			t.Errorf("a ticket lasts until %s", issued.ExpiresAt)
		}
	})
}

func TestALoginIsJoinedOrBegunAgain(t *testing.T) {
	r := newLoginRig(t)
	login, first := r.start(t)
	joined, _ := r.startFor(t, login.Request.ID)
	if joined.ID != login.ID || len(r.flow.requests()) != 1 {
		t.Errorf("a second start gave %s and %d browsers, want the same login", joined.ID, len(r.flow.requests()))
	}
	r.clock.advance(time.Second)
	again, err := r.StartLogin(t.Context(), aliceUser, tokenvault.StartLogin{
		StartConnect: tokenvault.StartConnect{AuthRequestID: login.Request.ID}, Again: true,
	})
	if err != nil || again.ID == login.ID {
		t.Fatalf("StartLogin again = %s, %v, want another", again.ID, err)
	}
	<-first.ended
	first.signIn()
	if latest, err := r.LoginOf(t.Context(), aliceUser, login.Request.ID); err != nil || latest.ID != again.ID || latest.Request.Status != tokenvault.AuthPending {
		t.Errorf("LoginOf = %s, %s, %v, want the second, pending", latest.ID, latest.Request.Status, err)
	}
	r.flow.session(again.ID).signIn()
	if settled := r.settled(t, login.Request.ID); settled.Status != tokenvault.AuthConnected {
		t.Errorf("request is %s, want connected", settled.Status)
	}
}

func TestALoginThatCannotStartLeavesTheRequestOpen(t *testing.T) {
	r := newLoginRig(t)
	req := r.ask(t)
	r.flow.openErr = fmt.Errorf("the queue is full: %w", tokenvault.ErrUnavailable)
	_, err := r.StartLogin(t.Context(), aliceUser, tokenvault.StartLogin{StartConnect: tokenvault.StartConnect{AuthRequestID: req.ID}})
	if !errors.Is(err, tokenvault.ErrUnavailable) {
		t.Fatalf("StartLogin: %v, want ErrUnavailable", err)
	}
	r.flow.openErr = nil
	_, browser := r.startFor(t, req.ID)
	browser.signIn()
	if settled := r.settled(t, req.ID); settled.Status != tokenvault.AuthConnected {
		t.Errorf("request is %s, want connected", settled.Status)
	}
}

func TestClosingTheVaultEndsLogins(t *testing.T) {
	r := newLoginRig(t)
	login, browser := r.start(t)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-browser.ended
	other := r.another(t, "", r.flow)
	settled, err := other.AuthRequest(t.Context(), aliceAgent, login.Request.ID)
	if err != nil || settled.FailureCode != tokenvault.FailLoginInterrupted {
		t.Errorf("request is %s (%s), %v, want failed (%s)", settled.Status, settled.FailureCode, err, tokenvault.FailLoginInterrupted)
	}
	if _, err := r.StartLogin(t.Context(), aliceUser, tokenvault.StartLogin{StartConnect: tokenvault.StartConnect{AuthRequestID: login.Request.ID}}); err == nil {
		t.Error("a closed vault started a login")
	}
}

func TestB5AProcessThatIsGoneIsTold(t *testing.T) {
	r := newLoginRig(t)
	login, _ := r.start(t)
	restarted := r.another(t, "", r.flow) // at the same address, without a memory
	now, err := restarted.Login(t.Context(), aliceUser, login.ID)
	if err != nil || now.Request.Status != tokenvault.AuthFailed || now.Request.FailureCode != tokenvault.FailLoginInterrupted {
		t.Errorf("Login = %s (%s), %v, want failed (%s)", now.Request.Status, now.Request.FailureCode, err, tokenvault.FailLoginInterrupted)
	}
}

func TestALoginNamesTheProcessThatRunsIt(t *testing.T) {
	r := newLoginRig(t)
	r.Vault = r.another(t, "http://10.0.0.1:8080", r.flow)
	login, browser := r.start(t)
	if login.NodeURL != "" {
		t.Errorf("NodeURL = %q at the process itself, want none", login.NodeURL)
	}
	other := r.another(t, "http://10.0.0.2:8080", r.flow)
	far, err := other.Login(t.Context(), aliceUser, login.ID)
	if err != nil || far.NodeURL != "http://10.0.0.1:8080" || far.Request.Status != tokenvault.AuthPending {
		t.Errorf("Login elsewhere = %q, %s, %v, want where it runs", far.NodeURL, far.Request.Status, err)
	}
	joined, err := other.StartLogin(t.Context(), aliceUser, tokenvault.StartLogin{StartConnect: tokenvault.StartConnect{AuthRequestID: login.Request.ID}})
	if err != nil || joined.ID != login.ID || joined.NodeURL == "" {
		t.Errorf("StartLogin elsewhere = %s at %q, %v, want the one that runs", joined.ID, joined.NodeURL, err)
	}
	if _, err := other.FinishLogin(t.Context(), aliceUser, login.ID); !errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("FinishLogin elsewhere: %v, want ErrConflict", err)
	}
	over, err := other.CancelLogin(t.Context(), aliceUser, login.ID)
	if err != nil || over.Request.Status != tokenvault.AuthDeclined {
		t.Errorf("CancelLogin elsewhere = %s, %v, want declined", over.Request.Status, err)
	}
	<-browser.ended
}

func TestC23ALoginOfAnotherAccountKeepsTheOldOne(t *testing.T) {
	r := newLoginRig(t)
	first := r.connect(t)
	renew, err := r.RequestConnect(t.Context(), aliceUser, tokenvault.ConnectRequest{ProviderID: "bank", ConnectionID: first.ConnectionID})
	if err != nil {
		t.Fatal(err)
	}
	r.flow.account = tokenvault.Account{ID: "acc-2"}
	login, browser := r.startFor(t, renew.ID)
	if state := r.flow.requests()[1].State; state.StorageState.Reveal() != "captured-1" {
		t.Errorf("the browser began with state %q, want that of the earlier login", state.StorageState.Reveal())
	}
	browser.signIn()
	<-browser.ended
	if over := r.login(t, login.ID); over.Notice != tokenvault.LoginOtherAccount || over.Request.Status != tokenvault.AuthPending {
		t.Errorf("login = %s, %s, want pending and the notice", over.Notice, over.Request.Status)
	} else if over.Request.Notice != tokenvault.NoticeOtherAccount {
		t.Errorf("who waits is told %q", over.Request.Notice)
	}
	if got := r.state(t); got != "captured-1" {
		t.Errorf("state = %q, want the old one", got)
	}
	beside, err := r.StartLogin(t.Context(), aliceUser, tokenvault.StartLogin{
		StartConnect: tokenvault.StartConnect{AuthRequestID: renew.ID, NewAccount: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if state := r.flow.requests()[2].State; !state.IsZero() {
		t.Error("the browser for a new account began with the old one's state")
	}
	r.flow.session(beside.ID).signIn()
	<-r.flow.session(beside.ID).ended
	list, err := r.Connections(t.Context(), aliceUser, tokenvault.Page{})
	if err != nil || len(list) != 2 {
		t.Errorf("%d connections, %v, want both", len(list), err)
	}
}

func TestReconnectingALoginHealsInPlace(t *testing.T) {
	r := newLoginRig(t)
	first := r.connect(t)
	renew, err := r.RequestConnect(t.Context(), aliceUser, tokenvault.ConnectRequest{ProviderID: "bank", ConnectionID: first.ConnectionID})
	if err != nil {
		t.Fatal(err)
	}
	login, browser := r.startFor(t, renew.ID)
	browser.signIn()
	<-browser.ended
	if over := r.login(t, login.ID); over.ConnectionID != first.ConnectionID {
		t.Errorf("the login ended with connection %s, want %s", over.ConnectionID, first.ConnectionID)
	}
	if got := r.state(t); got != "captured-2" {
		t.Errorf("state = %q, want the new one", got)
	}
}

func TestAProviderThatRefusesBrowsersIsNotAskedFor(t *testing.T) {
	r := newLoginRig(t, func(p *tokenvault.Provider) { p.Login.Refuses = "use OAuth" })
	_, err := r.resolve(t)
	if field, ok := errors.AsType[*tokenvault.FieldError](err); !ok || field.Reason != "use OAuth" {
		t.Errorf("Resolve: %v, want what to use instead", err)
	}
}

func TestDeletingAnOwnerEndsTheirLogins(t *testing.T) {
	r := newLoginRig(t)
	_, browser := r.start(t)
	if err := r.DeleteOwner(t.Context(), admin, alice); err != nil {
		t.Fatal(err)
	}
	<-browser.ended
	browser.signIn()
	if list, err := r.Connections(t.Context(), aliceUser, tokenvault.Page{}); err != nil || len(list) != 0 {
		t.Errorf("%d connections, %v, want none", len(list), err)
	}
}

func TestKeysAreRotatedUnderALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLoginRig(t)
		r.store = memory.New(nil)
		r.Vault = r.another(t, "", r.flow)
		login, browser := r.start(t)
		if rotated, err := r.RotateDataKeys(t.Context(), admin, tokenvault.DataKeyRotation{}); err != nil || rotated.Resealed == 0 {
			t.Fatalf("%d records sealed again, %v, want that of the attempt", rotated.Resealed, err)
		}
		r.login(t, login.ID)
		browser.signIn()
		if settled := r.settled(t, login.Request.ID); settled.Status != tokenvault.AuthConnected {
			t.Errorf("request is %s, want connected", settled.Status)
		}
	})
}
