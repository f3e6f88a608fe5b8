package cdpsession_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest/site"
)

func TestDialogs(t *testing.T) {
	r := open(t, options(startSite(t), "/dialogs"))
	dialog := func(kind, message string) {
		t.Helper()
		r.until("the dialog", func() bool { return r.scene.Dialog != nil })
		if d := r.scene.Dialog; d.Kind != kind || d.Message != message || d.Origin != r.scene.Origin {
			t.Errorf("the dialog is %+v", d)
		}
	}
	r.click("#alert")
	dialog("alert", "Mind the gap")
	r.clickAt(1, 1) // the page stands still
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewAnswer, Accept: true})
	r.title("alerted")
	r.click("#confirm")
	dialog("confirm", "Sure?")
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewAnswer})
	r.title("confirmed false")
	r.click("#prompt")
	dialog("prompt", "Your name?")
	if r.scene.Dialog.Default != "nobody" {
		t.Errorf("the default is %q", r.scene.Dialog.Default)
	}
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewAnswer, Accept: true, Text: tokenvault.NewSecret("Ada")})
	r.title("entered Ada")
	if r.scene.Dialog != nil {
		t.Error("the dialog stays")
	}
}

func TestAlertLoopIsEnded(t *testing.T) {
	r := openPage(t, `<button id=b onclick="setTimeout(() => { document.title = 'free' }); for (let i = 0; ; i++) { window.count = i; alert(i) }">loop</button><button id=c onclick="document.title='used'">use</button>`)
	r.click("#b")
	// Before its end nothing else runs in the page, and clicks are lost.
	r.until("the end of the loop", func() bool {
		if r.scene.Dialog != nil {
			r.do(tokenvault.ViewInput{Kind: tokenvault.ViewAnswer})
		}
		return r.activeTab().Title == "free"
	})
	var count int
	if r.eval(`count`, &count); count < 10 {
		t.Errorf("ended after %d dialogs", count)
	}
	r.click("#c")
	r.title("used")
}

func TestBasicAuthentication(t *testing.T) {
	s := startSite(t)
	r := open(t, options(s, "/text"))
	r.eval(`location = "/basic"`, nil)
	challenged := func() {
		t.Helper()
		r.until("the challenge", func() bool { return r.scene.Challenge != nil })
		if c := r.scene.Challenge; c.Realm != "Vault door" || c.Origin != s.Bank {
			t.Errorf("the challenge is %+v", c)
		}
	}
	challenged()
	in := tokenvault.ViewInput{Kind: tokenvault.ViewSignIn, Accept: true, Name: tokenvault.NewSecret(site.User), Text: tokenvault.NewSecret("wrong")}
	r.do(in)
	r.until("its end", func() bool { return r.scene.Challenge == nil })
	challenged()
	in.Text = tokenvault.NewSecret(site.Password)
	r.do(in)
	r.title("Account")
}

func TestBasicAuthenticationCancelled(t *testing.T) {
	r := open(t, options(startSite(t), "/text"))
	r.eval(`location = "/basic"`, nil)
	r.until("the challenge", func() bool { return r.scene.Challenge != nil })
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewSignIn})
	r.until("the answer without it", func() bool { return r.scene.Challenge == nil && !r.scene.Loading })
	var body string
	if r.eval(`document.body.textContent`, &body); body != "sign in first\n" {
		t.Errorf("the page says %q", body)
	}
}

func TestFiles(t *testing.T) {
	kept := t.TempDir()
	if err := os.Chmod(kept, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, keep := range map[string]func(string, []byte) (string, error){
		"through the page": nil,
		"as files": func(name string, content []byte) (string, error) {
			path := filepath.Join(kept, name)
			return path, os.WriteFile(path, content, 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := options(startSite(t), "/upload")
			opts.KeepFile = keep
			if keep != nil {
				// The directories above belong to the test's user only.
				for dir := filepath.Dir(kept); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
					if err := os.Chmod(dir, 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}
			r := open(t, opts)
			r.click("#file")
			r.until("the chooser", func() bool { return r.scene.Chooser != nil })
			if !r.scene.Chooser.Multiple {
				t.Error("the page takes one file only")
			}
			r.do(tokenvault.ViewInput{Kind: tokenvault.ViewFiles, Files: []tokenvault.ViewFile{
				{Name: "../../one.txt", Content: []byte("1")}, {Name: `C:\two ü.txt`, Content: []byte("2")},
			}})
			r.title("got one.txt=1,two ü.txt=2")
		})
	}
}

func TestNoPasskeysAndNoAutomation(t *testing.T) {
	r := open(t, options(startSite(t), "/passkey"))
	r.title("passkeys undefined")
	var traces struct {
		Driven  bool
		Ours    []string
		Focused bool
	}
	r.eval(`({ driven: navigator.webdriver, ours: Object.keys(window).filter((k) => /tokenvault/i.test(k)), focused: document.hasFocus() })`, &traces)
	if traces.Driven || len(traces.Ours) > 0 || !traces.Focused {
		t.Errorf("the page sees %+v", traces)
	}
}
