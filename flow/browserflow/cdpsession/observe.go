package cdpsession

import "github.com/ai-token-vault/tokenvault/internal/cdp"

// observeReady asks a page or frame for the events that signs and state are read
// from, before anything of it runs. It must not wait for an answer.
func (s *Session) observeReady(t *target) {
	s.conn.Send(t.session, "DOMStorage.enable", nil)
}

// observe sees every event of a page or frame before it is handled. The lock is
// held: it must not wait for anything.
func (s *Session) observe(t *target, e cdp.Event) {}

// observeGone sees a page or frame go. The lock is held.
func (s *Session) observeGone(t *target) {}
