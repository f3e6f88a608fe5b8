package browsertest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest/site"
)

// An Adapter is what the suite needs of a browser adapter.
type Adapter struct {
	// New returns the adapter's browser, which may reach some host:port pairs of this
	// machine. It is closed with the test.
	New func(t *testing.T, allow []string) tokenvault.Browser
}

// A way is one way to sign in.
type way struct {
	name     string
	provider func(s *site.Site, p *tokenvault.Provider)
	act      func(l *signIn)
	account  string // as the probe tells
}

// A signIn is one login of the suite.
type signIn struct {
	*Person

	t       *testing.T
	site    *site.Site
	session tokenvault.BrowserSession
}

// Logins goes every way to sign in that the bank offers, as a person who sees the browser
// does, and has each login seen, captured and proven. It checks what
// [tokenvault.Browser] and [tokenvault.BrowserSession] promise about that.
func Logins(t *testing.T, a Adapter) {
	t.Helper()
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			s, browser := open(t, a)
			provider := s.Provider()
			if w.provider != nil {
				w.provider(s, &provider)
			}
			l := begin(t, s, browser, tokenvault.BrowserRequest{ID: "at_1", Provider: provider})
			w.act(l)
			state := l.captured()
			text := state.StorageState.Reveal()
			for _, foreign := range []string{s.Ident, s.Gate, "127.0.0.2", "127.0.0.3", "ident_", "__Host-offer"} {
				if strings.Contains(text, foreign) {
					t.Errorf("the state holds %s, which is not the provider's", foreign)
				}
			}
			proof, err := browser.Check(t.Context(), tokenvault.BrowserCheck{Provider: provider, State: state})
			if err != nil || proof.Account.Label != w.account || proof.State.IsZero() {
				t.Fatalf("the proof says %+v, %v", proof.Account, err)
			}
			s.ForgetSessions()
			if _, err := browser.Check(t.Context(), tokenvault.BrowserCheck{Provider: provider, State: proof.State}); !errors.Is(err, tokenvault.ErrDenied) {
				t.Errorf("after the service ended its sessions, the check says %v", err)
			}
		})
	}
	t.Run("again from the old state", func(t *testing.T) { again(t, a) })
}

func open(t *testing.T, a Adapter) (*site.Site, tokenvault.Browser) {
	t.Helper()
	s, err := site.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	browser := a.New(t, s.AllowHosts())
	t.Cleanup(func() {
		if err := browser.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return s, browser
}

func begin(t *testing.T, s *site.Site, browser tokenvault.Browser, req tokenvault.BrowserRequest) *signIn {
	t.Helper()
	session, err := browser.Open(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return &signIn{Person: Look(t, session), t: t, site: s, session: session}
}

// captured waits for the signs of the login, captures its state and ends it.
func (l *signIn) captured() tokenvault.BrowserState {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	if err := l.session.Await(ctx); err != nil {
		l.t.Fatalf("Await = %v; at %s, tabs %+v", err, l.Scene.Origin, l.Scene.Tabs)
	}
	if status, err := l.session.Status(ctx); err != nil || !status.Authenticated || status.Phase != tokenvault.BrowserOpen || strings.ContainsAny(status.CurrentURL, "?#") {
		l.t.Errorf("status %+v, %v", status, err)
	}
	state, err := l.session.Capture(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	if state.UserAgent == "" || strings.Contains(state.UserAgent, "Headless") || state.Width == 0 {
		l.t.Errorf("the state is of %q, %d pixels wide", state.UserAgent, state.Width)
	}
	if err := l.session.Close(ctx); err != nil {
		l.t.Errorf("Close = %v", err)
	}
	if err := l.session.Await(ctx); !errors.Is(err, tokenvault.ErrNotFound) {
		l.t.Errorf("Await after the end = %v", err)
	}
	return state
}

// notYet expects that no login is seen.
func (l *signIn) notYet(why string) {
	l.t.Helper()
	if status, err := l.session.Status(l.t.Context()); err != nil || status.Authenticated {
		l.t.Errorf("%s, and the login counts as done: %+v, %v", why, status, err)
	}
}

func (l *signIn) password(text string) {
	l.t.Helper()
	l.Title("Sign in")
	l.Field()
	l.Enter(site.User)
	l.Press("Tab")
	l.Enter(text)
	l.Press("Enter")
}

// again signs in from the state of an ended login: the service knows the device, and
// asks for no code.
func again(t *testing.T, a Adapter) {
	t.Helper()
	s, browser := open(t, a)
	provider := s.Provider()
	first := begin(t, s, browser, tokenvault.BrowserRequest{ID: "at_1", Provider: provider})
	first.withCode()
	state := first.captured()
	s.ForgetSessions()
	second := begin(t, s, browser, tokenvault.BrowserRequest{ID: "at_2", Provider: provider, State: state})
	second.password(site.Password)
	second.Title("Account")
	if renewed := second.captured(); renewed.StorageState.Reveal() == state.StorageState.Reveal() {
		t.Error("the state is the old one")
	}
}

func (l *signIn) withCode() {
	l.t.Helper()
	l.password(site.Password)
	l.Title("One-time code")
	l.notYet("the code is missing")
	l.Field()
	l.Enter(l.site.Code())
	l.Press("Enter")
}

func ways() []way {
	return []way{
		{name: "password and code", account: site.User, act: (*signIn).withCode},
		{name: "wrong, then right", account: site.User, act: func(l *signIn) {
			l.password("wrong")
			l.Until("the answer", func() bool { _, failed := l.site.SignIns(); return failed == 1 && !l.Scene.Loading })
			l.notYet("the password was wrong")
			l.withCode()
		}},
		{name: "pop-up", account: site.User, act: func(l *signIn) {
			l.Title("Sign in")
			l.Field()
			l.Press("Tab", "Tab", "Tab", "Enter")
			l.Title("Ident")
			l.notYet("the pop-up is open")
			l.Field()
			l.Enter("alice")
			l.Press("Enter")
		}},
		{name: "redirect over three origins", account: site.User, provider: func(_ *site.Site, p *tokenvault.Provider) {
			p.Login.Signs = []tokenvault.LoginSign{{Strategy: tokenvault.SignReturn}}
		}, act: func(l *signIn) {
			l.Title("Sign in")
			l.Field()
			l.Press("Tab", "Tab", "Tab", "Tab", "Enter")
			l.Title("Ident")
			l.notYet("the identity provider was not asked yet")
			l.Field()
			l.Enter("alice")
			l.Press("Enter")
		}},
		{name: "slow single page", account: site.User, provider: func(s *site.Site, p *tokenvault.Provider) {
			p.Login.URL = s.Bank + "/slow"
			p.Login.Signs = []tokenvault.LoginSign{
				{Strategy: tokenvault.SignResponse, Method: "POST", Pattern: `http://127\.0\.0\.1:\d+/slow/session`},
				{Strategy: tokenvault.SignProbe},
			}
		}, act: func(l *signIn) {
			l.Title("Sign in")
			l.Field()
			l.Enter(site.User)
			l.Press("Tab")
			l.Enter(site.Password)
			l.Press("Tab", "Enter")
		}},
		{name: "token in IndexedDB", provider: func(s *site.Site, p *tokenvault.Provider) {
			p.Login.URL, p.Login.LandingURL, p.Login.Probe = s.Bank+"/stored", s.Bank+"/stored/home", nil
			p.Login.Signs = []tokenvault.LoginSign{{Strategy: tokenvault.SignURLPattern, Pattern: `http://127\.0\.0\.1:\d+/stored/home`}}
		}, act: func(l *signIn) {
			l.Title("Stored")
			l.Field()
			l.Enter(site.Password)
			l.Press("Tab", "Enter")
		}},
		{name: "the server's own prompt", account: site.User, provider: func(s *site.Site, p *tokenvault.Provider) {
			p.Login.URL = s.Bank + "/basic"
		}, act: func(l *signIn) {
			l.Until("the prompt", func() bool { return l.Scene.Challenge != nil })
			l.notYet("the prompt is open")
			l.Do(tokenvault.ViewInput{
				Kind: tokenvault.ViewSignIn, Accept: true, Name: tokenvault.NewSecret(site.User), Text: tokenvault.NewSecret(site.Password),
			})
		}},
	}
}
