package main

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func TestThePageMayCallTheVaultAndNothingElse(t *testing.T) {
	d := &demo{pageDir: t.TempDir(), vaultURL: "http://vault.demo.localhost:8420"}
	if err := d.checkPage(); err == nil || !strings.Contains(err.Error(), "make demo") {
		t.Fatalf("checkPage says %v, and not what to do", err)
	}
	if err := os.WriteFile(filepath.Join(d.pageDir, "index.html"), []byte("<h1>Chat</h1>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.checkPage(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/login"} {
		w := httptest.NewRecorder()
		d.page().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Chat") {
			t.Errorf("%s: status %d, %q", path, w.Code, w.Body)
		}
		if want := "connect-src 'self' http://vault.demo.localhost:8420 ws://vault.demo.localhost:8420;"; !strings.Contains(policy, want) {
			t.Errorf("%s: the policy %q lacks %q", path, policy, want)
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy %q allows what is unsafe", path, policy)
		}
	}
}

func TestOnlyWhoIsSignedInIsLetThrough(t *testing.T) {
	for _, test := range []struct {
		mode         mode
		host, cookie string
		want         int
	}{
		{modeLocal, "localhost:8080", "", http.StatusOK},
		{modeLocal, "evil.example:8080", "", http.StatusMisdirectedRequest}, // a name that leads to this machine
		{modeSession, "app.demo.localhost", "", http.StatusUnauthorized},
		{modeSession, "app.demo.localhost", "made-up", http.StatusUnauthorized},
		{modeSession, "app.demo.localhost", "right", http.StatusOK},
	} {
		s := &signIn{chat: &chat{url: "http://localhost:8080"}, mode: test.mode, session: "right"}
		r := httptest.NewRequest(http.MethodPost, "/vault-session", http.NoBody)
		r.Host = test.host
		r.AddCookie(&http.Cookie{Name: hostCookie, Value: test.cookie})
		w := httptest.NewRecorder()
		s.only(func(http.ResponseWriter, *http.Request) {})(w, r)
		if w.Code != test.want {
			t.Errorf("mode %s at %s, cookie %q: status %d, want %d", test.mode, test.host, test.cookie, w.Code, test.want)
		}
	}
}

func TestEventsGoOnAfterTheLastOneSeen(t *testing.T) {
	c := &chat{changed: make(chan struct{})}
	c.say(message{Call: 1, Kind: "asked", Text: "Who am I?"})
	c.say(message{Call: 1, Kind: "paused", AuthRequest: &tokenvault.AuthRequest{ID: "ar_1"}})
	server := httptest.NewServer(http.HandlerFunc(c.events))
	defer server.Close()
	for _, test := range []struct{ last, id, holds string }{
		{"", "id: 0", `"kind":"asked"`},
		{"0", "id: 1", `"type":"auth_required","authRequestId":"ar_1"`},
		{"-7", "id: 0", `"kind":"asked"`},
	} {
		id, data := firstEvent(t, server.URL, test.last)
		if id != test.id || !strings.Contains(data, test.holds) {
			t.Errorf("after %q: %s, %s; want %s with %s", test.last, id, data, test.id, test.holds)
		}
	}
}

// firstEvent returns the two lines of the first event that a page gets.
func firstEvent(t *testing.T, url, last string) (id, data string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", last)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() && lines.Text() != "" {
		id, data = data, lines.Text()
	}
	return id, data
}
