package cdpsession_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/cdpsession"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

var _ tokenvault.Drivable = (*cdpsession.Session)(nil)

// A wireTransport lets a client of the protocol use a wire, as a program would.
type wireTransport struct {
	wire   tokenvault.Wire
	ctx    context.Context //nolint:containedctx // of the test
	cancel context.CancelFunc
}

func (w *wireTransport) Read() ([]byte, error)      { return w.wire.Receive(w.ctx) }
func (w *wireTransport) Write(message []byte) error { return w.wire.Send(w.ctx, message) }
func (w *wireTransport) Close() error               { w.cancel(); return w.wire.Close() }

// drive drives the session.
func (r *rig) drive() *cdp.Conn {
	r.t.Helper()
	wire, err := r.session.Drive(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	conn := cdp.New(&wireTransport{wire, ctx, cancel})
	r.t.Cleanup(func() {
		_ = conn.Close()
		<-conn.Done()
	})
	return conn
}

type params = map[string]any

func TestDrive(t *testing.T) {
	s := startSite(t)
	r := open(t, options(s, "/text"))
	conn := r.drive()
	events := make(chan cdp.Event, 100)
	conn.Handle("", func(e cdp.Event) {
		if e.Method == "Target.attachedToTarget" {
			events <- e
		}
	})
	if err := conn.Call(t.Context(), "", "Target.setAutoAttach", params{"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true}, nil); err != nil {
		t.Fatal(err)
	}
	var attached struct {
		SessionID  string
		TargetInfo struct{ TargetID, URL string }
	}
	if err := json.Unmarshal((<-events).Params, &attached); err != nil || attached.TargetInfo.TargetID != r.activeTab().ID {
		t.Fatalf("attached to %+v: %v", attached, err)
	}
	evaluate := func(expression string) string {
		t.Helper()
		var got struct{ Result struct{ Value string } }
		if err := conn.Call(t.Context(), attached.SessionID, "Runtime.evaluate", params{"expression": expression, "returnByValue": true}, &got); err != nil {
			t.Fatal(err)
		}
		return got.Result.Value
	}
	if got := evaluate(`document.title = "driven"`); got != "driven" {
		t.Errorf("got %q", got)
	}
	r.title("driven") // seen by who looks
	loaded := make(chan struct{}, 10)
	conn.Handle(attached.SessionID, func(e cdp.Event) {
		if e.Method == "Page.loadEventFired" {
			loaded <- struct{}{}
		}
	})
	for _, c := range []struct {
		method string
		params params
	}{{"Page.enable", nil}, {"Runtime.runIfWaitingForDebugger", nil}, {"Page.navigate", params{"url": s.Bank + "/select"}}} {
		if err := conn.Call(t.Context(), attached.SessionID, c.method, c.params, nil); err != nil {
			t.Fatal(err)
		}
	}
	<-loaded
	if got := evaluate(`document.title`); got != "select" {
		t.Errorf("at %q", got)
	}
	// The guard is not the driver's to lift.
	_ = conn.Call(t.Context(), attached.SessionID, "Fetch.disable", nil, nil)
	_ = conn.Call(t.Context(), attached.SessionID, "Page.navigate", params{"url": "file:///etc/passwd"}, nil)
	r.until("the refusal", func() bool { return len(r.blocked) > 0 })
	if got := evaluate(`document.body.textContent`); strings.Contains(got, "root:") {
		t.Error("the file is shown")
	}
	// Pictures go to who asked for them.
	pictures := make(chan cdp.Frame, 100)
	conn.HandleFrames(attached.SessionID, 0, func(f cdp.Frame) { pictures <- f })
	if err := conn.Call(t.Context(), attached.SessionID, "Page.startScreencast", params{"format": "jpeg"}, nil); err != nil {
		t.Fatal(err)
	}
	if f := <-pictures; len(f.Data) == 0 {
		t.Error("an empty picture")
	}
	if err := conn.Call(t.Context(), "", "No.such", nil, nil); !cdp.IsRefusal(err) {
		t.Errorf("an unknown command: %v", err)
	}
	if err := conn.Call(t.Context(), "0123456789ABCDEF0123456789ABCDEF", "Page.enable", nil, nil); !cdp.IsRefusal(err) {
		t.Errorf("a session of somebody else: %v", err)
	}
}

func TestTwoDriversAndTheirEnd(t *testing.T) {
	r := open(t, options(startSite(t), "/text"))
	one, two := r.drive(), r.drive()
	for _, conn := range []*cdp.Conn{one, two} {
		var version struct{ Product string }
		if err := conn.Call(t.Context(), "", "Browser.getVersion", nil, &version); err != nil || version.Product == "" {
			t.Errorf("%+v: %v", version, err)
		}
	}
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	<-one.Done()
	if err := two.Call(t.Context(), "", "Browser.getVersion", nil, nil); err != nil {
		t.Errorf("after the other's end: %v", err)
	}
	wire, err := r.session.Drive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.session.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.Receive(t.Context()); ended(err) != tokenvault.BrowserEndClosed {
		t.Errorf("Receive = %v", err)
	}
	if err := wire.Send(t.Context(), []byte(`{"id":1,"method":"Browser.getVersion"}`)); ended(err) != tokenvault.BrowserEndClosed {
		t.Errorf("Send = %v", err)
	}
	if _, err := r.session.Drive(t.Context()); ended(err) != tokenvault.BrowserEndClosed {
		t.Errorf("Drive = %v", err)
	}
	<-two.Done()
}

func TestDriveRefused(t *testing.T) {
	opts := options(startSite(t), "/text")
	opts.OwnContext = true // in a browser that shows what is others' as well
	r := open(t, opts)
	if _, err := r.session.Drive(t.Context()); !errors.Is(err, tokenvault.ErrUnavailable) {
		t.Errorf("Drive = %v", err)
	}
}
