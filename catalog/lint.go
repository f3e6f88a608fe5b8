package catalog

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/ai-token-vault/tokenvault"
)

// The values of a provider's verified field.
const (
	verifiedDocs = "docs"
	verifiedNot  = "unverified"
)

// A Problem is one thing that is wrong with a provider's definition.
type Problem struct {
	Field string // the path of its YAML key, such as "oauth2.tokenUrl" or "hosts[1]"
	Text  string // what is expected; it holds no value of the definition
}

// Lint returns the problems of a provider's definition, and nothing if it is
// sound. It looks at the values only, and opens no connection.
func Lint(p tokenvault.Provider) []Problem {
	l := &linter{}
	l.identity(p)
	l.hosts(p)
	l.sources(p)
	if p.OAuth2 != nil {
		l.endpoints(*p.OAuth2)
		l.scopes(*p.OAuth2)
		l.authorization(*p.OAuth2)
		l.answers(*p.OAuth2)
		l.quirks(*p.OAuth2, p.Sources)
	}
	if p.APIKey != nil {
		l.apiKey(p)
		l.keySources(*p.APIKey, p.Sources)
	}
	if p.Login != nil {
		l.login(p)
		l.loginSources(*p.Login, p.Sources)
	}
	return l.problems
}

// Check returns the problems of a provider's definition as one error, or nil. It
// joins a [tokenvault.FieldError] for each, and serves as
// [tokenvault.Options.LintProvider].
func Check(p tokenvault.Provider) error {
	problems := Lint(p)
	errs := make([]error, 0, len(problems))
	for _, problem := range problems {
		errs = append(errs, &tokenvault.FieldError{Field: problem.Field, Reason: problem.Text})
	}
	return errors.Join(errs...)
}

type linter struct{ problems []Problem }

func (l *linter) fail(field, text string) { l.problems = append(l.problems, Problem{field, text}) }

// expect reports text for field unless ok.
func (l *linter) expect(ok bool, field, text string) {
	if !ok {
		l.fail(field, text)
	}
}

func (l *linter) identity(p tokenvault.Provider) {
	const idForm = "must be 1 to 64 lower-case letters, digits and hyphens, and start with a letter"
	l.expect(tokenvault.ValidProviderID(p.ID), "id", idForm)
	l.expect(tokenvault.ValidProviderID(p.Service), "service", idForm)
	l.expect(p.Name != "" && shown(p.Name, 64), "name", "must be 1 to 64 printable characters without space at the ends")
	l.expect(shown(p.Description, 300), "description", "must be at most 300 printable characters in one line")
	l.optionalEndpoint("iconUrl", p.IconURL)
	switch p.AuthMethod {
	case tokenvault.AuthOAuth2, tokenvault.AuthBrowserLogin, tokenvault.AuthAPIKey:
		l.expect(p.AuthMethod != tokenvault.AuthOAuth2 || p.OAuth2 != nil, "oauth2", "must be given when authMethod is oauth2")
		l.expect(p.AuthMethod == tokenvault.AuthOAuth2 || p.OAuth2 == nil, "oauth2", "must be left out unless authMethod is oauth2")
		l.expect(p.AuthMethod != tokenvault.AuthAPIKey || p.APIKey != nil, "apiKey", "must be given when authMethod is api_key")
		l.expect(p.AuthMethod == tokenvault.AuthAPIKey || p.APIKey == nil, "apiKey", "must be left out unless authMethod is api_key")
		l.expect(p.AuthMethod != tokenvault.AuthBrowserLogin || p.Login != nil, "login", "must be given when authMethod is browser_login")
		l.expect(p.AuthMethod == tokenvault.AuthBrowserLogin || p.Login == nil, "login", "must be left out unless authMethod is browser_login")
	default:
		l.fail("authMethod", "must be oauth2, browser_login or api_key")
	}
	l.expect(p.UsageMode == tokenvault.UsageToken || p.UsageMode == tokenvault.UsageSession, "usageMode", "must be token or session")
	l.expect(p.UsageMode != tokenvault.UsageSession || p.AuthMethod == tokenvault.AuthBrowserLogin, "usageMode", "must be token unless authMethod is browser_login")
}

// shown reports whether text is fit to be shown to people: one line of at most
// limit printable characters, with no space at the ends.
func shown(text string, limit int) bool {
	return len([]rune(text)) <= limit && strings.TrimSpace(text) == text &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (l *linter) sources(p tokenvault.Provider) {
	l.expect(p.Verified == verifiedDocs || p.Verified == verifiedNot, "verified", "must be docs or unverified")
	l.expect(p.Verified != verifiedDocs || len(p.Sources) > 0, "sources", "must not be empty when verified is docs")
	unread := func(s tokenvault.Source) bool { return strings.Contains(strings.ToLower(s.Fact), "not read") }
	l.expect(p.Verified != verifiedDocs || !slices.ContainsFunc(p.Sources, unread), "verified", "must be unverified while a fact says that something was not read")
	for i, s := range p.Sources {
		field := "sources[" + strconv.Itoa(i) + "]"
		l.expect(strings.TrimSpace(s.Fact) != "", field+".fact", "must say what was read")
		l.endpoint(field+".url", s.URL)
	}
}

// quirks asks for a source for every setting that departs from the plain
// protocol: unsourced quirks outlive the behaviour that they were made for.
func (l *linter) quirks(o tokenvault.OAuth2, sources []tokenvault.Source) {
	if isLocal(o.AuthorizationURL) || o.AuthorizationURL == "" && isLocal(o.TokenURL) {
		return
	}
	sourced := sourcedNames(sources, "oauth2.")
	for _, q := range []struct {
		name string
		set  bool
	}{
		{"grant", o.Grant != "" && o.Grant != tokenvault.GrantCode},
		{"deviceAuthorizationUrl", o.DeviceAuthorizationURL != ""},
		{"issRequired", o.IssRequired},
		{"refreshUrl", o.RefreshURL != ""},
		{"userInfoBody", o.UserInfoBody != ""},
		{"requestFormat", o.RequestFormat != "" && o.RequestFormat != tokenvault.RequestForm},
		{"alwaysScopes", len(o.AlwaysScopes) > 0},
		{"scopeParam", o.ScopeParam != "" && o.ScopeParam != "scope"},
		{"scopeSeparator", o.ScopeSeparator != "" && o.ScopeSeparator != " "},
		{"scopeImplies", len(o.ScopeImplies) > 0},
		{"authorizationParams", len(o.AuthorizationParams) > 0},
		{"tokenPath", o.TokenPath != ""},
		{"defaultLifetime", o.DefaultLifetime != 0},
		{"refreshIdle", o.RefreshIdle != 0},
		{"rejectedCodes", len(o.RejectedCodes) > 0},
	} {
		if q.set && !slices.Contains(sourced, q.name) {
			l.fail("oauth2."+q.name, `needs a source: an entry in sources whose fact starts with "`+q.name+`:"`)
		}
	}
}

// keySources asks for a source of where a credential goes and how it is tested.
func (l *linter) keySources(k tokenvault.KeyAuth, sources []tokenvault.Source) {
	if isLocal(withoutBraces(k.Probe.URL)) {
		return
	}
	sourced := sourcedNames(sources, "apiKey.")
	for _, name := range []string{"inject", "probe"} {
		l.expect(slices.Contains(sourced, name), "apiKey."+name, `needs a source: an entry in sources whose fact starts with "`+name+`:"`)
	}
}

// sourcedNames returns the settings that the facts of sources start with.
func sourcedNames(sources []tokenvault.Source, section string) (sourced []string) {
	for _, s := range sources {
		names, _, _ := strings.Cut(s.Fact, ":")
		for name := range strings.SplitSeq(names, ",") {
			sourced = append(sourced, strings.TrimPrefix(strings.TrimSpace(name), section))
		}
	}
	return sourced
}
