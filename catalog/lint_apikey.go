package catalog

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ai-token-vault/tokenvault"
)

const maxFields = 10

// apiKey checks how a person's credentials are asked for, injected and probed.
func (l *linter) apiKey(p tokenvault.Provider) {
	k := *p.APIKey
	l.keyFields(k.Fields)
	l.injections(k)
	l.probe(p, k)
}

func (l *linter) keyFields(fields []tokenvault.KeyField) {
	l.expect(len(fields) > 0 && len(fields) <= maxFields, "apiKey.fields", "must be 1 to 10")
	l.expect(slices.ContainsFunc(fields, func(f tokenvault.KeyField) bool { return f.Secret }), "apiKey.fields", "must have one with secret: true")
	seen := map[string]bool{}
	for i, f := range fields {
		at := "apiKey.fields[" + strconv.Itoa(i) + "]."
		l.expect(isFieldName(f.Name), at+"name", "must be 1 to 32 letters and digits that start with a lower-case letter, such as apiKey")
		l.expect(!seen[f.Name], at+"name", "must not be given twice")
		seen[f.Name] = true
		l.expect(f.Label != "" && shown(f.Label, 64), at+"label", "must be 1 to 64 printable characters without space at the ends")
		l.expect(shown(f.Help, 300), at+"help", "must be at most 300 printable characters in one line")
		l.optionalEndpoint(at+"helpUrl", f.HelpURL)
		_, err := regexp.Compile(f.Pattern)
		l.expect(err == nil && len(f.Pattern) <= 300, at+"pattern", "must be a regular expression (RE2) of at most 300 bytes")
	}
}

func isFieldName(s string) bool {
	return s != "" && len(s) <= 32 && s[0] >= 'a' && s[0] <= 'z' && isName(s) && !strings.ContainsAny(s, "_-.")
}

// injections checks that every secret goes somewhere, and that no two go to one
// place.
func (l *linter) injections(k tokenvault.KeyAuth) {
	l.expect(len(k.Inject) > 0, "apiKey.inject", "must say where a credential goes in a request")
	places, used := map[string]bool{}, map[string]bool{}
	for i, in := range k.Inject {
		field := "apiKey.inject[" + strconv.Itoa(i) + "]"
		place := l.place(field, in)
		l.expect(place == "" || !places[place], field, "must not go where another one goes")
		places[place] = true
		for _, template := range []string{in.Value, in.Username, in.Password} {
			names, ok := placeholders(template)
			l.expect(ok && known(k, names), field, `must hold only fields in its braces, such as "Bearer {apiKey}"`)
			for _, name := range names {
				used[name] = true
			}
		}
	}
	for i, f := range k.Fields {
		l.expect(used[f.Name] || !f.Secret, "apiKey.fields["+strconv.Itoa(i)+"]", "must be used in inject, since it is secret")
	}
}

// place checks that an injection names exactly one place, and returns it.
func (l *linter) place(field string, in tokenvault.Injection) string {
	basic := in.Username != "" || in.Password != ""
	given := 0
	for _, set := range []bool{in.Header != "", in.Query != "", basic} {
		if set {
			given++
		}
	}
	l.expect(given == 1, field, "must have exactly one of header, query, and username with password")
	l.expect(basic == (in.Value == ""), field+".value", `must be given with header and query only, such as "{apiKey}"`)
	switch {
	case basic:
		l.expect(in.Username != "", field+".username", "must be given with password")
		return "header authorization"
	case in.Query != "":
		l.expect(isName(in.Query), field+".query", "must be the name of a parameter: letters, digits, '_', '-' and '.'")
		return "query " + strings.ToLower(in.Query)
	}
	l.expect(isName(in.Header) && !strings.ContainsAny(in.Header, "_.") && !forbiddenHeader(in.Header), field+".header",
		"must be the name of a header that carries a credential, such as Authorization or X-Api-Key")
	l.expect(printableASCII(in.Value), field+".value", "must be printable ASCII")
	return "header " + strings.ToLower(in.Header)
}

// forbiddenHeader reports whether a header says where a request goes or how it is
// framed (RFC 9110 §7.6.1), or is dropped from every request.
func forbiddenHeader(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "proxy-") || strings.HasPrefix(name, "sec-") || slices.Contains([]string{
		"connection", "content-length", "content-type", "cookie", "expect", "forwarded", "host", "keep-alive", "te", "trailer",
		"transfer-encoding", "upgrade", "via",
	}, name)
}

func printableASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// placeholders returns the names in the braces of a template. ok is false if a
// brace has no partner.
func placeholders(template string) (names []string, ok bool) {
	for template != "" {
		before, rest, found := strings.Cut(template, "{")
		if strings.Contains(before, "}") {
			return names, false
		}
		if !found {
			return names, true
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return names, false
		}
		names = append(names, name)
		template = after
	}
	return names, true
}

func known(k tokenvault.KeyAuth, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { _, ok := k.Field(name); return !ok })
}

func shownField(k tokenvault.KeyAuth, name string) bool {
	f, ok := k.Field(name)
	return ok && !f.Secret
}

func (l *linter) probe(p tokenvault.Provider, k tokenvault.KeyAuth) {
	probe := k.Probe
	l.expect(slices.Contains([]string{"", http.MethodGet, http.MethodHead, http.MethodPost}, probe.Method), "apiKey.probe.method", "must be GET, HEAD or POST")
	l.expect(probe.Status == 0 || probe.Status >= 200 && probe.Status < 300, "apiKey.probe.status", "must be from 200 to 299")
	l.expect(!slices.ContainsFunc(probe.RejectedStatus, func(s int) bool { return s < 400 || s >= 500 || s == http.StatusTooManyRequests }),
		"apiKey.probe.rejectedStatus", "must be from 400 to 499, and not 429")
	l.expect(!slices.ContainsFunc(probe.AccountID, notPath), "apiKey.probe.accountId", pathForm)
	l.expect(!slices.ContainsFunc(probe.AccountLabel, notPath), "apiKey.probe.accountLabel", pathForm)
	for _, name := range slices.Sorted(maps.Keys(probe.Headers)) {
		l.expect(isName(name) && !forbiddenHeader(name) && printableASCII(probe.Headers[name]), "apiKey.probe.headers."+quotable(name),
			"must be a header without a credential, in printable ASCII")
	}
	l.probeURL(p, k)
}

// probeURL checks that the probe goes to a host of the provider, and that what a
// person enters leads nowhere else.
func (l *linter) probeURL(p tokenvault.Provider, k tokenvault.KeyAuth) {
	const field = "apiKey.probe.url"
	names, ok := placeholders(k.Probe.URL)
	if !ok || slices.ContainsFunc(names, func(name string) bool { return !shownField(k, name) }) {
		l.fail(field, "must hold only fields in its braces, and no secret ones")
		return
	}
	plain := withoutBraces(k.Probe.URL)
	l.endpoint(field, plain)
	u, err := url.Parse(plain)
	if err != nil {
		return
	}
	l.expect(u.RawQuery == "" && !u.ForceQuery, field, "must have no query: the credential is added")
	_, rest, _ := strings.Cut(k.Probe.URL, "://")
	host, _, _ := strings.Cut(rest, "/")
	l.expect(slices.Contains(p.Hosts, host), field, "must go to one of hosts")
}

// withoutBraces makes a URL of a template.
func withoutBraces(template string) string {
	return strings.NewReplacer("{", "", "}", "").Replace(template)
}

// chosenHost checks a host whose first label is a field of the form, and returns
// it with a label in its place.
func (l *linter) chosenHost(p tokenvault.Provider, field, host string) string {
	name, rest, found := strings.Cut(strings.TrimPrefix(host, "{"), "}.")
	if !found || !strings.HasPrefix(host, "{") {
		return host
	}
	l.expect(p.APIKey != nil && shownField(*p.APIKey, name), field, "must have a field of apiKey in its braces that is not secret")
	l.expect(strings.Contains(rest, ".") || isLoopback(rest[:len(rest)-len(portOf(rest))]), field, "must be below a name that is the service's own")
	return "x." + rest
}

// portOf returns the port of a host with its colon, or nothing.
func portOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		return host[i:]
	}
	return ""
}
