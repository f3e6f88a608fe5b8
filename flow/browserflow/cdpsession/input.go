package cdpsession

import (
	"context"
	"math"

	"github.com/ai-token-vault/tokenvault"
)

const (
	maxInflight = 256     // inputs that a page has not taken; further ones are lost, as nobody sees what they do
	maxText     = 1 << 20 // bytes of one input
	minSide     = 200     // CSS pixels
	maxSide     = 2560
)

// Do does what the person did.
func (v *view) Do(ctx context.Context, in tokenvault.ViewInput) error {
	s := v.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.err != nil {
		return v.err
	}
	if err := s.ended(); err != nil {
		return err
	}
	if len(in.Text.Reveal()) > maxText || len(in.Key.Reveal()) > 64 || len(in.Code.Reveal()) > 64 {
		return refuse("text", "is too long")
	}
	s.used()
	switch in.Kind { //nolint:exhaustive // the others are done elsewhere, or refused below
	case tokenvault.ViewKeyframe:
		v.scene, v.frame = true, s.last
		v.notify()
		return nil
	case tokenvault.ViewShowing:
		v.showing = in.Accept
		s.redraw()
		return nil
	case tokenvault.ViewResize:
		return s.resize(in)
	}
	t := s.active()
	if t == nil || s.phase != tokenvault.BrowserOpen {
		return nil // nothing is there yet, or nothing any more
	}
	return s.act(t, in)
}

func refuse(field, reason string) error {
	return &tokenvault.FieldError{Field: field, Reason: reason}
}

// act does what the person did in a tab. The lock is held.
func (s *Session) act(t *target, in tokenvault.ViewInput) error {
	switch in.Kind { //nolint:exhaustive // the others are done elsewhere, or refused below
	case tokenvault.ViewTabTo:
		return s.tab(in)
	case tokenvault.ViewAnswer:
		return s.answer(t, in)
	case tokenvault.ViewSignIn:
		return s.signIn(t, in)
	case tokenvault.ViewFiles:
		return s.choose(t, in)
	case tokenvault.ViewReload:
		s.conn.Send(t.session, "Page.reload", nil)
		return nil
	case tokenvault.ViewBack:
		if t.back != 0 {
			s.conn.Send(t.session, "Page.navigateToHistoryEntry", object{"entryId": t.back})
		}
		return nil
	}
	if t.asking.dialog != nil {
		return nil // the page stands still
	}
	switch in.Kind { //nolint:exhaustive // the others are done elsewhere, or refused below
	case tokenvault.ViewMouse:
		return s.mouse(t, in)
	case tokenvault.ViewWheel:
		p := t.point(in.X, in.Y)
		s.input(t, "Input.dispatchMouseEvent", object{
			"type": "mouseWheel", "x": p.x, "y": p.y, "deltaX": in.DeltaX, "deltaY": in.DeltaY, "modifiers": in.Modifiers & 15,
		})
		return nil
	case tokenvault.ViewTouch:
		return s.touchAt(t, in)
	case tokenvault.ViewKey:
		return s.key(t, in)
	case tokenvault.ViewText:
		s.input(t, "Input.insertText", object{"text": in.Text.Reveal()})
		return nil
	case tokenvault.ViewCompose:
		s.input(t, "Input.imeSetComposition", object{"text": in.Text.Reveal(), "selectionStart": in.SelectionStart, "selectionEnd": in.SelectionEnd})
		return nil
	case tokenvault.ViewCopy:
		s.copySelection(t, in.Action == "cut")
		return nil
	}
	return refuse("kind", "is not known")
}

// input sends what the person did, unless the page does not take it any more. The
// lock is held.
func (s *Session) input(t *target, method string, params object) {
	if s.inflight >= maxInflight {
		return
	}
	s.inflight++
	s.conn.Start(t.session, method, params, func([]byte, error) {
		s.mu.Lock()
		s.inflight--
		s.mu.Unlock()
	})
}

// A place is a point of a page, in its CSS pixels.
type place struct{ x, y float64 }

// point returns the place under a point of the picture.
func (t *target) point(x, y float64) place {
	scale := t.pointer.scale
	if scale <= 0 {
		scale = 1
	}
	return place{bounded(x) / scale, bounded(y) / scale}
}

func bounded(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return min(max(x, 0), maxSide)
}

func (s *Session) mouse(t *target, in tokenvault.ViewInput) error {
	kind, ok := map[string]string{"move": "mouseMoved", "down": "mousePressed", "up": "mouseReleased"}[in.Action]
	if !ok {
		return refuse("action", "is not known")
	}
	button := in.Button
	switch button {
	case "":
		button = "none"
	case "none", "left", "middle", "right":
	default:
		return refuse("button", "is not known")
	}
	p := t.point(in.X, in.Y)
	params := object{"type": kind, "x": p.x, "y": p.y, "button": button, "buttons": in.Buttons & 7, "clickCount": min(max(in.Clicks, 0), 3), "modifiers": in.Modifiers & 15}
	if in.Action == "move" {
		s.move(t, params)
		return nil
	}
	if t.pointer.next != nil {
		s.input(t, "Input.dispatchMouseEvent", t.pointer.next)
		t.pointer.next = nil
	}
	s.input(t, "Input.dispatchMouseEvent", params)
	return nil
}

// move sends a move of the mouse once the page has taken the one before; of those
// that come meanwhile, the last. The lock is held.
func (s *Session) move(t *target, params object) {
	if t.pointer.moving {
		t.pointer.next = params
		return
	}
	t.pointer.moving = true
	s.conn.Start(t.session, "Input.dispatchMouseEvent", params, func([]byte, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		t.pointer.moving = false
		if next := t.pointer.next; next != nil {
			t.pointer.next = nil
			s.move(t, next)
		}
	})
}

const maxFingers = 10

func (s *Session) touchAt(t *target, in tokenvault.ViewInput) error {
	kind, ok := map[string]string{"start": "touchStart", "move": "touchMove", "end": "touchEnd", "cancel": "touchCancel"}[in.Action]
	if !ok {
		return refuse("action", "is not known")
	}
	if len(in.Points) > maxFingers {
		return refuse("points", "are too many")
	}
	points := make([]object, 0, len(in.Points))
	if in.Action == "start" || in.Action == "move" {
		for _, f := range in.Points {
			p := t.point(f.X, f.Y)
			points = append(points, object{"x": p.x, "y": p.y, "id": f.ID})
		}
	}
	s.input(t, "Input.dispatchTouchEvent", object{"type": kind, "touchPoints": points, "modifiers": in.Modifiers & 15})
	return nil
}

func (s *Session) resize(in tokenvault.ViewInput) error {
	if in.Width < minSide || in.Height < minSide || in.Width > maxSide || in.Height > maxSide {
		return refuse("width", "and height have to be from 200 to 2560")
	}
	s.width, s.height, s.touch = in.Width, in.Height, in.Touch
	s.redraw()
	return nil
}

// tab activates or closes one. The last one stays.
func (s *Session) tab(in tokenvault.ViewInput) error {
	t := s.tabOf(in.Tab)
	switch {
	case t == nil:
		return nil // it went away meanwhile
	case in.Action == "activate":
		s.activate(t)
	case in.Action == "close" && len(s.tabs) > 1:
		s.conn.Send("", "Target.closeTarget", object{"targetId": t.id})
	case in.Action != "close":
		return refuse("action", "is not known")
	}
	return nil
}
