package cdpsession_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest/site"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/cdpsession"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

var (
	_ tokenvault.BrowserSession = (*cdpsession.Session)(nil)
	_ tokenvault.Viewable       = (*cdpsession.Session)(nil)
)

// patience bounds every wait. It is generous: the machine may be busy.
const patience = time.Minute

// A rig is a session with a real browser, and a view of it.
type rig struct {
	t       *testing.T
	conn    *cdp.Conn
	session *cdpsession.Session
	view    tokenvault.LiveView
	scene   tokenvault.ViewScene
	frame   []byte
	frames  int
	blocked []string
	copied  []string
}

func startSite(t *testing.T) *site.Site {
	t.Helper()
	s, err := site.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// options are those of a session at a page of the site.
func options(s *site.Site, path string) cdpsession.Options {
	p := s.Provider()
	p.Login.URL = s.Bank + path
	return cdpsession.Options{Request: tokenvault.BrowserRequest{ID: "at_1", Provider: p}}
}

// open opens a session at a page of the site, and views it.
func open(t *testing.T, opts cdpsession.Options) *rig {
	t.Helper()
	r := &rig{t: t, session: cdpsession.New(opts)}
	t.Cleanup(func() {
		if err := r.session.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r.look()
	r.conn = browsertest.Launch(t)
	if err := r.session.Open(t.Context(), r.conn); err != nil {
		t.Fatal(err)
	}
	r.until("the page", func() bool {
		return r.scene.Phase == tokenvault.BrowserOpen && !r.scene.Loading && r.activeTab().Title != "" && r.frame != nil
	})
	return r
}

// openPage opens a session at a page that is made for one test.
func openPage(t *testing.T, body string, edit ...func(*cdpsession.Options)) *rig {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, "<!doctype html><title>start</title><body style='margin:0'>"+body)
	}))
	t.Cleanup(server.Close)
	opts := cdpsession.Options{Request: tokenvault.BrowserRequest{ID: "at_1", Provider: tokenvault.Provider{
		Login: &tokenvault.Login{URL: server.URL + "/", Domains: []string{strings.TrimPrefix(server.URL, "http://")}},
	}}}
	for _, e := range edit {
		e(&opts)
	}
	return open(t, opts)
}

// look begins a view, in place of the one before.
func (r *rig) look() {
	r.t.Helper()
	view, err := r.session.View(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.view = view
}

// until looks at the session until what is wanted is there.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for !ok() {
		if err := r.next(ctx); err != nil {
			r.t.Fatalf("waiting for %s: %v; the scene is %+v", what, err, r.scene)
		}
	}
}

func (r *rig) next(ctx context.Context) error {
	update, err := r.view.Next(ctx)
	if err != nil {
		return err
	}
	if update.Frame != nil {
		r.frame = update.Frame
		r.frames++
		return nil
	}
	r.scene = *update.Scene
	if r.scene.Blocked != "" {
		r.blocked = append(r.blocked, r.scene.Blocked)
	}
	if r.scene.Copied != "" {
		r.copied = append(r.copied, r.scene.Copied)
	}
	return nil
}

// title waits until the active tab has a title and has loaded.
func (r *rig) title(want string) {
	r.t.Helper()
	r.until("the title "+want, func() bool { return r.activeTab().Title == want && !r.scene.Loading })
}

// sees waits until the picture has a button of the site where the page has it.
func (r *rig) sees(selector string) {
	r.t.Helper()
	x, y := r.middle(selector)
	r.until("a picture of "+selector, func() bool {
		red, green, blue, _ := r.picture().At(int(x)-140, int(y)).RGBA() // beside its text
		return red < 0x4000 && green > red && blue > green && blue < 0xa000
	})
}

func (r *rig) activeTab() tokenvault.ViewTab {
	for _, tab := range r.scene.Tabs {
		if tab.Active {
			return tab
		}
	}
	return tokenvault.ViewTab{}
}

func (r *rig) do(in tokenvault.ViewInput) {
	r.t.Helper()
	if err := r.view.Do(r.t.Context(), in); err != nil {
		r.t.Fatalf("%s: %v", in.Kind, err)
	}
}

// click clicks the middle of an element.
func (r *rig) click(selector string) {
	r.t.Helper()
	x, y := r.middle(selector)
	r.clickAt(x, y)
}

func (r *rig) clickAt(x, y float64) {
	r.t.Helper()
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewMouse, Action: "move", X: x, Y: y})
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewMouse, Action: "down", X: x, Y: y, Button: "left", Buttons: 1, Clicks: 1})
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewMouse, Action: "up", X: x, Y: y, Button: "left", Clicks: 1})
}

func (r *rig) typed(text string) {
	r.t.Helper()
	for _, c := range text {
		r.press(string(c), "", 0)
	}
}

func (r *rig) press(key, code string, modifiers int) {
	r.t.Helper()
	for _, action := range []string{"down", "up"} {
		r.do(tokenvault.ViewInput{Kind: tokenvault.ViewKey, Action: action, Key: tokenvault.NewSecret(key), Code: tokenvault.NewSecret(code), Modifiers: modifiers})
	}
}

// middle returns where an element of the active tab is.
func (r *rig) middle(selector string) (x, y float64) {
	r.t.Helper()
	quoted, _ := json.Marshal(selector)
	var at [2]float64
	r.eval(`(() => { const b = document.querySelector(`+string(quoted)+`).getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()`, &at)
	return at[0], at[1]
}

// eval asks the active tab's page, on a way of the test's own.
func (r *rig) eval(expression string, into any) {
	r.t.Helper()
	var attached struct{ SessionID string }
	if err := r.conn.Call(r.t.Context(), "", "Target.attachToTarget", map[string]any{"targetId": r.activeTab().ID, "flatten": true}, &attached); err != nil {
		r.t.Fatal(err)
	}
	var result struct {
		Result struct{ Value json.RawMessage }
	}
	if err := r.conn.Call(r.t.Context(), attached.SessionID, "Runtime.evaluate", map[string]any{"expression": expression, "userGesture": true, "returnByValue": true, "awaitPromise": true}, &result); err != nil {
		r.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(result.Result.Value, into); err != nil {
			r.t.Fatalf("%s: %s: %v", expression, result.Result.Value, err)
		}
	}
	if err := r.conn.Call(r.t.Context(), "", "Target.detachFromTarget", map[string]any{"sessionId": attached.SessionID}, nil); err != nil {
		r.t.Fatal(err)
	}
}

// picture decodes the last frame.
func (r *rig) picture() image.Image {
	r.t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(r.frame[tokenvault.FrameHeader:]))
	if err != nil {
		r.t.Fatal(err)
	}
	return img
}

// size is what the last frame's header says.
func (r *rig) size() image.Point {
	return image.Pt(int(r.frame[4])<<8|int(r.frame[5]), int(r.frame[6])<<8|int(r.frame[7]))
}
