package catalog_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
)

// sound returns a provider that Lint finds nothing in.
func sound() tokenvault.Provider {
	return tokenvault.Provider{
		ID: "acme", Name: "Acme", Service: "acme", AuthMethod: tokenvault.AuthOAuth2, UsageMode: tokenvault.UsageToken,
		Hosts: []string{"api.acme.example", "10.1.2.3:8443", "[::1]:8080", "localhost"}, Verified: "unverified",
		Sources: []tokenvault.Source{{
			Fact: "authorizationParams, oauth2.rejectedCodes,scopeImplies: read there",
			URL:  "https://acme.example/docs",
		}},
		OAuth2: &tokenvault.OAuth2{
			Issuer: "https://acme.example", AuthorizationURL: "https://acme.example/authorize?tenant=x", TokenURL: "http://idp.localhost:8080/token",
			RevocationURL: "http://127.0.0.1/revoke", JWKSURL: "http://[::1]/jwks", UserInfoURL: "https://acme.example/me",
			AuthorizationParams: map[string]string{"prompt": "consent"}, RejectedCodes: []string{"dead"},
			ScopeImplies: map[string][]string{"all": {"write", "read"}, "write": {"read"}},
			AccountID:    []string{"team.id"},
		},
	}
}

func TestLintSound(t *testing.T) {
	if problems := catalog.Lint(sound()); len(problems) > 0 {
		t.Errorf("Lint = %v, want no problem", problems)
	}
}

func TestLintProblems(t *testing.T) {
	type edit = func(p *tokenvault.Provider)
	oauth := func(f func(o *tokenvault.OAuth2)) edit { return func(p *tokenvault.Provider) { f(p.OAuth2) } }
	for name, tc := range map[string]struct {
		edit        edit
		field, want string
	}{
		"no id":                {func(p *tokenvault.Provider) { p.ID = "" }, "id", "lower-case letters"},
		"id with capital":      {func(p *tokenvault.Provider) { p.ID = "Acme-canary" }, "id", "lower-case letters"},
		"bad service":          {func(p *tokenvault.Provider) { p.Service = "canary service" }, "service", "lower-case letters"},
		"no name":              {func(p *tokenvault.Provider) { p.Name = "" }, "name", "1 to 64"},
		"name with newline":    {func(p *tokenvault.Provider) { p.Name = "a\ncanary" }, "name", "printable"},
		"name turns direction": {func(p *tokenvault.Provider) { p.Name = "a\u202ecanary" }, "name", "printable"},
		"long description":     {func(p *tokenvault.Provider) { p.Description = strings.Repeat("canary", 60) }, "description", "at most 300"},
		"script icon":          {func(p *tokenvault.Provider) { p.IconURL = "javascript:canary" }, "iconUrl", "absolute https URL"},
		"no auth method":       {func(p *tokenvault.Provider) { p.AuthMethod = "" }, "authMethod", "oauth2, browser_login or api_key"},
		"odd usage mode":       {func(p *tokenvault.Provider) { p.UsageMode = "canary" }, "usageMode", "token or session"},
		"oauth2 missing":       {func(p *tokenvault.Provider) { p.OAuth2 = nil }, "oauth2", "must be given"},
		"oauth2 unexpected":    {func(p *tokenvault.Provider) { p.AuthMethod = tokenvault.AuthAPIKey }, "oauth2", "left out"},
		"no hosts":             {func(p *tokenvault.Provider) { p.Hosts = nil }, "hosts", "at least one host"},
		"odd verified":         {func(p *tokenvault.Provider) { p.Verified = "canary" }, "verified", "docs or unverified"},
		"docs without sources": {func(p *tokenvault.Provider) { p.Verified, p.Sources = "docs", nil }, "sources", "not be empty"},
		"docs, not all read": {
			func(p *tokenvault.Provider) {
				p.Verified, p.Sources[0].Fact = "docs", p.Sources[0].Fact+" canary. Not read."
			}, "verified", "not read",
		},
		"source without fact":  {func(p *tokenvault.Provider) { p.Sources[0].Fact = " " }, "sources[0].fact", "what was read"},
		"source without page":  {func(p *tokenvault.Provider) { p.Sources[0].URL = "" }, "sources[0].url", "missing"},
		"quirk without source": {func(p *tokenvault.Provider) { p.OAuth2.TokenPath = "canary" }, "oauth2.tokenPath", `starts with "tokenPath:"`},
		"quirk, source for all but one": {
			func(p *tokenvault.Provider) { p.Sources[0].Fact = "authorizationParams, scopeImplies: x" }, "oauth2.rejectedCodes", "needs a source",
		},
		"no authorization endpoint": {oauth(func(o *tokenvault.OAuth2) { o.AuthorizationURL = "" }), "oauth2.authorizationUrl", "missing"},
		"no token endpoint":         {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "" }), "oauth2.tokenUrl", "missing"},
		"plain http":                {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "http://canary.example/t" }), "oauth2.tokenUrl", "loopback"},
		"http to a lookalike":       {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "http://localhost.canary.example" }), "oauth2.tokenUrl", "loopback"},
		"http to a private address": {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "http://10.0.0.1/canary" }), "oauth2.tokenUrl", "loopback"},
		"file scheme":               {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "file:///canary" }), "oauth2.tokenUrl", "https://"},
		"no scheme":                 {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "canary.example/token" }), "oauth2.tokenUrl", "https://"},
		"no host":                   {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "https:///canary" }), "oauth2.tokenUrl", "name a host"},
		"wildcard host":             {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "https://*.canary.example/" }), "oauth2.tokenUrl", "wildcards"},
		"userinfo":                  {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "https://me:canary@a.example/" }), "oauth2.tokenUrl", "user name"},
		"fragment":                  {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "https://a.example/#canary" }), "oauth2.tokenUrl", "fragment"},
		"empty fragment":            {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "https://a.example/#" }), "oauth2.tokenUrl", "fragment"},
		"not a URL":                 {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "https://a.example:canary/" }), "oauth2.tokenUrl", "absolute https URL"},
		"space in URL":              {oauth(func(o *tokenvault.OAuth2) { o.TokenURL = "https://a.example/ canary" }), "oauth2.tokenUrl", "absolute https URL"},
		"bad revocation URL":        {oauth(func(o *tokenvault.OAuth2) { o.RevocationURL = "ftp://canary" }), "oauth2.revocationUrl", "https://"},
		"bad device URL":            {oauth(func(o *tokenvault.OAuth2) { o.DeviceAuthorizationURL = "http://canary.example/" }), "oauth2.deviceAuthorizationUrl", "https://"},
		"device URL without source": {oauth(func(o *tokenvault.OAuth2) { o.DeviceAuthorizationURL = "https://canary.example/" }), "oauth2.deviceAuthorizationUrl", "needs a source"},
		"bad user info URL":         {oauth(func(o *tokenvault.OAuth2) { o.UserInfoURL = "//canary" }), "oauth2.userInfoUrl", "https://"},
		"bad console URL":           {oauth(func(o *tokenvault.OAuth2) { o.ConsoleURL = "javascript:canary()" }), "oauth2.consoleUrl", "https URL"},
		"issuer with query":         {oauth(func(o *tokenvault.OAuth2) { o.Issuer = "https://a.example/?canary" }), "oauth2.issuer", "no query"},
		"iss without issuer":        {oauth(func(o *tokenvault.OAuth2) { o.Issuer, o.JWKSURL, o.IssRequired = "", "", true }), "oauth2.issuer", "issRequired"},
		"keys without issuer":       {oauth(func(o *tokenvault.OAuth2) { o.Issuer = "" }), "oauth2.issuer", "jwksUrl"},
		"bad refresh endpoint":      {oauth(func(o *tokenvault.OAuth2) { o.RefreshURL = "http://canary.example/r" }), "oauth2.refreshUrl", "loopback"},
		"refresh without source":    {oauth(func(o *tokenvault.OAuth2) { o.RefreshURL = "https://a.example/r" }), "oauth2.refreshUrl", `starts with "refreshUrl:"`},
		"body that is no JSON":      {oauth(func(o *tokenvault.OAuth2) { o.UserInfoBody = "canary" }), "oauth2.userInfoBody", "must be JSON"},
		"body without an endpoint":  {oauth(func(o *tokenvault.OAuth2) { o.UserInfoURL, o.UserInfoBody = "", "{}" }), "oauth2.userInfoUrl", "userInfoBody"},
		"odd request format":        {oauth(func(o *tokenvault.OAuth2) { o.RequestFormat = "canary" }), "oauth2.requestFormat", "form or json"},
		"JSON without source":       {oauth(func(o *tokenvault.OAuth2) { o.RequestFormat = "json" }), "oauth2.requestFormat", "needs a source"},
		"odd client auth":           {oauth(func(o *tokenvault.OAuth2) { o.ClientAuth = "canary" }), "oauth2.clientAuth", "client_secret_basic"},
		"scope with comma":          {oauth(func(o *tokenvault.OAuth2) { o.DefaultScopes = []string{"a,canary"} }), "oauth2.defaultScopes", "without space, comma"},
		"empty scope":               {oauth(func(o *tokenvault.OAuth2) { o.AlwaysScopes = []string{""} }), "oauth2.alwaysScopes", "without space, comma"},
		"state as scope parameter":  {oauth(func(o *tokenvault.OAuth2) { o.ScopeParam = "State" }), "oauth2.scopeParam", "does not set itself"},
		"odd scope parameter":       {oauth(func(o *tokenvault.OAuth2) { o.ScopeParam = "a&canary" }), "oauth2.scopeParam", "name of a parameter"},
		"odd separator":             {oauth(func(o *tokenvault.OAuth2) { o.ScopeSeparator = "&canary=" }), "oauth2.scopeSeparator", "one space or one comma"},
		"implies nothing":           {oauth(func(o *tokenvault.OAuth2) { o.ScopeImplies["x"] = nil }), "oauth2.scopeImplies", "must map"},
		"implications not closed":   {oauth(func(o *tokenvault.OAuth2) { o.ScopeImplies["x"] = []string{"all"} }), "oauth2.scopeImplies", "in turn"},
		"bad token path":            {oauth(func(o *tokenvault.OAuth2) { o.TokenPath = "a..canary" }), "oauth2.tokenPath", "joined by dots"},
		"bad account id":            {oauth(func(o *tokenvault.OAuth2) { o.AccountID = []string{""} }), "oauth2.accountId", "joined by dots"},
		"negative lifetime":         {oauth(func(o *tokenvault.OAuth2) { o.DefaultLifetime = -time.Hour }), "oauth2.defaultLifetime", `"1m"`},
		"idle in nanoseconds":       {oauth(func(o *tokenvault.OAuth2) { o.RefreshIdle = 90 }), "oauth2.refreshIdle", `"1h"`},
		"lifetime in nanoseconds":   {oauth(func(o *tokenvault.OAuth2) { o.DefaultLifetime = 3600 }), "oauth2.defaultLifetime", `"1m"`},
		"bad error code":            {oauth(func(o *tokenvault.OAuth2) { o.RejectedCodes = []string{"a canary"} }), "oauth2.rejectedCodes[0]", "error code"},
		"empty step":                {oauth(func(o *tokenvault.OAuth2) { o.Setup = []string{""} }), "oauth2.setup[0]", "1 to 500"},
		"state in the endpoint": {
			oauth(func(o *tokenvault.OAuth2) { o.AuthorizationURL = "https://a.example/?state=canary" }),
			"oauth2.authorizationUrl", "must not carry state",
		},
		"parameter with odd name": {
			oauth(func(o *tokenvault.OAuth2) { o.AuthorizationParams["a=canary b"] = "x" }), "oauth2.authorizationParams.?", "letters, digits",
		},
		"own scope parameter": {
			oauth(func(o *tokenvault.OAuth2) { o.ScopeParam = "user_scope"; o.AuthorizationParams["user_scope"] = "x" }),
			"oauth2.authorizationParams.user_scope", "the vault sets it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := sound()
			tc.edit(&p)
			expectProblem(t, catalog.Lint(p), tc.field, tc.want)
		})
	}
}

func TestLintGrant(t *testing.T) {
	machine := func() tokenvault.Provider {
		p := sound()
		p.OAuth2 = &tokenvault.OAuth2{Grant: tokenvault.GrantClientCredentials, TokenURL: "https://acme.example/token"}
		p.Sources[0].Fact = "grant: read there"
		return p
	}
	if problems := catalog.Lint(machine()); len(problems) > 0 {
		t.Errorf("Lint = %v, want no problem", problems)
	}
	for field, edit := range map[string]func(o *tokenvault.OAuth2){
		"oauth2.grant":                  func(o *tokenvault.OAuth2) { o.Grant = "password" },
		"oauth2.tokenUrl":               func(o *tokenvault.OAuth2) { o.TokenURL = "" },
		"oauth2.authorizationUrl":       func(o *tokenvault.OAuth2) { o.AuthorizationURL = "https://acme.example/authorize" },
		"oauth2.pushedAuthorizationUrl": func(o *tokenvault.OAuth2) { o.PushedAuthorizationURL = "https://acme.example/par" },
		"oauth2.authorizationParams":    func(o *tokenvault.OAuth2) { o.AuthorizationParams = map[string]string{"prompt": "x"} },
		"oauth2.deviceAuthorizationUrl": func(o *tokenvault.OAuth2) { o.DeviceAuthorizationURL = "https://acme.example/device" },
		"oauth2.refreshUrl":             func(o *tokenvault.OAuth2) { o.RefreshURL = "https://acme.example/refresh" },
		"oauth2.userInfoUrl":            func(o *tokenvault.OAuth2) { o.UserInfoURL = "https://acme.example/me" },
		"oauth2.clientAuth":             func(o *tokenvault.OAuth2) { o.ClientAuth = tokenvault.ClientAuthNone },
	} {
		p := machine()
		edit(p.OAuth2)
		expectProblem(t, catalog.Lint(p), field, "must")
	}
	unsourced := machine()
	unsourced.Sources[0].Fact = "tokenUrl: read there"
	expectProblem(t, catalog.Lint(unsourced), "oauth2.grant", "needs a source")
}

func TestLintReservedParameters(t *testing.T) {
	for _, param := range []string{
		"state", "State", "redirect_uri", "response_type", "response_mode", "code_challenge", "code_challenge_method",
		"client_id", "client_secret", "nonce", "scope", "request", "request_uri",
	} {
		t.Run(param, func(t *testing.T) {
			p := sound()
			p.OAuth2.AuthorizationParams[param] = "canary"
			expectProblem(t, catalog.Lint(p), "oauth2.authorizationParams."+param, "the vault sets it for each attempt")
		})
	}
}

func TestLintHosts(t *testing.T) {
	for _, host := range []string{
		"", "API.acme.example", "https://acme.example", "acme.example/v1", "*.acme.example", "acme.example:", "acme.example:0",
		"acme.example:0443", "acme.example:99999", "acme.example:https", ".acme.example", "acme.example.", "acme..example",
		"-acme.example", "acme example", "user@acme.example", "::1", "[::1", "[1.2.3.4]", "[0:0::1]", "[fe80::1%25eth0]", "ACME.example:443",
		"bücher.example", "acme.example?x", "acme.example#x",
	} {
		t.Run(host, func(t *testing.T) {
			p := sound()
			p.Hosts = []string{"a.example", host}
			expectProblem(t, catalog.Lint(p), "hosts[1]", "exact lower-case host name")
		})
	}
}

func TestLintLocalProvidersNeedNoSources(t *testing.T) {
	p := sound()
	p.Sources, p.OAuth2.AuthorizationURL = nil, "http://127.0.0.1:4400/auth"
	if problems := catalog.Lint(p); len(problems) > 0 {
		t.Errorf("Lint = %v, want no problem for a provider on this machine", problems)
	}
}

// expectProblem fails unless problems has one of the field with want in its text,
// and none quotes a value.
func expectProblem(t *testing.T, problems []catalog.Problem, field, want string) {
	t.Helper()
	found := false
	for _, p := range problems {
		found = found || p.Field == field && strings.Contains(p.Text, want)
		if strings.Contains(p.Field+p.Text, "canary") {
			t.Errorf("problem %v quotes a value", p)
		}
	}
	if !found {
		t.Errorf("Lint = %v, want %s: … %s …", problems, field, want)
	}
}
