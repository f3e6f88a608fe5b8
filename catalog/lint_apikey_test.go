package catalog_test

import (
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
)

func TestLoadShippedKeys(t *testing.T) {
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for p := range cat.All() {
		if isKey := p.AuthMethod == tokenvault.AuthAPIKey; isKey != strings.HasSuffix(p.ID, "-apikey") {
			t.Errorf("%s: auth method %s: the ids of API-key providers, and no others, end in -apikey", p.ID, p.AuthMethod)
		} else if isKey {
			keys++
		}
	}
	if keys < 4 {
		t.Errorf("%d API-key providers ship", keys)
	}
}

// soundKey returns an API-key provider that Lint finds nothing in.
func soundKey() tokenvault.Provider {
	return tokenvault.Provider{
		ID: "acme-apikey", Name: "Acme", Service: "acme", AuthMethod: tokenvault.AuthAPIKey, UsageMode: tokenvault.UsageToken,
		Hosts: []string{"{place}.acme.example", "api.acme.example"}, Verified: "unverified",
		Sources: []tokenvault.Source{{Fact: "inject, apiKey.probe: read there", URL: "https://acme.example/docs"}},
		APIKey: &tokenvault.KeyAuth{
			Fields: []tokenvault.KeyField{
				{Name: "place", Label: "Place", HelpURL: "https://acme.example/help"},
				{Name: "name", Label: "Name", Pattern: `\w+`},
				{Name: "key", Label: "Key", Secret: true},
			},
			Inject: []tokenvault.Injection{
				{Username: "{name}/token", Password: "{key}"},
				{Header: "X-Api-Key", Value: "{key}"},
				{Query: "key", Value: "{key}"},
			},
			Probe: tokenvault.KeyProbe{
				URL: "https://{place}.acme.example/{name}/me", Headers: map[string]string{"Api-Version": "1"},
				RejectedStatus: []int{400}, AccountID: []string{"user.id"},
			},
		},
	}
}

func TestLintSoundKey(t *testing.T) {
	if problems := catalog.Lint(soundKey()); len(problems) > 0 {
		t.Errorf("Lint = %v, want no problem", problems)
	}
	local := soundKey()
	local.Hosts, local.Sources = []string{"{place}.localhost:8080"}, nil
	local.APIKey.Probe.URL = "http://{place}.localhost:8080/me"
	if problems := catalog.Lint(local); len(problems) > 0 {
		t.Errorf("Lint = %v, want no problem for a service on this machine", problems)
	}
}

func TestLintKeyProblems(t *testing.T) {
	type edit = func(p *tokenvault.Provider)
	field := func(f func(f []tokenvault.KeyField)) edit {
		return func(p *tokenvault.Provider) { f(p.APIKey.Fields) }
	}
	inject := func(in ...tokenvault.Injection) edit {
		return func(p *tokenvault.Provider) { p.APIKey.Inject = in }
	}
	probe := func(f func(probe *tokenvault.KeyProbe)) edit {
		return func(p *tokenvault.Provider) { f(&p.APIKey.Probe) }
	}
	host := func(text string) edit { return func(p *tokenvault.Provider) { p.Hosts[0] = text } }
	for name, tc := range map[string]struct {
		edit        edit
		field, want string
	}{
		"no section":             {func(p *tokenvault.Provider) { p.APIKey = nil }, "apiKey", "must be given"},
		"section beside oauth2":  {func(p *tokenvault.Provider) { p.AuthMethod, p.OAuth2 = tokenvault.AuthOAuth2, sound().OAuth2 }, "apiKey", "left out"},
		"no fields":              {func(p *tokenvault.Provider) { p.APIKey.Fields = nil }, "apiKey.fields", "1 to 10"},
		"no secret":              {field(func(f []tokenvault.KeyField) { f[2].Secret = false }), "apiKey.fields", "secret: true"},
		"odd name":               {field(func(f []tokenvault.KeyField) { f[1].Name = "Name canary" }), "apiKey.fields[1].name", "lower-case letter"},
		"name twice":             {field(func(f []tokenvault.KeyField) { f[1].Name = "place" }), "apiKey.fields[1].name", "twice"},
		"no label":               {field(func(f []tokenvault.KeyField) { f[0].Label = "" }), "apiKey.fields[0].label", "1 to 64"},
		"script as help":         {field(func(f []tokenvault.KeyField) { f[0].HelpURL = "javascript:canary()" }), "apiKey.fields[0].helpUrl", "https URL"},
		"help in lines":          {field(func(f []tokenvault.KeyField) { f[0].Help = "a\ncanary" }), "apiKey.fields[0].help", "one line"},
		"bad pattern":            {field(func(f []tokenvault.KeyField) { f[0].Pattern = "(canary" }), "apiKey.fields[0].pattern", "regular expression"},
		"no injection":           {inject(), "apiKey.inject", "where a credential goes"},
		"secret unused":          {inject(tokenvault.Injection{Header: "X-Key", Value: "{name}"}), "apiKey.fields[2]", "must be used"},
		"two places in one":      {inject(tokenvault.Injection{Header: "X-Key", Query: "key", Value: "{key}"}), "apiKey.inject[0]", "exactly one"},
		"no place":               {inject(tokenvault.Injection{Value: "{key}"}), "apiKey.inject[0]", "exactly one"},
		"one place twice":        {inject(tokenvault.Injection{Header: "authorization", Value: "{key}"}, tokenvault.Injection{Username: "{key}"}), "apiKey.inject[1]", "another one"},
		"unknown field":          {inject(tokenvault.Injection{Header: "X-Key", Value: "{canary}{key}"}), "apiKey.inject[0]", "in its braces"},
		"open brace":             {inject(tokenvault.Injection{Header: "X-Key", Value: "{key"}), "apiKey.inject[0]", "in its braces"},
		"no value":               {inject(tokenvault.Injection{Header: "X-Key"}), "apiKey.inject[0].value", "must be given"},
		"password alone":         {inject(tokenvault.Injection{Password: "{key}"}), "apiKey.inject[0].username", "must be given"},
		"header of the request":  {inject(tokenvault.Injection{Header: "Host", Value: "{key}"}), "apiKey.inject[0].header", "carries a credential"},
		"cookie":                 {inject(tokenvault.Injection{Header: "cookie", Value: "{key}"}), "apiKey.inject[0].header", "carries a credential"},
		"header in two lines":    {inject(tokenvault.Injection{Header: "X-Key", Value: "{key}\r\ncanary: x"}), "apiKey.inject[0].value", "printable ASCII"},
		"odd parameter":          {inject(tokenvault.Injection{Query: "a=canary&b", Value: "{key}"}), "apiKey.inject[0].query", "name of a parameter"},
		"odd method":             {probe(func(p *tokenvault.KeyProbe) { p.Method = "DELETE" }), "apiKey.probe.method", "GET, HEAD or POST"},
		"no URL":                 {probe(func(p *tokenvault.KeyProbe) { p.URL = "" }), "apiKey.probe.url", "missing"},
		"URL elsewhere":          {probe(func(p *tokenvault.KeyProbe) { p.URL = "https://canary.example/me" }), "apiKey.probe.url", "one of hosts"},
		"plain URL":              {probe(func(p *tokenvault.KeyProbe) { p.URL = "http://api.acme.example/me" }), "apiKey.probe.url", "https"},
		"URL with a secret":      {probe(func(p *tokenvault.KeyProbe) { p.URL = "https://api.acme.example/{key}" }), "apiKey.probe.url", "no secret"},
		"URL with a query":       {probe(func(p *tokenvault.KeyProbe) { p.URL = "https://api.acme.example/?q={name}" }), "apiKey.probe.url", "no query"},
		"field as host":          {probe(func(p *tokenvault.KeyProbe) { p.URL = "https://{name}/me" }), "apiKey.probe.url", "one of hosts"},
		"redirect is no success": {probe(func(p *tokenvault.KeyProbe) { p.Status = 302 }), "apiKey.probe.status", "200 to 299"},
		"limit as refusal":       {probe(func(p *tokenvault.KeyProbe) { p.RejectedStatus = []int{429} }), "apiKey.probe.rejectedStatus", "not 429"},
		"header in the probe":    {probe(func(p *tokenvault.KeyProbe) { p.Headers["Host"] = "canary" }), "apiKey.probe.headers.Host", "without a credential"},
		"odd path":               {probe(func(p *tokenvault.KeyProbe) { p.AccountID = []string{"a..b"} }), "apiKey.probe.accountId", "joined by dots"},
		"no source":              {func(p *tokenvault.Provider) { p.Sources[0].Fact = "inject: x" }, "apiKey.probe", "needs a source"},
		"host of a secret":       {host("{key}.acme.example"), "hosts[0]", "not secret"},
		"host of an unknown":     {host("{canary}.acme.example"), "hosts[0]", "not secret"},
		"host right below a TLD": {host("{place}.example"), "hosts[0]", "service's own"},
		"host that is a field":   {host("{place}"), "hosts[0]", "exact lower-case"},
		"field inside a label":   {host("a{place}.acme.example"), "hosts[0]", "exact lower-case"},
		"two fields in a host":   {host("{place}.{name}.acme.example"), "hosts[0]", "exact lower-case"},
	} {
		t.Run(name, func(t *testing.T) {
			p := soundKey()
			tc.edit(&p)
			expectProblem(t, catalog.Lint(p), tc.field, tc.want)
		})
	}
	p := sound()
	p.Hosts[0] = "{place}.acme.example"
	expectProblem(t, catalog.Lint(p), "hosts[0]", "not secret")
}
