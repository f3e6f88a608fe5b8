package catalog

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

// Unreachable returns the addresses of a definition that the server asks itself, and
// would refuse to: by http, or at a host that says that it is not public. allow lists
// the host:port pairs that it asks nevertheless (allow-hosts in the configuration). A
// definition may be sound all the same: its server needs another configuration.
func Unreachable(p tokenvault.Provider, allow []string) []Problem {
	l := &linter{}
	for _, address := range asked(p) {
		u, err := url.Parse(address.Text)
		if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
			continue
		}
		hostPort := hostPortOf(u)
		if (u.Scheme == "http" || netguard.Literal(u.Hostname())) && !slices.Contains(allow, hostPort) {
			l.fail(address.Field, `is not asked by the server, unless its allow-hosts lists "`+hostPort+`"`)
		}
	}
	return l.problems
}

// asked returns the addresses that the server asks, by field, in the order of the
// definition.
func asked(p tokenvault.Provider) []Problem {
	var all []Problem
	if o := p.OAuth2; o != nil {
		all = append(
			all,
			Problem{"oauth2.tokenUrl", o.TokenURL}, Problem{"oauth2.refreshUrl", o.RefreshURL},
			Problem{"oauth2.deviceAuthorizationUrl", o.DeviceAuthorizationURL},
			Problem{"oauth2.pushedAuthorizationUrl", o.PushedAuthorizationURL}, Problem{"oauth2.revocationUrl", o.RevocationURL},
			Problem{"oauth2.userInfoUrl", o.UserInfoURL}, Problem{"oauth2.jwksUrl", o.JWKSURL},
		)
	}
	if p.APIKey != nil {
		all = append(all, Problem{"apiKey.probe.url", withoutBraces(p.APIKey.Probe.URL)})
	}
	return all
}

// hostPortOf returns the host and the port of u as allow-hosts lists them.
func hostPortOf(u *url.URL) string {
	if u.Port() != "" {
		return strings.ToLower(u.Host)
	}
	port := "443"
	if u.Scheme == "http" {
		port = "80"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
