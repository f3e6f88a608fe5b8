package server

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// A client behind a trusted proxy is an address that stands in the header, and a
// client elsewhere is who connects, whatever the header says.
func FuzzClientOf(f *testing.F) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, seed := range []string{"", "198.51.100.1", "127.0.0.1, 198.51.100.1, 10.0.0.1", ",,", "[::1]:80", "::ffff:10.0.0.1", "fe80::1%eth0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, forwarded string) {
		r := &http.Request{RemoteAddr: "203.0.113.9:5", Header: http.Header{"X-Forwarded-For": {forwarded}}}
		if client, ok := clientOf(proxies, r); ok {
			t.Errorf("a stranger's header was believed: %s", client)
		}
		r.RemoteAddr = "10.1.1.1:5"
		client, ok := clientOf(proxies, r)
		if ok != client.IsValid() || ok && client.Zone() != "" {
			t.Errorf("client %v, %t", client, ok)
		}
		named := func(hop string) bool {
			addr, err := netip.ParseAddr(strings.TrimSpace(hop))
			return err == nil && addr.Unmap().WithZone("") == client
		}
		if ok && !slices.ContainsFunc(strings.Split(forwarded, ","), named) {
			t.Errorf("%s stands nowhere in the header", client)
		}
	})
}
