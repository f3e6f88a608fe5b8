package cdpsession

import "time"

const (
	drawAgain    = 50 * time.Millisecond // when a tab is asked again that could not be drawn
	firstPicture = time.Second           // when one is that was, and sent no picture
)

// A drawing is what sends pictures, and how large.
type drawing struct {
	tab           *target // nil: nothing
	width, height int
	touch         bool
	turn          int // another one begins anew: the first picture always comes
}

// redraw has the drawing looked at again. It never blocks.
func (s *Session) redraw() {
	select {
	case s.drawing <- struct{}{}:
	default:
	}
}

// wanted returns what should be drawn: the tab on top, while somebody looks. The
// lock is taken.
func (s *Session) wanted() drawing {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil || !s.view.showing || s.active() == nil {
		return drawing{}
	}
	return drawing{s.active(), s.width, s.height, s.touch, s.turn}
}

// draw makes what is drawn what is wanted, until the session ends. It awaits each
// answer: a screencast that is stopped and started at once ends for good.
func (s *Session) draw() {
	var now drawing
	for {
		select {
		case <-s.drawing:
		case <-s.ctx.Done():
			return
		}
		if want := s.wanted(); want != now {
			s.mu.Lock()
			seq := s.seq
			s.mu.Unlock()
			if now = s.drawn(now, want); now.tab != nil {
				s.catchUp(seq, firstPicture) // a document that takes the place of another may swallow it
			}
		}
	}
}

func (s *Session) drawn(now, want drawing) drawing {
	if now.tab != nil {
		_ = s.call(s.ctx, now.tab.session, "Page.stopScreencast", nil, nil) // the tab may be gone
	}
	if want.tab == nil || want.tab.await(s.ctx) != nil {
		return drawing{}
	}
	if err := s.calls(s.ctx, want.tab.session,
		command{"Emulation.setDeviceMetricsOverride", object{
			"width": want.width, "height": want.height, "screenWidth": want.width, "screenHeight": want.height, "deviceScaleFactor": 1, "mobile": false,
		}},
		command{"Emulation.setTouchEmulationEnabled", object{"enabled": want.touch, "maxTouchPoints": 5}},
		command{"Page.bringToFront", nil},
		command{"Page.startScreencast", object{"format": "jpeg", "quality": quality, "maxWidth": want.width, "maxHeight": want.height}},
	); err != nil {
		// The tab went away, and another one is on top, or its document is taking the
		// place of another just now.
		time.AfterFunc(drawAgain, s.redraw)
		return drawing{}
	}
	return want
}
