package catalog_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
)

// soundLogin returns a browser-login provider that Lint finds nothing in.
func soundLogin() tokenvault.Provider {
	return tokenvault.Provider{
		ID: "acme-browser", Name: "Acme", Service: "acme", AuthMethod: tokenvault.AuthBrowserLogin, UsageMode: tokenvault.UsageSession,
		Hosts: []string{"www.acme.example.com"}, Verified: "unverified",
		Sources: []tokenvault.Source{{Fact: "url, login.signs, unless, probe, lifetime: read there", URL: "https://acme.example/docs"}},
		Login: &tokenvault.Login{
			URL: "https://id.acme.test/login?app=1", Domains: []string{"acme.example.com", "acme.co.uk"}, VisitDomains: []string{"acme.test"},
			Signs: []tokenvault.LoginSign{
				{Strategy: tokenvault.SignURLPattern, Pattern: `https://www\.acme\.example\.com/(home|feed)`},
				{Strategy: tokenvault.SignResponse, Pattern: `https://api\.acme\.co\.uk/session`, Method: "POST"},
				{Strategy: tokenvault.SignCookie, Pattern: "sid"},
				{Strategy: tokenvault.SignReturn},
				{Strategy: tokenvault.SignProbe},
			},
			Unless: []string{`https://www\.acme\.example\.com/2fa.*`}, Settle: time.Second, CheckEvery: time.Hour, Lifetime: 24 * time.Hour,
			LandingURL: "https://www.acme.example.com/home",
			Probe: &tokenvault.LoginProbe{
				URL: "https://www.acme.example.com/me", Status: 200, Pattern: "sign out", AccountID: []string{"user.id"}, AccountLabelPattern: `"name":"([^"]+)"`,
			},
		},
	}
}

func TestLintSoundLogin(t *testing.T) {
	if problems := catalog.Lint(soundLogin()); len(problems) > 0 {
		t.Errorf("Lint = %v, want no problem", problems)
	}
	local := soundLogin()
	local.Hosts, local.Sources = []string{"127.0.0.1:8080"}, nil
	local.Login = &tokenvault.Login{
		URL: "http://bank.localhost:8080/login", Domains: []string{"127.0.0.1:8080", "bank.localhost:8080", "[::1]:8080"},
		Signs: []tokenvault.LoginSign{{Strategy: tokenvault.SignCookie, Pattern: "sid"}},
	}
	if problems := catalog.Lint(local); len(problems) > 0 {
		t.Errorf("Lint = %v, want no problem for a service on this machine", problems)
	}
	refusing := soundLogin()
	refusing.Login.Signs, refusing.Login.Unless, refusing.Login.Refuses = nil, nil, "Use OAuth."
	refusing.Sources[0].Fact = "url, probe, lifetime, refuses: read there"
	if problems := catalog.Lint(refusing); len(problems) > 0 {
		t.Errorf("Lint = %v, want no problem for a service that refuses browsers", problems)
	}
}

func TestLintLoginProblems(t *testing.T) {
	type edit = func(p *tokenvault.Provider)
	login := func(f func(l *tokenvault.Login)) edit { return func(p *tokenvault.Provider) { f(p.Login) } }
	domain := func(text string) edit {
		return login(func(l *tokenvault.Login) { l.Domains = append(l.Domains, text) })
	}
	signs := func(s ...tokenvault.LoginSign) edit { return login(func(l *tokenvault.Login) { l.Signs = s }) }
	const form = "service itself"
	for name, tc := range map[string]struct {
		edit        edit
		field, want string
	}{
		"no section":              {func(p *tokenvault.Provider) { p.Login = nil }, "login", "must be given"},
		"section beside oauth2":   {func(p *tokenvault.Provider) { p.AuthMethod, p.OAuth2 = tokenvault.AuthOAuth2, sound().OAuth2 }, "login", "left out"},
		"session without browser": {func(p *tokenvault.Provider) { *p = sound(); p.UsageMode = tokenvault.UsageSession }, "usageMode", "must be token"},
		"host elsewhere":          {func(p *tokenvault.Provider) { p.Hosts = append(p.Hosts, "canary.example") }, "hosts[1]", "login.domains"},
		"no URL":                  {login(func(l *tokenvault.Login) { l.URL = "" }), "login.url", "missing"},
		"URL elsewhere":           {login(func(l *tokenvault.Login) { l.URL = "https://canary.example/" }), "login.url", "visitDomains"},
		"plain URL":               {login(func(l *tokenvault.Login) { l.URL = "http://acme.test/canary" }), "login.url", "https://"},
		"look-alike URL":          {login(func(l *tokenvault.Login) { l.URL = "https://canaryacme.test/" }), "login.url", "visitDomains"},
		"landing at the provider": {login(func(l *tokenvault.Login) { l.LandingURL = "https://acme.test/canary" }), "login.landingUrl", "login.domains"},
		"probe elsewhere":         {login(func(l *tokenvault.Login) { l.Probe.URL = "https://acme.test/canary" }), "login.probe.url", "login.domains"},
		"no domains":              {login(func(l *tokenvault.Login) { l.Domains = nil }), "login.domains", "at least one"},
		"public suffix":           {domain("co.uk"), "login.domains[2]", form},
		"suffix of a host":        {domain("github.io"), "login.domains[2]", form},
		"top-level domain":        {domain("canary"), "login.domains[2]", form},
		"wildcard":                {domain("*.canary.example"), "login.domains[2]", form},
		"scheme":                  {domain("https://canary.example"), "login.domains[2]", form},
		"capital letters":         {domain("Canary.example"), "login.domains[2]", form},
		"public host with port":   {domain("canary.example:8443"), "login.domains[2]", form},
		"loopback without port":   {domain("canary.localhost"), "login.domains[2]", form},
		"address":                 {domain("10.0.0.1"), "login.domains[2]", form},
		"odd visit domain":        {login(func(l *tokenvault.Login) { l.VisitDomains[0] = "com" }), "login.visitDomains[0]", form},
		"no signs":                {signs(), "login.signs", "1 to 8"},
		"too many signs":          {signs(slices.Repeat([]tokenvault.LoginSign{{Strategy: tokenvault.SignReturn}}, 9)...), "login.signs", "1 to 8"},
		"odd strategy":            {signs(tokenvault.LoginSign{Strategy: "canary"}), "login.signs[0].strategy", "url_pattern"},
		"no pattern":              {signs(tokenvault.LoginSign{Strategy: tokenvault.SignCookie}), "login.signs[0].pattern", "must be given"},
		"pattern of a return":     {signs(tokenvault.LoginSign{Strategy: tokenvault.SignReturn, Pattern: "canary"}), "login.signs[0].pattern", "no other"},
		"bad pattern":             {signs(tokenvault.LoginSign{Strategy: tokenvault.SignCookie, Pattern: "(canary"}), "login.signs[0].pattern", "RE2"},
		"group escapes":           {signs(tokenvault.LoginSign{Strategy: tokenvault.SignCookie, Pattern: "canary)|(?:x"}), "login.signs[0].pattern", "RE2"},
		"look-ahead":              {signs(tokenvault.LoginSign{Strategy: tokenvault.SignURLPattern, Pattern: "https://(?!canary).*"}), "login.signs[0].pattern", "RE2"},
		"method of a cookie":      {signs(tokenvault.LoginSign{Strategy: tokenvault.SignCookie, Pattern: "x", Method: "GET"}), "login.signs[0].method", "response_intercept only"},
		"odd method":              {signs(tokenvault.LoginSign{Strategy: tokenvault.SignResponse, Pattern: "x", Method: "CANARY"}), "login.signs[0].method", "GET, POST"},
		"probe that is not there": {login(func(l *tokenvault.Login) { l.Probe = nil }), "login.probe", "strategy probe"},
		"done before it began":    {signs(tokenvault.LoginSign{Strategy: tokenvault.SignURLPattern, Pattern: "https://id.acme.test/.*"}), "login.signs", "before it began"},
		"bad unless":              {login(func(l *tokenvault.Login) { l.Unless[0] = "[canary" }), "login.unless[0]", "RE2"},
		"empty unless":            {login(func(l *tokenvault.Login) { l.Unless[0] = "" }), "login.unless[0]", "empty"},
		"never done":              {login(func(l *tokenvault.Login) { l.Unless[0] = ".*" }), "login.unless[0]", "landingUrl"},
		"settles for ever":        {login(func(l *tokenvault.Login) { l.Settle = time.Hour }), "login.settle", "30s"},
		"checks all the time":     {login(func(l *tokenvault.Login) { l.CheckEvery = time.Second }), "login.checkEvery", "5m"},
		"lasts no time":           {login(func(l *tokenvault.Login) { l.Lifetime = 1 }), "login.lifetime", "5m"},
		"odd status":              {login(func(l *tokenvault.Login) { l.Probe.Status = 404 }), "login.probe.status", "200 to 399"},
		"bad probe pattern":       {login(func(l *tokenvault.Login) { l.Probe.Pattern = "(canary" }), "login.probe.pattern", "RE2"},
		"pattern without a group": {login(func(l *tokenvault.Login) { l.Probe.AccountLabelPattern = "canary" }), "login.probe.accountLabelPattern", "one group"},
		"two ways to the id":      {login(func(l *tokenvault.Login) { l.Probe.AccountIDPattern = "(canary)" }), "login.probe.accountIdPattern", "left out"},
		"odd path":                {login(func(l *tokenvault.Login) { l.Probe.AccountID[0] = "a..b" }), "login.probe.accountId", "joined by dots"},
		"long refusal":            {login(func(l *tokenvault.Login) { l.Refuses = strings.Repeat("canary", 60) }), "login.refuses", "at most 300"},
		"refusal without source":  {login(func(l *tokenvault.Login) { l.Refuses = "canary" }), "login.refuses", "needs a source"},
		"signs without source":    {func(p *tokenvault.Provider) { p.Sources[0].Fact = "url, unless, probe, lifetime: x" }, "login.signs", "needs a source"},
	} {
		t.Run(name, func(t *testing.T) {
			p := soundLogin()
			tc.edit(&p)
			expectProblem(t, catalog.Lint(p), tc.field, tc.want)
		})
	}
}

func TestLoadShippedLogins(t *testing.T) {
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	logins := 0
	for p := range cat.All() {
		if (p.AuthMethod == tokenvault.AuthBrowserLogin) != strings.HasSuffix(p.ID, "-browser") {
			t.Errorf("%s: auth method %s: the ids of browser logins, and no others, end in -browser", p.ID, p.AuthMethod)
		}
		if p.Login != nil && p.Login.Refuses == "" {
			logins++
			if p.Login.Probe == nil || len(p.Login.Unless) == 0 {
				t.Errorf("%s: no probe, or nothing keeps the second factor from counting as signed in", p.ID)
			}
		}
	}
	if google, err := cat.Provider("google-browser"); err != nil || !strings.Contains(google.Login.Refuses, "OAuth") || logins < 6 {
		t.Errorf("%d browser logins ship; google-browser: %v, %+v", logins, err, google.Login)
	}
}

// A login at GitHub is not done at the pages of its second factor, whatever cookies
// are there by then.
func TestGitHubsSecondFactorIsNoLogin(t *testing.T) {
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	github, err := cat.Provider("github-browser")
	if err != nil {
		t.Fatal(err)
	}
	held := func(url string) bool {
		return slices.ContainsFunc(github.Login.Unless, func(pattern string) bool {
			re, err := tokenvault.WholePattern(pattern)
			return err != nil || re.MatchString(url)
		})
	}
	for _, page := range []string{
		"login", "login?return_to=%2Fx", "session", "sessions/two-factor", "sessions/two-factor/app", "sessions/two-factor/webauthn",
		"sessions/two-factor/recovery?x", "sessions/verified-device", "sessions/verified-device?x", "login/oauth/authorize", "sessions/social/google/initiate",
	} {
		if !held("https://github.com/" + page) {
			t.Errorf("/%s counts as signed in", page)
		}
	}
	for _, page := range []string{"", "dashboard", "loginsmith", "settings/sessions", "octocat/login"} {
		if held("https://github.com/" + page) {
			t.Errorf("/%s never counts as signed in", page)
		}
	}
}
