package cdpsession_test

import (
	"errors"
	"image"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

const (
	ctrl  = 2
	shift = 8
)

func text(kind tokenvault.ViewInputKind, value string) tokenvault.ViewInput {
	return tokenvault.ViewInput{Kind: kind, Text: tokenvault.NewSecret(value)}
}

func TestKeys(t *testing.T) {
	r := open(t, options(startSite(t), "/text"))
	r.click("#text")
	r.until("the focus", func() bool { return r.scene.Editable && r.scene.Cursor == "text" })
	r.typed("pä$$ W0rd<>'\"€")
	r.title("text pä$$ W0rd<>'\"€")
	r.press("Backspace", "Backspace", 0)
	r.title("text pä$$ W0rd<>'\"")
	r.press("a", "KeyA", ctrl)
	r.typed("x")
	r.title("text x")
	r.press("z", "KeyZ", ctrl)
	r.title("text pä$$ W0rd<>'\"")
	r.press("Home", "Home", 0)
	r.press("ArrowRight", "ArrowRight", shift)
	r.press("Delete", "Delete", 0)
	r.title("text ä$$ W0rd<>'\"")
}

func TestPageSeesKeysAsFromAKeyboard(t *testing.T) {
	r := openPage(t, `<input id=i autofocus><script>
		i.onkeydown = (e) => {
			e.preventDefault(); // else F5 takes the title away again
			document.title = [e.isTrusted, e.key, e.code, e.keyCode, e.location, e.ctrlKey, e.shiftKey].join();
		}
	</script>`)
	r.until("the focus", func() bool { return r.scene.Editable })
	for _, tc := range []struct {
		key, code string
		modifiers int
		want      string
	}{
		{"a", "KeyA", 0, "true,a,KeyA,65,0,false,false"},
		{"A", "KeyA", shift, "true,A,KeyA,65,0,false,true"},
		{"q", "KeyA", 0, "true,q,KeyA,81,0,false,false"}, // a French board
		{"4", "Digit4", 0, "true,4,Digit4,52,0,false,false"},
		{"$", "Digit4", shift, "true,$,Digit4,52,0,false,true"},
		{";", "Semicolon", 0, "true,;,Semicolon,186,0,false,false"},
		{"Shift", "ShiftRight", shift, "true,Shift,ShiftRight,16,2,false,true"},
		{"Enter", "NumpadEnter", 0, "true,Enter,NumpadEnter,13,3,false,false"},
		{"F5", "F5", 0, "true,F5,F5,116,0,false,false"},
		{"k", "KeyK", ctrl, "true,k,KeyK,75,0,true,false"},
	} {
		r.press(tc.key, tc.code, tc.modifiers)
		r.title(tc.want)
	}
}

func TestPasteCompositionCopyAndCut(t *testing.T) {
	r := open(t, options(startSite(t), "/text"))
	r.click("#text")
	r.do(text(tokenvault.ViewText, "pasted → all at once"))
	r.title("text pasted → all at once")
	r.press("a", "KeyA", ctrl)
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewCopy})
	r.until("what was copied", func() bool { return len(r.copied) == 1 && r.copied[0] == "pasted → all at once" })
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewCopy, Action: "cut"})
	r.title("text")
	if len(r.copied) != 2 || r.copied[1] != r.copied[0] {
		t.Errorf("copied %q", r.copied)
	}
	compose := func(s string) tokenvault.ViewInput {
		in := text(tokenvault.ViewCompose, s)
		in.SelectionStart, in.SelectionEnd = len([]rune(s)), len([]rune(s))
		return in
	}
	r.do(compose("に"))
	r.do(compose("にほ"))
	r.title("text にほ")
	r.do(text(tokenvault.ViewText, "日本"))
	r.title("text 日本")
}

func TestCopyFromAPage(t *testing.T) {
	r := openPage(t, `<p id=p style="font:20px monospace">4711-0815</p><input id=secret type=password value=hush>`)
	x, y := r.middle("#p")
	for clicks := 1; clicks <= 3; clicks++ {
		r.do(tokenvault.ViewInput{Kind: tokenvault.ViewMouse, Action: "down", X: 40, Y: y, Button: "left", Buttons: 1, Clicks: clicks})
		r.do(tokenvault.ViewInput{Kind: tokenvault.ViewMouse, Action: "up", X: 40, Y: y, Button: "left", Clicks: clicks})
	}
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewCopy})
	r.until("the paragraph", func() bool { return len(r.copied) > 0 })
	if strings.TrimSpace(r.copied[0]) != "4711-0815" {
		t.Errorf("copied %q", r.copied)
	}
	_ = x
	r.click("#secret")
	r.press("a", "KeyA", ctrl)
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewCopy})
	r.press("Escape", "Escape", 0)
	r.eval(`document.title = "after"`, nil)
	r.title("after")
	if len(r.copied) != 1 {
		t.Errorf("a password was copied: %q", r.copied)
	}
}

func TestWheelTouchAndResize(t *testing.T) {
	r := open(t, options(startSite(t), "/tall"))
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewWheel, X: 600, Y: 300, DeltaY: 400})
	r.title("scrolled true")
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewResize, Width: 390, Height: 700, Touch: true})
	r.until("the smaller picture", func() bool { return r.size() == image.Pt(390, 700) && r.picture().Bounds().Size() == r.size() })
	r.eval(`addEventListener("touchstart", (e) => { document.title = "touched " + e.touches[0].clientX + " " + e.isTrusted }); 0`, nil)
	point := []tokenvault.ViewPoint{{ID: 1, X: 50, Y: 60}}
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewTouch, Action: "start", Points: point})
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewTouch, Action: "end"})
	r.title("touched 50 true")
}

func TestBackAndReload(t *testing.T) {
	s := startSite(t)
	r := open(t, options(s, "/text"))
	if r.scene.CanGoBack {
		t.Error("the first page has one before it")
	}
	r.eval(`location = "/select"`, nil)
	r.until("the next page", func() bool { return r.activeTab().Title == "select" && r.scene.CanGoBack })
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewBack})
	r.until("the page before", func() bool { return r.activeTab().Title == "text" && !r.scene.CanGoBack })
	r.eval(`document.title = "changed"`, nil)
	r.title("changed")
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewReload})
	r.title("text")
}

// Drop-down lists are drawn in the page, where pictures show them.
func TestSelect(t *testing.T) {
	r := open(t, options(startSite(t), "/select"))
	r.click("#language")
	r.eval(`new Promise((done) => { (function look() { language.matches(":open") ? done() : requestAnimationFrame(look) })() })`, nil)
	x, y := r.middle("#language option[value=fr]")
	r.clickAt(x, y)
	r.title("picked fr")
	r.press("ArrowDown", "ArrowDown", 0)
	r.press("ArrowDown", "ArrowDown", 0)
	r.press("Enter", "Enter", 0)
	r.title("picked es")
}

func TestInputThatMakesNoSense(t *testing.T) {
	r := open(t, options(startSite(t), "/select"))
	for _, in := range []tokenvault.ViewInput{
		{Kind: "dance"},
		{Kind: tokenvault.ViewMouse, Action: "throw"},
		{Kind: tokenvault.ViewMouse, Action: "down", Button: "fifth"},
		{Kind: tokenvault.ViewKey, Action: "hold"},
		{Kind: tokenvault.ViewTouch, Action: "pet"},
		{Kind: tokenvault.ViewTouch, Action: "start", Points: make([]tokenvault.ViewPoint, 11)},
		{Kind: tokenvault.ViewResize, Width: 1, Height: 800},
		{Kind: tokenvault.ViewResize, Width: 100000, Height: 800},
		{Kind: tokenvault.ViewTabTo, Action: "burn", Tab: r.activeTab().ID},
		text(tokenvault.ViewText, strings.Repeat("x", 2<<20)),
	} {
		var field *tokenvault.FieldError
		if err := r.view.Do(t.Context(), in); !errors.As(err, &field) {
			t.Errorf("%s %s: %v", in.Kind, in.Action, err)
		}
	}
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewMouse, Action: "move", X: -1e300, Y: 1e300})
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewTabTo, Action: "activate", Tab: "gone"})
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewAnswer, Accept: true}) // to nothing
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewSignIn, Accept: true})
	r.do(tokenvault.ViewInput{Kind: tokenvault.ViewFiles})
	r.click("#language") // and it goes on
}
