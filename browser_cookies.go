package tokenvault

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// valid reports whether a cookie can be written into a header and set in a browser.
func (c StateCookie) valid() bool {
	switch c.SameSite {
	case "", "Strict", "Lax", "None":
	default:
		return false
	}
	return (c.Name != "" || c.Value != "") && !strings.Contains(c.Name, "=") && cookieText(c.Name) && cookieText(string(c.Value)) &&
		strings.Trim(c.Domain, ".") != "" && !strings.ContainsAny(c.Domain, "/ \t;,@") && strings.HasPrefix(c.Path, "/") && cookieText(c.Path) &&
		cookieText(c.Domain)
}

// cookieText reports whether text ends neither a cookie nor a header.
func cookieText(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r == ';' || r < ' ' && r != '\t' || r == 0x7f })
}

// CookieHeader returns the value of the header Cookie for a first-party request to u
// as a browser would send it (RFC 6265 §5.4): by domain, path, Secure and expiry.
// Cookies that belong to frames inside other sites are left out. It is empty if
// there is none.
func (s StorageState) CookieHeader(u *url.URL) string {
	jar, err := s.jar(u)
	if err != nil {
		return ""
	}
	var header strings.Builder
	for _, c := range jar.Cookies(asSecure(u)) {
		if header.Len() > 0 {
			header.WriteString("; ")
		}
		if c.Name != "" {
			header.WriteString(c.Name + "=")
		}
		header.WriteString(c.Value)
	}
	return header.String()
}

const maxUnixTime = 253402300799 // the end of the year 9999

// jar fills a jar with the cookies that have to do with u.
func (s StorageState) jar(u *url.URL) (*cookiejar.Jar, error) {
	jar, err := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List})
	if err != nil {
		return nil, fmt.Errorf("browser state: %w", err)
	}
	host := strings.ToLower(u.Hostname())
	for _, c := range s.Cookies {
		domain := strings.Trim(strings.ToLower(strings.TrimPrefix(c.Domain, ".")), "[]")
		if !belowDomain(host, domain) || c.PartitionKey != "" && (c.HasCrossSiteAncestor || c.PartitionKey != siteOf(u)) {
			continue
		}
		cookie := &http.Cookie{Name: c.Name, Value: string(c.Value), Path: c.Path, Secure: c.Secure}
		if strings.HasPrefix(c.Domain, ".") {
			cookie.Domain = domain
		}
		if c.Expires >= 0 {
			cookie.Expires = time.Unix(int64(min(c.Expires, maxUnixTime)), 0)
		}
		jar.SetCookies(&url.URL{Scheme: "https", Host: net.JoinHostPort(domain, "443"), Path: "/"}, []*http.Cookie{cookie})
	}
	return jar, nil
}

// asSecure returns u as the jar has to see it: browsers send Secure cookies to this
// machine by http, too.
func asSecure(u *url.URL) *url.URL {
	if u.Scheme == "http" && isLoopbackName(u.Hostname()) {
		secure := *u
		secure.Scheme = "https"
		return &secure
	}
	return u
}

// siteOf returns the site of a URL, "https://example.com": scheme and registrable
// domain.
func siteOf(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if net.ParseIP(host) == nil {
		domain, _ := publicsuffix.EffectiveTLDPlusOne(host)
		host = cmp.Or(domain, host)
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host
}
