package chaos

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A front is a proxy before the replicas: it sends each request to the next of those
// that are up.
type front struct {
	*httptest.Server

	mu   sync.RWMutex
	up   []string // addresses
	next atomic.Int64

	failed atomic.Pointer[error] // the last request that no replica answered, while its caller waited
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
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				f.failed.Store(&err)
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	})
	t.Cleanup(f.Close)
	return f
}

// dial connects to the next replica that accepts.
func (f *front) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	first, err := int(f.next.Add(1)), errors.New("no replica is up")
	for i := range f.up {
		var conn net.Conn
		if conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", f.up[(first+i)%len(f.up)]); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// why returns why the last request failed that no replica answered.
func (f *front) why() error {
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *front) add(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = append(f.up, address(p))
}

// remove returns when nobody connects to p any more.
func (f *front) remove(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = slices.DeleteFunc(f.up, func(other string) bool { return other == address(p) })
}

func address(p *process) string { return strings.TrimPrefix(p.url, "http://") }
