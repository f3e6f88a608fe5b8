package server

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestTheClientBehindAProxy(t *testing.T) {
	proxies, err := Config{TrustedProxies: []string{"10.0.0.0/8", "192.0.2.1", "2001:db8::/32"}}.trustedProxies()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "203.0.113.9:5", []string{"198.51.100.1"}, "203.0.113.9:5"},
		{"a proxy that tells", "10.1.2.3:5", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"one address", "192.0.2.1:5", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"a neighbour of it", "192.0.2.2:5", []string{"198.51.100.1"}, "192.0.2.2:5"},
		{"a proxy that tells nothing", "10.1.2.3:5", nil, "10.1.2.3:5"},
		{"what the client wrote itself", "10.1.2.3:5", []string{"127.0.0.1, 198.51.100.1"}, "198.51.100.1:0"},
		{"in a header of its own", "10.1.2.3:5", []string{"127.0.0.1", "198.51.100.1"}, "198.51.100.1:0"},
		{"behind two proxies", "10.1.2.3:5", []string{"198.51.100.1, 10.9.9.9"}, "198.51.100.1:0"},
		{"from within", "10.1.2.3:5", []string{"10.8.8.8, 10.9.9.9"}, "10.8.8.8:0"},
		{"garbage", "10.1.2.3:5", []string{"198.51.100.1, unknown"}, "10.1.2.3:5"},
		{"garbage before it", "10.1.2.3:5", []string{"unknown, 198.51.100.1"}, "198.51.100.1:0"},
		{"IPv6", "[2001:db8::1]:5", []string{"2001:4860::8"}, "[2001:4860::8]:0"},
		{"mapped IPv4", "[::ffff:10.1.2.3]:5", []string{"::ffff:198.51.100.1"}, "198.51.100.1:0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got string
			handler := fromProxies(proxies, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.RemoteAddr = tc.peer
			r.Header["X-Forwarded-For"] = tc.forwarded
			handler.ServeHTTP(httptest.NewRecorder(), r)
			if got != tc.want {
				t.Errorf("the client is %s, want %s", got, tc.want)
			}
			if r.RemoteAddr != tc.peer {
				t.Error("the request was changed")
			}
		})
	}
}

func TestWithoutProxiesNobodyIsBelieved(t *testing.T) {
	called := false
	handler := fromProxies(nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called = r.RemoteAddr == "192.0.2.1:1234" }))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	if handler.ServeHTTP(httptest.NewRecorder(), r); !called {
		t.Error("X-Forwarded-For was believed")
	}
}
