package server

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/ai-token-vault/tokenvault/seal/keyring"
)

// Validate reports what is missing or contradictory, naming the key. It looks at
// nothing outside the configuration.
func (c Config) Validate() error {
	for _, check := range []func() error{c.validateStorage, c.validateHTTP, c.validateUsers, c.validateProviders} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) validateStorage() error {
	if c.DataDir == "" {
		return errors.New("data-dir: must name a directory")
	}
	if c.RootKey.IsZero() {
		return nil
	}
	if _, err := keyring.FromKey(c.RootKey); err != nil {
		return fmt.Errorf("TOKENVAULT_ROOT_KEY: %w", err)
	}
	return nil
}

func (c Config) validateHTTP() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || !isPort(port) {
		return errors.New("listen: must be host:port, such as 127.0.0.1:8420")
	}
	if c.Mode == "local" && !isLoopback(host) {
		return errors.New("listen: must be a loopback address, such as 127.0.0.1:8420, in mode local, which serves one user on this machine: else use mode session")
	}
	if c.PublicURL == "" && !isLoopback(host) {
		return errors.New("public-url: must be set when the server listens on other than a loopback address")
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || !isOrigin(c.PublicURL) || u.Scheme == "http" && !isLoopback(u.Hostname())) {
		return errors.New("public-url: must be an https origin such as https://vault.example.com; http is for loopback names only")
	}
	if !strings.HasPrefix(c.Mount, "/") || strings.HasSuffix(c.Mount, "/") {
		return errors.New("mount: must begin with a slash and not end with one, such as /api/token-vault")
	}
	return nil
}

func (c Config) validateUsers() error {
	if c.Mode == "session" {
		if c.SessionURL == "" || len(c.SessionCookies) == 0 {
			return errors.New("session-url, session-cookies: must be set in mode session")
		}
		if !isURL(c.SessionURL) {
			return errors.New("session-url: must be a URL such as https://app.example.com/api/session")
		}
	}
	switch u, err := url.Parse(c.VerifyURL); {
	case c.Mode != "verifier" && c.VerifyURL == "":
	case c.Mode != "verifier":
		return errors.New("verify-url: is for mode verifier only: set mode to verifier, or leave it out")
	case err != nil || !isURL(c.VerifyURL) || u.Scheme == "http" && !isLoopback(u.Hostname()):
		return errors.New("verify-url: must be set in mode verifier, to an https URL such as https://app.example.com/connected; http is for loopback names only")
	}
	for _, origin := range c.Origins {
		if u, err := url.Parse(origin); err != nil || !isOrigin(origin) || u.Scheme == "http" && !isLoopback(u.Hostname()) {
			return errors.New("origins: each must be an https origin such as https://app.example.com; http is for loopback names only")
		}
	}
	for _, text := range c.ReturnURLs {
		if !isURL(text) {
			return errors.New("return-urls: each must be a URL such as https://app.example.com/connected")
		}
	}
	return nil
}

func (c Config) validateProviders() error {
	for _, pair := range c.AllowHosts {
		if host, port, err := net.SplitHostPort(pair); err != nil || host == "" || !isPort(port) {
			return errors.New("allow-hosts: each must be host:port, such as sso.internal:8443")
		}
	}
	if c.AuthRequestTTL <= 0 {
		return errors.New("auth-request-ttl: must be more than nothing, such as 24h")
	}
	if c.AttemptTTL <= 0 {
		return errors.New("attempt-ttl: must be more than nothing, such as 10m")
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && u.Fragment == ""
}

func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return isURL(text) && err == nil && u.Path == "" && u.RawQuery == ""
}
