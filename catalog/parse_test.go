package catalog_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
)

// canary stands for a secret that somebody pastes in a wrong place.
const canary = "s3cret-canary/value+that:is=long~enough"

func TestParseRefusals(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"empty":                {"", "f.yaml: the file must hold one provider, and is empty"},
		"comment only":         {"# nothing\n", "f.yaml: the file must hold one provider, and is empty"},
		"not YAML":             {"id: [" + canary, "f.yaml:1: the file must be valid YAML"},
		"unknown anchor":       {"id: *" + "canary", "f.yaml: the file must be valid YAML"},
		"bad tab":              {"id: a\n\tname: " + canary, "f.yaml:2: the file must be valid YAML"},
		"a list":               {"- " + canary, "f.yaml:1: the file must be"},
		"text":                 {canary, "f.yaml:1: the file must be"},
		"two documents":        {acme + "---\nid: other\n", "f.yaml:8: the file must hold one provider"},
		"broken second":        {acme + "---\n[" + canary, "the file must be valid YAML"},
		"too large":            {strings.Repeat("#", 1<<20+1), "f.yaml: the file must be at most 1 MiB"},
		"unknown key":          {acme + "logo: " + canary, "f.yaml:8: logo: is not a known key; known are apiKey, authMethod, description, "},
		"unknown nested key":   {acme + "  tokenUri: " + canary, "f.yaml:8: oauth2.tokenUri: is not a known key; known are accountId, "},
		"unknown source key":   {acme + "sources:\n  - link: " + canary, "f.yaml:9: sources[0].link: is not a known key; known are fact, url"},
		"a value as a key":     {acme + canary + ": x", "f.yaml:8: ?: is not a known key"},
		"key in wrong case":    {"ID: x", "f.yaml:1: ID: is not a known key"},
		"key given twice":      {acme + "name: " + canary, "f.yaml:8: name: must not be given twice"},
		"list for text":        {"id: [" + canary + "]", "f.yaml:1: id: must be text"},
		"nothing for text":     {"id:", "f.yaml:1: id: must be text"},
		"binary for text":      {"id: !!binary aGVsbG8=", "f.yaml:1: id: must be text"},
		"text for list":        {"hosts: " + canary, "f.yaml:1: hosts: must be a list"},
		"nothing for list":     {"hosts:", "f.yaml:1: hosts: must be a list"},
		"mapping in list":      {"hosts:\n  - a: " + canary, "f.yaml:2: hosts[0]: must be text"},
		"text for oauth2":      {"oauth2: " + canary, "f.yaml:1: oauth2: must be a mapping"},
		"text for map":         {"oauth2:\n  scopeImplies: " + canary, "f.yaml:2: oauth2.scopeImplies: must be a mapping"},
		"text for scopes":      {"oauth2:\n  scopeImplies:\n    repo: " + canary, "f.yaml:3: oauth2.scopeImplies.repo: must be a list"},
		"text for bool":        {"oauth2:\n  issRequired: " + canary, "f.yaml:2: oauth2.issRequired: must be true or false"},
		"word for bool":        {"oauth2:\n  issRequired: yes", "f.yaml:2: oauth2.issRequired: must be true or false"},
		"bare number duration": {"oauth2:\n  defaultLifetime: 12", `f.yaml:2: oauth2.defaultLifetime: must be a duration such as "12h"`},
		"bad duration":         {"oauth2:\n  defaultLifetime: " + canary, "f.yaml:2: oauth2.defaultLifetime: must be a duration"},
		"days in a duration":   {"oauth2:\n  defaultLifetime: 7d", "f.yaml:2: oauth2.defaultLifetime: must be a duration"},
		"text for number":      {"apiKey:\n  probe:\n    status: " + canary, "f.yaml:3: apiKey.probe.status: must be a number"},
		"huge number":          {"apiKey:\n  probe:\n    status: 99999999999999999999", "f.yaml:3: apiKey.probe.status: must be a number"},
		"anchor":               {"id: &a " + canary, "f.yaml:1: id: must not use YAML anchors or aliases"},
		"alias":                {"name: &a x\nid: *a", "f.yaml:2: id: must not use YAML anchors or aliases"},
		"merge key":            {"<<: {id: x}", "f.yaml:1: the file must have keys that are plain text"},
		"mapping as a key":     {"{a: b}: c", "f.yaml:1: the file must have keys that are plain text"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := catalog.Parse("f.yaml", []byte(tc.text))
			if !errors.Is(err, tokenvault.ErrInvalid) {
				t.Fatalf("Parse = %v, want ErrInvalid", err)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Parse = %v, want it to hold %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("Parse = %v, which quotes the file", err)
			}
		})
	}
}

func TestParseReportsAllProblems(t *testing.T) {
	_, err := catalog.Parse("f.yaml", []byte("idd: x\nhosts: y\noauth2:\n  tokenURL: z\n"))
	for _, want := range []string{"f.yaml:1: idd", "f.yaml:2: hosts", "f.yaml:4: oauth2.tokenURL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse = %v, want it to hold %q", err, want)
		}
	}
}

func TestParseValues(t *testing.T) {
	p, err := catalog.Parse("f.yaml", []byte(acme+`  defaultLifetime: 12h
  authorizationParams: {include_granted_scopes: true, max_age: 0}
  scopeImplies: {repo: ["repo:status"]}
  issRequired: true
usageMode: session
service: acme-suite
verified: docs
`))
	if err != nil {
		t.Fatal(err)
	}
	o := p.OAuth2
	if o.DefaultLifetime != 12*time.Hour || o.AuthorizationParams["include_granted_scopes"] != "true" ||
		o.AuthorizationParams["max_age"] != "0" || o.ScopeImplies["repo"][0] != "repo:status" || !o.IssRequired {
		t.Errorf("oauth2 = %+v, want the values of the file", o)
	}
	if p.UsageMode != tokenvault.UsageSession || p.Service != "acme-suite" || p.Verified != "docs" {
		t.Errorf("provider = %+v, want the values of the file rather than defaults", p)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(acme))
	f.Add([]byte("a: &a [*a, *a]\n---\n"))
	f.Add([]byte("oauth2:\n  scopeImplies: {? [x] : y}\n"))
	f.Add([]byte("id: !!int x\n? |\n  long\n: y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := catalog.Parse("f.yaml", data)
		if err != nil {
			if !errors.Is(err, tokenvault.ErrInvalid) {
				t.Errorf("Parse = %v, want ErrInvalid", err)
			}
			return
		}
		if len(catalog.Lint(p)) == 0 && !p.AllowsHost(p.Hosts[0]) {
			t.Errorf("%q passes Lint, and is refused as a host", p.Hosts[0])
		}
	})
}
