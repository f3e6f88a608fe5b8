package cdpsession

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

const (
	defaultSettle = 500 * time.Millisecond
	lookEvery     = 500 * time.Millisecond // nothing tells of cookies
	lookAtMost    = 50 * time.Millisecond  // between two looks
	probeFirst    = 2 * time.Second        // between two questions to the service; doubles while nothing happens
	probeLast     = 15 * time.Second
	maxRequests   = 256 // that may still be a sign
)

// signs is what was seen of a login so far; protected by the session's lock.
//
// What can be seen for free comes first: where the tabs are. Cookies are asked for
// only while that is as it should be, and the service only while the cookies are,
// too. See [Session.watchSigns].
type signs struct {
	rules  []rule
	unless []*regexp.Regexp
	settle time.Duration
	login  *url.URL // the login page

	left     bool           // a tab was sent outside the provider's domains
	requests map[string]int // request id → the rule that its answer may fulfil
	cookies  uint64         // a fingerprint of the cookies that rules look for
	probed   probing

	wantsPages bool // whether the answers to whole pages are looked at
	page       int  // the status of the last one

	waiting  int           // how many Awaits wait
	here     bool          // all signs are there, and have settled
	activity int           // counts what may have changed the answer
	told     int           // the activity when Await last returned nil
	wake     chan struct{} // wakes who looks
	turned   chan struct{} // closed and replaced when here or activity changes
}

// A rule is a compiled sign.
type rule struct {
	strategy tokenvault.LoginStrategy
	pattern  *regexp.Regexp // nil matches nothing
	method   string
	answered bool // of response_intercept
}

// probing is the last question to the service.
type probing struct {
	at       time.Time
	wait     time.Duration // before the next one
	activity int
	ok       bool
}

// due reports whether the service may be asked again: not at once, and while nothing
// happens less and less often.
func (p probing) due(now time.Time, activity int) bool {
	wait := p.wait
	if activity != p.activity {
		wait = probeFirst
	}
	return now.Sub(p.at) >= wait
}

// next returns the question that is asked now.
func (p probing) next(now time.Time, activity int, ok bool) probing {
	wait := probeFirst
	if activity == p.activity {
		wait = min(max(2*p.wait, probeFirst), probeLast)
	}
	return probing{at: now, wait: wait, activity: activity, ok: ok}
}

func newSigns(login tokenvault.Login) signs {
	g := signs{
		settle: cmp.Or(login.Settle, defaultSettle), told: -1, requests: make(map[string]int),
		wake: make(chan struct{}, 1), turned: make(chan struct{}),
	}
	g.login, _ = url.Parse(login.URL)
	for _, sign := range login.Signs {
		r := rule{strategy: sign.Strategy, method: sign.Method}
		r.pattern, _ = tokenvault.WholePattern(sign.Pattern)
		g.rules = append(g.rules, r)
	}
	for _, text := range login.Unless {
		pattern, err := tokenvault.WholePattern(text)
		if err != nil {
			pattern = regexp.MustCompile("") // holds up everything
		}
		g.unless = append(g.unless, pattern)
	}
	return g
}

func (r rule) matches(text string) bool { return r.pattern != nil && r.pattern.MatchString(text) }

func (g *signs) has(strategy tokenvault.LoginStrategy) bool {
	for _, r := range g.rules {
		if r.strategy == strategy {
			return true
		}
	}
	return false
}

func (g *signs) wantsResponses() bool { return g.wantsPages || g.has(tokenvault.SignResponse) }

func (g *signs) authenticated() bool { return g.here }

// acted notes that something happened that may have changed the answer.
func (g *signs) acted() {
	g.activity++
	g.turn()
	g.wakes()
}

func (g *signs) turn() {
	close(g.turned)
	g.turned = make(chan struct{})
}

func (g *signs) wakes() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// network follows requests whose answers are signs.
func (g *signs) network(login tokenvault.Login, t *target, e cdp.Event) {
	var p struct {
		RequestID string
		Type      string
		FrameID   string
		Request   struct{ URL, Method string }
		Response  struct{ Status int }
		// RedirectResponse answered the request with the same id before.
		RedirectResponse *struct{ Status int }
	}
	if json.Unmarshal(e.Params, &p) != nil {
		return
	}
	switch e.Method {
	case "Network.requestWillBeSent":
		if p.RedirectResponse != nil {
			g.answered(p.RequestID, p.RedirectResponse.Status)
		}
		if i, ok := g.wanted(login, p.Request.Method, p.Request.URL); ok && len(g.requests) < maxRequests {
			g.requests[p.RequestID] = i
		}
	case "Network.responseReceived":
		g.answered(p.RequestID, p.Response.Status)
		if p.Type == "Document" && t.parent == nil && p.FrameID == t.id {
			g.page = p.Response.Status
		}
	default:
		delete(g.requests, p.RequestID)
	}
}

func (g *signs) wanted(login tokenvault.Login, method, text string) (int, bool) {
	for i, r := range g.rules {
		if r.strategy == tokenvault.SignResponse && !r.answered && method != "OPTIONS" && (r.method == "" || r.method == method) &&
			covers(login, text) && r.matches(withoutFragment(text)) {
			return i, true
		}
	}
	return 0, false
}

func (g *signs) answered(request string, status int) {
	i, ok := g.requests[request]
	delete(g.requests, request)
	if ok && status >= 200 && status < 400 {
		g.rules[i].answered = true
		g.acted()
	}
}

func withoutFragment(text string) string {
	text, _, _ = strings.Cut(text, "#")
	return text
}

// Await blocks until the provider's signs of a login are there and have settled. After
// it returned nil it waits for something to happen before it does so again.
func (s *Session) Await(ctx context.Context) error {
	s.mu.Lock()
	s.signs.waiting++
	s.signs.wakes()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.signs.waiting--
		s.mu.Unlock()
	}()
	for {
		s.mu.Lock()
		err, turned := s.ended(), s.signs.turned
		there := s.signs.here && s.signs.activity != s.signs.told
		if there {
			s.signs.told = s.signs.activity
		}
		s.mu.Unlock()
		switch {
		case err != nil:
			return err
		case there:
			return nil
		}
		select {
		case <-turned:
		case <-s.ctx.Done():
		case <-ctx.Done():
			return fmt.Errorf("browser session: %w", ctx.Err())
		}
	}
}
