package tokenvault

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Login describes how an owner signs in at a provider without OAuth, in a browser
// that the vault starts, and how the vault tells that it is done.
type Login struct {
	// URL is the login page. Agents cannot change it.
	URL string `json:"url" yaml:"url"`
	// Domains lists the domains, with their subdomains, whose cookies and storage are
	// captured and restored: "example.com". Also "host:port" of a loopback name or
	// address; of its origins only those at that port.
	Domains []string `json:"domains" yaml:"domains"`
	// VisitDomains lists further domains that a tab may navigate to, such as an
	// identity provider's. Nothing of them is captured. Images, scripts and frames of a
	// page may come from any public address.
	VisitDomains []string `json:"visitDomains,omitempty" yaml:"visitDomains"`
	// Signs tell that the login is done: all of them have to be there at once, and
	// none of Unless. At least one.
	Signs []LoginSign `json:"signs" yaml:"signs"`
	// Unless lists patterns (RE2) of URLs, without fragment. While a tab of the
	// provider's domains is at such a one, the login is not done, whatever else tells
	// so: pages of a second factor.
	Unless []string `json:"unless,omitempty" yaml:"unless"`
	// Settle is how long the signs have to stay. Default 500 ms.
	Settle time.Duration `json:"settle,omitempty" yaml:"settle"`
	// Probe tells whether a captured state is signed in, and as whom. Nil: the signs
	// do, when LandingURL, or URL, is opened with the state.
	Probe *LoginProbe `json:"probe,omitempty" yaml:"probe"`
	// LandingURL is a page that only shows itself to who is signed in. Default URL.
	LandingURL string `json:"landingUrl,omitempty" yaml:"landingUrl"`
	// CheckEvery is how old a check may be before the state is checked again when it
	// is used, and how often background work checks. Default 12 h.
	CheckEvery time.Duration `json:"checkEvery,omitempty" yaml:"checkEvery"`
	// Lifetime is how long a login lasts as documented. Zero: until a check fails.
	Lifetime time.Duration `json:"lifetime,omitempty" yaml:"lifetime"`
	// Refuses says that the service turns automated browsers away, and what to use
	// instead. Such a provider cannot be connected.
	Refuses string `json:"refuses,omitempty" yaml:"refuses"`
}

// MarshalJSON writes durations as text, such as "12h0m0s".
func (l Login) MarshalJSON() ([]byte, error) {
	type plain Login
	return json.Marshal(struct {
		plain
		Settle     string `json:"settle,omitempty"`
		CheckEvery string `json:"checkEvery,omitempty"`
		Lifetime   string `json:"lifetime,omitempty"`
	}{plain(l), durationText(l.Settle), durationText(l.CheckEvery), durationText(l.Lifetime)})
}

// UnmarshalJSON reads what MarshalJSON writes, and refuses fields that it does
// not know.
func (l *Login) UnmarshalJSON(b []byte) error {
	type plain Login
	in := struct {
		*plain
		Settle     string `json:"settle"`
		CheckEvery string `json:"checkEvery"`
		Lifetime   string `json:"lifetime"`
	}{plain: (*plain)(l)}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return err
	}
	return readDurations(
		durationField{"login.settle", in.Settle, &l.Settle},
		durationField{"login.checkEvery", in.CheckEvery, &l.CheckEvery},
		durationField{"login.lifetime", in.Lifetime, &l.Lifetime},
	)
}

// Landing returns the page that only shows itself to who is signed in.
func (l Login) Landing() string { return cmp.Or(l.LandingURL, l.URL) }

// Covers reports whether what a page at u keeps in its browser belongs to the
// login: u is at one of Domains or below one, by https, or by http on a loopback
// name.
func (l Login) Covers(u *url.URL) bool { return atDomain(l.Domains, u) }

// MayVisit reports whether a tab may navigate to u: to Domains and VisitDomains,
// by https, or by http on a loopback name.
func (l Login) MayVisit(u *url.URL) bool {
	return atDomain(l.Domains, u) || atDomain(l.VisitDomains, u)
}

func atDomain(domains []string, u *url.URL) bool {
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopbackName(u.Hostname())) {
		return false
	}
	host, port, _ := net.SplitHostPort(hostPort(u))
	return slices.ContainsFunc(domains, func(domain string) bool {
		if name, local, err := net.SplitHostPort(domain); err == nil {
			return port == local && belowDomain(host, name)
		}
		return belowDomain(host, domain)
	})
}

// CoversCookie reports whether a cookie of a domain, ".example.com" or
// "www.example.com", belongs to the login: its domain is one of Domains or below
// one. Cookies know no ports.
func (l Login) CoversCookie(domain string) bool {
	domain = strings.TrimPrefix(strings.ToLower(domain), ".")
	return slices.ContainsFunc(l.Domains, func(covered string) bool {
		if name, _, err := net.SplitHostPort(covered); err == nil {
			covered = name
		}
		return belowDomain(domain, covered)
	})
}

// belowDomain reports whether host is domain or a name below it.
func belowDomain(host, domain string) bool {
	if host == domain {
		return true
	}
	return strings.HasSuffix(host, "."+domain) && net.ParseIP(domain) == nil
}

// WholePattern compiles a pattern of a Login that has to match as a whole.
func WholePattern(pattern string) (*regexp.Regexp, error) {
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

// A LoginStrategy is how one sign of a login is seen.
type LoginStrategy string

// The strategies.
const (
	SignURLPattern LoginStrategy = "url_pattern"        // the URL of a tab at Domains, without fragment, matches Pattern
	SignResponse   LoginStrategy = "response_intercept" // Domains answered a request to Pattern with a status of 200 to 399, once
	SignReturn     LoginStrategy = "domain_return"      // a tab left Domains (or the login page) and came back to them, away from the login page
	SignCookie     LoginStrategy = "cookie"             // a cookie of Domains is named as Pattern says
	SignProbe      LoginStrategy = "probe"              // Probe, asked from the browser itself, says so
)

// A LoginSign is one sign that a login is done.
type LoginSign struct {
	Strategy LoginStrategy `json:"strategy" yaml:"strategy"`
	// Pattern is RE2 and has to match as a whole: a URL without fragment for
	// url_pattern and response_intercept, a name for cookie.
	Pattern string `json:"pattern,omitempty" yaml:"pattern"`
	// Method is the request's, for response_intercept. Default any.
	Method string `json:"method,omitempty" yaml:"method"`
}

// A LoginProbe is a request that only succeeds for who is signed in.
type LoginProbe struct {
	URL string `json:"url" yaml:"url"` // https, of one of Domains
	// Status is what it answers to who is signed in. Default 200; redirects are not
	// followed.
	Status int `json:"status,omitempty" yaml:"status"`
	// Pattern, RE2, has to be found in the answer. Empty: anything will do.
	Pattern string `json:"pattern,omitempty" yaml:"pattern"`
	// AccountID and AccountLabel are dotted paths into an answer that is JSON, tried in
	// order; or one pattern each, RE2 with one group, for an answer that is not.
	AccountID           []string `json:"accountId,omitempty" yaml:"accountId"`
	AccountLabel        []string `json:"accountLabel,omitempty" yaml:"accountLabel"`
	AccountIDPattern    string   `json:"accountIdPattern,omitempty" yaml:"accountIdPattern"`
	AccountLabelPattern string   `json:"accountLabelPattern,omitempty" yaml:"accountLabelPattern"`
}
