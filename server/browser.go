package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/chromium"
)

// Browsers is how owners sign in in browsers. Its fields are part of [Config].
type Browsers struct {
	Browser            string        `help:"How owners sign in to services without OAuth: chromium (in a Chromium that this server starts, and that they see live) or off." enum:"off,chromium" default:"off" env:"TOKENVAULT_BROWSER" group:"Browser"`
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
	NodeURL            string        `help:"Where the other servers on the same database reach this one, such as http://10.0.0.7:8420: they send on what concerns a browser that runs here. Needed with a PostgreSQL database and browsers." name:"node-url" env:"TOKENVAULT_NODE_URL" group:"Browser"`
}

// Enabled reports whether owners can sign in in browsers.
func (b Browsers) Enabled() bool { return b.Browser == "chromium" }

func (c Config) validateBrowser() error {
	b := c.Browsers
	for _, set := range []struct {
		key string
		set bool
	}{
		{"browser-path", b.BrowserPath != ""}, {"browser-user", b.BrowserUser != ""}, {"browser-headed", b.BrowserHeaded},
		{"browser-no-sandbox", b.BrowserNoSandbox}, {"browser-allow-hosts", len(b.BrowserAllowHosts) > 0},
		{"browser-profile-dir", b.BrowserProfileDir != ""},
	} {
		if set.set && !b.Enabled() {
			return fmt.Errorf("%s: is without effect while browser is off: set browser to chromium, or leave it out", set.key)
		}
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

// openBrowser returns the browsers of the configuration, or nil.
func openBrowser(ctx context.Context, cfg Config, log *slog.Logger) (tokenvault.Browser, error) {
	if !cfg.Browsers.Enabled() {
		return nil, nil //nolint:nilnil // there are none
	}
	b, err := chromium.New(ctx, cfg.Browsers.Chromium(log))
	if err != nil {
		return nil, fmt.Errorf("browser: %w: see 'tokenvault check', or set browser to off", err)
	}
	return b, nil
}

// withBrowser adds the flow that signs in in browsers.
func withBrowser(flows map[tokenvault.AuthMethod]tokenvault.Flow, b tokenvault.Browser) map[tokenvault.AuthMethod]tokenvault.Flow {
	if b != nil {
		flows[tokenvault.AuthBrowserLogin] = browserflow.New(b)
	}
	return flows
}
