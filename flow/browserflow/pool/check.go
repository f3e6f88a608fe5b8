package pool

import (
	"context"
	"log/slog"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/cdpsession"
)

// Check fulfils [tokenvault.Browser]. Checks have slots of their own: a login that
// waits for its proof must not wait for other logins.
func (p *Pool) Check(ctx context.Context, check tokenvault.BrowserCheck) (tokenvault.BrowserProof, error) {
	if check.Provider.Login == nil {
		return tokenvault.BrowserProof{}, &tokenvault.FieldError{Field: "provider", Reason: "must describe a login"}
	}
	ctx, done, err := p.enterCheck(ctx)
	if err != nil {
		return tokenvault.BrowserProof{}, err
	}
	defer done()
	starting, cancel := context.WithTimeout(ctx, p.opts.StartLimit)
	defer cancel()
	browser, err := p.opts.Start(starting, tokenvault.BrowserRequest{
		ID: "check", Provider: check.Provider, Width: check.State.Width, Height: check.State.Height,
	})
	if err != nil {
		if ctx.Err() == nil {
			p.opts.Logger.Warn("a browser could not be started", slog.String("error", err.Error()))
		}
		return tokenvault.BrowserProof{}, unavailable("no browser could be started for a check")
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
		defer cancel()
		if err := browser.End(ending); err != nil {
			p.opts.Logger.Warn("a browser did not end as it should", slog.String("error", err.Error()))
		}
	}()
	return cdpsession.Check(ctx, browser.Conn(), check, cdpsession.Options{OwnContext: p.opts.OwnContext})
}

// enterCheck waits for a slot. The context that it returns ends with Close too.
func (p *Pool) enterCheck(ctx context.Context) (context.Context, func(), error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, nil, unavailable("browsers are shutting down")
	}
	p.work.Add(1)
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(p.closing, cancel)
	leave := func() {
		unhook()
		cancel()
		p.work.Done()
	}
	select {
	case p.checks <- struct{}{}:
		return ctx, func() { <-p.checks; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, nil, unavailable("no browser was free for a check in time")
	}
}
