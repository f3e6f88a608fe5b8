package cdpsession

import (
	"encoding/json"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// asking is what a page waits for an answer to; protected by the session's lock.
type asking struct {
	dialog   *tokenvault.ViewDialog
	dialogOf string // the CDP session that asks
	dialogs  int    // one after the other
	closed   time.Time

	challenge   *tokenvault.ViewChallenge
	challengeID string

	chooser       *tokenvault.ViewChooser
	chooserOf     *target
	chooserNodeID int
}

func (a *asking) show(scene *tokenvault.ViewScene) {
	scene.Dialog, scene.Challenge, scene.Chooser = a.dialog, a.challenge, a.chooser
}

// reset forgets what another document asked.
func (a *asking) reset() { a.dialog, a.challenge, a.challengeID, a.chooser = nil, nil, "", nil }

const (
	maxDialogs = 10          // that a page may open one after the other
	breath     = time.Second // between two dialogs that do not follow one another
)

// onDialog shows a JavaScript dialog. A page that opens one after the other is
// stopped: nobody could leave it.
func (s *Session) onDialog(t *target, params []byte) {
	var d struct{ URL, Message, Type, DefaultPrompt string }
	if json.Unmarshal(params, &d) != nil {
		return
	}
	p := t.page()
	if time.Since(p.asking.closed) > breath {
		p.asking.dialogs = 0
	}
	p.asking.dialogs++
	if p.hidden || p.asking.dialogs > maxDialogs {
		s.conn.Send(t.session, "Page.handleJavaScriptDialog", object{"accept": false})
		s.conn.Send(t.session, "Runtime.terminateExecution", nil)
		return
	}
	p.asking.dialog = &tokenvault.ViewDialog{Kind: d.Type, Origin: originOf(d.URL), Message: clip(d.Message), Default: clip(d.DefaultPrompt)}
	p.asking.dialogOf = t.session
	s.changed()
}

func (s *Session) onDialogClosed(t *target, _ []byte) {
	a := &t.page().asking
	a.dialog, a.closed = nil, time.Now()
	s.changed()
}

// onChallenge shows a server's own request for a name and password. The proxy's is
// not for the person.
func (s *Session) onChallenge(t *target, params []byte) {
	var c struct {
		RequestID     string
		AuthChallenge struct{ Source, Origin, Realm string }
	}
	if json.Unmarshal(params, &c) != nil {
		return
	}
	if c.AuthChallenge.Source == "Proxy" {
		s.answerChallenge(t, c.RequestID, object{"response": "CancelAuth"})
		return
	}
	if old := t.asking.challengeID; old != "" {
		s.answerChallenge(t, old, object{"response": "CancelAuth"})
	}
	t.asking.challenge = &tokenvault.ViewChallenge{Origin: c.AuthChallenge.Origin, Realm: clip(c.AuthChallenge.Realm)}
	t.asking.challengeID = c.RequestID
	s.changed()
}

func (s *Session) answerChallenge(t *target, id string, response object) {
	s.conn.Send(t.session, "Fetch.continueWithAuth", object{"requestId": id, "authChallengeResponse": response})
}

func (s *Session) onChooser(t *target, params []byte) {
	var c struct {
		Mode          string
		BackendNodeID int
	}
	if json.Unmarshal(params, &c) != nil || c.BackendNodeID == 0 {
		return
	}
	p := t.page()
	p.asking.chooser = &tokenvault.ViewChooser{Multiple: c.Mode == "selectMultiple"}
	p.asking.chooserOf, p.asking.chooserNodeID = t, c.BackendNodeID
	s.changed()
}

// maxShown bounds a page's text in a scene.
const maxShown = 2000

func clip(text string) string {
	runes := []rune(text)
	if len(runes) <= maxShown {
		return text
	}
	return string(runes[:maxShown]) + "…"
}
