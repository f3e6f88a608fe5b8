package server

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault/seal/keyring"
)

// Validate reports what is missing or contradictory, naming the key. It looks at
// nothing outside the configuration.
func (c Config) Validate() error {
	for _, check := range []func() error{c.validateStorage, c.validateDatabase, c.validateHTTP, c.validateUsers, c.validateProviders, c.validateBrowser, c.validateLimits} {
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
		if !c.OldRootKey.IsZero() {
			return errors.New("TOKENVAULT_ROOT_KEY_OLD: is set without TOKENVAULT_ROOT_KEY: set the new key too, or unset the old one")
		}
		return nil
	}
	if _, err := keyring.FromKey(c.RootKey); err != nil {
		return fmt.Errorf("TOKENVAULT_ROOT_KEY: %w", err)
	}
	if c.OldRootKey.IsZero() {
		return nil
	}
	if _, err := keyring.FromKey(c.OldRootKey); err != nil {
		return fmt.Errorf("TOKENVAULT_ROOT_KEY_OLD: %w", err)
	}
	return nil
}

func (c Config) validateHTTP() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || !isPort(port) {
		return errors.New("listen: must be host:port, such as 127.0.0.1:8420")
	}
	if _, port, err := net.SplitHostPort(c.MetricsListen); c.MetricsListen != "" && (err != nil || !isPort(port)) {
		return errors.New("metrics-listen: must be host:port, such as 127.0.0.1:9464")
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
	if err := c.validateMode(); err != nil {
		return err
	}
	if c.SessionTTL <= 0 || c.SessionTTL > 24*time.Hour {
		return errors.New("session-ttl: must be more than nothing and at most 24h")
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

// validateMode checks that what a mode needs is set, and that what is set belongs
// to the mode: a setting without effect is a mistake.
func (c Config) validateMode() error {
	for _, s := range []struct{ key, value, modes string }{
		{"sign-in-url", c.SignInURL, "session assertion"},
		{"session-url", c.SessionURL, "session"},
		{"session-cookies", strings.Join(c.SessionCookies, " "), "session"},
		{"assertion-issuer", c.AssertionIssuer, "assertion"},
		{"assertion-keys", c.AssertionKeys, "assertion"},
		{"assertion-keys-url", c.AssertionKeysURL, "assertion"},
		{"oidc-issuer", c.OIDCIssuer, "signin"},
		{"oidc-client-id", c.OIDCClientID, "signin"},
		{"oidc-client-secret-file", c.OIDCClientSecretFile, "signin"},
		{"verify-url", c.VerifyURL, "verifier"},
	} {
		if s.value != "" && !slices.Contains(strings.Fields(s.modes), c.Mode) {
			return fmt.Errorf("%s: is for mode %s only: set mode to it, or leave it out", s.key, strings.ReplaceAll(s.modes, " ", " or "))
		}
	}
	switch c.Mode {
	case "session":
		if c.SessionURL == "" || len(c.SessionCookies) == 0 {
			return errors.New("session-url, session-cookies: must be set in mode session")
		}
		if !isURL(c.SessionURL) {
			return errors.New("session-url: must be a URL such as https://app.example.com/api/session")
		}
	case "assertion":
		if c.AssertionIssuer == "" || (c.AssertionKeys == "") == (c.AssertionKeysURL == "") {
			return errors.New("assertion-issuer, and assertion-keys or assertion-keys-url: must be set in mode assertion")
		}
		if len(c.Origins) == 0 {
			return errors.New("origins: must name the host's origin in mode assertion, whose pages post assertions")
		}
	case "signin":
		if !isSecureURL(c.OIDCIssuer) || c.OIDCClientID == "" {
			return errors.New("oidc-issuer, oidc-client-id: must be set in mode signin, the issuer to an https URL such as https://login.example.com; http is for loopback names only")
		}
	case "verifier":
		if !isSecureURL(c.VerifyURL) {
			return errors.New("verify-url: must be set in mode verifier, to an https URL such as https://app.example.com/connected; http is for loopback names only")
		}
	}
	return nil
}

func (c Config) validateProviders() error {
	for _, pair := range c.AllowHosts {
		if !isHostPort(pair) {
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

func isHostPort(pair string) bool {
	host, port, err := net.SplitHostPort(pair)
	return err == nil && host != "" && isPort(port)
}

func (c Config) validateLimits() error {
	for _, limit := range []struct {
		key   string
		value float64
	}{
		{"limit-key", c.LimitKey},
		{"limit-user", c.LimitUser},
		{"limit-connects", c.LimitConnects},
		{"limit-waits", float64(c.LimitWaits)},
		{"limit-failures", c.LimitFailures},
		{"limit-token-endpoint", c.LimitTokenEndpoint},
	} {
		if !(limit.value >= 0 && limit.value <= maxLimit) { // NaN is neither
			return fmt.Errorf("%s: must be a number from 0, which is no limit, to 1000000", limit.key)
		}
	}
	_, err := c.trustedProxies()
	return err
}

const maxLimit = 1e6

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

// isSecureURL reports whether text is an https URL, or http on a loopback name.
func isSecureURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && isURL(text) && (u.Scheme == "https" || isLoopback(u.Hostname()))
}

func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return isURL(text) && err == nil && u.Path == "" && u.RawQuery == ""
}
