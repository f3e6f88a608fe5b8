package catalog

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/ai-token-vault/tokenvault"
)

const (
	maxSigns   = 8
	maxPattern = 1000 // bytes
)

// login checks where people sign in, how that is seen, and what is kept of it.
func (l *linter) login(p tokenvault.Provider) {
	in := *p.Login
	l.loginDomains("login.domains", in.Domains)
	l.loginDomains("login.visitDomains", in.VisitDomains)
	l.expect(len(in.Domains) > 0, "login.domains", "must list at least one domain whose state is kept")
	for i, host := range p.Hosts {
		l.expect(in.CoversCookie(withoutPort(host)), "hosts["+strconv.Itoa(i)+"]", "must be one of login.domains or below one: cookies of no other are kept")
	}
	l.loginURL("login.url", in.URL, in.MayVisit, "must be at one of login.domains or login.visitDomains")
	if in.LandingURL != "" {
		l.loginURL("login.landingUrl", in.LandingURL, in.Covers, atDomains)
	}
	l.loginTimes(in)
	l.expect(shown(in.Refuses, 300), "login.refuses", "must be at most 300 printable characters in one line")
	if in.Probe != nil {
		l.loginProbe(in)
	}
	l.signs(in)
}

const atDomains = "must be at one of login.domains"

func withoutPort(host string) string { return strings.TrimSuffix(host, portOf(host)) }

func (l *linter) loginDomains(field string, domains []string) {
	for i, domain := range domains {
		l.expect(isLoginDomain(domain), field+"["+strconv.Itoa(i)+"]",
			`must be a domain of the service itself, such as "example.com", or "host:port" of a loopback name: no scheme, path, wildcard or public suffix`)
	}
}

// isLoginDomain reports whether all names below a domain belong to one service: it
// is no suffix under which anybody registers names.
func isLoginDomain(s string) bool {
	if host := withoutPort(s); host != s || isLoopback(s) {
		return host != s && isHost(s) && isLoopback(strings.Trim(host, "[]"))
	}
	if !isDNSName(s) || !strings.Contains(s, ".") {
		return false
	}
	suffix, _ := publicsuffix.PublicSuffix(s)
	return suffix != s
}

func (l *linter) loginURL(field, raw string, allowed func(*url.URL) bool, text string) {
	l.endpoint(field, raw)
	if u, err := url.Parse(raw); err == nil && raw != "" {
		l.expect(allowed(u), field, text)
	}
}

func (l *linter) loginTimes(in tokenvault.Login) {
	l.expect(in.Settle >= 0 && in.Settle <= 30*time.Second, "login.settle", `must be from "0s" to "30s"`)
	l.expect(in.CheckEvery == 0 || in.CheckEvery >= 5*time.Minute && in.CheckEvery <= 30*24*time.Hour, "login.checkEvery", `must be from "5m" to "720h"`)
	l.expect(in.Lifetime == 0 || in.Lifetime >= 5*time.Minute && in.Lifetime <= 10*365*24*time.Hour, "login.lifetime",
		`must be from "5m" to "87600h", or left out for a login that lasts until a check fails`)
}

func (l *linter) loginProbe(in tokenvault.Login) {
	p := *in.Probe
	l.loginURL("login.probe.url", p.URL, in.Covers, atDomains)
	l.expect(p.Status == 0 || p.Status >= 200 && p.Status < 400, "login.probe.status", "must be from 200 to 399")
	l.pattern("login.probe.pattern", p.Pattern, -1)
	l.expect(!slices.ContainsFunc(p.AccountID, notPath), "login.probe.accountId", pathForm)
	l.expect(!slices.ContainsFunc(p.AccountLabel, notPath), "login.probe.accountLabel", pathForm)
	l.pattern("login.probe.accountIdPattern", p.AccountIDPattern, 1)
	l.pattern("login.probe.accountLabelPattern", p.AccountLabelPattern, 1)
	l.expect(len(p.AccountID) == 0 || p.AccountIDPattern == "", "login.probe.accountIdPattern", "must be left out when accountId is given")
	l.expect(len(p.AccountLabel) == 0 || p.AccountLabelPattern == "", "login.probe.accountLabelPattern", "must be left out when accountLabel is given")
}

// pattern checks a regular expression, if there is one; groups is how many groups it
// needs, -1 any number.
func (l *linter) pattern(field, text string, groups int) {
	re, err := regexp.Compile(text)
	l.expect(err == nil && len(text) <= maxPattern, field, "must be a regular expression (RE2) of at most 1000 bytes")
	l.expect(err != nil || text == "" || groups < 0 || re.NumSubexp() == groups, field, "must have exactly one group, around what is looked for")
}

func (l *linter) signs(in tokenvault.Login) {
	l.expect(len(in.Signs) > 0 && len(in.Signs) <= maxSigns || in.Refuses != "", "login.signs", "must be 1 to 8")
	for i, sign := range in.Signs {
		l.sign("login.signs["+strconv.Itoa(i)+"]", sign, in)
	}
	atOnce := len(in.Signs) > 0 && !slices.ContainsFunc(in.Signs, func(s tokenvault.LoginSign) bool {
		return s.Strategy != tokenvault.SignURLPattern || !matchesURL(s.Pattern, in.URL)
	})
	l.expect(!atOnce, "login.signs", "must not all match login.url: the login would be done before it began")
	for i, pattern := range in.Unless {
		field := "login.unless[" + strconv.Itoa(i) + "]"
		l.expect(pattern != "", field, "must not be empty")
		l.pattern(field, pattern, -1)
		l.expect(!matchesURL(pattern, in.Landing()) || in.LandingURL == "", field, "must not match login.landingUrl")
	}
}

func matchesURL(pattern, text string) bool {
	re, err := tokenvault.WholePattern(pattern)
	return err == nil && re.MatchString(text)
}

func (l *linter) sign(field string, s tokenvault.LoginSign, in tokenvault.Login) {
	needsPattern := false
	switch s.Strategy {
	case tokenvault.SignURLPattern, tokenvault.SignResponse, tokenvault.SignCookie:
		needsPattern = true
	case tokenvault.SignReturn:
	case tokenvault.SignProbe:
		l.expect(in.Probe != nil, "login.probe", "must be given for a sign with strategy probe")
	default:
		l.fail(field+".strategy", "must be url_pattern, response_intercept, domain_return, cookie or probe")
		return
	}
	l.expect(needsPattern == (s.Pattern != ""), field+".pattern", "must be given for url_pattern, response_intercept and cookie, and for no other")
	l.pattern(field+".pattern", s.Pattern, -1)
	method := s.Strategy == tokenvault.SignResponse &&
		slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}, s.Method)
	l.expect(s.Method == "" || method, field+".method", "must be GET, POST, PUT, PATCH or DELETE, and is for response_intercept only")
}

// loginSources asks for a source of how a login is told and tested.
func (l *linter) loginSources(in tokenvault.Login, sources []tokenvault.Source) {
	if isLocal(in.URL) {
		return
	}
	sourced := sourcedNames(sources, "login.")
	for _, q := range []struct {
		name string
		set  bool
	}{
		{"url", true},
		{"signs", len(in.Signs) > 0},
		{"unless", len(in.Unless) > 0},
		{"probe", in.Probe != nil},
		{"lifetime", in.Lifetime != 0},
		{"refuses", in.Refuses != ""},
	} {
		if q.set && !slices.Contains(sourced, q.name) {
			l.fail("login."+q.name, `needs a source: an entry in sources whose fact starts with "`+q.name+`:"`)
		}
	}
}
