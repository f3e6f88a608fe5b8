// Package netguard makes HTTP clients for requests whose destination somebody
// else had a word in: token endpoints, userinfo, revocation. They reach public
// addresses by https only, follow no redirect, use no proxy from the
// environment, and end after a while. Its dialer alone serves whoever carries
// other people's connections.
//
// The address is checked after resolution, on the very address that is dialled,
// so that a name that resolves differently the next time gains nothing.
package netguard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	defaultTimeout = 10 * time.Second
	dialTimeout    = 5 * time.Second
	defaultMaxBody = 1 << 20
)

// Options configures a client.
type Options struct {
	// Allow lists exact host:port pairs, as they stand in the URL, that may be
	// reached whatever their address, also by http.
	Allow []string
	// Timeout bounds a whole request. Default 10 s.
	Timeout time.Duration
	// MaxBody bounds the body of an answer; reading more fails with an
	// [http.MaxBytesError]. Default 1 MiB.
	MaxBody int64
	// Resolve finds the addresses of a name. Default: the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// A BlockedError says that a destination is not to be reached.
type BlockedError struct {
	HostPort string // as in the URL
	Reason   string // "private address", "not https"
}

// Error says what to do if the destination is meant.
func (e *BlockedError) Error() string {
	return fmt.Sprintf("%s is not reached: %s (if it is meant, allow exactly this host:port: allow-hosts in the configuration)", e.HostPort, e.Reason)
}

// ErrTooLarge reports a body over its limit.
var ErrTooLarge = errors.New("answer is too large")

// NewClient returns a guarded client.
func NewClient(opts Options) *http.Client {
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	return &http.Client{
		Transport:     NewTransport(opts),
		Timeout:       opts.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// NewDialer returns what a guarded client dials with: by any scheme, to public
// addresses and what Allow lists. Timeout and MaxBody are not looked at; each
// address of a name is given 5 s.
func NewDialer(opts Options) func(ctx context.Context, network, hostPort string) (net.Conn, error) {
	return newGuard(opts).dial
}

func newGuard(opts Options) *guard {
	g := &guard{allow: opts.Allow, maxBody: opts.MaxBody, resolve: opts.Resolve, dialer: net.Dialer{Timeout: dialTimeout}}
	if g.maxBody <= 0 {
		g.maxBody = defaultMaxBody
	}
	if g.resolve == nil {
		g.resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return g
}

// NewTransport returns what a guarded client sends with.
func NewTransport(opts Options) http.RoundTripper {
	g := newGuard(opts)
	g.next = &http.Transport{
		DialContext:         g.dial,
		ForceAttemptHTTP2:   true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
	}
	return g
}

type guard struct {
	allow   []string
	maxBody int64
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	dialer  net.Dialer
	next    *http.Transport
}

// RoundTrip refuses plain http to anything that is not allowed by name, and bounds
// the answer.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	hostPort := hostPortOf(r)
	if r.URL.Scheme != "https" && !g.allowed(hostPort) {
		return nil, &BlockedError{HostPort: hostPort, Reason: "not https"}
	}
	res, err := g.next.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, g.maxBody)
	}
	return res, err
}

func hostPortOf(r *http.Request) string {
	if port := r.URL.Port(); port != "" {
		return strings.ToLower(r.URL.Host)
	}
	port := "443"
	if r.URL.Scheme == "http" {
		port = "80"
	}
	return net.JoinHostPort(strings.ToLower(r.URL.Hostname()), port)
}

func (g *guard) allowed(hostPort string) bool { return slices.Contains(g.allow, hostPort) }

// dial resolves, checks, and dials an address that was checked.
func (g *guard) dial(ctx context.Context, network, hostPort string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	if g.allowed(strings.ToLower(hostPort)) {
		if strings.HasSuffix(strings.ToLower(host), ".localhost") { // not every resolver knows RFC 6761 §6.3
			hostPort = net.JoinHostPort("localhost", port)
		}
		return g.dialer.DialContext(ctx, network, hostPort)
	}
	addresses, err := g.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if !public(a) {
			return nil, &BlockedError{HostPort: hostPort, Reason: "it has a private or special address"}
		}
	}
	var failed error
	for _, a := range addresses {
		conn, err := g.dialer.DialContext(ctx, network, net.JoinHostPort(a.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		failed = err
	}
	return nil, failed
}

func (g *guard) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addresses, err := g.resolve(ctx, host)
	if err == nil && len(addresses) == 0 {
		err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	return addresses, err
}

// ReadBody reads at most limit bytes. More is [ErrTooLarge].
func ReadBody(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(body)) > limit {
		return nil, ErrTooLarge
	}
	return body, err
}
