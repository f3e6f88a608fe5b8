// Package browserflow connects accounts of services without OAuth: the owner signs in
// at the service's own page, in a browser that the vault starts and they watch.
//
//	Open     a fresh browser at the provider's login page
//	   │     the owner signs in; the session sees the provider's signs of a login
//	Capture  the state of the provider's domains, restored in a second fresh browser
//	   │     signed in there → a credential, and whose it is
//	   │     not signed in   → ErrDenied: the session goes on
//	Refresh  the same check, later: what the service renewed meanwhile is the next
//	         version; nobody signed in → Rejected; it could not be told → Transient
//
// Where the browsers are is the adapter's matter: flow/browserflow/chromium starts
// them on this machine, flow/browserflow/remotecdp reaches them elsewhere.
package browserflow

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ai-token-vault/tokenvault"
)

// A Flow has owners sign in by browsers. It keeps no state and is safe for concurrent
// use.
type Flow struct{ browser tokenvault.Browser }

var (
	_ tokenvault.Flow      = (*Flow)(nil)
	_ tokenvault.Watching  = (*Flow)(nil)
	_ tokenvault.Refresher = (*Flow)(nil)
	_ tokenvault.Prober    = (*Flow)(nil)
)

// New returns a flow that uses a browser.
func New(browser tokenvault.Browser) *Flow { return &Flow{browser} }

// Begin sends the owner nowhere: they sign in on a page of the vault's.
func (f *Flow) Begin(_ context.Context, in tokenvault.BeginInput) (tokenvault.Step, error) {
	return tokenvault.Step{}, usable(in.Provider)
}

// usable returns why nobody can sign in at a provider in a browser, or nil.
func usable(p tokenvault.Provider) error {
	switch {
	case p.Login == nil:
		return fmt.Errorf("provider %s is not for browser logins: %w", p.ID, tokenvault.ErrInvalid)
	case p.Login.Refuses != "":
		return fmt.Errorf("provider %s refuses automated browsers: %w", p.ID, tokenvault.ErrInvalid)
	case len(p.Login.Signs) == 0:
		return fmt.Errorf("provider %s has no signs of a login: %w", p.ID, tokenvault.ErrInvalid)
	}
	patterns := p.Login.Unless
	for _, sign := range p.Login.Signs {
		patterns = append(slices.Clip(patterns), sign.Pattern)
	}
	for _, text := range patterns {
		if _, err := tokenvault.WholePattern(text); err != nil {
			return fmt.Errorf("provider %s has a pattern that is no regular expression: %w", p.ID, tokenvault.ErrInvalid)
		}
	}
	return nil
}

// Open starts the browser of an attempt.
func (f *Flow) Open(ctx context.Context, req tokenvault.BrowserRequest) (tokenvault.BrowserSession, error) {
	if err := usable(req.Provider); err != nil {
		return nil, err
	}
	return f.browser.Open(ctx, req)
}

// Attach returns a session of this process.
func (f *Flow) Attach(ctx context.Context, id string) (tokenvault.BrowserSession, error) {
	return f.browser.Attach(ctx, id)
}

// Capture reads the state of a session and proves in a fresh browser that it is signed
// in. What the credential holds is the state as the proof left it.
func (f *Flow) Capture(ctx context.Context, session tokenvault.BrowserSession, provider tokenvault.Provider) (tokenvault.Completed, error) {
	state, err := session.Capture(ctx)
	if err != nil {
		return tokenvault.Completed{}, fmt.Errorf("provider %s: capture: %w", provider.ID, err)
	}
	proof, err := f.browser.Check(ctx, tokenvault.BrowserCheck{Provider: provider, State: state})
	if err != nil {
		return tokenvault.Completed{}, fmt.Errorf("provider %s: prove the login: %w", provider.ID, err)
	}
	completed := tokenvault.Completed{Credential: credential(proof.State), Account: proof.Account}
	if provider.Login != nil {
		completed.ExpiresIn = provider.Login.Lifetime
	}
	return completed, nil
}

func credential(state tokenvault.BrowserState) tokenvault.Credential {
	return tokenvault.Credential{AuthMethod: tokenvault.AuthBrowserLogin, Browser: state}
}

// Refresh checks whether the state is still signed in, and returns it with what the
// service renewed.
func (f *Flow) Refresh(ctx context.Context, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
	proof, err := f.check(ctx, in)
	if err == nil {
		return tokenvault.Rotated{Credential: credential(proof.State), Scopes: in.Scopes}
	}
	failed := &tokenvault.ProviderError{ProviderID: in.Provider.ID, Op: "check"}
	if errors.Is(err, tokenvault.ErrDenied) || errors.Is(err, tokenvault.ErrInvalid) {
		return tokenvault.Rejected{Err: failed}
	}
	failed.Transient = true
	return tokenvault.Transient{Err: failed}
}

// Probe returns nil if the state is still signed in.
func (f *Flow) Probe(ctx context.Context, in tokenvault.RefreshInput) error {
	_, err := f.check(ctx, in)
	if err != nil {
		return fmt.Errorf("provider %s: check: %w", in.Provider.ID, err)
	}
	return nil
}

func (f *Flow) check(ctx context.Context, in tokenvault.RefreshInput) (tokenvault.BrowserProof, error) {
	if in.Credential.Browser.IsZero() {
		return tokenvault.BrowserProof{}, fmt.Errorf("the credential holds no browser state: %w", tokenvault.ErrInvalid)
	}
	return f.browser.Check(ctx, tokenvault.BrowserCheck{Provider: in.Provider, State: in.Credential.Browser})
}
