package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest/site"
)

// Sessions proves that an adapter's sessions begin, are seen by one at a time, and end
// as [tokenvault.Browser] promises. Other than [Logins], it is also for sessions that
// somebody else shows.
func Sessions(t *testing.T, a Adapter) {
	t.Helper()
	t.Run("a login by who has the session's hands", func(t *testing.T) { signsIn(t, a) })
	t.Run("ends for its reasons", func(t *testing.T) { ends(t, a) })
	t.Run("one view controls", func(t *testing.T) { oneView(t, a) })
	t.Run("refuses what cannot be served", func(t *testing.T) { refuses(t, a) })
}

// A bench is a browser of the adapter and a bank to sign in to.
type bench struct {
	tokenvault.Browser

	site *site.Site
}

func newBench(t *testing.T, a Adapter) *bench {
	t.Helper()
	s, browser := open(t, a)
	return &bench{Browser: browser, site: s}
}

func (b *bench) request(id string) tokenvault.BrowserRequest {
	return tokenvault.BrowserRequest{ID: id, Provider: b.site.Provider()}
}

func (b *bench) open(t *testing.T, req tokenvault.BrowserRequest) tokenvault.BrowserSession {
	t.Helper()
	s, err := b.Open(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	Eventually(t, "the login page is open", func() bool {
		st := status(t, s)
		if st.Phase == tokenvault.BrowserEnded {
			t.Fatalf("the session ended: %s", st.End)
		}
		return st.Phase == tokenvault.BrowserOpen && st.CurrentURL == b.site.Bank+"/login"
	})
	return s
}

func status(t *testing.T, s tokenvault.BrowserSession) tokenvault.BrowserStatus {
	t.Helper()
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatalf("Status: %v", err)
	}
	return st
}

// Eventually polls until the condition holds, and fails the test if it never does.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func signsIn(t *testing.T, a Adapter) {
	b := newBench(t, a)
	s := b.open(t, b.request("login"))
	if st := status(t, s); st.Authenticated || st.EndsAt.IsZero() {
		t.Errorf("before the login: %+v", st)
	}
	again, err := b.Attach(t.Context(), "login")
	if err != nil || again.ID() != "login" || s.ID() != "login" {
		t.Fatalf("Attach: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	awaited := make(chan error, 1)
	go func() { awaited <- again.Await(ctx) }()
	hands := handsOf(t, s)
	hands.Title("Sign in")
	hands.Field()
	hands.Enter(site.User)
	hands.Press("Tab")
	hands.Enter(site.Password)
	hands.Press("Enter")
	Eventually(t, "the code is asked for", func() bool { return status(t, s).CurrentURL == b.site.Bank+"/code" })
	select {
	case err := <-awaited:
		t.Fatalf("Await returned before the second factor: %v", err)
	default:
	}
	hands.Title("One-time code")
	hands.Field()
	hands.Enter(b.site.Code())
	hands.Press("Enter")
	if err := <-awaited; err != nil {
		t.Fatalf("Await: %v", err)
	}
	if st := status(t, s); !st.Authenticated {
		t.Errorf("after the login: %+v", st)
	}
	state, err := s.Capture(ctx)
	if err != nil || state.IsZero() {
		t.Fatalf("Capture: %v", err)
	}
	proof, err := b.Check(ctx, tokenvault.BrowserCheck{Provider: b.site.Provider(), State: state})
	if err != nil || proof.Account.ID == "" || proof.Account.Label != site.User || proof.State.IsZero() {
		t.Errorf("Check: %+v, %v", proof.Account, err)
	}
	b.site.ForgetSessions()
	if _, err := b.Check(ctx, tokenvault.BrowserCheck{Provider: b.site.Provider(), State: state}); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("Check of a state that is signed out: %v, want ErrDenied", err)
	}
	closes(t, b, s)
}

// closes ends a session, which is then gone in every way.
func closes(t *testing.T, b *bench, s tokenvault.BrowserSession) {
	t.Helper()
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if st := status(t, s); st.Phase != tokenvault.BrowserEnded || st.End != tokenvault.BrowserEndClosed {
		t.Errorf("after Close: %+v", st)
	}
	if _, err := b.Attach(t.Context(), s.ID()); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("Attach after Close: %v", err)
	}
	wantEnd(t, "Await", s.Await(t.Context()), tokenvault.BrowserEndClosed)
	if _, err := s.Capture(t.Context()); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("Capture after Close: %v", err)
	}
}

func wantEnd(t *testing.T, what string, err error, want tokenvault.BrowserEnd) {
	t.Helper()
	ended := (*tokenvault.BrowserError)(nil)
	if !errors.As(err, &ended) || ended.End != want || !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("%s: %v, want the end %q", what, err, want)
	}
}

func ends(t *testing.T, a Adapter) {
	b := newBench(t, a)
	for want, limit := range map[tokenvault.BrowserEnd]func(*tokenvault.BrowserRequest){
		tokenvault.BrowserEndIdle:    func(r *tokenvault.BrowserRequest) { r.IdleLimit = time.Second },
		tokenvault.BrowserEndTimeout: func(r *tokenvault.BrowserRequest) { r.TimeLimit = time.Second },
	} {
		req := b.request(string(want))
		limit(&req)
		s, err := b.Open(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		Eventually(t, "the session ends", func() bool { return status(t, s).Phase == tokenvault.BrowserEnded })
		wantEnd(t, "Await", s.Await(ctx), want)
		cancel()
	}
	s := b.open(t, b.request("closed"))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, "Await after the browser's Close", s.Await(t.Context()), tokenvault.BrowserEndClosed)
	if _, err := b.Open(t.Context(), b.request("late")); !errors.Is(err, tokenvault.ErrUnavailable) {
		t.Errorf("Open after Close: %v, want ErrUnavailable", err)
	}
}

func oneView(t *testing.T, a Adapter) {
	b := newBench(t, a)
	s := b.open(t, b.request("viewed"))
	viewable, ok := s.(tokenvault.Viewable)
	if !ok {
		return // it is shown elsewhere, by its own service or on a screen
	}
	first, err := viewable.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	picture(t, first)
	second, err := viewable.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	picture(t, second)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for err = nil; err == nil; {
		_, err = first.Next(ctx)
	}
	if !errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("the view before: %v, want ErrConflict", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; {
		_, err = second.Next(ctx)
	}
	wantEnd(t, "Next", err, tokenvault.BrowserEndClosed)
}

// picture waits until a view shows a picture of the login page.
func picture(t *testing.T, v tokenvault.LiveView) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		u, err := v.Next(ctx)
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if len(u.Frame) > tokenvault.FrameHeader {
			return
		}
	}
}

func refuses(t *testing.T, a Adapter) {
	b := newBench(t, a)
	for name, req := range map[string]tokenvault.BrowserRequest{
		"no login": {ID: "x", Provider: tokenvault.Provider{ID: "oauth"}},
		"no id":    {Provider: b.site.Provider()},
	} {
		if _, err := b.Open(t.Context(), req); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if _, err := b.Attach(t.Context(), "unknown"); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("Attach to nothing: %v, want ErrNotFound", err)
	}
	if _, err := b.Check(t.Context(), tokenvault.BrowserCheck{}); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("Check of nothing: %v, want ErrInvalid", err)
	}
}

// hands do what a person does: a [Person]'s by the view, or a program's where somebody
// else shows the session.
type hands interface {
	Title(want string)
	Field()
	Enter(text string)
	Press(keys ...string)
}

func handsOf(t *testing.T, s tokenvault.BrowserSession) hands {
	t.Helper()
	if _, ok := s.(tokenvault.Viewable); ok {
		return Look(t, s)
	}
	drivable, ok := s.(tokenvault.Drivable)
	if !ok {
		t.Fatal("the session can neither be viewed nor driven")
	}
	wire, err := drivable.Drive(t.Context())
	if err != nil {
		t.Fatalf("Drive: %v", err)
	}
	p := &program{t: t, wire: wire}
	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	p.call("Target.getTargets", nil, &targets)
	for _, target := range targets.TargetInfos {
		if target.Type == "page" {
			var attached struct{ SessionID string }
			p.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
			p.page = attached.SessionID
		}
	}
	return p
}

// A program drives the first tab.
type program struct {
	t    *testing.T
	wire tokenvault.Wire
	page string // its session on the wire
	last int
}

// Title waits until the tab has a title.
func (p *program) Title(want string) {
	p.t.Helper()
	p.until("document.title", want)
}

// Field waits until text can be entered.
func (p *program) Field() {
	p.t.Helper()
	p.until("document.activeElement?.tagName ?? ''", "INPUT")
}

func (p *program) until(expression, want string) {
	p.t.Helper()
	Eventually(p.t, expression+" is "+want, func() bool {
		var got struct{ Result struct{ Value string } }
		p.call("Runtime.evaluate", map[string]any{"expression": expression}, &got)
		return got.Result.Value == want
	})
}

// Enter enters text where the focus is.
func (p *program) Enter(text string) {
	p.t.Helper()
	p.call("Input.insertText", map[string]any{"text": text}, nil)
}

// Press presses Tab and Enter.
func (p *program) Press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		down := map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": map[string]int{"Tab": 9, "Enter": 13}[key]}
		if key == "Enter" {
			down["text"] = "\r"
		}
		p.call("Input.dispatchKeyEvent", down, nil)
		p.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "code": key}, nil)
	}
}

// call sends a command and waits for its answer.
func (p *program) call(method string, params map[string]any, result any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	p.last++
	command := map[string]any{"id": p.last, "method": method, "params": params}
	if params == nil {
		delete(command, "params")
	}
	if p.page != "" {
		command["sessionId"] = p.page
	}
	text, err := json.Marshal(command)
	if err == nil {
		err = p.wire.Send(ctx, text)
	}
	for err == nil {
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if text, err = p.wire.Receive(ctx); err == nil {
			err = json.Unmarshal(text, &answer)
		}
		switch {
		case err != nil || answer.ID != p.last:
			continue
		case answer.Error != nil:
			err = errors.New(answer.Error.Message)
		case result != nil:
			err = json.Unmarshal(answer.Result, result)
		}
		break
	}
	if err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
}
