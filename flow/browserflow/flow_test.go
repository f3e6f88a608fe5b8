package browserflow_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow"
)

// A browser answers checks as it is told to. That real ones keep what the contract
// promises is proven by flow/browserflow/browsertest.
type browser struct {
	tokenvault.Browser
	opened []tokenvault.BrowserRequest
	checks []tokenvault.BrowserCheck
	proof  tokenvault.BrowserProof
	err    error
}

func (b *browser) Open(_ context.Context, req tokenvault.BrowserRequest) (tokenvault.BrowserSession, error) {
	b.opened = append(b.opened, req)
	return session{}, nil
}

func (b *browser) Check(_ context.Context, check tokenvault.BrowserCheck) (tokenvault.BrowserProof, error) {
	b.checks = append(b.checks, check)
	return b.proof, b.err
}

type session struct {
	tokenvault.BrowserSession
	err error
}

func (s session) Capture(context.Context) (tokenvault.BrowserState, error) {
	return state("captured"), s.err
}

func state(text string) tokenvault.BrowserState {
	return tokenvault.BrowserState{StorageState: tokenvault.NewSecret(text), UserAgent: "Browser/1"}
}

func provider() tokenvault.Provider {
	return tokenvault.Provider{ID: "bank-browser", Login: &tokenvault.Login{
		URL: "https://bank.example/", Signs: []tokenvault.LoginSign{{Strategy: tokenvault.SignCookie, Pattern: "sid"}}, Lifetime: time.Hour,
	}}
}

func TestALoginIsProvenBeforeItCounts(t *testing.T) {
	b := &browser{proof: tokenvault.BrowserProof{Account: tokenvault.Account{ID: "42"}, State: state("renewed")}}
	flow := browserflow.New(b)
	completed, err := flow.Capture(t.Context(), session{}, provider())
	if err != nil {
		t.Fatal(err)
	}
	if completed.Account.ID != "42" || completed.ExpiresIn != time.Hour || completed.Credential.AuthMethod != tokenvault.AuthBrowserLogin {
		t.Errorf("completed %+v", completed)
	}
	if got := completed.Credential.Browser.StorageState.Reveal(); got != "renewed" || b.checks[0].State.StorageState.Reveal() != "captured" {
		t.Errorf("kept %q", got)
	}
	b.err = fmt.Errorf("nobody: %w", tokenvault.ErrDenied)
	if _, err := flow.Capture(t.Context(), session{}, provider()); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("not signed in: %v", err)
	}
	ended := &tokenvault.BrowserError{End: tokenvault.BrowserEndCrashed}
	if _, err := flow.Capture(t.Context(), session{err: ended}, provider()); !errors.Is(err, ended) {
		t.Errorf("an ended session: %v", err)
	}
}

func TestACheckIsARefresh(t *testing.T) {
	b := &browser{proof: tokenvault.BrowserProof{State: state("renewed")}}
	flow := browserflow.New(b)
	in := tokenvault.RefreshInput{Provider: provider(), Credential: tokenvault.Credential{Browser: state("canary")}, Scopes: []string{"x"}}
	if o, ok := flow.Refresh(t.Context(), in).(tokenvault.Rotated); !ok || o.Credential.Browser.StorageState.Reveal() != "renewed" || len(o.Scopes) != 1 {
		t.Errorf("signed in: %+v", o)
	}
	if err := flow.Probe(t.Context(), in); err != nil {
		t.Errorf("Probe = %v", err)
	}
	for _, tc := range []struct {
		err      error
		rejected bool
	}{
		{tokenvault.ErrDenied, true},
		{tokenvault.ErrInvalid, true},
		{tokenvault.ErrUnavailable, false},
		{context.DeadlineExceeded, false},
	} {
		b.err = fmt.Errorf("canary: %w", tc.err)
		outcome := flow.Refresh(t.Context(), in)
		rejected, ok := outcome.(tokenvault.Rejected)
		transient, passing := outcome.(tokenvault.Transient)
		if ok != tc.rejected || passing == tc.rejected {
			t.Errorf("%v: %T", tc.err, outcome)
		}
		for _, err := range []*tokenvault.ProviderError{rejected.Err, transient.Err} {
			if err != nil && (strings.Contains(err.Error(), "canary") || err.ProviderID != "bank-browser" || err.Transient == tc.rejected) {
				t.Errorf("%v is told as %v", tc.err, err)
			}
		}
		if err := flow.Probe(t.Context(), in); !errors.Is(err, tc.err) {
			t.Errorf("Probe = %v, want %v", err, tc.err)
		}
	}
	in.Credential = tokenvault.Credential{AccessToken: tokenvault.NewSecret("x")}
	if _, ok := flow.Refresh(t.Context(), in).(tokenvault.Rejected); !ok {
		t.Error("a credential without a state is signed in")
	}
}

func TestOnlyBrowserLoginsAreOpened(t *testing.T) {
	b := &browser{}
	flow := browserflow.New(b)
	for name, edit := range map[string]func(p *tokenvault.Provider){
		"no login":        func(p *tokenvault.Provider) { p.Login = nil },
		"refuses":         func(p *tokenvault.Provider) { p.Login.Refuses = "Use OAuth." },
		"no signs":        func(p *tokenvault.Provider) { p.Login.Signs = nil },
		"bad pattern":     func(p *tokenvault.Provider) { p.Login.Signs[0].Pattern = "(" },
		"bad unless":      func(p *tokenvault.Provider) { p.Login.Unless = []string{"["} },
		"escaped pattern": func(p *tokenvault.Provider) { p.Login.Signs[0].Pattern = `\` },
	} {
		p := provider()
		edit(&p)
		if _, err := flow.Open(t.Context(), tokenvault.BrowserRequest{Provider: p}); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("%s: Open = %v", name, err)
		}
		if _, err := flow.Begin(t.Context(), tokenvault.BeginInput{Provider: p}); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("%s: Begin = %v", name, err)
		}
	}
	if _, err := flow.Open(t.Context(), tokenvault.BrowserRequest{ID: "at_1", Provider: provider()}); err != nil || len(b.opened) != 1 || b.opened[0].ID != "at_1" {
		t.Errorf("Open = %v, %+v", err, b.opened)
	}
	if step, err := flow.Begin(t.Context(), tokenvault.BeginInput{Provider: provider()}); err != nil || step.URL != "" {
		t.Errorf("Begin = %+v, %v", step, err)
	}
}
