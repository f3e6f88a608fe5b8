package cdpsession

import (
	"encoding/json"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

// onEvent handles what a page or frame tells.
func (s *Session) onEvent(t *target, e cdp.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observe(t, e)
	if handle := s.handler(e.Method); handle != nil {
		handle(t, e.Params)
	}
}

func (s *Session) handler(method string) func(*target, []byte) {
	switch method {
	case "Target.attachedToTarget":
		return s.onFrameAttached
	case "Target.detachedFromTarget":
		return s.onFrameDetached
	case "Page.frameNavigated":
		return s.onNavigated
	case "Page.navigatedWithinDocument":
		return s.onNavigatedWithin
	case "Page.domContentEventFired":
		return s.onContent
	case "Page.frameStartedLoading":
		return s.onLoading(true)
	case "Page.frameStoppedLoading":
		return s.onLoading(false)
	case "Page.javascriptDialogOpening":
		return s.onDialog
	case "Page.javascriptDialogClosed":
		return s.onDialogClosed
	case "Page.fileChooserOpened":
		return s.onChooser
	case "Fetch.requestPaused":
		return s.onRequest
	case "Fetch.authRequired":
		return s.onChallenge
	case "Runtime.bindingCalled":
		return s.onReport
	case "Inspector.targetCrashed":
		return s.onCrash
	}
	return nil
}

func (s *Session) onFrameAttached(t *target, params []byte) {
	var a attached
	if json.Unmarshal(params, &a) == nil {
		s.onAttached(t, a)
	}
}

func (s *Session) onFrameDetached(_ *target, params []byte) {
	var d struct{ SessionID string }
	if json.Unmarshal(params, &d) == nil {
		s.onDetached(d.SessionID)
	}
}

// onNavigated follows a page to another document.
func (s *Session) onNavigated(t *target, params []byte) {
	var n struct {
		Frame struct{ ID, ParentID, URL, UnreachableURL string }
	}
	if json.Unmarshal(params, &n) != nil || n.Frame.ID != t.id || n.Frame.ParentID != "" || t.parent != nil {
		return
	}
	t.url = n.Frame.URL
	if n.Frame.UnreachableURL != "" {
		t.url = n.Frame.UnreachableURL
	}
	t.pointer.editable = false
	t.asking.reset()
	s.leave(t)
	s.changed()
}

// onContent asks for the history once a document is there: while one takes the place
// of another, nobody answers.
func (s *Session) onContent(t *target, _ []byte) {
	if t.parent == nil {
		s.asksHistory(t)
	}
}

func (s *Session) onNavigatedWithin(t *target, params []byte) {
	var n struct{ FrameID, URL string }
	if json.Unmarshal(params, &n) == nil && n.FrameID == t.id && t.parent == nil {
		t.url = n.URL
		s.asksHistory(t)
		s.changed()
	}
}

// asksHistory finds out whether a tab can go back. The lock is held.
func (s *Session) asksHistory(t *target) {
	s.conn.Start(t.session, "Page.getNavigationHistory", nil, func(result []byte, err error) {
		var h struct {
			CurrentIndex int
			Entries      []struct {
				ID  int
				URL string
			}
		}
		if err != nil || json.Unmarshal(result, &h) != nil || h.CurrentIndex >= len(h.Entries) {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		t.back = 0
		if h.CurrentIndex > 0 && originOf(h.Entries[h.CurrentIndex-1].URL) != "" {
			t.back = h.Entries[h.CurrentIndex-1].ID
		}
		s.changed()
	})
}

func (s *Session) onLoading(loading bool) func(*target, []byte) {
	return func(t *target, params []byte) {
		var f struct{ FrameID string }
		if json.Unmarshal(params, &f) == nil && f.FrameID == t.id && t.parent == nil {
			t.loading = loading
			if !loading {
				s.asksHistory(t)
			}
			s.changed()
		}
	}
}

// maxCrashes is how often a tab may crash before the session is given up.
const maxCrashes = 3

func (s *Session) onCrash(t *target, _ []byte) {
	s.crashes++
	if s.crashes >= maxCrashes {
		go s.End(tokenvault.BrowserEndCrashed)
		return
	}
	if t.parent == nil && !t.hidden {
		s.conn.Send(t.session, "Page.reload", nil)
	}
}
