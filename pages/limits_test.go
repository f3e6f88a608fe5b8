package pages_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/pages"
)

// tooMany checks that the answer is 429 and returns how long it asks to wait.
func tooMany(t *testing.T, res *http.Response) time.Duration {
	t.Helper()
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if res.StatusCode != http.StatusTooManyRequests || err != nil || seconds < 1 {
		t.Fatalf("status %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	if !strings.Contains(body(t, res), "That was too often") {
		t.Error("the page does not say why")
	}
	return time.Duration(seconds) * time.Second
}

func wantStatus(t *testing.T, res *http.Response, status int) {
	t.Helper()
	if res.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", res.StatusCode, status, body(t, res))
	}
}

// A7: who sets out to connect too often has to wait; others do not.
func TestA7ConnectStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, headerAuth{})
		r.desk.Close() // while somebody listens, the time of the bubble stands still
		r.handler = pages.NewHandler(r.Vault, headerAuth{}, &pages.Options{Limits: pages.Limits{Starts: 30}})
		start := func(edit ...func(*http.Request)) *http.Response {
			return r.post("/connect/new", url.Values{"providerId": {"github"}}, edit...)
		}
		for range 30 {
			wantStatus(t, start(), http.StatusOK)
		}
		before := r.store.writes.Load()
		wait := tooMany(t, start())
		if now := r.store.writes.Load(); now != before {
			t.Errorf("a refused start wrote %d times", now-before)
		}
		wantStatus(t, start(as("eve")), http.StatusOK)
		wantStatus(t, r.get("/connect/new?providerId=github"), http.StatusOK) // looking is no start
		<-time.After(wait)
		wantStatus(t, start(), http.StatusOK)
	})
}

// A7: starts of one auth request are fewer, and only its owner uses them up.
func TestA7StartsOfOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, headerAuth{})
		r.desk.Close() // while somebody listens, the time of the bubble stands still
		r.handler = pages.NewHandler(r.Vault, headerAuth{}, &pages.Options{Limits: pages.Limits{Starts: 30}})
		confirm := func(id string, edit ...func(*http.Request)) *http.Response {
			return r.post("/connect/"+id+"/confirm", nil, edit...)
		}
		one := r.ask(t, alice, "helper", tokenvault.ReleaseInject)
		other := r.ask(t, alice, "other", tokenvault.ReleaseInject)
		for range 11 {
			confirm(one.ID, as("eve")) // to whom it does not exist
		}
		for range 10 {
			wantStatus(t, confirm(one.ID), http.StatusOK)
		}
		tooMany(t, confirm(one.ID))
		wantStatus(t, confirm(other.ID), http.StatusOK)
	})
}

// A7: visitors, whose ids are not known, are told apart by address.
func TestA7Visitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, headerAuth{})
		r.desk.Close() // while somebody listens, the time of the bubble stands still
		r.handler = pages.NewHandler(r.Vault, headerAuth{}, &pages.Options{Limits: pages.Limits{PerUser: 5}})
		id := r.ask(t, alice, "helper", tokenvault.ReleaseInject).ID
		show := func(address string) *http.Response {
			return r.get("/connect/"+id, as("guest"), func(r *http.Request) { r.RemoteAddr = address })
		}
		for range 10 {
			wantStatus(t, show("192.0.2.7:1"), http.StatusOK)
		}
		tooMany(t, show("192.0.2.7:2"))
		wantStatus(t, show("192.0.2.8:1"), http.StatusOK)
		wantStatus(t, r.get("/connect/"+id), http.StatusOK)
	})
}
