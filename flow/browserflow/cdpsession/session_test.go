package cdpsession_test

import (
	"bytes"
	"context"
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
	"github.com/ai-token-vault/tokenvault/flow/browserflow/cdpsession"
)

var (
	_ tokenvault.BrowserSession = (*cdpsession.Session)(nil)
	_ tokenvault.Viewable       = (*cdpsession.Session)(nil)
)

// A rig is a session with a real browser, and a view of it.
type rig struct {
	t       *testing.T
	session *cdpsession.Session
	view    tokenvault.LiveView
	scene   tokenvault.ViewScene
	frame   []byte
	blocked []string
	copied  []string
}

// open opens a session at a page of a site.
func open(t *testing.T, site http.Handler, edit ...func(*cdpsession.Options)) *rig {
	t.Helper()
	server := httptest.NewServer(site)
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	opts := cdpsession.Options{Request: tokenvault.BrowserRequest{
		ID: "at_1", Provider: tokenvault.Provider{Login: &tokenvault.Login{URL: server.URL + "/", Domains: []string{host}}},
	}}
	for _, e := range edit {
		e(&opts)
	}
	r := &rig{t: t, session: cdpsession.New(opts)}
	view, err := r.session.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.view = view
	t.Cleanup(func() {
		if err := r.session.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := r.session.Open(t.Context(), browsertest.Launch(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

// until looks at the session until what is wanted is there.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	for !ok() {
		update, err := r.view.Next(ctx)
		if err != nil {
			r.t.Fatalf("waiting for %s: %v; the scene is %+v", what, err, r.scene)
		}
		if update.Scene != nil {
			r.scene = *update.Scene
			if r.scene.Blocked != "" {
				r.blocked = append(r.blocked, r.scene.Blocked)
			}
			if r.scene.Copied != "" {
				r.copied = append(r.copied, r.scene.Copied)
			}
		}
		if update.Frame != nil {
			r.frame = update.Frame
		}
	}
}

// title waits until the active tab has a title.
func (r *rig) title(want string) {
	r.t.Helper()
	r.until("the title "+want, func() bool { return r.activeTab().Title == want })
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

func (r *rig) click(x, y float64) {
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

// picture decodes the last frame.
func (r *rig) picture() image.Image {
	r.t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(r.frame[tokenvault.FrameHeader:]))
	if err != nil {
		r.t.Fatal(err)
	}
	return img
}

// page serves one page at every path.
func page(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, "<!doctype html><title>start</title><body style='margin:0'>"+body)
	})
}

func TestPicturesMouseAndKeys(t *testing.T) {
	r := open(t, page(`<input id=i style="position:absolute;left:20px;top:20px;width:300px;height:40px" oninput="document.title=value">`))
	r.title("start")
	r.until("a picture", func() bool { return r.frame != nil })
	if size := r.picture().Bounds().Size(); size != image.Pt(1280, 800) {
		t.Errorf("the picture is %v", size)
	}
	if w, h := int(r.frame[4])<<8|int(r.frame[5]), int(r.frame[6])<<8|int(r.frame[7]); w != 1280 || h != 800 {
		t.Errorf("the header says %d x %d", w, h)
	}
	r.click(100, 40)
	r.until("the focus", func() bool { return r.scene.Editable && r.scene.Cursor == "text" })
	r.typed("pä$$ W0rd€")
	r.title("pä$$ W0rd€")
	status, err := r.session.Status(t.Context())
	if err != nil || status.Phase != tokenvault.BrowserOpen || !strings.HasPrefix(status.CurrentURL, "http://127.0.0.1:") {
		t.Errorf("status %+v: %v", status, err)
	}
}
