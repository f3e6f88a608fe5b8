package cdpsession

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

// A target is a page or a frame in a process of its own, with its CDP session.
type target struct {
	session, id string
	parent      *target // of a frame: the page or frame around it
	hidden      bool    // a page that nobody sees: see [Session.openHidden]
	ready       chan struct{}
	err         error // once ready is closed: why it could not be prepared

	// Of a page; protected by the session's lock.
	url, title string
	loading    bool
	back       int // the history entry before; 0: none
	asking     asking
	pointer    pointer
}

// await waits until a target is prepared.
func (t *target) await(ctx context.Context) error {
	select {
	case <-t.ready:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// page returns the page that a target belongs to.
func (t *target) page() *target {
	for t.parent != nil {
		t = t.parent
	}
	return t
}

// An attached event tells of a new target.
type attached struct {
	SessionID  string `json:"sessionId"`
	TargetInfo struct {
		TargetID         string `json:"targetId"`
		Type             string `json:"type"`
		URL              string `json:"url"`
		Title            string `json:"title"`
		OpenerID         string `json:"openerId"`
		BrowserContextID string `json:"browserContextId"`
	} `json:"targetInfo"`
}

func (s *Session) onBrowserEvent(e cdp.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Method {
	case "Target.attachedToTarget":
		var a attached
		if json.Unmarshal(e.Params, &a) == nil {
			s.onAttached(nil, a)
		}
	case "Target.detachedFromTarget":
		var d struct{ SessionID string }
		if json.Unmarshal(e.Params, &d) == nil {
			s.onDetached(d.SessionID)
		}
	case "Target.targetInfoChanged":
		var c struct {
			TargetInfo struct{ TargetID, Title string }
		}
		if json.Unmarshal(e.Params, &c) == nil {
			for _, t := range s.tabs {
				if t.id == c.TargetInfo.TargetID && t.title != c.TargetInfo.Title {
					t.title = c.TargetInfo.Title
					s.changed()
				}
			}
		}
	}
}

// onAttached takes a target in. It waits until it is prepared; nothing of it runs
// before. The lock is held.
func (s *Session) onAttached(parent *target, a attached) {
	info := a.TargetInfo
	if s.context != "" && info.BrowserContextID != s.context { // somebody else's
		s.conn.Send(a.SessionID, "Runtime.runIfWaitingForDebugger", nil)
		s.conn.Send("", "Target.detachFromTarget", object{"sessionId": a.SessionID})
		return
	}
	if parent == nil && (info.Type != "page" || s.known(info.TargetID)) {
		return // attached by somebody else on the same connection
	}
	t := &target{session: a.SessionID, id: info.TargetID, parent: parent, url: info.URL, title: info.Title, ready: make(chan struct{})}
	switch {
	case parent != nil:
	case s.hiding[info.URL] != nil:
		t.hidden = true
		s.hiding[info.URL] <- t
		delete(s.hiding, info.URL)
	case len(s.tabs) >= s.opts.Tabs:
		s.conn.Send("", "Target.closeTarget", object{"targetId": t.id})
		return
	default:
		s.tabs = append(s.tabs, t)
		s.top = append(s.top, t)
		s.conn.HandleFrames(t.session, frameRoom, func(f cdp.Frame) { s.onFrame(t, f) })
		s.switched()
	}
	s.targets[t.session] = t
	s.conn.Handle(t.session, func(e cdp.Event) { s.onEvent(t, e) })
	s.goes(func() {
		t.err = s.ready(t)
		close(t.ready)
	})
}

// known reports whether a page is a target already. The lock is held.
func (s *Session) known(id string) bool {
	for _, t := range s.targets {
		if t.parent == nil && t.id == id {
			return true
		}
	}
	return false
}

// onDetached lets a target go. The lock is held.
func (s *Session) onDetached(session string) {
	t := s.targets[session]
	if t == nil {
		return
	}
	delete(s.targets, session)
	s.conn.Handle(session, nil)
	s.conn.HandleFrames(session, 0, nil)
	gone := func(x *target) bool { return x == t }
	before := s.active()
	s.tabs = slices.DeleteFunc(s.tabs, gone)
	s.top = slices.DeleteFunc(s.top, gone)
	s.observeGone(t)
	if before == t {
		s.switched()
	}
	if before != nil && len(s.tabs) == 0 {
		s.goes(s.reopen)
	}
	s.changed()
}

// reopen opens the login page again after the last tab went away.
func (s *Session) reopen() {
	tab, err := s.newTab(s.ctx)
	if err == nil {
		err = tab.await(s.ctx)
	}
	if err == nil {
		_ = s.navigate(s.ctx, tab, s.login.URL)
	}
}

// active returns the tab on top, or nil. The lock is held.
func (s *Session) active() *target {
	if len(s.top) == 0 {
		return nil
	}
	return s.top[len(s.top)-1]
}

// activate puts a tab on top. The lock is held.
func (s *Session) activate(t *target) {
	if s.active() == t {
		return
	}
	s.top = append(slices.DeleteFunc(s.top, func(x *target) bool { return x == t }), t)
	s.switched()
}

// switched follows a change of the tab on top. The lock is held.
func (s *Session) switched() {
	s.last = nil
	s.changed()
	s.redraw()
}

// ready prepares a target, and lets it run. The order matters: a renderer that is
// shown before it runs crashes.
func (s *Session) ready(t *target) error {
	send := func(method string, params any) { s.conn.Send(t.session, method, params) }
	send("Page.enable", nil)
	send("Target.setAutoAttach", object{
		"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true, "filter": []object{{"type": "iframe"}, {"exclude": true}},
	})
	if !t.hidden {
		s.sendScripts(t)
		s.observeReady(t)
	}
	if t.parent == nil && !t.hidden {
		s.sendGuard(t)
		send("Page.setPrerenderingAllowed", object{"isAllowed": false})
	}
	if err := s.call(s.ctx, t.session, "Runtime.runIfWaitingForDebugger", nil, nil); err != nil {
		return fmt.Errorf("start a tab: %w", err)
	}
	if t.parent == nil && !t.hidden {
		send("Page.setInterceptFileChooserDialog", object{"enabled": true})
		send("Emulation.setFocusEmulationEnabled", object{"enabled": true})
	}
	return nil
}

// openHidden opens an empty page that nobody sees and that is no tab, in the same
// browser context. Call done when it is not needed any more.
func (s *Session) openHidden(ctx context.Context) (t *target, done func(), err error) {
	opened := make(chan *target, 1)
	address := "about:blank#" + rand.Text() // by which it is known when it comes: pages open windows, too
	s.mu.Lock()
	s.hiding[address] = opened
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.hiding, address)
		s.mu.Unlock()
	}()
	var made struct{ TargetID string }
	if err := s.call(ctx, "", "Target.createTarget", s.inContext(object{"url": address, "background": true}), &made); err != nil {
		return nil, nil, err
	}
	select {
	case t = <-opened:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	done = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callWithin)
		defer cancel()
		_ = s.call(ctx, "", "Target.closeTarget", object{"targetId": t.id}, nil)
	}
	if err := t.await(ctx); err != nil {
		done()
		return nil, nil, err
	}
	return t, done, nil
}
