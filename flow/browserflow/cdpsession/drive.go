package cdpsession

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

// maxUnread bounds what a driver has not received, in bytes.
const maxUnread = 64 << 20

const (
	refusedCode   = -32000 // as Chromium refuses
	notFoundCode  = -32001
	closedMessage = "the browser has ended"
)

var (
	errDriverClosed = errors.New("the wire is closed")
	errDriverSlow   = errors.New("the driver does not receive")
)

// A driver is a [tokenvault.Wire]: a browser-level CDP session of its own on our
// connection, with the sessions that it attaches. What it enables and changes there
// is apart from what we do: its pages are guarded as before, and its messages cannot
// be addressed to a session that is ours.
type driver struct {
	s    *Session
	root string        // the session that is the browser itself to it
	wake chan struct{} // holds a token when there is something to receive

	mu       sync.Mutex // protects everything below; taken after the session's lock
	sessions map[string]bool
	unread   [][]byte
	size     int
	err      error
}

// Drive connects a program to the browser. It fails with [tokenvault.ErrUnavailable]
// if the browser is shared with other sessions, which the program would see.
func (s *Session) Drive(ctx context.Context) (tokenvault.Wire, error) {
	s.mu.Lock()
	err, open := s.ended(), s.phase == tokenvault.BrowserOpen
	s.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case !open || s.opts.OwnContext:
		return nil, fmt.Errorf("drive: %w", tokenvault.ErrUnavailable)
	}
	var made struct{ SessionID string }
	if err := s.call(ctx, "", "Target.attachToBrowserTarget", nil, &made); err != nil {
		return nil, fmt.Errorf("drive: %w", errors.Join(tokenvault.ErrUnavailable, err))
	}
	d := &driver{s: s, root: made.SessionID, wake: make(chan struct{}, 1), sessions: map[string]bool{made.SessionID: true}}
	s.conn.Handle(d.root, d.onEvent)
	return d, nil
}

// Receive returns the browser's next message.
func (d *driver) Receive(ctx context.Context) ([]byte, error) {
	for {
		d.mu.Lock()
		if len(d.unread) > 0 {
			message := d.unread[0]
			d.unread = slices.Delete(d.unread, 0, 1)
			d.size -= len(message)
			d.mu.Unlock()
			return message, nil
		}
		err := d.err
		d.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-d.wake:
		case <-d.s.ctx.Done():
			return nil, d.over()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (d *driver) over() error {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	return d.s.ended()
}

// Send passes a command on, under an id of our own.
func (d *driver) Send(_ context.Context, text []byte) error {
	var m struct {
		ID        int64           `json:"id"`
		SessionID string          `json:"sessionId"`
		Method    string          `json:"method"`
		Params    json.RawMessage `json:"params"`
	}
	if json.Unmarshal(text, &m) != nil || m.ID == 0 && m.Method == "" {
		return refuse("message", "must be one call of the Chrome DevTools Protocol")
	}
	d.s.mu.Lock()
	err := d.s.ended()
	d.s.used()
	d.s.mu.Unlock()
	if err != nil {
		return err
	}
	d.mu.Lock()
	err = d.err
	ours := m.SessionID != "" && (m.SessionID == d.root || !d.sessions[m.SessionID])
	d.mu.Unlock()
	if err != nil {
		return err
	}
	if ours {
		d.push(reply{ID: m.ID, SessionID: m.SessionID, Error: &replyError{notFoundCode, "Session with given id not found."}})
		return nil
	}
	session := m.SessionID
	if session == "" {
		session = d.root
	}
	var params any
	if m.Params != nil {
		params = m.Params
	}
	d.s.conn.Start(session, m.Method, params, func(result []byte, err error) {
		d.push(replyTo(m.ID, m.SessionID, result, err))
	})
	return nil
}

// A reply is what a driver gets for a command.
type reply struct {
	ID        int64           `json:"id"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *replyError     `json:"error,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
}

type replyError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func replyTo(id int64, session string, result []byte, err error) reply {
	a := reply{ID: id, SessionID: session, Result: result}
	var refusal *cdp.Error
	switch {
	case errors.As(err, &refusal):
		a.Error = &replyError{refusal.Code, refusal.Message}
	case err != nil:
		a.Error = &replyError{refusedCode, closedMessage}
	}
	return a
}

// onEvent passes an event of a driver's session on, and follows what is attached to
// it. Pages that are not for people are not for programs either.
func (d *driver) onEvent(e cdp.Event) {
	switch e.Method {
	case "Target.attachedToTarget":
		var a attached
		if json.Unmarshal(e.Params, &a) != nil {
			return
		}
		if d.s.keepsHidden(a) {
			d.s.conn.Send(a.SessionID, "Runtime.runIfWaitingForDebugger", nil)
			d.s.conn.Send(d.root, "Target.detachFromTarget", object{"sessionId": a.SessionID})
			return
		}
		d.mu.Lock()
		gone := d.err != nil
		d.sessions[a.SessionID] = true
		d.mu.Unlock()
		if !gone {
			d.s.conn.Handle(a.SessionID, d.onEvent)
		}
	case "Target.detachedFromTarget":
		var gone struct{ SessionID string }
		if json.Unmarshal(e.Params, &gone) != nil {
			return
		}
		d.mu.Lock()
		known := d.sessions[gone.SessionID]
		delete(d.sessions, gone.SessionID)
		d.mu.Unlock()
		if !known {
			return
		}
		d.s.conn.Handle(gone.SessionID, nil)
	}
	session := e.Session
	if session == d.root {
		session = ""
	}
	d.push(event{Method: e.Method, Params: e.Params, SessionID: session})
}

type event struct {
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
}

// keepsHidden reports whether a target is a page of ours that nobody sees.
func (s *Session) keepsHidden(a attached) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.TargetInfo.Type == "page" && a.TargetInfo.OpenerID == "" && len(s.hiding) > 0 {
		return true
	}
	for _, t := range s.targets {
		if t.hidden && t.id == a.TargetInfo.TargetID {
			return true
		}
	}
	return false
}

// push has a message received. A driver that does not receive is let go.
func (d *driver) push(message any) {
	text, err := json.Marshal(message)
	if err != nil {
		return
	}
	d.mu.Lock()
	full := d.size+len(text) > maxUnread
	if d.err == nil && !full {
		d.unread = append(d.unread, text)
		d.size += len(text)
	}
	d.mu.Unlock()
	if full {
		d.end(errDriverSlow)
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Close ends the wire. What the driver opened stays; what it set goes.
func (d *driver) Close() error {
	d.end(errDriverClosed)
	return nil
}

func (d *driver) end(why error) {
	d.mu.Lock()
	if d.err != nil {
		d.mu.Unlock()
		return
	}
	d.err = why
	d.unread, d.size = nil, 0
	sessions := d.sessions
	d.sessions = map[string]bool{}
	d.mu.Unlock()
	for session := range sessions {
		d.s.conn.Handle(session, nil)
	}
	d.s.conn.Send("", "Target.detachFromTarget", object{"sessionId": d.root})
	select {
	case d.wake <- struct{}{}:
	default:
	}
}
