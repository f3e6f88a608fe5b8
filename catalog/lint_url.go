package catalog

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/ai-token-vault/tokenvault"
)

func (l *linter) optionalEndpoint(field, raw string) {
	if raw != "" {
		l.endpoint(field, raw)
	}
}

// endpoint checks an absolute URL that the vault calls or sends people to.
func (l *linter) endpoint(field, raw string) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		l.fail(field, "must be an https URL, and is missing")
	case err != nil || u.Opaque != "" || strings.ContainsFunc(raw, notURL):
		l.fail(field, "must be an absolute https URL")
	case u.Scheme != "https" && u.Scheme != "http":
		l.fail(field, "must start with https://")
	case u.Hostname() == "" || strings.ContainsAny(u.Hostname(), "*%"):
		l.fail(field, "must name a host, without wildcards")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		l.fail(field, "must start with https:// (http is for localhost and loopback addresses)")
	}
	if err == nil && u.User != nil {
		l.fail(field, "must not hold a user name or password")
	}
	if strings.Contains(raw, "#") {
		l.fail(field, "must not have a fragment")
	}
}

func notURL(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '\\' }

// isLocal reports whether raw is a URL on this machine.
func isLocal(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && isLoopback(u.Hostname())
}

// isLoopback reports whether host always means this machine: a loopback address,
// localhost, or a name below it (RFC 6761 §6.3).
func isLoopback(host string) bool {
	host = strings.ToLower(host)
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func (l *linter) hosts(p tokenvault.Provider) {
	l.expect(len(p.Hosts) > 0, "hosts", "must list at least one host that a credential may be sent to")
	for i, host := range p.Hosts {
		field := "hosts[" + strconv.Itoa(i) + "]"
		l.expect(isHost(l.chosenHost(p, field, host)), field,
			`must be an exact lower-case host name, or host:port, such as "api.example.com": no scheme, path or wildcard`)
	}
}

// isHost reports whether s is "host" or "host:port" in the form in which
// [tokenvault.Provider.AllowsHost] compares.
func isHost(s string) bool {
	host := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		host = s[1 : len(s)-1]
		addr, err := netip.ParseAddr(host)
		return err == nil && addr.Is6() && addr.Zone() == "" && addr.String() == host
	}
	if strings.Contains(s, ":") {
		h, port, err := net.SplitHostPort(s)
		n, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil || n == 0 || port[0] == '0' {
			return false
		}
		if strings.HasPrefix(s, "[") {
			return isHost("[" + h + "]")
		}
		host = h
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Is4()
	}
	return isDNSName(host)
}

// isDNSName reports whether s is a lower-case host name of RFC 1123 §2.1, with "_"
// allowed.
func isDNSName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				return false
			}
		}
	}
	return true
}
