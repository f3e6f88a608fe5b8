//go:build linux

package remotecdp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest"
)

const nobody = 65534

// launch starts a Chromium that listens, as on another machine, and returns its
// WebSocket's URL.
func launch(t *testing.T) string {
	t.Helper()
	profile, err := os.MkdirTemp("/dev/shm", "remote-") //nolint:usetesting // in memory, with a short path
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(browsertest.Path,
		"--headless", "--remote-debugging-port=0", "--user-data-dir="+profile, "--no-first-run", "--disable-gpu", "--disable-background-networking",
		"--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36", "about:blank")
	cmd.Env = []string{"HOME=" + profile, "TMPDIR=" + profile, "PATH=/usr/bin:/bin", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chown(profile, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	words, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("Chromium does not start: make deps installs it: %v", err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		browsertest.Eventually(t, "the profile is gone", func() bool { return os.RemoveAll(profile) == nil })
	})
	for lines := bufio.NewScanner(words); lines.Scan(); {
		if _, at, ok := strings.Cut(lines.Text(), "DevTools listening on "); ok {
			go func() { _, _ = io.Copy(io.Discard, words) }()
			return at
		}
	}
	t.Fatal("Chromium did not say where it listens")
	return ""
}

// A gateway is a service's front: it asks for a key, and passes on to a browser.
type gateway struct {
	*httptest.Server
	refused atomic.Int32
}

const key = "canary-remote-key"

func newGateway(t *testing.T, socket string) *gateway {
	t.Helper()
	at, err := url.Parse(socket)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: at.Host}) }}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+key && r.URL.Query().Get("apiKey") != key {
			g.refused.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

func open(t *testing.T, opts Options) tokenvault.Browser {
	t.Helper()
	b, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// By its WebSocket, with a browser context for each session; and by a service's front
// that asks for a key, where each connection has a browser of its own.
func TestSuites(t *testing.T) {
	t.Run("Shared", func(t *testing.T) {
		a := browsertest.Adapter{New: func(t *testing.T, _ []string) tokenvault.Browser {
			return open(t, Options{URL: tokenvault.NewSecret(launch(t))})
		}}
		browsertest.Sessions(t, a)
		browsertest.Logins(t, a)
	})
	t.Run("Service", func(t *testing.T) {
		browsertest.Sessions(t, browsertest.Adapter{New: func(t *testing.T, _ []string) tokenvault.Browser {
			return open(t, Options{Exclusive: true, ViewedElsewhere: true, Session: func(_ context.Context, req tokenvault.BrowserRequest) (Remote, error) {
				return Remote{
					URL:         tokenvault.NewSecret(newGateway(t, launch(t)).URL + "?apiKey=" + key),
					LiveViewURL: tokenvault.NewSecret("https://view.example/" + req.ID),
				}, nil
			}})
		}})
	})
}

func TestTheKeyIsSent(t *testing.T) {
	g := newGateway(t, launch(t))
	header := map[string]tokenvault.Secret{"Authorization": tokenvault.NewSecret("Bearer " + key)}
	for _, at := range []string{g.URL, g.URL + "/", g.URL + "/json/version"} {
		product, err := Try(t.Context(), Options{URL: tokenvault.NewSecret(at), Header: header})
		if err != nil || !strings.Contains(product, "Chrome/") {
			t.Errorf("%s: %q, %v", at, product, err)
		}
	}
	if _, err := Try(t.Context(), Options{URL: tokenvault.NewSecret(g.URL)}); err == nil || g.refused.Load() != 1 {
		t.Errorf("without the key: %v", err)
	}
}

// A browser that names another host does not get the key sent there, and no error
// holds what is secret.
func TestTheKeyStaysWithItsHost(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	defer stranger.Close()
	answers := map[string]http.HandlerFunc{
		"another host": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"webSocketDebuggerUrl": %q}`, strings.Replace(stranger.URL, "http", "ws", 1)+"/devtools/browser/1")
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, stranger.URL, http.StatusFound) },
		"nothing":    func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{}`) },
		"no JSON":    func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `<html>`) },
		"too much":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxVersion+1)) },
		"a strange path": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `{"webSocketDebuggerUrl": "ws://[::1"}`)
		},
	}
	for name, answer := range answers {
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/json/version" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			answer(w, r)
		}))
		_, err := Try(t.Context(), Options{
			URL:    tokenvault.NewSecret(service.URL + "?apiKey=" + key),
			Header: map[string]tokenvault.Secret{"Authorization": tokenvault.NewSecret(key)},
		})
		if err == nil || strings.Contains(err.Error(), key) || strings.Contains(err.Error(), service.URL) {
			t.Errorf("%s: %v", name, err)
		}
		service.Close()
		if _, err := Try(t.Context(), Options{URL: tokenvault.NewSecret(service.URL + "?apiKey=" + key)}); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%s, gone: %v", name, err)
		}
	}
	for _, bad := range []string{"", "ftp://x", "localhost:9222", "ws://", "ws://\x00" + key} {
		if _, err := New(Options{URL: tokenvault.NewSecret(bad)}); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("New(%q): %v", bad, err)
		}
	}
}

// The service's own live view is passed through, and its browser is given back
// whatever happens.
func TestServices(t *testing.T) {
	socket := launch(t)
	id := socket[strings.LastIndexByte(socket, '/')+1:]
	var released atomic.Int32
	b := open(t, Options{
		Exclusive: true, ViewedElsewhere: true,
		Session: func(_ context.Context, req tokenvault.BrowserRequest) (Remote, error) {
			r := Remote{
				URL: tokenvault.NewSecret(socket), LiveViewURL: tokenvault.NewSecret("https://view.example/{browserId}?s={sessionId}"),
				Release: func(context.Context) error { released.Add(1); return nil },
			}
			switch req.ID {
			case "none":
				return Remote{}, errors.New("no browser is free")
			case "gone":
				r.URL = tokenvault.NewSecret("ws://127.0.0.1:1/devtools/browser/1")
			}
			return r, nil
		},
	})
	defer func() { _ = b.Close() }()
	req := tokenvault.BrowserRequest{Provider: tokenvault.Provider{ID: "bank", Login: &tokenvault.Login{URL: "about:blank"}}}
	start := func(id string) tokenvault.BrowserSession {
		t.Helper()
		req.ID = id
		s, err := b.Open(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		browsertest.Eventually(t, "the session is open or over", func() bool {
			st, err := s.Status(t.Context())
			return err == nil && (st.Phase == tokenvault.BrowserOpen || st.Phase == tokenvault.BrowserEnded)
		})
		return s
	}
	s := start("a b")
	if _, ok := s.(tokenvault.Viewable); ok {
		t.Error("a session with a live view of its own is Viewable here too")
	}
	if got, want := s.LiveViewURL().Reveal(), "https://view.example/"+id+"?s=a%20b"; got != want {
		t.Errorf("live view at %q, want %q", got, want)
	}
	if err := s.Close(t.Context()); err != nil || released.Load() != 1 {
		t.Errorf("Close: %v; released %d times", err, released.Load())
	}
	for id, times := range map[string]int32{"gone": 1, "none": 0} {
		released.Store(0)
		s := start(id)
		if st, err := s.Status(t.Context()); err != nil || st.End != tokenvault.BrowserEndFailed {
			t.Errorf("%s: %+v, %v", id, st, err)
		}
		_ = s.Close(t.Context())
		if released.Load() != times {
			t.Errorf("%s: released %d times, want %d", id, released.Load(), times)
		}
	}
}
