package cdp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

const restOfFrame = `"metadata":{"offsetTop":0,"pageScaleFactor":1,"deviceWidth":1280,"deviceHeight":800,"scrollOffsetX":0,"scrollOffsetY":0,"timestamp":1.5},"sessionId":7}`

func fastFrame(picture []byte, session string) string {
	return `{"method":"Page.screencastFrame","params":{"data":"` + base64.StdEncoding.EncodeToString(picture) + `",` + restOfFrame + `,"sessionId":"` + session + `"}`
}

func TestFrames(t *testing.T) {
	picture := []byte("\xff\xd8 a JPEG, or so")
	encoded := base64.StdEncoding.EncodeToString(picture)
	for name, text := range map[string]string{
		"as Chromium writes it": fastFrame(picture, "S1"),
		"in another order":      `{"sessionId":"S1","params":{` + strings.TrimSuffix(restOfFrame, "}") + `,"data":"` + encoded + `"},"method":"Page.screencastFrame"}`,
		"with escapes":          strings.ReplaceAll(fastFrame(picture, "S1"), encoded[:1], `\u00`+hex(encoded[0])),
	} {
		t.Run(name, func(t *testing.T) {
			conn, p := connect(t)
			frames, events := make(chan Frame, 1), make(chan Event, 1)
			conn.Handle("S1", func(e Event) { events <- e })
			conn.HandleFrames("S1", 8, func(f Frame) { frames <- f })
			p.write(text)
			f := <-frames
			if f.Session != "S1" || f.Ack != 7 || f.Width != 1280 || f.Height != 800 || f.Scale != 1 || !bytes.Equal(f.Data[8:], picture) {
				t.Errorf("got %+v", f)
			}
			// Who does not want pictures gets the event as it is.
			conn.HandleFrames("S1", 0, nil)
			p.write(text)
			if e := <-events; e.Method != frameMethod || !json.Valid(e.Params) {
				t.Errorf("got %s", e.Method)
			}
		})
	}
}

func hex(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

// The fast way gives what encoding/json gives, and survives whatever a browser
// that went mad writes.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("picture"), "S1", 60)
	f.Add([]byte(nil), `a"b`, 1)
	f.Fuzz(func(t *testing.T, picture []byte, session string, cut int) {
		if !utf8.ValidString(session) {
			return // no session is named so
		}
		quoted, _ := json.Marshal(session)
		text := []byte(strings.Replace(fastFrame(picture, "S"), `"S"`, string(quoted), 1))
		data, rest, ok := splitFrame(text)
		if !ok {
			t.Fatalf("not understood: %s", text)
		}
		fast, err := newFrame(rest.Session, rest.Params, data, 8)
		if err != nil {
			t.Fatal(err)
		}
		var m message
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		slow, err := decodeFrame(m.Session, m.Params, 8)
		if err != nil {
			t.Fatal(err)
		}
		if fast.Session != session || slow.Session != session || fast.Ack != slow.Ack || fast.Width != slow.Width || !bytes.Equal(fast.Data, slow.Data) || !bytes.Equal(fast.Data[8:], picture) {
			t.Fatalf("fast %+v, slow %+v", fast, slow)
		}
		c := &Conn{frames: map[string]frameHandler{session: {8, func(Frame) {}}}}
		if cut = max(cut, 0) % len(text); cut > 0 {
			c.dispatch(text[:cut])
			c.dispatch(append([]byte(framePrefix), text[cut:]...))
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	text := []byte(fastFrame(bytes.Repeat([]byte("x"), 122<<10), "S1"))
	c := &Conn{frames: map[string]frameHandler{"S1": {8, func(Frame) {}}}}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		c.dispatch(text)
	}
}
