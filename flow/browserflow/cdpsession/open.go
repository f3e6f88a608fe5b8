package cdpsession

import (
	"context"
	"errors"
	"fmt"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

// object is a JSON object of a command.
type object = map[string]any

// Open takes a connection to a browser that has started, restores the request's
// state, and goes to the login page. The session owns the connection from now on.
// It fails with a [*tokenvault.BrowserError] if the session has ended, and ends it
// if the browser cannot be used.
func (s *Session) Open(ctx context.Context, conn *cdp.Conn) error {
	s.mu.Lock()
	if err := s.ended(); err != nil {
		s.mu.Unlock()
		_ = conn.Close()
		return err
	}
	s.conn, s.phase, s.position = conn, tokenvault.BrowserStarting, 0
	s.goes(s.watchConnection)
	s.mu.Unlock()
	if err := s.prepare(ctx); err != nil {
		s.End(tokenvault.BrowserEndFailed)
		return fmt.Errorf("browser session: open: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ended(); err != nil {
		return err
	}
	s.phase = tokenvault.BrowserOpen
	s.goes(s.watchSigns)
	s.used()
	s.changed()
	s.redraw()
	return nil
}

// watchConnection ends the session with its browser.
func (s *Session) watchConnection() {
	select {
	case <-s.conn.Done():
		s.End(tokenvault.BrowserEndCrashed)
	case <-s.ctx.Done():
	}
}

func (s *Session) prepare(ctx context.Context) error {
	if s.opts.OwnContext {
		var made struct{ BrowserContextID string }
		if err := s.call(ctx, "", "Target.createBrowserContext", object{"disposeOnDetach": true}, &made); err != nil {
			return err
		}
		s.mu.Lock()
		s.context = made.BrowserContextID
		s.mu.Unlock()
	}
	s.conn.Handle("", s.onBrowserEvent)
	pages := []object{{"type": "page"}, {"exclude": true}}
	if err := s.calls(ctx, "",
		command{"Browser.setDownloadBehavior", s.inContext(object{"behavior": "deny"})},
		command{"Target.setDiscoverTargets", object{"discover": true, "filter": pages}},
		command{"Target.setAutoAttach", object{"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true, "filter": pages}},
	); err != nil {
		return err
	}
	tab, err := s.firstTab(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.goes(s.draw)
	s.mu.Unlock()
	if state := s.opts.Request.State; !state.IsZero() {
		if err := s.restore(ctx, tab, state); err != nil {
			return err
		}
	}
	if s.first != "" { // not awaited: the service may ask for a name and password first
		s.conn.Send(tab.session, "Page.navigate", object{"url": s.first})
	}
	return nil
}

// inContext adds the session's browser context to a command's parameters.
func (s *Session) inContext(params object) object {
	if s.context != "" {
		params["browserContextId"] = s.context
	}
	return params
}

// firstTab returns the tab that the browser came with, or opens one. What was open
// when the browser came is attached by now.
func (s *Session) firstTab(ctx context.Context) (*target, error) {
	s.mu.Lock()
	tab := s.active()
	s.mu.Unlock()
	if tab == nil {
		opened, err := s.newTab(ctx)
		if err != nil {
			return nil, err
		}
		tab = opened
	}
	return tab, tab.await(ctx)
}

// newTab opens an empty tab.
func (s *Session) newTab(ctx context.Context) (*target, error) {
	var made struct{ TargetID string }
	if err := s.call(ctx, "", "Target.createTarget", s.inContext(object{
		"url": "about:blank", "newWindow": true, "width": s.width, "height": s.height,
	}), &made); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tabs {
		if t.id == made.TargetID { // it was attached before the command was answered
			return t, nil
		}
	}
	return nil, errors.New("a new tab was not attached")
}

// navigate sends a tab to a URL. What becomes of it is seen by the tab's events.
func (s *Session) navigate(ctx context.Context, t *target, to string) error {
	return s.call(ctx, t.session, "Page.navigate", object{"url": to}, nil)
}
