package cdpsession

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

var (
	//go:embed scripts/read.js
	readScript string
	//go:embed scripts/write.js
	writeScript string
)

// A blank is a page that can be of any origin: every request of it is answered here,
// so that nothing is sent to a site, and nothing of a site runs.
type blank struct {
	s *Session
	t *target
}

// openBlank opens a page that nobody sees. Call done when it is not needed any more.
func (s *Session) openBlank(ctx context.Context, html string) (b blank, done func(), err error) {
	t, done, err := s.openHidden(ctx)
	if err != nil {
		return blank{}, nil, err
	}
	b = blank{s, t}
	if err := b.answer(ctx, html); err != nil {
		done()
		return blank{}, nil, err
	}
	return b, done, nil
}

// answer has every document of the page be html, and every other request fail.
func (b blank) answer(ctx context.Context, html string) error {
	body := base64.StdEncoding.EncodeToString([]byte("<!doctype html><title></title>" + html))
	b.s.conn.Handle(b.t.session, func(e cdp.Event) {
		if e.Method != "Fetch.requestPaused" {
			if strings.HasPrefix(e.Method, "Target.") {
				b.s.onEvent(b.t, e) // frames of other sites have to be let run
			}
			return
		}
		var r struct{ RequestID, ResourceType string }
		if json.Unmarshal(e.Params, &r) != nil {
			return
		}
		if r.ResourceType != "Document" {
			b.s.conn.Send(b.t.session, "Fetch.failRequest", object{"requestId": r.RequestID, "errorReason": "Aborted"})
			return
		}
		b.s.conn.Send(b.t.session, "Fetch.fulfillRequest", object{
			"requestId": r.RequestID, "responseCode": 200, "body": body,
			"responseHeaders": []object{{"name": "Content-Type", "value": "text/html; charset=utf-8"}},
		})
	})
	// A service worker of the site would answer first.
	if err := b.s.call(ctx, b.t.session, "Network.enable", nil, nil); err != nil {
		return err
	}
	if err := b.s.call(ctx, b.t.session, "Network.setBypassServiceWorker", object{"bypass": true}, nil); err != nil {
		return err
	}
	return b.s.call(ctx, b.t.session, "Fetch.enable", object{"patterns": []object{{"urlPattern": "*"}}}, nil)
}

// visit makes the page one of the origin.
func (b blank) visit(ctx context.Context, origin string) error {
	var went struct{ ErrorText string }
	if err := b.s.call(ctx, b.t.session, "Page.navigate", object{"url": origin + "/"}, &went); err != nil {
		return err
	}
	if went.ErrorText != "" {
		return errors.New("a blank page cannot be opened")
	}
	var at string
	if err := b.run(ctx, "() => location.origin", nil, &at); err != nil {
		return err
	}
	if at != origin {
		return errors.New("a blank page is of another origin")
	}
	return nil
}

// run calls a function in the page and awaits what it returns.
func (b blank) run(ctx context.Context, function string, argument, result any) error {
	given, err := json.Marshal(argument)
	if err != nil {
		return errors.New("a script's argument cannot be encoded")
	}
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	if err := b.s.call(ctx, b.t.session, "Runtime.evaluate", object{
		"expression": "(" + strings.TrimSpace(withoutComment(function)) + ")(" + string(given) + ")", "returnByValue": true, "awaitPromise": true,
	}, &answer); err != nil {
		return err
	}
	if len(answer.ExceptionDetails) > 0 {
		return errors.New("a script failed in a blank page") // what it says may quote the site
	}
	return json.Unmarshal(answer.Result.Value, result)
}

// withoutComment drops the lines before a script that say what it does.
func withoutComment(script string) string {
	for strings.HasPrefix(script, "//") {
		_, script, _ = strings.Cut(script, "\n")
	}
	return script
}
