package cdp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
)

// A Frame is one picture of a screencast (Page.screencastFrame).
type Frame struct {
	Session string
	Ack     int // what Page.screencastFrameAck wants as its sessionId
	// Width and Height are those of the picture, in CSS pixels of the screen.
	Width, Height float64
	// Scale is the page's zoom by pinching; 1: none.
	Scale float64
	// Data is room bytes that are free for a header, then the picture. The handler
	// may keep it.
	Data []byte
}

const frameMethod = "Page.screencastFrame"

// framePrefix is how Chromium begins the event. A browser that writes it otherwise
// is understood too, only slower.
const framePrefix = `{"method":"Page.screencastFrame","params":{"data":"`

type frameHandler struct {
	room   int
	handle func(Frame)
}

// HandleFrames has the pictures of a session handled by f, decoded and with room
// bytes before them, in place of the event; nil ends that. The handler answers each
// with Page.screencastFrameAck, or there will be no more.
func (c *Conn) HandleFrames(session string, room int, f func(Frame)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f == nil {
		delete(c.frames, session)
		return
	}
	c.frames[session] = frameHandler{room, f}
}

// frameRest is what an event says beside the picture.
type frameRest struct {
	Metadata struct {
		DeviceWidth     float64 `json:"deviceWidth"`
		DeviceHeight    float64 `json:"deviceHeight"`
		PageScaleFactor float64 `json:"pageScaleFactor"`
	} `json:"metadata"`
	Ack int `json:"sessionId"`
}

// dispatchFrame decodes a picture without decoding the JSON around it as a whole.
// It reports false if the message has to go the slow way.
func (c *Conn) dispatchFrame(text []byte) bool {
	data, rest, ok := splitFrame(text)
	if !ok {
		return false
	}
	c.mu.Lock()
	h := c.frames[rest.Session]
	c.mu.Unlock()
	if h.handle == nil {
		return false
	}
	f, err := newFrame(rest.Session, rest.Params, data, h.room)
	if err != nil {
		return false
	}
	h.handle(f)
	return true
}

type frameEnvelope struct {
	Params  frameRest `json:"params"`
	Session string    `json:"sessionId"`
}

// splitFrame returns the base64 of a picture, which aliases text, and the rest.
func splitFrame(text []byte) (data []byte, rest frameEnvelope, ok bool) {
	after, ok := bytes.CutPrefix(text, []byte(framePrefix))
	if !ok {
		return nil, rest, false
	}
	end := bytes.IndexByte(after, '"')
	if end < 0 || !bytes.HasPrefix(after[end:], []byte(`",`)) {
		return nil, rest, false
	}
	// Without the picture, the rest is an object again.
	short := append([]byte(`{"params":{`), after[end+2:]...)
	if json.Unmarshal(short, &rest) != nil {
		return nil, rest, false
	}
	return after[:end], rest, true
}

func newFrame(session string, rest frameRest, data []byte, room int) (Frame, error) {
	picture := make([]byte, room+base64.StdEncoding.DecodedLen(len(data)))
	n, err := base64.StdEncoding.Decode(picture[room:], data)
	if err != nil {
		return Frame{}, errors.New("cdp: a picture is not base64")
	}
	return Frame{
		Session: session, Ack: rest.Ack, Data: picture[:room+n],
		Width: rest.Metadata.DeviceWidth, Height: rest.Metadata.DeviceHeight, Scale: rest.Metadata.PageScaleFactor,
	}, nil
}

// decodeFrame decodes the event's parameters as they are.
func decodeFrame(session string, params []byte, room int) (Frame, error) {
	var p struct {
		frameRest
		Data string `json:"data"`
	}
	if json.Unmarshal(params, &p) != nil {
		return Frame{}, errors.New("cdp: a picture has another form")
	}
	return newFrame(session, p.frameRest, []byte(p.Data), room)
}
