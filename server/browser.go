package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/chromium"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/remotecdp"
)

// Browsers is how owners sign in by browser. Its fields are part of [Config].
type Browsers struct {
	Browser            string        `help:"How owners sign in to services without OAuth: chromium (in a Chromium that this server starts, and that they see live), remote (in a browser elsewhere that speaks the Chrome DevTools Protocol) or off." enum:"off,chromium,remote" default:"off" env:"TOKENVAULT_BROWSER" group:"Browser"`
	BrowserPath        string        `help:"The Chromium program itself, not a script that starts it. Default: the first of the usual places." type:"path" env:"TOKENVAULT_BROWSER_PATH" group:"Browser"`
	BrowserUser        string        `help:"The unprivileged user that browsers run as. Needed if the server is started as root; else leave it out." env:"TOKENVAULT_BROWSER_USER" group:"Browser"`
	BrowserHeaded      bool          `help:"Show each browser as a window on this machine's display in place of the live view: for development." env:"TOKENVAULT_BROWSER_HEADED" group:"Browser"`
	BrowserNoSandbox   bool          `help:"Switch Chromium's own sandbox off: a page that breaks out is then the browser's user at once. For machines only that are given up after one login." env:"TOKENVAULT_BROWSER_NO_SANDBOX" group:"Browser"`
	BrowserAllowHosts  []string      `help:"Exact host:port pairs that pages in browsers may reach although they are private." env:"TOKENVAULT_BROWSER_ALLOW_HOSTS" group:"Browser"`
	BrowserSessions    int           `help:"Most browsers at a time. 0: as many as the machine has room for." default:"0" env:"TOKENVAULT_BROWSER_SESSIONS" group:"Browser"`
	BrowserQueue       int           `help:"How many logins may wait for a browser; they are told their place. 0: a default." default:"0" env:"TOKENVAULT_BROWSER_QUEUE" group:"Browser"`
	BrowserMemory      int64         `help:"MiB that one browser may hold, profile included, before it is ended." default:"1024" env:"TOKENVAULT_BROWSER_MEMORY" group:"Browser"`
	BrowserIdle        time.Duration `help:"After how long a login ends in which nobody does anything." default:"10m" env:"TOKENVAULT_BROWSER_IDLE" group:"Browser"`
	BrowserLoginTTL    time.Duration `help:"How long one login may take." name:"browser-login-ttl" default:"30m" env:"TOKENVAULT_BROWSER_LOGIN_TTL" group:"Browser"`
	BrowserSessionIdle time.Duration `help:"After how long the browser of a connection is closed that no agent drives." default:"10m" env:"TOKENVAULT_BROWSER_SESSION_IDLE" group:"Browser"`
	BrowserProfileDir  string        `help:"Directory of profiles while their browsers run: a tmpfs. Default: /dev/shm if it has room, else the directory for temporary files." type:"path" env:"TOKENVAULT_BROWSER_PROFILE_DIR" group:"Browser"`
	BrowserURLFile     string        `help:"Browser remote: file of the URL at which browsers are connected to: the DevTools WebSocket (wss://…), or what serves /json/version (https://…)." name:"browser-url-file" type:"path" env:"TOKENVAULT_BROWSER_URL_FILE" group:"Browser"`
	BrowserLiveView    string        `help:"Browser remote: where the service itself shows a session to its user; {sessionId} and {browserId}, the last part of the WebSocket's path, are replaced. Default: the vault shows it." name:"browser-live-view" env:"TOKENVAULT_BROWSER_LIVE_VIEW" group:"Browser"`
	BrowserExclusive   bool          `help:"Browser remote: each connection is to a browser that nobody else has, which agents may drive after a login." name:"browser-exclusive" env:"TOKENVAULT_BROWSER_EXCLUSIVE" group:"Browser"`
	NodeURL            string        `help:"Where the other servers on the same database reach this one, such as http://10.0.0.7:8420: they send on what concerns a browser that runs here. Needed with a PostgreSQL database and browsers." name:"node-url" env:"TOKENVAULT_NODE_URL" group:"Browser"`
}

// Enabled reports whether owners can sign in by browser.
func (b Browsers) Enabled() bool { return b.Browser == "chromium" || b.Browser == "remote" }

func (c Config) validateBrowser() error {
	b := c.Browsers
	for _, set := range []struct {
		key, of string
		set     bool
	}{
		{"browser-path", "chromium", b.BrowserPath != ""},
		{"browser-user", "chromium", b.BrowserUser != ""},
		{"browser-headed", "chromium", b.BrowserHeaded},
		{"browser-no-sandbox", "chromium", b.BrowserNoSandbox},
		{"browser-allow-hosts", "chromium", len(b.BrowserAllowHosts) > 0},
		{"browser-profile-dir", "chromium", b.BrowserProfileDir != ""},
		{"browser-url-file", "remote", b.BrowserURLFile != ""},
		{"browser-live-view", "remote", b.BrowserLiveView != ""},
		{"browser-exclusive", "remote", b.BrowserExclusive},
	} {
		if set.set && b.Browser != set.of {
			return fmt.Errorf("%s: is without effect while browser is %s: set browser to %s, or leave it out", set.key, cmp.Or(b.Browser, "off"), set.of)
		}
	}
	if b.Browser == "remote" && b.BrowserURLFile == "" {
		return errors.New("browser-url-file: must name the file of the URL of the remote browser")
	}
	for _, pair := range b.BrowserAllowHosts {
		if !isHostPort(pair) {
			return errors.New("browser-allow-hosts: each must be host:port, such as sso.internal:8443")
		}
	}
	if u, err := url.Parse(b.NodeURL); b.NodeURL != "" && (err != nil || !isOrigin(b.NodeURL) || u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("node-url: must be an origin such as http://10.0.0.7:8420")
	}
	if b.Enabled() && c.UsesPostgres() && b.NodeURL == "" {
		return errors.New("node-url: must be set with browsers and a PostgreSQL database, to where other servers on it reach this one, such as http://10.0.0.7:8420")
	}
	if b.BrowserSessions < 0 || b.BrowserQueue < 0 || b.BrowserMemory < 0 {
		return errors.New("browser-sessions, browser-queue, browser-memory: must not be negative")
	}
	if b.Enabled() && (b.BrowserIdle <= 0 || b.BrowserLoginTTL <= 0 || b.BrowserSessionIdle <= 0) {
		return errors.New("browser-idle, browser-login-ttl, browser-session-idle: must be more than nothing, such as 10m")
	}
	return nil
}

// Chromium returns how browsers are started.
func (b Browsers) Chromium(log *slog.Logger) chromium.Options {
	return chromium.Options{
		Path: b.BrowserPath, User: b.BrowserUser, NoSandbox: b.BrowserNoSandbox, Headed: b.BrowserHeaded, AllowHosts: b.BrowserAllowHosts,
		MaxSessions: b.BrowserSessions, Queue: b.BrowserQueue, MaxMemory: b.BrowserMemory << 20,
		IdleLimit: b.BrowserIdle, TimeLimit: b.BrowserLoginTTL, ProfileDir: b.BrowserProfileDir, Logger: log,
	}
}

// Remote returns how remote browsers are reached.
func (b Browsers) Remote(log *slog.Logger) (remotecdp.Options, error) {
	text, err := readNamed("browser-url-file", b.BrowserURLFile)
	return remotecdp.Options{
		URL: tokenvault.NewSecret(strings.TrimSpace(string(text))), LiveViewURL: tokenvault.NewSecret(b.BrowserLiveView), Exclusive: b.BrowserExclusive,
		MaxSessions: b.BrowserSessions, Queue: b.BrowserQueue, IdleLimit: b.BrowserIdle, TimeLimit: b.BrowserLoginTTL, Logger: log,
	}, err
}

// openBrowser returns the browsers of the configuration, or nil.
func openBrowser(ctx context.Context, cfg Config, log *slog.Logger) (tokenvault.Browser, error) {
	var b tokenvault.Browser
	var err error
	switch cfg.Browser {
	case "chromium":
		b, err = chromium.New(ctx, cfg.Chromium(log))
	case "remote":
		var opts remotecdp.Options
		if opts, err = cfg.Remote(log); err == nil {
			b, err = remotecdp.New(opts)
		}
	default:
		return nil, nil //nolint:nilnil // there are none
	}
	if err != nil {
		return nil, fmt.Errorf("browser: %w: see 'tokenvault check', or set browser to off", err)
	}
	return b, nil
}

// withBrowser adds the flow that signs in by browser.
func withBrowser(flows map[tokenvault.AuthMethod]tokenvault.Flow, b tokenvault.Browser) map[tokenvault.AuthMethod]tokenvault.Flow {
	if b != nil {
		flows[tokenvault.AuthBrowserLogin] = browserflow.New(b)
	}
	return flows
}
