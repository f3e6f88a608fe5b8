package cdpsession_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/cdpsession"
)

func ended(err error) tokenvault.BrowserEnd {
	var end *tokenvault.BrowserError
	if !errors.As(err, &end) {
		return ""
	}
	return end.End
}

// A session that waits for its turn can be seen, and can end.
func TestQueue(t *testing.T) {
	ends := make(chan tokenvault.BrowserEnd, 1)
	s := cdpsession.New(cdpsession.Options{Ended: func(why tokenvault.BrowserEnd) { ends <- why }})
	view, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := func() tokenvault.ViewScene {
		t.Helper()
		update, err := view.Next(t.Context())
		if err != nil || update.Scene == nil {
			t.Fatalf("%+v: %v", update, err)
		}
		return *update.Scene
	}
	s.Queued(3)
	if scene := next(); scene.Phase != tokenvault.BrowserQueued || scene.Position != 3 {
		t.Errorf("the scene is %+v", scene)
	}
	s.Queued(1)
	if scene := next(); scene.Position != 1 {
		t.Errorf("the scene is %+v", scene)
	}
	if err := view.Do(t.Context(), tokenvault.ViewInput{Kind: tokenvault.ViewReload}); err != nil {
		t.Errorf("an early input: %v", err)
	}
	s.Starting()
	s.Queued(9) // too late
	if scene := next(); scene.Phase != tokenvault.BrowserStarting || scene.Position != 0 {
		t.Errorf("the scene is %+v", scene)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if why := <-ends; why != tokenvault.BrowserEndClosed {
		t.Errorf("ended by %q", why)
	}
	if _, err := view.Next(t.Context()); ended(err) != tokenvault.BrowserEndClosed || !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("Next = %v", err)
	}
	if _, err := s.View(t.Context()); ended(err) != tokenvault.BrowserEndClosed {
		t.Errorf("View = %v", err)
	}
	if status, err := s.Status(t.Context()); err != nil || status.Phase != tokenvault.BrowserEnded || status.End != tokenvault.BrowserEndClosed {
		t.Errorf("the status is %+v: %v", status, err)
	}
	if err := s.Close(t.Context()); err != nil { // again
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := tokenvault.BrowserRequest{IdleLimit: time.Minute, TimeLimit: 10 * time.Minute}
		idle := cdpsession.New(cdpsession.Options{Request: limits})
		watched := cdpsession.New(cdpsession.Options{Request: limits})
		view, err := watched.View(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-idle.Done()
		if status, _ := idle.Status(t.Context()); status.End != tokenvault.BrowserEndIdle || time.Since(start) != time.Minute {
			t.Errorf("after %s: %+v", time.Since(start), status)
		}
		time.Sleep(4 * time.Minute) // on the bubble's clock
		if status, _ := watched.Status(t.Context()); status.Phase == tokenvault.BrowserEnded {
			t.Errorf("ended while somebody looks: %+v", status)
		}
		<-watched.Done()
		if status, _ := watched.Status(t.Context()); status.End != tokenvault.BrowserEndTimeout || time.Since(start) != 10*time.Minute {
			t.Errorf("after %s: %+v", time.Since(start), status)
		}
		if _, err := view.Next(t.Context()); ended(err) != tokenvault.BrowserEndTimeout {
			t.Errorf("Next = %v", err)
		}
		left := cdpsession.New(cdpsession.Options{Request: limits})
		if view, err = left.View(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		if err := view.Close(); err != nil {
			t.Fatal(err)
		}
		since := time.Now()
		<-left.Done()
		if time.Since(since) != time.Minute {
			t.Errorf("idle for %s", time.Since(since))
		}
		synctest.Wait()
	})
}

func TestBrowserDies(t *testing.T) {
	r := open(t, options(startSite(t), "/text"))
	r.conn.Send("", "Browser.crash", nil)
	<-r.session.Done()
	if status, _ := r.session.Status(t.Context()); status.End != tokenvault.BrowserEndCrashed {
		t.Errorf("the status is %+v", status)
	}
	if _, err := r.view.Next(t.Context()); ended(err) != tokenvault.BrowserEndCrashed {
		t.Errorf("Next = %v", err)
	}
	if err := r.view.Do(t.Context(), tokenvault.ViewInput{Kind: tokenvault.ViewReload}); ended(err) != tokenvault.BrowserEndCrashed {
		t.Errorf("Do = %v", err)
	}
}

func TestTabDies(t *testing.T) {
	r := open(t, options(startSite(t), "/text"))
	for range 2 {
		r.crash()
		r.until("the page again", func() bool { return r.activeTab().Title == "text" })
	}
	r.crash()
	<-r.session.Done()
	if status, _ := r.session.Status(t.Context()); status.End != tokenvault.BrowserEndCrashed {
		t.Errorf("the status is %+v", status)
	}
}

func TestOpenAfterTheEnd(t *testing.T) {
	s := cdpsession.New(options(startSite(t), "/text"))
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	conn := browsertest.Launch(t)
	if err := s.Open(t.Context(), conn); ended(err) != tokenvault.BrowserEndClosed {
		t.Errorf("Open = %v", err)
	}
	<-conn.Done() // not left to nobody
}

func TestOpenFails(t *testing.T) {
	s := cdpsession.New(options(startSite(t), "/text"))
	conn := browsertest.Launch(t)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), conn); err == nil {
		t.Error("Open succeeded")
	}
	<-s.Done()
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// Two sessions share a browser, and nothing else.
func TestOwnContext(t *testing.T) {
	site := startSite(t)
	opts := options(site, "/text")
	opts.OwnContext = true
	r := open(t, opts)
	var targets struct {
		TargetInfos []struct{ TargetID, Type, URL, BrowserContextID string }
	}
	if err := r.conn.Call(t.Context(), "", "Target.getTargets", nil, &targets); err != nil {
		t.Fatal(err)
	}
	contexts := make(map[string]bool)
	for _, info := range targets.TargetInfos {
		if info.Type == "page" {
			contexts[info.BrowserContextID] = true
		}
	}
	if len(contexts) != 2 || len(r.scene.Tabs) != 1 {
		t.Errorf("%d contexts, %d tabs", len(contexts), len(r.scene.Tabs))
	}
}

// crash has the active tab's renderer crash, after its title has changed.
func (r *rig) crash() {
	r.t.Helper()
	r.eval(`document.title = "doomed"`, nil)
	r.title("doomed")
	var attached struct{ SessionID string }
	if err := r.conn.Call(r.t.Context(), "", "Target.attachToTarget", map[string]any{"targetId": r.activeTab().ID, "flatten": true}, &attached); err != nil {
		r.t.Fatal(err)
	}
	r.conn.Send(attached.SessionID, "Page.crash", nil)
}
