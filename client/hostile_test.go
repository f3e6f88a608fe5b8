package client_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

const canary = "tv_canary0secret0key"

// checkRefused checks that the error tells of no answer and never of the key.
func checkRefused(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, text := range []string{e.Error(), fmt.Sprintf("%+v %#v", e, e)} {
			if strings.Contains(text, canary) {
				t.Errorf("the error shows the key: %s", text)
			}
			if strings.Contains(text, "answered-text") {
				t.Errorf("the error quotes the answer: %s", text)
			}
		}
	}
}

// callAll calls everything that does not retry.
func callAll(t *testing.T, serverURL string) (errs []error) {
	t.Helper()
	c, err := client.New(serverURL, tokenvault.NewSecret(canary), nil)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(text, canary) {
		t.Errorf("the client prints its key: %s", text)
	}
	_, resolve := c.Resolve(t.Context(), readMail())
	_, wait := c.ResolveWait(t.Context(), readMail(), nil)
	return []error{
		resolve, wait, c.Revoke(t.Context(), client.Owner{UserID: "alice"}, "cn_1"),
		c.Rename(t.Context(), client.Owner{UserID: "alice"}, "cn_1", "Work"),
	}
}

func TestAnswersOfAnotherServer(t *testing.T) {
	echo := `"answered-text ` + canary + `"`
	for name, serve := range map[string]http.HandlerFunc{
		"html":             say(200, "text/html", "<html>answered-text"),
		"empty":            say(200, "application/json", ""),
		"null":             say(200, "application/json", "null"),
		"array":            say(200, "application/json", `["answered-text"]`),
		"another object":   say(200, "application/json", `{"answered-text":1}`),
		"wrong types":      say(200, "application/json", `{"credentialId":"answered-text","version":"x","success":1}`),
		"no content":       say(204, "", ""),
		"server error":     say(500, "text/plain", "answered-text "+canary),
		"plain problem":    say(500, "application/json", `{"code":"internal","detail":"answered-text"}`),
		"echoed problem":   say(400, problemJSON, `{"code":"invalid","detail":`+echo+`}`),
		"echoed code":      say(400, problemJSON, `{"code":`+echo+`,"detail":""}`),
		"echoed request":   say(428, problemJSON, `{"code":"auth_required","authRequest":{"authRequestId":"ar_1","connectUrl":`+echo+`}}`),
		"endless detail":   say(400, problemJSON, `{"code":"invalid","detail":"answered-text`+strings.Repeat("x", 4096)+`"}`),
		"request of none":  say(428, problemJSON, `{"code":"auth_required","authRequest":{}}`),
		"proxy's sign-in":  say(401, "text/html", "<html>answered-text"),
		"truncated object": say(200, "application/json", `{"credentialId":"answered-text"`),
		"huge":             endless,
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(serve)
			defer server.Close()
			for _, err := range callAll(t, server.URL) {
				checkRefused(t, err)
				if _, ok := errors.AsType[*client.Error](err); !ok {
					t.Errorf("err = %v, want an Error", err)
				}
			}
		})
	}
}

// endless answers until the client hangs up.
func endless(w http.ResponseWriter, _ *http.Request) {
	_, err := fmt.Fprint(w, `{"credentialId":"answered-text`)
	for err == nil {
		_, err = fmt.Fprint(w, strings.Repeat("x", 1<<16))
	}
}

func say(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// A server that is no HTTP server at all.
func TestGarbageOnTheWire(t *testing.T) {
	for name, text := range map[string]string{
		"closed":        "",
		"ssh":           "SSH-2.0-OpenSSH_9.2\r\n",
		"echoed line":   "Authorization: Bearer " + canary + "\r\n\r\n",
		"echoed header": "HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n",
		"echoed status": "HTTP/1.1 abc " + canary + "\r\n\r\n",
		"short body":    "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{}",
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = conn.Write([]byte(text))
				_ = conn.Close()
			}))
			defer server.Close()
			for _, err := range callAll(t, server.URL) {
				checkRefused(t, err)
			}
		})
	}
}

func TestAServerThatIsDown(t *testing.T) {
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range callAll(t, "http://"+l.Addr().String()) {
		checkRefused(t, err)
		if !strings.Contains(err.Error(), l.Addr().String()) {
			t.Errorf("the error does not name the server: %v", err)
		}
	}
}

// Package net/http keeps the key on a redirect to another port of the same host.
func TestRedirectsAreRefused(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed, with Authorization %t", r.Header.Get("Authorization") != "")
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/answered-text", status))
		for _, err := range callAll(t, server.URL) {
			checkRefused(t, err)
			if refused, ok := errors.AsType[*client.Error](err); !ok || refused.Status != status {
				t.Errorf("err = %v, want an Error with status %d", err, status)
			}
		}
		server.Close()
	}
}

func TestAGivenHTTPClientIsLeftAlone(t *testing.T) {
	given := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }, Transport: network(func(r *http.Request) (*http.Response, error) {
		res := answer(http.StatusFound, "", "")
		res.Header.Set("Location", "https://elsewhere.example/")
		if r.URL.Host != "vault.example" {
			t.Errorf("a request went to %s", r.URL.Host)
		}
		return res, nil
	})}
	c, err := client.New("https://vault.example", tokenvault.NewSecret(canary), &client.Options{HTTPClient: given})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Resolve(t.Context(), readMail())
	checkRefused(t, err)
	if given.CheckRedirect(nil, nil) != nil {
		t.Error("the given client was changed")
	}
}

func TestRetryAfterIsTold(t *testing.T) {
	for header, want := range map[string]float64{"": 0, "7": 7, "-7": 0, "soon": 0, "99999999999999999999": 0} {
		c := newClient(t, tokenvault.NewSecret(canary), network(func(*http.Request) (*http.Response, error) {
			res := answer(http.StatusServiceUnavailable, problemJSON, `{"code":"unavailable","detail":"Temporarily unavailable: try again"}`)
			res.Header.Set("Retry-After", header)
			return res, nil
		}))
		_, err := c.Resolve(t.Context(), readMail())
		refused, ok := errors.AsType[*client.Error](err)
		if !ok || !errors.Is(err, tokenvault.ErrUnavailable) || refused.RetryAfter.Seconds() != want {
			t.Errorf("Retry-After %q: %+v", header, err)
		}
	}
}

func TestServerURLAndKey(t *testing.T) {
	for text, allowed := range map[string]bool{
		"https://vault.example": true, "https://vault.example/": true, "https://vault.example:8443": true,
		"http://127.0.0.1:8420": true, "http://127.9.9.9": true, "http://[::1]:8420": true, "http://localhost:8420": true, "http://vault.localhost": true,
		"http://vault.example": false, "http://127.0.0.1.evil.example": false, "http://127.evil.example": false, "http://localhost.evil.example": false,
		"http://notlocalhost": false, "http://192.168.0.1": false, "http://[::2]": false, "http://0.0.0.0": false,
		"https://user:password@vault.example": false, "https://vault.example/path": false, "https://vault.example?q=1": false, "https://vault.example#f": false,
		"https://": false, "https://:8420": false, "": false, "vault.example": false, "vault.example:8420": false, "ftp://vault.example": false, "file:///etc": false,
		"https://vault example": false, "://": false, "https:vault.example": false,
	} {
		_, err := client.New(text, tokenvault.NewSecret(canary), nil)
		if (err == nil) != allowed {
			t.Errorf("%q: err = %v, want allowed = %t", text, err, allowed)
		}
		if field, ok := errors.AsType[*tokenvault.FieldError](err); err != nil && (!ok || field.Field != "server" || strings.Contains(err.Error(), "password")) {
			t.Errorf("%q: err = %v, want a FieldError of server", text, err)
		}
	}
	for _, key := range []tokenvault.Secret{{}, tokenvault.NewSecret(""), tokenvault.NewSecret(canary + "\n"), tokenvault.NewSecret("Bearer " + canary)} {
		_, err := client.New("https://vault.example", key, nil)
		if field, ok := errors.AsType[*tokenvault.FieldError](err); !ok || field.Field != "key" || strings.Contains(err.Error(), canary) {
			t.Errorf("err = %v, want a FieldError of key", err)
		}
	}
}
