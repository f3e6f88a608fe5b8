package chaos

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A front is a proxy before the replicas: it sends each request to the next of those
// that are up.
type front struct {
	*httptest.Server

	mu   sync.Mutex
	up   []string // addresses
	next int
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{}
	anyone := &url.URL{Scheme: "http", Host: "replicas"}
	f.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(anyone)
			r.Out.Host = r.In.Host // browsers and servers compare it
		},
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: f.dial},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // that servers end is what the tests are about
	})
	t.Cleanup(f.Close)
	return f
}

// dial connects to the next replica that accepts.
func (f *front) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	err := errors.New("no replica is up")
	for _, address := range f.turn() {
		var conn net.Conn
		if conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", address); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// turn returns the addresses, another one first each time.
func (f *front) turn() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.up) == 0 {
		return nil
	}
	f.next = (f.next + 1) % len(f.up)
	return slices.Concat(f.up[f.next:], f.up[:f.next])
}

func (f *front) add(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = append(f.up, address(p))
}

func (f *front) remove(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = slices.DeleteFunc(f.up, func(other string) bool { return other == address(p) })
}

func address(p *process) string { return strings.TrimPrefix(p.url, "http://") }
