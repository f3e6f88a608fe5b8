package netguard

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "140.82.112.3": true, "2606:4700:4700::1111": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.0.0.0": false, "192.0.0.8": false, "192.0.2.1": false, "198.18.0.1": false,
		"198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fc00::1": false, "fd12::1": false, "ff02::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "2002:7f00:1::": false, "2001::1": false,
		"64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "2001:db8::1": false, "100::1": false, "4000::1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("public(%s) = %t, want %t", text, got, want)
		}
	}
}

func get(t *testing.T, c *http.Client, url string) (int, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

func wantBlocked(t *testing.T, c *http.Client, url string) {
	t.Helper()
	_, err := get(t, c, url)
	if blocked := (*BlockedError)(nil); !errors.As(err, &blocked) {
		t.Errorf("%s: err = %v, want a BlockedError", url, err)
	}
}

func TestPrivateDestinationsAreBlocked(t *testing.T) {
	c := NewClient(Options{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("127.0.0.1")}, nil
	}})
	for _, url := range []string{
		"https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/",
		"https://rebinding.example/", "http://example.com/", "http://8.8.8.8/",
	} {
		wantBlocked(t, c, url)
	}
}

func TestAnExceptionIsExact(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	defer server.Close()
	hostPort := strings.TrimPrefix(server.URL, "http://")
	c := NewClient(Options{Allow: []string{hostPort}})
	status, err := get(t, c, server.URL)
	if err != nil || status != http.StatusFound {
		t.Errorf("status %d, %v; want the redirect itself", status, err)
	}
	_, port, _ := strings.Cut(hostPort, ":")
	wantBlocked(t, c, "http://localhost:"+port)
	wantBlocked(t, c, "https://127.0.0.1:1")
	wantBlocked(t, NewClient(Options{}), server.URL)
}

func TestDialer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	dial := NewDialer(Options{Allow: []string{"app.localhost:" + port}, Resolve: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("127.0.0.1")}, nil
	}})
	conn, err := dial(t.Context(), "tcp", "app.localhost:"+port)
	if err != nil {
		t.Fatalf("an allowed name: %v", err)
	}
	_ = conn.Close()
	for _, hostPort := range []string{"127.0.0.1:" + port, "localhost:" + port, "idp.localhost:" + port, "mixed.example:443"} {
		_, err := dial(t.Context(), "tcp", hostPort)
		if blocked := (*BlockedError)(nil); !errors.As(err, &blocked) {
			t.Errorf("%s: err = %v, want a BlockedError", hostPort, err)
		}
	}
}

func TestReadBody(t *testing.T) {
	if b, err := ReadBody(strings.NewReader("four"), 4); err != nil || string(b) != "four" {
		t.Errorf("ReadBody = %q, %v", b, err)
	}
	if _, err := ReadBody(strings.NewReader("fives"), 4); !errors.Is(err, ErrTooLarge) {
		t.Errorf("err = %v, want ErrTooLarge", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, "-5": 0, "99999999": 24 * time.Hour, "soon": 0,
		"Thu, 01 Jan 2026 00:01:00 GMT": time.Minute, "Wed, 31 Dec 2025 00:00:00 GMT": 0,
	} {
		if got := RetryAfter(text, now); got != want {
			t.Errorf("RetryAfter(%q) = %s, want %s", text, got, want)
		}
	}
}
