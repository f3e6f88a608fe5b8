package cdpsession

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
	"github.com/ai-token-vault/tokenvault/internal/dotted"
)

const (
	maxProbeBody = 4 << 20
	maxAccount   = 255
)

// An answer is what the service answered to a probe.
type answer struct {
	status    int
	challenge bool // the answer is of a shield before the service, which asks for a person
	body      []byte
}

// probe asks the service, by a page that nobody sees, who is signed in. It goes as if
// the person had entered the address; the answer is read and not shown, so that
// nothing of it runs. It fails with [tokenvault.ErrDenied] if nobody is, and with
// [tokenvault.ErrUnavailable] if that could not be told.
func (s *Session) probe(ctx context.Context) (tokenvault.Account, error) {
	p := s.login.Probe
	if p == nil {
		return tokenvault.Account{}, fmt.Errorf("the provider has no probe: %w", tokenvault.ErrInvalid)
	}
	a, err := s.ask(ctx, p.URL)
	if err != nil {
		return tokenvault.Account{}, fmt.Errorf("the probe page cannot be read: %w", tokenvault.ErrUnavailable)
	}
	return judge(*p, a)
}

// ask navigates a hidden page and stops it at its answer.
func (s *Session) ask(ctx context.Context, to string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	t, done, err := s.openHidden(ctx)
	if err != nil {
		return answer{}, err
	}
	defer done()
	type paused struct {
		RequestID           string
		ResponseErrorReason string
		ResponseStatusCode  int
		ResponseHeaders     []struct{ Name, Value string }
	}
	answers := make(chan paused, 1)
	s.conn.Handle(t.session, func(e cdp.Event) {
		var p paused
		if e.Method != "Fetch.requestPaused" || json.Unmarshal(e.Params, &p) != nil {
			return
		}
		select {
		case answers <- p:
		default:
			s.conn.Send(t.session, "Fetch.failRequest", object{"requestId": p.RequestID, "errorReason": "Aborted"})
		}
	})
	if err := s.call(ctx, t.session, "Fetch.enable", object{"patterns": []object{{"urlPattern": "*", "requestStage": "Response"}}}, nil); err != nil {
		return answer{}, err
	}
	failed := make(chan struct{})
	s.conn.Start(t.session, "Page.navigate", object{"url": to}, func([]byte, error) { close(failed) }) // answered once the page is there, or not
	select {
	case p := <-answers:
		defer s.conn.Send(t.session, "Fetch.failRequest", object{"requestId": p.RequestID, "errorReason": "Aborted"})
		if p.ResponseErrorReason != "" {
			return answer{}, fmt.Errorf("the service did not answer: %w", tokenvault.ErrUnavailable)
		}
		a := answer{status: p.ResponseStatusCode}
		for _, h := range p.ResponseHeaders {
			a.challenge = a.challenge || strings.EqualFold(h.Name, "cf-mitigated")
		}
		if a.status < 300 || a.status >= 400 {
			a.body, err = s.bodyOf(ctx, t, p.RequestID)
		}
		return a, err
	case <-failed:
		return answer{}, fmt.Errorf("the service did not answer: %w", tokenvault.ErrUnavailable)
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

func (s *Session) bodyOf(ctx context.Context, t *target, request string) ([]byte, error) {
	var b struct {
		Body          string
		Base64Encoded bool
	}
	if err := s.call(ctx, t.session, "Fetch.getResponseBody", object{"requestId": request}, &b); err != nil {
		return nil, err
	}
	if !b.Base64Encoded {
		return []byte(b.Body[:min(len(b.Body), maxProbeBody)]), nil
	}
	body, err := base64.StdEncoding.DecodeString(b.Body)
	return body[:min(len(body), maxProbeBody)], err
}

// judge tells from an answer who is signed in. A definition that says where the
// account is read expects one: some services answer 200 to a stranger.
func judge(p tokenvault.LoginProbe, a answer) (tokenvault.Account, error) {
	switch {
	case a.status == http.StatusTooManyRequests || a.status >= 500 || a.challenge:
		return tokenvault.Account{}, fmt.Errorf("the probe page is not there just now: %w", tokenvault.ErrUnavailable)
	case a.status != cmp.Or(p.Status, http.StatusOK):
		return tokenvault.Account{}, fmt.Errorf("the probe page answers as to a stranger: %w", tokenvault.ErrDenied)
	}
	if p.Pattern != "" {
		re, err := regexp.Compile(p.Pattern)
		if err != nil || !re.Match(a.body) {
			return tokenvault.Account{}, fmt.Errorf("the probe page does not show what it shows to who is signed in: %w", tokenvault.ErrDenied)
		}
	}
	var fields map[string]any
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.UseNumber()
	if len(p.AccountID)+len(p.AccountLabel) > 0 && dec.Decode(&fields) != nil {
		fields = nil
	}
	sources := []map[string]any{fields}
	account := tokenvault.Account{
		ID:    cmp.Or(dotted.Text(sources, p.AccountID), group(p.AccountIDPattern, a.body)),
		Label: cmp.Or(dotted.Text(sources, p.AccountLabel), group(p.AccountLabelPattern, a.body)),
	}
	if account.ID == "" && (len(p.AccountID) > 0 || p.AccountIDPattern != "") {
		return tokenvault.Account{}, fmt.Errorf("the probe page names nobody: %w", tokenvault.ErrDenied)
	}
	return account, nil
}

// group returns what the only group of a pattern matches.
func group(pattern string, body []byte) string {
	if pattern == "" {
		return ""
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return ""
	}
	m := re.FindSubmatch(body)
	if len(m) < 2 || len(m[1]) > maxAccount || !utf8.Valid(m[1]) {
		return ""
	}
	text := strings.TrimSpace(html.UnescapeString(string(m[1])))
	if strings.ContainsFunc(text, unicode.IsControl) {
		return ""
	}
	return text
}
