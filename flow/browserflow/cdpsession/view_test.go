package cdpsession_test

import (
	"context"
	"errors"
	"image"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func TestPictures(t *testing.T) {
	r := open(t, options(startSite(t), "/text"))
	// The first picture may be one of the window before it had this size.
	r.until("a picture as its header says", func() bool { return r.size() == image.Pt(1280, 800) && r.picture().Bounds().Size() == r.size() })
	if !strings.HasPrefix(r.scene.Origin, "http://127.0.0.1:") || r.scene.Secure || len(r.scene.Tabs) != 1 {
		t.Errorf("the scene is %+v", r.scene)
	}
	status, err := r.session.Status(t.Context())
	if err != nil || status.Phase != tokenvault.BrowserOpen || status.CurrentURL != r.scene.Origin+"/text" {
		t.Errorf("the status is %+v: %v", status, err)
	}
}

// Who comes back sees the last picture before the page draws another.
func TestSecondViewEndsTheFirst(t *testing.T) {
	r := open(t, options(startSite(t), "/select")) // nothing moves here
	first, before := r.view, r.frame
	r.look()
	for {
		if _, err := first.Next(t.Context()); err != nil {
			if !errors.Is(err, tokenvault.ErrConflict) {
				t.Errorf("the first view's Next: %v", err)
			}
			break
		}
	}
	if err := first.Do(t.Context(), tokenvault.ViewInput{Kind: tokenvault.ViewReload}); !errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("the first view's Do: %v", err)
	}
	r.frame = nil
	r.until("the last picture", func() bool { return r.frame != nil })
	if string(r.frame) != string(before) && r.size() != image.Pt(1280, 800) {
		t.Error("another picture")
	}
	if err := first.Close(); err != nil { // changes nothing
		t.Error(err)
	}
	r.click("#language")
	r.until("a new picture", func() bool { return string(r.frame) != string(before) })
}

const moving = `<h1 id=h>0</h1><input id=i autofocus oninput="document.title=value"><script>let n = 0; (function f() { h.textContent = n++; requestAnimationFrame(f) })()</script>`

func TestNothingIsDrawnWhileNobodyLooks(t *testing.T) {
	r := openPage(t, moving)
	r.until("the focus", func() bool { return r.scene.Editable })
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewShowing})
	// Pictures under way still come. Then the page answers keys, and shows nothing.
	for text, silent := "", 0; silent < 5; {
		before := r.frames
		text += "x"
		r.typed("x")
		r.title(text)
		silent++
		if r.frames != before {
			silent = 0
		}
		if len(text) > 200 {
			t.Fatal("pictures keep coming")
		}
	}
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewShowing, Accept: true})
	before := r.frames
	r.until("pictures again", func() bool { return r.frames > before+2 })
}

func TestSlowViewerSeesTheLatest(t *testing.T) {
	r := openPage(t, moving)
	// The pictures that are not taken do not pile up, and the next is a late one.
	r.until("the focus", func() bool { return r.scene.Editable })
	before := r.frames
	r.until("more pictures", func() bool { return r.frames > before+3 })
	seq := func() uint32 {
		return uint32(r.frame[0])<<24 | uint32(r.frame[1])<<16 | uint32(r.frame[2])<<8 | uint32(r.frame[3])
	}
	last := seq()
	r.eval(`new Promise((done) => setTimeout(done, 1500))`, nil) // the page goes on meanwhile
	r.frame = nil
	r.until("a picture", func() bool { return r.frame != nil })
	first := seq()
	before = r.frames
	r.until("the next", func() bool { return r.frames > before })
	if first <= last || seq() <= first {
		t.Errorf("pictures %d, %d, %d", last, first, seq())
	}
}

// Pictures that the browser left out while nobody took any are made up for.
func TestLastPictureIsNotMissed(t *testing.T) {
	r := openPage(t, `<h1 id=h>0</h1><script>let n = 0, goes = true, resized = 0;
		onresize = () => resized++;
		(function f() { if (goes) { h.textContent = n++; requestAnimationFrame(f) } })()</script>`)
	for range 3 {
		r.eval(`new Promise((done) => { document.body.style.background = ""; goes = true; (function f() { if (goes) { h.textContent = n++; requestAnimationFrame(f) } })(); setTimeout(() => { goes = false; document.body.style.background = "rgb(0, 200, 0)"; setTimeout(done, 50) }, 700) })`, nil)
		r.until("the last picture", func() bool {
			red, green, _, _ := r.picture().At(600, 600).RGBA()
			return green > 2*red
		})
	}
	var resized int
	if r.eval(`resized`, &resized); resized > 0 {
		t.Errorf("the page was resized %d times", resized)
	}
}

func TestKeyframe(t *testing.T) {
	r := open(t, options(startSite(t), "/select"))
	r.frame = nil
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewKeyframe})
	r.until("the picture again", func() bool { return r.frame != nil })
}

func TestCloseView(t *testing.T) {
	r := open(t, options(startSite(t), "/select"))
	if err := r.view.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.view.Next(t.Context()); err == nil || errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("Next = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.look()
	for {
		if _, err := r.view.Next(ctx); err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Next = %v", err)
			}
			return
		}
	}
}
