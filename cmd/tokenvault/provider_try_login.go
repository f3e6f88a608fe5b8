package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/chromium"
	"github.com/ai-token-vault/tokenvault/server"
)

const (
	pageWithin     = 30 * time.Second
	strangerWithin = 5 * time.Second // for signs that are there too early
)

// tryLogin tries a provider where browsers are signed in: what can be told
// without a person and, on a machine with a display, a login in a window.
func (t *try) tryLogin(ctx context.Context, cfg server.Config) {
	if refuses := t.provider.Login.Refuses; refuses != "" {
		t.line("login", errors.New(refuses), "")
		return
	}
	browser, err := chromium.New(ctx, cfg.Chromium(nil))
	t.line("browser", explain(err, "see 'tokenvault check'"), "Chromium can be started")
	if err != nil {
		return
	}
	defer func() { _ = browser.Close() }()
	flow := browserflow.New(browser)
	session, err := flow.Open(ctx, tokenvault.BrowserRequest{ID: tryAgent, Provider: t.provider, TimeLimit: t.cmd.Timeout, IdleLimit: t.cmd.Timeout})
	if err != nil {
		t.line("page", err, "")
		return
	}
	defer func() { _ = session.Close(context.WithoutCancel(ctx)) }()
	if !t.loginPage(ctx, session) {
		return
	}
	t.stranger(ctx, browser)
	switch {
	case t.cmd.NoBrowser:
	case !cfg.BrowserHeaded:
		t.note("login", "set browser-headed on a machine with a display to sign in now, or connect it at 'tokenvault serve'")
	default:
		t.signIn(ctx, flow, session)
	}
}

// loginPage expects the login page to open, and to show no sign of a login.
func (t *try) loginPage(ctx context.Context, session tokenvault.BrowserSession) bool {
	opens, cancel := context.WithTimeout(ctx, pageWithin)
	defer cancel()
	look := time.NewTicker(time.Second / 4)
	defer look.Stop()
	var at string
	for at == "" {
		status, err := session.Status(opens)
		if err == nil && status.Phase == tokenvault.BrowserEnded {
			err = &tokenvault.BrowserError{End: status.End}
		}
		if err != nil {
			t.line("page", explain(err, "the browser could not open login.url"), "")
			return false
		}
		at = status.CurrentURL
		select {
		case <-look.C:
		case <-opens.Done():
			t.line("page", errors.New("it did not open: check login.url, and that it stays within domains and visitDomains"), "")
			return false
		}
	}
	t.line("page", nil, "the login page opens, at "+at)
	early, cancel := context.WithTimeout(ctx, strangerWithin)
	defer cancel()
	switch err := session.Await(early); {
	case err == nil:
		t.line("signs", errors.New("they are there before anybody signed in: add to signs what only comes with a login, or to unless the login page"), "")
	case errors.Is(err, context.DeadlineExceeded):
		t.line("signs", nil, "they are not there before a login")
	default:
		t.line("signs", err, "")
		return false
	}
	return true
}

// stranger expects that nobody is signed in with an empty state.
func (t *try) stranger(ctx context.Context, browser tokenvault.Browser) {
	what := "the probe"
	if t.provider.Login.Probe == nil {
		what = "the landing page"
	}
	empty, err := tokenvault.StorageState{}.JSON()
	if err == nil {
		_, err = browser.Check(ctx, tokenvault.BrowserCheck{Provider: t.provider, State: tokenvault.BrowserState{StorageState: empty}})
	}
	switch {
	case errors.Is(err, tokenvault.ErrDenied):
		t.line("stranger", nil, what+" tells a stranger")
	case err == nil:
		t.line("stranger", errors.New(what+" takes a stranger for signed in: give probe a status, a pattern or accountId that only who is signed in gets"), "")
	default:
		t.line("stranger", explain(err, "check "+what), "")
	}
}

// signIn waits for a person to sign in, and proves it.
func (t *try) signIn(ctx context.Context, flow *browserflow.Flow, session tokenvault.BrowserSession) {
	_, _ = fmt.Fprintln(t.out, "Sign in, in the window.")
	ctx, cancel := context.WithTimeout(ctx, t.cmd.Timeout)
	defer cancel()
	for {
		err := session.Await(ctx)
		if err != nil {
			t.line("login", explain(err, "the signs did not come: check signs and unless"), "")
			return
		}
		completed, err := flow.Capture(ctx, session, t.provider)
		switch {
		case err == nil:
			account := completed.Account.Label
			if account == "" {
				account = completed.Account.ID
			}
			t.line("login", nil, "signed in, captured and proven in a fresh browser, as "+orUnknown(account))
			return
		case !errors.Is(err, tokenvault.ErrDenied):
			t.line("login", err, "")
			return
		}
		t.note("login", "the signs are there, but a fresh browser is not signed in with the state: waiting for more")
	}
}

func orUnknown(account string) string {
	if account == "" {
		return "somebody: the entry does not say where to read whom"
	}
	return account
}
