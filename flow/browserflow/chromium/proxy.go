package chromium

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

const (
	proxyHeaderTimeout = 30 * time.Second
	proxyIdleTimeout   = 90 * time.Second
)

// A proxy is one browser's only way out. It resolves names itself, and dials the
// very address that it checked; whatever is not public is refused, but for the
// exact host:port pairs that the configuration lists. Refusals look alike from
// inside a page, and like a host that does not answer, so that a page cannot map
// the network around the vault.
type proxy struct {
	listener net.Listener
	server   *http.Server
	dial     func(ctx context.Context, network, hostPort string) (net.Conn, error)
	forward  *httputil.ReverseProxy
	idle     *http.Transport
	ctx      context.Context //nolint:containedctx // ends the tunnels, which outlive their requests
	cancel   context.CancelFunc
}

// startProxy listens on a free port of 127.0.0.1.
func startProxy(opts netguard.Options) (*proxy, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // binding a loopback port does not block
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, dial: netguard.NewDialer(opts)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.idle = &http.Transport{DialContext: p.dial, DisableCompression: true, IdleConnTimeout: proxyIdleTimeout}
	p.forward = &httputil.ReverseProxy{
		Rewrite:        func(*httputil.ProxyRequest) {},
		Transport:      p.idle,
		FlushInterval:  -1,
		ModifyResponse: refuseProxyChallenge,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // a transport's error may hold a URL
	}
	p.server = &http.Server{
		Handler:           p,
		ReadHeaderTimeout: proxyHeaderTimeout,
		IdleTimeout:       proxyIdleTimeout,
		BaseContext:       func(net.Listener) context.Context { return p.ctx },
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	go func() { _ = p.server.Serve(listener) }() // ends by Close
	return p, nil
}

// address is where the proxy listens, as 127.0.0.1:port.
func (p *proxy) address() string { return p.listener.Addr().String() }

// close ends the proxy with everything that goes through it.
func (p *proxy) close() {
	p.cancel()
	_ = p.server.Close()
	p.idle.CloseIdleConnections()
}

// ServeHTTP carries a tunnel (CONNECT: https, ws and wss), or a request by http
// (RFC 9112 §3.2.2).
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.tunnel(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		p.forward.ServeHTTP(w, r)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

// refuseProxyChallenge refuses an answer that would make the browser ask for the
// proxy's own password: there is none.
func refuseProxyChallenge(res *http.Response) error {
	if res.StatusCode == http.StatusProxyAuthRequired {
		return errors.New("the host answered as a proxy")
	}
	return nil
}

func (p *proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	up, err := p.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = up.Close() }()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(p.ctx, func() { _ = up.Close(); _ = conn.Close() })
	defer stop()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(up, buffered)
		closeWrite(up)
	}()
	_, _ = io.Copy(conn, up)
	closeWrite(conn)
	<-sent
}

// closeWrite says that no more comes, and lets the other direction go on.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
