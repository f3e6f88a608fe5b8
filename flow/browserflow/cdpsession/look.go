package cdpsession

import (
	"context"
	"hash/fnv"
	"net/url"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// watchSigns looks for the signs of a login until the session ends: when something
// happened, and every now and then.
func (s *Session) watchSigns() {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	var since, last time.Time // when the signs came, zero: they are not there; and of the last look
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-timer.C:
		case <-s.signs.wake:
			if wait := lookAtMost - time.Since(last); wait > 0 {
				timer.Reset(wait)
				continue
			}
		}
		there := s.look(s.ctx)
		last = time.Now()
		next := lookEvery
		switch {
		case !there:
			since = time.Time{}
		case since.IsZero():
			since = last
			next = min(next, s.signs.settle)
		default:
			next = max(lookAtMost, min(next, s.signs.settle-last.Sub(since)))
		}
		s.settle(there && last.Sub(since) >= s.signs.settle)
		timer.Reset(next)
	}
}

// settle notes whether the signs are there and have settled.
func (s *Session) settle(here bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signs.here == here {
		return
	}
	s.signs.here = here
	if here {
		s.signs.activity++
	}
	s.signs.turn()
	s.changed()
}

// look reports whether all signs are there now.
func (s *Session) look(ctx context.Context) bool {
	s.mu.Lock()
	tabs := s.tabsShow()
	cookies, probe := s.signs.has(tokenvault.SignCookie), s.signs.has(tokenvault.SignProbe)
	s.mu.Unlock()
	return tabs && (!cookies || s.cookiesShow(ctx)) && (!probe || s.probeShows(ctx))
}

// tabsShow reports whether the tabs are where they are after a login. While one is
// at a page of a second factor, or at another site, the login goes on: in a pop-up,
// for example. The lock is held.
func (s *Session) tabsShow() bool {
	var at []*url.URL // of the provider's domains
	for _, t := range s.tabs {
		u, err := url.Parse(t.url)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" {
			continue // empty, or an error page
		}
		if !s.login.Covers(u) {
			return false
		}
		u.Fragment, u.RawFragment = "", ""
		at = append(at, u)
		for _, pattern := range s.signs.unless {
			if pattern.MatchString(u.String()) {
				return false
			}
		}
	}
	for _, r := range s.signs.rules {
		if !s.signs.shows(r, at) {
			return false
		}
	}
	return len(at) > 0 && len(s.signs.rules) > 0
}

// shows reports whether a rule is fulfilled, as far as the tabs tell.
func (g *signs) shows(r rule, at []*url.URL) bool {
	switch r.strategy {
	case tokenvault.SignURLPattern:
		for _, u := range at {
			if r.matches(u.String()) {
				return true
			}
		}
		return false
	case tokenvault.SignResponse:
		return r.answered
	case tokenvault.SignReturn:
		for _, u := range at {
			if g.left && !g.isLogin(u) {
				return true
			}
		}
		return false
	case tokenvault.SignCookie, tokenvault.SignProbe:
		return true // asked for later
	}
	return false
}

// isLogin reports whether a page is the login page, whatever its query.
func (g *signs) isLogin(u *url.URL) bool {
	return g.login != nil && u.Host == g.login.Host && u.Path == g.login.Path
}

// cookiesShow reports whether the cookies that rules name are there.
func (s *Session) cookiesShow(ctx context.Context) bool {
	cookies, err := s.cookies(ctx)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	print := fnv.New64a()
	all := true
	for _, r := range s.signs.rules {
		if r.strategy != tokenvault.SignCookie {
			continue
		}
		found := false
		for _, c := range cookies {
			if s.login.CoversCookie(c.Domain) && r.matches(c.Name) && c.Value != "" {
				found = true
				_, _ = print.Write([]byte(c.Name + "=" + string(c.Value) + ";"))
			}
		}
		all = all && found
	}
	if now := print.Sum64(); now != s.signs.cookies {
		s.signs.cookies = now
		s.signs.activity++
		s.signs.turn()
	}
	return all
}

// probeShows reports whether the service says that somebody is signed in. It is asked
// only while somebody waits for a login.
func (s *Session) probeShows(ctx context.Context) bool {
	s.mu.Lock()
	last, activity, waiting := s.signs.probed, s.signs.activity, s.signs.waiting
	s.mu.Unlock()
	if waiting == 0 || !last.due(time.Now(), activity) {
		return last.ok
	}
	_, err := s.probe(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signs.probed = last.next(time.Now(), activity, err == nil)
	return err == nil
}
