package cdpsession

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

const (
	checkWithin  = 60 * time.Second
	landWithin   = 25 * time.Second
	strangerTime = 4 * time.Second // a page that stands still for so long without the signs is a stranger's
)

// Check restores a state in a browser that nobody has used, and looks who is signed
// in there: by the provider's probe or, if it has none, by the signs of a login at its
// landing page. It owns the connection, as [Session.Open] does; opts says what its
// adapter does for it. Errors as [tokenvault.Browser.Check].
func Check(ctx context.Context, conn *cdp.Conn, check tokenvault.BrowserCheck, opts Options) (tokenvault.BrowserProof, error) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	opts.Request = tokenvault.BrowserRequest{
		ID: "check", Provider: check.Provider, State: check.State, Width: check.State.Width, Height: check.State.Height, TimeLimit: 2 * checkWithin,
	}
	s := New(opts)
	s.first = ""
	if s.login.Probe == nil {
		s.signs = landed(s.login)
	}
	defer func() { _ = s.Close(context.WithoutCancel(ctx)) }()
	if err := s.Open(ctx, conn); err != nil {
		if errors.Is(err, tokenvault.ErrInvalid) {
			return tokenvault.BrowserProof{}, err
		}
		return tokenvault.BrowserProof{}, fmt.Errorf("browser check: %w", tokenvault.ErrUnavailable)
	}
	account, state, err := s.check(ctx, check.State)
	if err != nil {
		return tokenvault.BrowserProof{}, fmt.Errorf("browser check: %w", err)
	}
	state.UserAgent, state.Width, state.Height = check.State.UserAgent, check.State.Width, check.State.Height
	return tokenvault.BrowserProof{Account: account, State: state}, nil
}

// check returns who is signed in, and the state as it is then.
func (s *Session) check(ctx context.Context, before tokenvault.BrowserState) (account tokenvault.Account, after tokenvault.BrowserState, err error) {
	if s.login.Probe == nil {
		if err = s.land(ctx); err == nil {
			after, err = s.Capture(ctx)
		}
		return account, after, err
	}
	if account, err = s.probe(ctx); err != nil {
		return account, after, err
	}
	// No script of the site ran: only cookies can be new.
	all, err := tokenvault.ParseStorageState(before.StorageState)
	if err != nil {
		return account, after, err
	}
	if all.Cookies, err = s.cookies(ctx); err != nil {
		return account, after, fmt.Errorf("the cookies cannot be read: %w", tokenvault.ErrUnavailable)
	}
	after.StorageState, err = all.JSON()
	return account, after, err
}

// landed returns the signs that are there again when a state is restored. Unless an
// address is among them, one is that the landing page does not lead to the login page:
// cookies alone are there again for sure.
func landed(login tokenvault.Login) signs {
	login.Signs = slices.DeleteFunc(slices.Clone(login.Signs), func(sign tokenvault.LoginSign) bool {
		return sign.Strategy == tokenvault.SignResponse || sign.Strategy == tokenvault.SignReturn
	})
	if !slices.ContainsFunc(login.Signs, func(sign tokenvault.LoginSign) bool { return sign.Strategy == tokenvault.SignURLPattern }) {
		login.Signs = append(login.Signs, tokenvault.LoginSign{Strategy: tokenvault.SignReturn})
	}
	g := newSigns(login)
	g.left, g.wantsPages = true, true
	return g
}

// land waits until the signs of a login are there, or it is clear that they will not
// be.
func (s *Session) land(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, landWithin)
	defer cancel()
	s.mu.Lock()
	tab := s.active()
	s.mu.Unlock()
	if tab == nil || s.navigate(ctx, tab, s.login.Landing()) != nil {
		return fmt.Errorf("the landing page does not open: %w", tokenvault.ErrUnavailable)
	}
	there := make(chan error, 1)
	go func() { there <- s.Await(ctx) }()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	still := time.Now()
	for moved := -1; ; {
		select {
		case err := <-there:
			if err == nil {
				return s.pageIsFine()
			}
			return fmt.Errorf("the landing page shows nothing: %w", tokenvault.ErrUnavailable)
		case <-look.C:
		}
		at, activity, loading := s.standing()
		if loading || activity != moved {
			moved, still = activity, time.Now()
			continue
		}
		if time.Since(still) < strangerTime {
			continue
		}
		if originOf(at) == "" {
			return fmt.Errorf("the landing page does not open: %w", tokenvault.ErrUnavailable)
		}
		if err := s.pageIsFine(); err != nil {
			return err
		}
		return fmt.Errorf("the landing page shows no sign of a login: %w", tokenvault.ErrDenied)
	}
}

// standing tells where the tab on top is, and whether it moves.
func (s *Session) standing() (at string, activity int, loading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.active()
	if t == nil {
		return "", s.signs.activity, true
	}
	return t.url, s.signs.activity, t.loading
}

// pageIsFine returns nil unless the last page was an error of the service.
func (s *Session) pageIsFine() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch status := s.signs.page; {
	case status >= 500 || status == http.StatusTooManyRequests:
		return fmt.Errorf("the landing page is not there just now: %w", tokenvault.ErrUnavailable)
	case status >= 400:
		return fmt.Errorf("the landing page is refused: %w", tokenvault.ErrDenied)
	}
	return nil
}
