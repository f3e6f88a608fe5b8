package cdpsession

import (
	_ "embed"
	"encoding/json"
)

const (
	world   = "tokenvault"      // the isolated world that our scripts run in: pages do not see it
	binding = "tokenvaultTells" // what they report with, in that world only
)

var (
	//go:embed scripts/hide.js
	hideScript string
	//go:embed scripts/watch.js
	watchScript string
)

// sendScripts has our scripts run in every document of a target before its own.
func (s *Session) sendScripts(t *target) {
	s.conn.Send(t.session, "Runtime.enable", nil) // without it, the binding is missing in new documents
	s.conn.Send(t.session, "Runtime.addBinding", object{"name": binding, "executionContextName": world})
	s.conn.Send(t.session, "Page.addScriptToEvaluateOnNewDocument", object{"source": hideScript, "runImmediately": true})
	s.conn.Send(t.session, "Page.addScriptToEvaluateOnNewDocument", object{"source": watchScript, "worldName": world, "runImmediately": true})
}

// pointer is where a tab's pointer and focus are; protected by the session's lock.
type pointer struct {
	scale    float64 // of pinching; 0 and 1: none
	editable bool
	moving   bool   // the browser has not answered the last move
	next     object // the move after it
}

// A report is what our script tells.
type report struct {
	Cursor   *string `json:"cursor"`
	Editable *bool   `json:"editable"`
	Title    *string `json:"title"`
}

// onReport takes what our script tells of the pointer and the focus.
func (s *Session) onReport(t *target, params []byte) {
	var b struct{ Name, Payload string }
	if json.Unmarshal(params, &b) != nil || b.Name != binding {
		return
	}
	var r report
	if json.Unmarshal([]byte(b.Payload), &r) != nil {
		return
	}
	p := t.page()
	if r.Title != nil && p == t && t.title != *r.Title {
		t.title = clip(*r.Title)
		s.changed()
	}
	if r.Editable != nil && p.pointer.editable != *r.Editable {
		p.pointer.editable = *r.Editable
		s.changed()
	}
	if r.Cursor != nil && s.view != nil && p == s.active() && len(*r.Cursor) <= 20 && s.view.cursor != *r.Cursor {
		s.view.cursor = *r.Cursor
		s.changed()
	}
}
