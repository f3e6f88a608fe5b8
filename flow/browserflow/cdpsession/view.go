package cdpsession

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

const frameRoom = tokenvault.FrameHeader

// errViewClosed reports a view that its own user closed.
var errViewClosed = errors.New("the view is closed")

// A view is a [tokenvault.LiveView]. Everything in it is protected by the session's
// lock.
type view struct {
	s       *Session
	wake    chan struct{} // holds a token when Next has to look again
	err     error         // why the view ended
	showing bool

	scene   bool   // the scene has changed
	frame   []byte // not yet taken
	behind  bool   // pictures came before the one before was taken
	unacked []ack  // of those
	copied  string
	blocked string
	cursor  string
}

// An ack is a picture that the browser waits to hear of.
type ack struct {
	session string
	id      int
}

// View begins to show the session.
func (s *Session) View(context.Context) (tokenvault.LiveView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ended(); err != nil {
		return nil, err
	}
	if s.view != nil {
		s.view.close(tokenvault.ErrConflict)
	}
	v := &view{s: s, wake: make(chan struct{}, 1), showing: true, scene: true, frame: s.last}
	s.view = v
	s.used()
	s.redraw()
	return v, nil
}

// close ends the view. The lock is held.
func (v *view) close(why error) {
	if v.err != nil {
		return
	}
	v.err = why
	v.acknowledge()
	if v.s.view == v {
		v.s.view = nil
		v.s.used()
		v.s.redraw()
	}
	v.notify()
}

// Close ends the view.
func (v *view) Close() error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	v.close(errViewClosed)
	return nil
}

// notify has Next look again. The lock is held.
func (v *view) notify() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Next returns the next scene or the latest picture.
func (v *view) Next(ctx context.Context) (tokenvault.ViewUpdate, error) {
	for {
		v.s.mu.Lock()
		update, ok, err := v.take()
		v.s.mu.Unlock()
		if ok || err != nil {
			return update, err
		}
		select {
		case <-v.wake:
		case <-ctx.Done():
			return tokenvault.ViewUpdate{}, ctx.Err()
		}
	}
}

// take returns what is new. The lock is held.
func (v *view) take() (tokenvault.ViewUpdate, bool, error) {
	switch {
	case v.err != nil:
		return tokenvault.ViewUpdate{}, false, v.err
	case v.s.ended() != nil:
		return tokenvault.ViewUpdate{}, false, v.s.ended()
	case v.scene:
		scene := v.s.scene()
		v.scene, v.copied, v.blocked = false, "", ""
		return tokenvault.ViewUpdate{Scene: &scene}, true, nil
	case v.frame != nil:
		frame := v.frame
		v.frame = nil
		if v.behind {
			v.behind = false
			v.acknowledge()
			v.s.catchUp(v.s.seq, missed)
		}
		return tokenvault.ViewUpdate{Frame: frame}, true, nil
	}
	return tokenvault.ViewUpdate{}, false, nil
}

// acknowledge lets the browser send the next picture. The lock is held.
func (s *Session) acknowledge(a ack) {
	s.conn.Send(a.session, "Page.screencastFrameAck", object{"sessionId": a.id})
}

// onFrame takes a picture of a tab. The view sees the latest only.
func (s *Session) onFrame(t *target, f cdp.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := ack{f.Session, f.Ack}
	if s.active() != t || s.ended() != nil {
		s.acknowledge(a)
		return
	}
	s.seq++
	header := f.Data[:frameRoom]
	binary.BigEndian.PutUint32(header, s.seq)
	binary.BigEndian.PutUint16(header[4:], pixels(f.Width))
	binary.BigEndian.PutUint16(header[6:], pixels(f.Height))
	s.last = f.Data
	t.pointer.scale = f.Scale
	v := s.view
	if v == nil {
		s.acknowledge(a)
		return
	}
	if v.frame == nil {
		s.acknowledge(a)
	} else {
		v.late(a)
	}
	v.frame = f.Data
	v.notify()
}

const (
	lateAck = 100 * time.Millisecond // how long a browser waits whose pictures are not taken
	missed  = 300 * time.Millisecond // after which a picture that was left out is asked for
)

// late keeps a picture from being acknowledged until the viewer takes one, or for
// lateAck, as nobody would see the next one earlier anyway. While a browser waits it
// leaves pictures out, perhaps the last one. The lock is held.
func (v *view) late(a ack) {
	v.behind = true
	v.unacked = append(v.unacked, a)
	if len(v.unacked) > 1 {
		return
	}
	time.AfterFunc(lateAck, func() {
		v.s.mu.Lock()
		defer v.s.mu.Unlock()
		v.acknowledge()
	})
}

// acknowledge lets the browser send further pictures. The lock is held.
func (v *view) acknowledge() {
	for _, a := range v.unacked {
		v.s.acknowledge(a)
	}
	v.unacked = v.unacked[:0]
}

// catchUp has the tab on top drawn anew if no picture follows the one of seq.
func (s *Session) catchUp(seq uint32, within time.Duration) {
	time.AfterFunc(within, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.seq == seq {
			s.turn++
			s.redraw()
		}
	})
}

func pixels(x float64) uint16 { return uint16(min(max(math.Round(x), 0), math.MaxUint16)) }

// changed tells the view that the scene is another. The lock is held.
func (s *Session) changed() {
	if s.view != nil {
		s.view.scene = true
		s.view.notify()
	}
}

// scene returns what the view shows beside the picture. The lock is held.
func (s *Session) scene() tokenvault.ViewScene {
	v := s.view
	scene := tokenvault.ViewScene{
		Phase: s.phase, Position: s.position, EndsAt: s.endsAt, End: s.end, Authenticated: s.signs.authenticated(),
		Tabs: make([]tokenvault.ViewTab, 0, len(s.tabs)), Copied: v.copied, Blocked: v.blocked, Cursor: v.cursor,
	}
	active := s.active()
	for _, t := range s.tabs {
		scene.Tabs = append(scene.Tabs, tokenvault.ViewTab{ID: t.id, Title: t.title, Origin: originOf(t.url), Active: t == active})
	}
	if active == nil {
		return scene
	}
	scene.Origin = originOf(active.url)
	scene.Secure = secure(active.url)
	scene.CanGoBack, scene.Loading = active.back != 0, active.loading
	scene.Editable = active.pointer.editable
	active.asking.show(&scene)
	return scene
}

// tabOf returns the tab with an id, or nil. The lock is held.
func (s *Session) tabOf(id string) *target {
	i := slices.IndexFunc(s.tabs, func(t *target) bool { return t.id == id })
	if i < 0 {
		return nil
	}
	return s.tabs[i]
}
