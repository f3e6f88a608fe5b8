package netguard

import (
	"net/netip"
	"strings"
)

// Literal reports whether host, without a port, says by itself that it is not a
// public host: a private or special address, in whatever spelling, localhost, or
// a name below it (RFC 6761 §6.3). What other names resolve to is checked when
// they are dialled.
func Literal(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return !public(addr)
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last == "localhost" || isNumber(last)
}

// isNumber reports whether the last label of a host makes it an IPv4 address in
// one of the old spellings, such as 0x7f.1 or 2130706433.
func isNumber(label string) bool {
	return label == "" || strings.HasPrefix(label, "0x") || !strings.ContainsFunc(label, func(r rune) bool { return r < '0' || r > '9' })
}
