package cdpsession

import (
	"encoding/json"

	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

// observeReady asks a page or frame for the events that signs and state are read
// from, before anything of it runs. It must not wait for an answer.
func (s *Session) observeReady(t *target) {
	if t.page().hidden {
		return
	}
	s.conn.Send(t.session, "DOMStorage.enable", nil)
	if s.signs.wantsResponses() {
		s.conn.Send(t.session, "Network.enable", object{"maxTotalBufferSize": 0, "maxResourceBufferSize": 0, "maxPostDataSize": 0})
	}
}

// observe sees every event of a page or frame before it is handled. The lock is
// held: it must not wait for anything.
func (s *Session) observe(t *target, e cdp.Event) {
	if t.page().hidden {
		return
	}
	switch e.Method {
	case "Page.frameNavigated":
		s.observeNavigated(t, e.Params)
	case "Page.navigatedWithinDocument":
		s.signs.acted()
	case "Fetch.requestPaused":
		s.observeRequest(t, e.Params)
	case "DOMStorage.domStorageItemAdded", "DOMStorage.domStorageItemUpdated", "DOMStorage.domStorageItemRemoved", "DOMStorage.domStorageItemsCleared":
		s.mirror.change(s.login, e)
	case "Network.requestWillBeSent", "Network.responseReceived", "Network.loadingFailed":
		s.signs.network(s.login, t, e)
	}
}

// observeGone sees a page or frame go. The lock is held.
func (s *Session) observeGone(t *target) {
	if t.parent == nil && !t.hidden {
		s.signs.wakes()
	}
}

func (s *Session) observeNavigated(t *target, params []byte) {
	var n struct {
		Frame struct{ ID, ParentID, URL string }
	}
	if json.Unmarshal(params, &n) != nil {
		return
	}
	s.mirror.saw(s.login, n.Frame.URL)
	if t.parent == nil && n.Frame.ParentID == "" {
		s.signs.acted()
	}
}

// observeRequest sees where a tab is sent to, also if it is sent on at once.
func (s *Session) observeRequest(t *target, params []byte) {
	var r struct {
		FrameID string
		Request struct{ URL string }
	}
	if json.Unmarshal(params, &r) == nil && t.parent == nil && r.FrameID == t.id && s.mayVisit(r.Request.URL) && !covers(s.login, r.Request.URL) {
		s.signs.left = true
	}
}
