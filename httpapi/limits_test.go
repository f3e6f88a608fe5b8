package httpapi

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// limited is a rig whose handlers have limits.
func limited(t *testing.T, l Limits) *rig {
	t.Helper()
	r := newRig(t)
	opts := &Options{Limits: l}
	r.browser, r.v1 = NewHandler(r.Vault, headerAuth{}, opts), NewV1Handler(r.Vault, opts)
	return r
}

func from(address string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = address }
}

// guess is a key of the right form that nobody has.
func guess(n int) string {
	id, secret := strings.Repeat("a", 26), strings.Repeat(string(rune('a'+n)), 52)
	return fmt.Sprintf("tv_%s_%s_%08x", id, secret, crc32.ChecksumIEEE([]byte(id+secret)))
}

// tooMany checks that the answer is 429 and returns how long it asks to wait.
func tooMany(t *testing.T, res answer) time.Duration {
	t.Helper()
	res.want(t, http.StatusTooManyRequests, "rate_limited")
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		t.Fatalf("Retry-After: %q", res.Header.Get("Retry-After"))
	}
	return time.Duration(seconds) * time.Second
}

// A7: a key that calls too often is told when to come back; other keys are not held
// up.
func TestA7AKeyThatCallsTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limited(t, Limits{PerKey: 10})
		busy, other := r.agentKey(t, "alice"), r.agentKey(t, "bob")
		backend := r.keyOf(t, tokenvault.ActorBackend)
		ok := func(key, query string) {
			t.Helper()
			r.with(key, "GET", "/v1/connections"+query, "").want(t, http.StatusOK, "")
		}
		for range 20 {
			ok(busy, "")
		}
		wait := tooMany(t, r.with(busy, "GET", "/v1/connections", ""))
		ok(other, "")
		for range 200 {
			ok(backend, "?userId=alice")
		}
		tooMany(t, r.with(backend, "GET", "/v1/connections?userId=alice", ""))
		<-time.After(wait)
		ok(busy, "")
	})
}

// A7: guesses of keys are refused unseen after a while, with what else comes from
// there, but for keys that were valid lately. Other addresses are not held up.
func TestA7KeyGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limited(t, Limits{Failures: 20})
		known, fresh := r.agentKey(t, "alice"), r.agentKey(t, "bob")
		here, neighbour, there := from("[2001:db8:1:1::1]:99"), from("[2001:db8:1:1:ffff::2]:1"), from("[2001:db8:1:2::1]:99")
		call := func(key string, where func(*http.Request)) answer {
			return r.with(key, "GET", "/v1/connections", "", where)
		}
		call(known, here).want(t, http.StatusOK, "")
		for n := range 20 {
			call(guess(n), []func(*http.Request){here, neighbour}[n%2]).want(t, http.StatusUnauthorized, "unauthenticated")
		}
		wait := tooMany(t, call(guess(20), here))
		tooMany(t, call(guess(21), neighbour)) // the same /64
		tooMany(t, call(fresh, here))
		call(known, here).want(t, http.StatusOK, "")
		call(fresh, there).want(t, http.StatusOK, "")
		call(fresh, here).want(t, http.StatusOK, "") // known by now
		call(guess(22), there).want(t, http.StatusUnauthorized, "unauthenticated")
		<-time.After(wait)
		call(guess(23), here).want(t, http.StatusUnauthorized, "unauthenticated")
		tooMany(t, call(guess(24), here))
	})
}

// A7: a key that another process revoked is a guess like any other, once that is
// known.
func TestA7ARevokedKeyIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limited(t, Limits{Failures: 1})
		key, text, err := r.CreateAPIKey(t.Context(), admin, tokenvault.APIKeyInput{Name: "old", Kind: tokenvault.ActorAgent, Owner: owner("alice")})
		if err != nil {
			t.Fatal(err)
		}
		call := func() answer { return r.with(text.Reveal(), "GET", "/v1/connections", "") }
		call().want(t, http.StatusOK, "")
		if err := r.store.RevokeAPIKey(t.Context(), "default", key.ID, tokenvault.Event{Tenant: "default"}); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Second)
		call().want(t, http.StatusUnauthorized, "unauthenticated")
		tooMany(t, call())
	})
}

// A7: guesses of states are refused before anything is taken, and an honest return
// from there goes on after the wait. Other addresses are not held up.
func TestA7StateGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limited(t, Limits{Failures: 20})
		here, there := from("192.0.2.7:1"), from("192.0.2.8:1")
		back := func(user, state string, where func(*http.Request)) answer {
			return r.as(user, "GET", "/oauth/callback/"+r.AppID("", "mail")+"?code=code&state="+state, "", where)
		}
		for n := range 20 {
			res := back("eve", fmt.Sprint("guess-", n), here)
			if to := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || !strings.HasSuffix(to, "code=state_invalid") {
				t.Fatalf("status %d to %s", res.StatusCode, to)
			}
		}
		wait := tooMany(t, back("eve", "guess", here))
		req := r.ask(t, "alice")
		honest := r.leave(t, "alice", req.ID, "")
		before := r.store.writes.Load()
		path := "/oauth/callback/" + r.AppID("", "mail") + "?code=code&iss=https://auth.example&state=" + honest.state
		comeBack := func(where func(*http.Request)) answer {
			return r.as("alice", "GET", path, "", where, func(q *http.Request) { q.AddCookie(honest.cookie) })
		}
		tooMany(t, comeBack(here))
		if now := r.store.writes.Load(); now != before {
			t.Errorf("a refused return wrote %d times", now-before)
		}
		back("eve", "guess", there).want(t, http.StatusSeeOther, "")
		<-time.After(wait)
		res := comeBack(here)
		if want := origin + "/connect/" + req.ID; res.Header.Get("Location") != want {
			t.Errorf("after the wait: status %d to %s, want %s", res.StatusCode, res.Header.Get("Location"), want)
		}
	})
}

// A7: a user who calls too often does not hold up another.
func TestA7AUserWhoCallsTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limited(t, Limits{PerUser: 5})
		for range 10 {
			r.as("eve", "GET", "/credentials", "").want(t, http.StatusOK, "")
		}
		wait := tooMany(t, r.as("eve", "GET", "/credentials", ""))
		r.as("alice", "GET", "/credentials", "").want(t, http.StatusOK, "")
		<-time.After(wait)
		r.as("eve", "GET", "/credentials", "").want(t, http.StatusOK, "")
	})
}

// A7: who waits for more requests than anybody looks at is told to come back; others
// wait on, and so does a back end, for as many users as it has.
func TestA7AUserWhoWaitsTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limited(t, Limits{Waits: 2})
		req, other := r.ask(t, "alice"), r.ask(t, "bob")
		path, long := "/auth-requests/"+req.ID, "?wait=20s"
		key, backend := r.agentKey(t, "alice"), r.keyOf(t, tokenvault.ActorBackend)
		begin := func(n int, call func() answer) {
			for range n {
				go call()
			}
			synctest.Wait()
		}
		begin(2, func() answer { return r.as("alice", "GET", path+long, "") })
		begin(20, func() answer { return r.with(key, "GET", "/v1"+path+long, "") })
		asked := r.with(backend, "POST", "/v1/credentials/mail/resolve", `{"release":"token","owner":{"userId":"alice"}}`).json(t, "authRequest.authRequestId")
		many := make(chan answer, 50)
		begin(cap(many), func() answer {
			res := r.with(backend, "GET", fmt.Sprintf("/v1/auth-requests/%s%s&userId=alice", asked, long), "")
			many <- res
			return res
		})
		for _, events := range []func(*http.Request){header("Accept", "*/*"), header("Accept", "text/event-stream")} {
			if wait := tooMany(t, r.as("alice", "GET", path+long, "", events)); wait != waitsAgain {
				t.Errorf("come again after %s", wait)
			}
			tooMany(t, r.with(key, "GET", "/v1"+path+long, "", events))
		}
		r.as("alice", "GET", path, "").want(t, http.StatusOK, "") // to look is free
		r.with(key, "GET", "/v1"+path, "").want(t, http.StatusOK, "")
		r.as("bob", "GET", "/auth-requests/"+other.ID+long, "").want(t, http.StatusOK, "") // until all have ended
		synctest.Wait()
		for range cap(many) {
			(<-many).want(t, http.StatusOK, "")
		}
		r.as("alice", "GET", path+long, "").want(t, http.StatusOK, "")
		r.with(key, "GET", "/v1"+path+long, "").want(t, http.StatusOK, "")
	})
}
