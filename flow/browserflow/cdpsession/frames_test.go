package cdpsession_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

// A login form in a frame of another site, which has a process and a CDP session of
// its own, works as one of the page.
func TestFrameOfAnotherSite(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	framed := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, `<!doctype html><body style="margin:0"><input id=i style="position:absolute;left:0;top:0;width:200px;height:40px;box-sizing:border-box"
			oninput="parent.postMessage(value, '*')"><button style="position:absolute;left:0;top:60px;width:200px;height:40px"
			onclick="parent.postMessage('said ' + confirm('From the frame?'), '*')">ask</button><script>parent.postMessage('loaded ' + typeof PublicKeyCredential, '*')</script>`)
	}))
	framed.Listener = listener
	framed.Start()
	defer framed.Close()
	r := openPage(t, `<script>onmessage = (e) => { document.title = e.data }</script>
		<iframe src="`+framed.URL+`" style="position:absolute;left:100px;top:100px;width:300px;height:200px;border:0"></iframe>`)
	r.title("loaded undefined")
	r.until("the focus", func() bool {
		if r.scene.Editable && r.scene.Cursor == "text" {
			return true
		}
		r.clickAt(200, 120) // the browser learns late where a frame of another process lies
		r.eval(`new Promise(requestAnimationFrame)`, nil)
		r.do(tokenvault.ViewInput{Kind: tokenvault.ViewKeyframe})
		return false
	})
	r.typed("in a frame")
	r.title("in a frame")
	r.press("a", "KeyA", ctrl)
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewCopy})
	r.until("what was copied", func() bool { return len(r.copied) > 0 })
	if r.copied[0] != "in a frame" {
		t.Errorf("copied %q", r.copied)
	}
	r.clickAt(200, 180)
	r.until("the dialog", func() bool { return r.scene.Dialog != nil })
	if d := r.scene.Dialog; d.Origin != framed.URL || d.Message != "From the frame?" {
		t.Errorf("the dialog is %+v", d)
	}
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewAnswer, Accept: true})
	r.title("said true")
}
