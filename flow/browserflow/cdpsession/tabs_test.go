package cdpsession_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest/site"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/cdpsession"
)

func TestPopupLogin(t *testing.T) {
	s := startSite(t)
	r := open(t, options(s, "/login"))
	r.click("#popup")
	r.title("Ident")
	if r.scene.Origin != s.Ident || len(r.scene.Tabs) != 2 {
		t.Errorf("the scene is %+v", r.scene)
	}
	r.sees("#submit")
	r.click("#name")
	r.typed("alice")
	r.press("Enter", "Enter", 0)
	r.title("Account")
	if len(r.scene.Tabs) != 1 {
		t.Errorf("%d tabs", len(r.scene.Tabs))
	}
	r.sees("form button")
	if ok, _ := s.SignIns(); ok != 1 {
		t.Errorf("%d sign-ins", ok)
	}
}

func TestRedirectLoginWithCode(t *testing.T) {
	s := startSite(t)
	r := open(t, options(s, "/login"))
	r.click("#redirect") // over all three hosts
	r.title("Ident")
	r.click("#name")
	r.typed("alice")
	r.press("Enter", "Enter", 0)
	r.title("Account")
	r.eval(`document.querySelector("form button").click()`, nil) // sign out
	r.title("Sign in")
	r.click("#user")
	r.typed(site.User)
	r.press("Tab", "Tab", 0)
	r.do(text(tokenvault.ViewText, site.Password))
	r.press("Enter", "Enter", 0)
	r.title("Account") // the device is known
}

func TestSwitchAndCloseTabs(t *testing.T) {
	r := open(t, options(startSite(t), "/login"))
	first := r.activeTab().ID
	r.click("#popup")
	r.title("Ident")
	second := r.activeTab().ID
	r.sees("#submit")
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewTabTo, Action: "activate", Tab: first})
	r.title("Sign in")
	r.sees("#popup") // where the other tab has nothing
	r.eval(`user.oninput = () => { document.title = "typed " + user.value }`, nil)
	r.click("#user")
	r.typed("x")
	r.title("typed x")
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewTabTo, Action: "close", Tab: second})
	r.until("one tab", func() bool { return len(r.scene.Tabs) == 1 })
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewTabTo, Action: "close", Tab: first}) // the last one stays
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewReload})
	r.title("Sign in")
}

func TestFloodOfWindows(t *testing.T) {
	r := openPage(t, `<button id=b onclick="for (let i = 0; i < 100; i++) open('/?' + i, '_blank', 'width=100,height=100'); document.title = 'flooded'">flood</button>`,
		func(o *cdpsession.Options) { o.Tabs = 4 })
	first := r.activeTab().ID
	r.click("#b")
	most := 0
	title := func() string {
		most = max(most, len(r.scene.Tabs))
		for _, tab := range r.scene.Tabs {
			if tab.ID == first {
				return tab.Title
			}
		}
		return ""
	}
	r.until("the page again", func() bool { return title() == "flooded" })
	if most > 4 {
		t.Errorf("%d tabs", most)
	}
	// Whatever is open can be closed, and the session goes on.
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewTabTo, Action: "activate", Tab: first})
	r.until("the first tab", func() bool { return r.activeTab().ID == first })
	for _, tab := range r.scene.Tabs {
		if tab.ID != first {
			r.do(tokenvault.ViewInput{Kind: tokenvault.ViewTabTo, Action: "close", Tab: tab.ID})
		}
	}
	r.until("one tab", func() bool { return len(r.scene.Tabs) == 1 })
	r.eval(`document.title = "still here"`, nil)
	r.title("still here")
}

// Top-level navigation goes to the login's domains only, however it comes about.
func TestNavigationElsewhereIsRefused(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was reached", r.URL.Path)
	}))
	defer elsewhere.Close()
	host := strings.TrimPrefix(elsewhere.URL, "http://")
	for name, script := range map[string]string{
		"script":       `location = "` + elsewhere.URL + `/script"`,
		"redirect":     `location = "/to?` + elsewhere.URL + `/redirect"`,
		"form":         `document.body.innerHTML = '<form method=post action="` + elsewhere.URL + `/form"></form>'; document.forms[0].submit()`,
		"pop-up":       `open("` + elsewhere.URL + `/popup"); 0`,
		"blank pop-up": `const w = open("about:blank"); w.location = "` + elsewhere.URL + `/late"; 0`,
	} {
		t.Run(name, func(t *testing.T) {
			r := openRedirecting(t)
			r.eval(script, nil)
			r.until("the refusal", func() bool { return len(r.blocked) > 0 })
			if r.blocked[0] != host {
				t.Errorf("blocked %q, want %q", r.blocked, host)
			}
		})
	}
	t.Run("file", func(t *testing.T) {
		r := openRedirecting(t)
		before := r.scene.Origin
		// As a driver could: pages cannot.
		r.navigate("file:///etc/passwd")
		r.until("the refusal", func() bool { return len(r.blocked) > 0 })
		if r.scene.Origin != before || r.blocked[0] != "file:" {
			t.Errorf("at %q, blocked %q", r.scene.Origin, r.blocked)
		}
		var body string
		if r.eval(`document.documentElement.textContent`, &body); strings.Contains(body, "root:") {
			t.Error("the file is shown")
		}
	})
}

func openRedirecting(t *testing.T) *rig {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/to" {
			http.Redirect(w, r, r.URL.RawQuery, http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<title>start</title>start"))
	}))
	t.Cleanup(server.Close)
	return open(t, cdpsession.Options{Request: tokenvault.BrowserRequest{ID: "at_1", Provider: tokenvault.Provider{
		Login: &tokenvault.Login{URL: server.URL + "/", Domains: []string{strings.TrimPrefix(server.URL, "http://")}},
	}}})
}

// navigate sends the active tab somewhere, on a way of the test's own.
func (r *rig) navigate(to string) {
	r.t.Helper()
	var attached struct{ SessionID string }
	if err := r.conn.Call(r.t.Context(), "", "Target.attachToTarget", map[string]any{"targetId": r.activeTab().ID, "flatten": true}, &attached); err != nil {
		r.t.Fatal(err)
	}
	if err := r.conn.Call(r.t.Context(), attached.SessionID, "Page.navigate", map[string]any{"url": to}, nil); err != nil {
		r.t.Fatal(err)
	}
}

func TestPageThatClosesTheLastTab(t *testing.T) {
	r := open(t, options(startSite(t), "/text"))
	if err := r.conn.Call(t.Context(), "", "Target.closeTarget", map[string]any{"targetId": r.activeTab().ID}, nil); err != nil {
		t.Fatal(err)
	}
	first := r.activeTab().ID
	r.until("another tab", func() bool { return r.activeTab().ID != first && r.activeTab().Title == "text" })
}

// Nothing is downloaded, and the tab stays where it is.
func TestDownload(t *testing.T) {
	s := startSite(t)
	r := open(t, options(s, "/download"))
	r.click("#link")
	r.eval(`document.title = "still here"`, nil)
	r.title("still here")
	if r.scene.Origin != s.Bank || len(r.scene.Tabs) != 1 {
		t.Errorf("the scene is %+v", r.scene)
	}
	// The browser keeps what it downloads below its home, which is the profile.
	if err := filepath.WalkDir("/dev/shm", func(path string, _ fs.DirEntry, _ error) error {
		if strings.HasPrefix(filepath.Base(path), "statement") {
			t.Errorf("downloaded: %s", path)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
