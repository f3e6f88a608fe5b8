package cdpsession

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"path"
	"strings"
	"unicode"

	"github.com/ai-token-vault/tokenvault"
)

// answer closes the dialog of a page. The lock is held.
func (s *Session) answer(t *target, in tokenvault.ViewInput) error {
	if t.asking.dialog == nil {
		return nil
	}
	params := object{"accept": in.Accept}
	if in.Accept && t.asking.dialog.Kind == "prompt" {
		params["promptText"] = in.Text.Reveal()
	}
	s.conn.Send(t.asking.dialogOf, "Page.handleJavaScriptDialog", params)
	t.asking.dialog = nil
	s.changed()
	return nil
}

// signIn answers a server's own request for a name and password. The lock is held.
func (s *Session) signIn(t *target, in tokenvault.ViewInput) error {
	if t.asking.challengeID == "" {
		return nil
	}
	response := object{"response": "CancelAuth"}
	if in.Accept {
		response = object{"response": "ProvideCredentials", "username": in.Name.Reveal(), "password": in.Text.Reveal()}
	}
	s.answerChallenge(t, t.asking.challengeID, response)
	t.asking.challenge, t.asking.challengeID = nil, ""
	s.changed()
	return nil
}

const (
	maxFiles = 10
	maxBytes = 10 << 20 // of all files
)

// choose gives a page the files that the person chose. The lock is held.
func (s *Session) choose(t *target, in tokenvault.ViewInput) error {
	a := &t.asking
	if a.chooser == nil {
		return nil
	}
	size := 0
	for _, f := range in.Files {
		size += len(f.Content)
	}
	if len(in.Files) > maxFiles || size > maxBytes || len(in.Files) > 1 && !a.chooser.Multiple {
		return refuse("files", "are too many, or too large")
	}
	of, node := a.chooserOf, a.chooserNodeID
	a.chooser = nil
	s.changed()
	if len(in.Files) > 0 {
		s.goes(func() { s.upload(of, node, in.Files) })
	}
	return nil
}

func (s *Session) upload(t *target, node int, files []tokenvault.ViewFile) {
	if s.opts.KeepFile == nil {
		s.uploadThroughPage(t, node, files)
		return
	}
	paths := make([]string, len(files))
	for i, f := range files {
		kept, err := s.opts.KeepFile(fileName(f.Name), f.Content)
		if err != nil {
			return
		}
		paths[i] = kept
	}
	_ = s.call(s.ctx, t.session, "DOM.setFileInputFiles", object{"files": paths, "backendNodeId": node}, nil)
}

// giveFiles makes files of an argument and gives them to an input.
const giveFiles = `function (files) {
	const all = new DataTransfer();
	for (const f of files) all.items.add(new File([Uint8Array.from(atob(f.content), (c) => c.charCodeAt(0))], f.name));
	this.files = all.files;
	this.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
	this.dispatchEvent(new Event("change", { bubbles: true }));
}`

// uploadThroughPage gives a page files of a machine that its browser does not see.
func (s *Session) uploadThroughPage(t *target, node int, files []tokenvault.ViewFile) {
	given := make([]object, len(files))
	for i, f := range files {
		given[i] = object{"name": fileName(f.Name), "content": base64.StdEncoding.EncodeToString(f.Content)}
	}
	var r struct{ Object struct{ ObjectID string } }
	if s.call(s.ctx, t.session, "DOM.resolveNode", object{"backendNodeId": node}, &r) != nil {
		return
	}
	_ = s.call(s.ctx, t.session, "Runtime.callFunctionOn", object{
		"objectId": r.Object.ObjectID, "functionDeclaration": giveFiles, "arguments": []object{{"value": given}},
	}, nil)
}

// fileName returns the last part of a name, without what a path could be made of.
func fileName(name string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '/' {
			return -1
		}
		return r
	}, name)
	if name = strings.TrimLeft(name, "."); name == "" || len(name) > 200 {
		return "file"
	}
	return name
}

// copySelection tells the view what is selected in a tab, and cuts it. The lock is
// held.
func (s *Session) copySelection(t *target, cut bool) {
	var sessions []string
	for _, of := range s.targets {
		if of.page() == t {
			sessions = append(sessions, of.session)
		}
	}
	s.goes(func() {
		text := ""
		for _, session := range sessions {
			if text = s.selection(s.ctx, session); text != "" {
				break
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if text == "" || s.view == nil {
			return
		}
		s.view.copied = text
		s.changed()
		if cut {
			s.input(t, "Input.dispatchKeyEvent", object{"type": "rawKeyDown", "key": "x", "code": "KeyX", "windowsVirtualKeyCode": 'X', "modifiers": 2, "commands": []string{"cut"}})
			s.input(t, "Input.dispatchKeyEvent", object{"type": "keyUp", "key": "x", "code": "KeyX", "windowsVirtualKeyCode": 'X', "modifiers": 2})
		}
	})
}

// selection returns what is selected in the documents of a target.
func (s *Session) selection(ctx context.Context, session string) string {
	var tree struct{ FrameTree frameTree }
	if s.call(ctx, session, "Page.getFrameTree", nil, &tree) != nil {
		return ""
	}
	for _, frame := range tree.FrameTree.ids(nil) {
		value, err := s.evaluate(ctx, session, frame, "globalThis.tokenvaultSelection?.() ?? ''")
		var text string
		if err == nil && json.Unmarshal(value, &text) == nil && text != "" {
			return text
		}
	}
	return ""
}

type frameTree struct {
	Frame       struct{ ID string }
	ChildFrames []frameTree
}

func (t frameTree) ids(all []string) []string {
	all = append(all, t.Frame.ID)
	for _, child := range t.ChildFrames {
		all = child.ids(all)
	}
	return all
}

// evaluate runs an expression in our own world of a frame, and returns its value as
// JSON.
func (s *Session) evaluate(ctx context.Context, session, frame, expression string) (json.RawMessage, error) {
	var made struct{ ExecutionContextID int }
	if err := s.call(ctx, session, "Page.createIsolatedWorld", object{"frameId": frame, "worldName": world}, &made); err != nil {
		return nil, err
	}
	var r struct {
		Result struct{ Value json.RawMessage }
	}
	err := s.call(ctx, session, "Runtime.evaluate", object{
		"expression": expression, "contextId": made.ExecutionContextID, "returnByValue": true, "awaitPromise": true,
	}, &r)
	return r.Result.Value, err
}
