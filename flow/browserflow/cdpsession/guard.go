package cdpsession

import (
	"encoding/json"
	"net/url"
	"strings"
)

// sendGuard has every navigation of a tab asked about before it is made, and with
// it, every request for a name and password. The lock is not needed.
func (s *Session) sendGuard(t *target) {
	s.conn.Send(t.session, "Fetch.enable", object{
		"handleAuthRequests": true, "patterns": []object{{"urlPattern": "*", "resourceType": "Document"}},
	})
}

// onRequest lets a navigation go on, or not. Redirects are asked about one by one.
func (s *Session) onRequest(t *target, params []byte) {
	var r struct {
		RequestID, FrameID string
		Request            struct{ URL string }
	}
	if json.Unmarshal(params, &r) != nil {
		return
	}
	if t.hidden {
		return // who opened it answers
	}
	if r.FrameID != t.id || s.mayVisit(r.Request.URL) {
		s.conn.Send(t.session, "Fetch.continueRequest", object{"requestId": r.RequestID})
		return
	}
	s.conn.Send(t.session, "Fetch.failRequest", object{"requestId": r.RequestID, "errorReason": "Aborted"})
	s.tellBlocked(r.Request.URL)
}

func (s *Session) mayVisit(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && s.opts.MayVisit(u)
}

// leave sends a tab away from where no request led it and where it must not be. The
// lock is held.
func (s *Session) leave(t *target) {
	if t.url == "about:blank" || t.url == "" || strings.HasPrefix(t.url, "chrome-error:") || s.mayVisit(strings.TrimPrefix(t.url, "blob:")) {
		return
	}
	s.tellBlocked(t.url)
	s.conn.Send(t.session, "Page.navigate", object{"url": "about:blank"})
}

// tellBlocked shows where a tab was kept from. The lock is held.
func (s *Session) tellBlocked(text string) {
	if s.view == nil {
		return
	}
	s.view.blocked = "?"
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		s.view.blocked = u.Host
	} else if err == nil && u.Scheme != "" {
		s.view.blocked = u.Scheme + ":"
	}
	s.changed()
}

func secure(text string) bool { return strings.HasPrefix(text, "https://") }
