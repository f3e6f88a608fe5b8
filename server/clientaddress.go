package server

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// trustedProxies returns the addresses of the proxies that are believed.
func (c Config) trustedProxies() ([]netip.Prefix, error) {
	var proxies []netip.Prefix
	for _, text := range c.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if addr, plain := netip.ParseAddr(text); plain == nil {
			prefix, err = addr.Unmap().Prefix(addr.Unmap().BitLen())
		}
		if err != nil {
			return nil, errors.New("trusted-proxies: each must be an address or a range, such as 10.0.0.7 or 10.0.0.0/8")
		}
		proxies = append(proxies, prefix.Masked())
	}
	return proxies, nil
}

// fromProxies gives requests that a trusted proxy passes on the address of the
// client that it names. Of the list in X-Forwarded-For, the client is the last
// address that is no trusted proxy: what stands before it, the client may have
// written itself.
func fromProxies(proxies []netip.Prefix, next http.Handler) http.Handler {
	if len(proxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client, ok := clientOf(proxies, r); ok {
			r = r.WithContext(r.Context()) // a copy
			r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
		}
		next.ServeHTTP(w, r)
	})
}

func clientOf(proxies []netip.Prefix, r *http.Request) (client netip.Addr, ok bool) {
	trusted := func(addr netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !trusted(peer.Addr().Unmap()) {
		return client, false
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return client, ok
		}
		client, ok = addr.Unmap().WithZone(""), true
		if !trusted(client) {
			return client, ok
		}
	}
	return client, ok
}
