// Package remotecdp has owners sign in by browsers of another machine, which speak the
// Chrome DevTools Protocol: a service's, or a desktop's.
//
// What such a browser reaches, keeps and shows to others is up to who runs it: there
// is no proxy of ours, and no profile to wipe.
package remotecdp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/pool"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

// Options configures remote browsers. URL or Session is needed.
type Options struct {
	// URL is where a browser is connected to: the DevTools WebSocket (ws, wss), or what
	// serves /json/version (http, https). It often holds a key.
	URL tokenvault.Secret
	// Header is sent with every request there, such as Authorization.
	Header map[string]tokenvault.Secret
	// LiveViewURL is where the service itself shows a session to its user. {sessionId}
	// is replaced by the session's id, and {browserId} by the last part of the
	// WebSocket's path. Empty: the vault shows it.
	LiveViewURL tokenvault.Secret
	// Session gets a browser from a service for one session, in place of URL, Header and
	// LiveViewURL.
	Session func(ctx context.Context, req tokenvault.BrowserRequest) (Remote, error)
	// ViewedElsewhere says that Session's browsers have live views of their own.
	ViewedElsewhere bool
	// Exclusive says that each connection is to a browser that nobody else has. Else a
	// session gets a browser context of its own.
	Exclusive bool
	// MaxSessions, Queue, IdleLimit and TimeLimit are as in pool.Options.
	MaxSessions          int
	Queue                int
	IdleLimit, TimeLimit time.Duration
	Logger               *slog.Logger // default: none
}

// A Remote is one browser that a service has ready.
type Remote struct {
	URL         tokenvault.Secret // as in Options
	Header      map[string]tokenvault.Secret
	LiveViewURL tokenvault.Secret
	// Release gives the browser back. Nil: nothing has to be done.
	Release func(ctx context.Context) error
}

// New returns a [tokenvault.Browser] of remote browsers. It connects to none yet.
// Close the result.
func New(opts Options) (*pool.Pool, error) {
	if opts.Session == nil {
		if _, err := parse(opts.URL); err != nil {
			return nil, err
		}
	}
	return pool.New(pool.Options{
		Start: opts.start, Remote: true, OwnContext: !opts.Exclusive, Elsewhere: opts.elsewhere(), Logger: opts.Logger,
		MaxSessions: opts.MaxSessions, Queue: opts.Queue, IdleLimit: opts.IdleLimit, TimeLimit: opts.TimeLimit,
	}), nil
}

func (o Options) elsewhere() bool {
	if o.Session != nil {
		return o.ViewedElsewhere
	}
	return !o.LiveViewURL.IsZero()
}

// Try connects to the browser of the options, and returns what it says it is.
func Try(ctx context.Context, opts Options) (product string, err error) {
	b, err := opts.start(ctx, tokenvault.BrowserRequest{ID: "try"})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, b.End(context.WithoutCancel(ctx))) }()
	var version struct{ Product string }
	err = b.Conn().Call(ctx, "", "Browser.getVersion", nil, &version)
	return version.Product, err
}

// parse returns a URL that can be connected to. Errors do not hold it.
func parse(secret tokenvault.Secret) (*url.URL, error) {
	u, err := url.Parse(secret.Reveal())
	if err != nil || u.Host == "" {
		return nil, errors.New("the URL of the remote browser must be one of ws, wss, http or https")
	}
	switch u.Scheme {
	case "ws", "wss", "http", "https":
		return u, nil
	}
	return nil, errors.New("the URL of the remote browser must be one of ws, wss, http or https")
}

// start connects to a browser.
func (o Options) start(ctx context.Context, req tokenvault.BrowserRequest) (pool.Browser, error) {
	remote := Remote{URL: o.URL, Header: o.Header, LiveViewURL: o.LiveViewURL}
	if o.Session != nil {
		var err error
		if remote, err = o.Session(ctx, req); err != nil {
			return nil, err
		}
	}
	b := &browser{release: remote.Release}
	socket, err := remote.connect(ctx, b)
	if err != nil {
		return nil, errors.Join(err, b.End(context.WithoutCancel(ctx)))
	}
	fill := strings.NewReplacer("{sessionId}", url.PathEscape(req.ID), "{browserId}", url.PathEscape(path.Base(socket.Path)))
	b.view = tokenvault.NewSecret(fill.Replace(remote.LiveViewURL.Reveal()))
	return b, nil
}

func (r Remote) connect(ctx context.Context, b *browser) (*url.URL, error) {
	u, err := parse(r.URL)
	if err != nil {
		return nil, err
	}
	header := make(http.Header)
	for name, value := range r.Header {
		header.Set(name, value.Reveal())
	}
	if strings.HasPrefix(u.Scheme, "http") {
		if u, err = discover(ctx, u, header); err != nil {
			return nil, err
		}
	}
	transport, err := cdp.Dial(ctx, u.String(), &cdp.DialOptions{Client: client(), Header: header})
	if err != nil {
		return nil, err
	}
	b.conn = cdp.New(transport)
	return u, nil
}

const maxVersion = 64 << 10 // bytes of an answer

// discover asks for the WebSocket of a browser. Only its path and query are taken:
// behind a proxy the browser does not know its host, and the header may hold a key
// that is for no other.
func discover(ctx context.Context, u *url.URL, header http.Header) (*url.URL, error) {
	at := *u
	if !strings.HasSuffix(at.Path, "/json/version") {
		at.Path = strings.TrimSuffix(at.Path, "/") + "/json/version"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, errors.New("the remote browser could not be asked for its WebSocket")
	}
	r.Header = header.Clone()
	res, err := client().Do(r)
	if err != nil {
		return nil, fmt.Errorf("the remote browser could not be asked for its WebSocket: %w", netguard.Class(err))
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the remote browser answered %d when it was asked for its WebSocket", res.StatusCode)
	}
	body, err := netguard.ReadBody(res.Body, maxVersion)
	if err != nil {
		return nil, fmt.Errorf("the remote browser could not be asked for its WebSocket: %w", netguard.Class(err))
	}
	var version struct {
		URL string `json:"webSocketDebuggerUrl"`
	}
	socket := (*url.URL)(nil)
	if err = json.Unmarshal(body, &version); err == nil {
		socket, err = url.Parse(version.URL)
	}
	if err != nil || version.URL == "" {
		return nil, errors.New("the remote browser did not name its WebSocket")
	}
	socket.Scheme, socket.Host, socket.User = strings.Replace(u.Scheme, "http", "ws", 1), u.Host, u.User
	if socket.RawQuery == "" {
		socket.RawQuery = u.RawQuery // where a key often is
	}
	return socket, nil
}

// client follows no redirect: a header would go along.
func client() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// A browser is a connection to a remote one.
type browser struct {
	conn    *cdp.Conn
	view    tokenvault.Secret
	release func(ctx context.Context) error
}

// Conn fulfils [pool.Browser].
func (b *browser) Conn() *cdp.Conn { return b.conn }

// LiveViewURL returns where the service shows the browser.
func (b *browser) LiveViewURL() tokenvault.Secret { return b.view }

// KeepFile fulfils [pool.Browser]. It is not called: files reach a remote browser
// through the page.
func (b *browser) KeepFile(string, []byte) (string, error) { return "", errors.ErrUnsupported }

// End fulfils [pool.Browser].
func (b *browser) End(ctx context.Context) error {
	if b.conn != nil {
		_ = b.conn.Close()
	}
	if b.release == nil {
		return nil
	}
	return b.release(ctx)
}
