package browsertest

import (
	"context"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// patience bounds every wait. It is generous: the machine may be busy.
const patience = time.Minute

// A Person looks at a session and acts in it.
type Person struct {
	t     testing.TB
	view  tokenvault.LiveView
	Scene tokenvault.ViewScene // the last one
}

// Look begins to view a session, until the test ends.
func Look(t testing.TB, session tokenvault.BrowserSession) *Person {
	t.Helper()
	viewable, ok := session.(tokenvault.Viewable)
	if !ok {
		t.Fatal("the session cannot be viewed")
	}
	view, err := viewable.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = view.Close() })
	return &Person{t: t, view: view}
}

// Until looks on until ok says so.
func (p *Person) Until(what string, ok func() bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for !ok() {
		update, err := p.view.Next(ctx)
		if err != nil {
			p.t.Fatalf("waiting for %s: %v; at %s, tabs %+v, blocked %q, end %q", what, err, p.Scene.Origin, p.Scene.Tabs, p.Scene.Blocked, p.Scene.End)
		}
		if update.Scene != nil {
			p.Scene = *update.Scene
		}
	}
}

// Title waits until the tab in front has a title and has loaded.
func (p *Person) Title(want string) {
	p.t.Helper()
	p.Until("the title "+want, func() bool {
		for _, tab := range p.Scene.Tabs {
			if tab.Active {
				return tab.Title == want && !p.Scene.Loading
			}
		}
		return false
	})
}

// Field waits until text can be entered.
func (p *Person) Field() {
	p.t.Helper()
	p.Until("a field", func() bool { return p.Scene.Editable })
}

// Do acts.
func (p *Person) Do(in tokenvault.ViewInput) {
	p.t.Helper()
	if err := p.view.Do(p.t.Context(), in); err != nil {
		p.t.Fatalf("%s: %v", in.Kind, err)
	}
}

// Enter enters text where the focus is.
func (p *Person) Enter(text string) {
	p.t.Helper()
	p.Do(tokenvault.ViewInput{Kind: tokenvault.ViewText, Text: tokenvault.NewSecret(text)})
}

// Press presses keys that are named as their codes, one after the other.
func (p *Person) Press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		for _, action := range []string{"down", "up"} {
			p.Do(tokenvault.ViewInput{Kind: tokenvault.ViewKey, Action: action, Key: tokenvault.NewSecret(key), Code: tokenvault.NewSecret(key)})
		}
	}
}
