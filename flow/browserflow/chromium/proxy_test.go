package chromium

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

func newProxy(t *testing.T, opts netguard.Options) *proxy {
	t.Helper()
	p, err := startProxy(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// through returns a client that sends everything by the proxy.
func through(t *testing.T, p *proxy) *http.Client {
	t.Helper()
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: p.address()})}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func fetch(t *testing.T, c *http.Client, target string) (status int, body string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

func TestProxyCarriesHTTP(t *testing.T) {
	seen := make(chan http.Header, 1)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
		_, _ = fmt.Fprint(w, r.Host, r.RequestURI)
	}))
	defer site.Close()
	host := strings.TrimPrefix(site.URL, "http://")
	status, body, err := fetch(t, through(t, newProxy(t, netguard.Options{Allow: []string{host}})), site.URL+"/a?b=c")
	if err != nil || status != http.StatusFound || body != host+"/a?b=c" {
		t.Fatalf("got %d %q, %v; want the site's own answer", status, body, err)
	}
	for name := range <-seen {
		if strings.HasPrefix(name, "X-Forwarded") || strings.HasPrefix(name, "Proxy-") || name == "Via" {
			t.Errorf("the site was told %s", name)
		}
	}
}

func TestProxyCarriesTunnels(t *testing.T) {
	site := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "by TLS") }))
	defer site.Close()
	c := through(t, newProxy(t, netguard.Options{Allow: []string{strings.TrimPrefix(site.URL, "https://")}}))
	c.Transport.(*http.Transport).TLSClientConfig = site.Client().Transport.(*http.Transport).TLSClientConfig //nolint:errcheck // a test's own types
	if status, body, err := fetch(t, c, site.URL); err != nil || status != http.StatusOK || body != "by TLS" {
		t.Errorf("got %d %q, %v", status, body, err)
	}
}

// A half-closed tunnel still answers, and closing the proxy ends open ones.
func TestProxyTunnelEnds(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = echo.Close() }()
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	p := newProxy(t, netguard.Options{Allow: []string{echo.Addr().String()}})
	first := tunnel(t, p, echo.Addr().String())
	_, _ = fmt.Fprint(first, "hello")
	_ = first.(*net.TCPConn).CloseWrite() //nolint:errcheck // a test's own type
	if b, err := io.ReadAll(first); err != nil || string(b) != "hello" {
		t.Errorf("echo = %q, %v", b, err)
	}
	second := tunnel(t, p, echo.Addr().String())
	p.close()
	if _, err := io.ReadAll(second); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("an open tunnel after the proxy's end: %v", err)
	}
}

func tunnel(t *testing.T, p *proxy, hostPort string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, _ = fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", hostPort)
	line := make([]byte, len("HTTP/1.1 200 OK\r\n\r\n"))
	if _, err := io.ReadFull(conn, line); err != nil || !strings.HasPrefix(string(line), "HTTP/1.1 200") {
		t.Fatalf("CONNECT: %q, %v", line, err)
	}
	return conn
}

// targets are ten ways to name a private service that listens on port.
func targets(port string) []string {
	return []string{
		"127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port, "[::ffff:127.0.0.1]:" + port, "0.0.0.0:" + port,
		"2130706433:" + port, "169.254.169.254", "10.0.0.1", "rebind.example:" + port, "mixed.example",
	}
}

// nobody is an address that counts as public, of a range that was given back: no
// host has it.
var nobody = netip.MustParseAddr("3ffe::1")

// resolver answers as an attacker's name server would: rebind.example is public
// when it is asked first and private from then on, mixed.example both at once.
func resolver() func(context.Context, string) ([]netip.Addr, error) {
	loopback := netip.MustParseAddr("127.0.0.1")
	var asked atomic.Int32
	return func(_ context.Context, host string) ([]netip.Addr, error) {
		switch {
		case host == "mixed.example":
			return []netip.Addr{nobody, netip.MustParseAddr("10.0.0.1")}, nil
		case host == "rebind.example" && asked.Add(1) == 1:
			return []netip.Addr{nobody}, nil
		case host == "rebind.example", host == "localhost", strings.HasSuffix(host, ".localhost"), host == "2130706433":
			return []netip.Addr{loopback}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
}

func TestProxyRefusesPrivateAddresses(t *testing.T) {
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a private service was reached") }))
	defer private.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(private.URL, "http://"))
	p := newProxy(t, netguard.Options{Resolve: resolver()})
	c := through(t, p)
	for _, target := range targets(port) {
		if status, _, err := fetch(t, c, "http://"+target+"/"); err == nil {
			t.Errorf("http %s: status %d, want no answer at all", target, status)
		}
		if answer := connect(t, p, target); !strings.HasPrefix(answer, "HTTP/1.1 502 ") {
			t.Errorf("CONNECT %s: %q, want 502", target, answer)
		}
	}
	if answer := connect(t, p, p.address()); !strings.HasPrefix(answer, "HTTP/1.1 502 ") {
		t.Errorf("CONNECT to the proxy itself: %q", answer)
	}
}

// A refused host, an unknown one and a broken one cannot be told apart.
func TestProxyRefusalsLookAlike(t *testing.T) {
	p := newProxy(t, netguard.Options{Resolve: resolver(), Allow: []string{"127.0.0.1:1"}})
	want := connect(t, p, "10.0.0.1:80")
	for _, target := range []string{"unknown.example:443", "127.0.0.1:1", "nonsense"} {
		if got := connect(t, p, target); got != want {
			t.Errorf("CONNECT %s: %q, want %q", target, got, want)
		}
	}
}

// connect returns the status line and headers, without the date, of an answer to
// CONNECT.
func connect(t *testing.T, p *proxy, hostPort string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", hostPort)
	var lines []string
	for in := bufio.NewScanner(conn); in.Scan() && in.Text() != ""; {
		if !strings.HasPrefix(in.Text(), "Date:") {
			lines = append(lines, in.Text())
		}
	}
	return strings.Join(lines, "\n")
}

// A site that answers as a proxy would get the browser to ask for a password.
func TestProxyRefusesAChallenge(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="Enter your password"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer site.Close()
	c := through(t, newProxy(t, netguard.Options{Allow: []string{strings.TrimPrefix(site.URL, "http://")}}))
	if status, _, err := fetch(t, c, site.URL); err == nil {
		t.Errorf("status %d, want no answer", status)
	}
}

func TestProxyRefusesOtherRequests(t *testing.T) {
	p := newProxy(t, netguard.Options{})
	for _, line := range []string{"GET / HTTP/1.1", "GET ftp://example.com/ HTTP/1.1", "GET https://example.com/ HTTP/1.1"} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.address())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "%s\r\nHost: x\r\n\r\n", line)
		answer, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 400") {
			t.Errorf("%s: %q, %v", line, answer, err)
		}
		_ = conn.Close()
	}
}
