package catalog_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
)

const acme = `id: acme
name: Acme
authMethod: oauth2
hosts: [api.acme.example]
oauth2:
  authorizationUrl: https://acme.example/authorize
  tokenUrl: https://acme.example/token
`

func TestLoadShipped(t *testing.T) {
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for p := range cat.All() {
		if p.AuthMethod == tokenvault.AuthOAuth2 {
			ids = append(ids, p.ID)
		}
		if problems := catalog.Lint(p); len(problems) > 0 {
			t.Errorf("Lint(%s) = %v, want no problem", p.ID, problems)
		}
		if o := p.OAuth2; p.Description == "" || o != nil && (len(o.Setup) < 3 || o.ConsoleURL == "" || len(o.AccountID) == 0) {
			t.Errorf("%s lacks a description, set-up steps, the console's address or an account id", p.ID)
		}
		if len(p.Sources) == 0 {
			t.Errorf("%s cites no source", p.ID)
		}
		if p.Verified == "unverified" && !strings.Contains(strings.ToLower(facts(p)), " not read") {
			t.Errorf("%s is unverified, and no fact says what was not read", p.ID)
		}
	}
	if len(ids) < 25 {
		t.Errorf("%d providers ship: %v", len(ids), ids)
	}
}

func facts(p tokenvault.Provider) string {
	var all strings.Builder
	for _, s := range p.Sources {
		all.WriteString(s.Fact + "\n")
	}
	return all.String()
}

// What a setting of a shipped provider is for stands beside it in the provider's
// sources: each of these has one.
func TestShippedSettingsAreSourced(t *testing.T) {
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	for p := range cat.All() {
		if p.OAuth2 == nil {
			continue
		}
		for name, set := range map[string]bool{
			"authorizationUrl": true, "tokenUrl": true, "clientAuth": true, "accountId": true,
			"revocationUrl": p.OAuth2.RevocationURL != "", "userInfoUrl": p.OAuth2.UserInfoURL != "",
		} {
			if set && !strings.Contains(facts(p), name) {
				t.Errorf("%s: no source for %s", p.ID, name)
			}
		}
	}
}

func TestShippedQuirks(t *testing.T) {
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	get := func(id string) tokenvault.Provider {
		t.Helper()
		p, err := cat.Provider(id)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if _, ok := get("github").CoversScopes([]string{"repo", "user"}, []string{"public_repo", "user:email"}); !ok {
		t.Error("github: repo and user do not cover public_repo and user:email")
	}
	if _, ok := get("github").CoversScopes([]string{"public_repo"}, []string{"repo"}); ok {
		t.Error("github: public_repo covers repo")
	}
	if got := get("github").OAuth2.RevocationURL; got != "" {
		t.Errorf("github: revocation endpoint %q, want none: GitHub's is not RFC 7009", got)
	}
	google := get("google").OAuth2
	if google.AuthorizationParams["access_type"] != "offline" || google.AuthorizationParams["prompt"] != "consent" {
		t.Errorf("google: parameters %v would bring no refresh token", google.AuthorizationParams)
	}
	slack := get("slack").OAuth2
	if slack.ScopeParam != "user_scope" || slack.ScopeSeparator != "," || slack.TokenPath != "authed_user" {
		t.Errorf("slack: %q %q %q ask for something else than a user token", slack.ScopeParam, slack.ScopeSeparator, slack.TokenPath)
	}
	if got := get("figma").OAuth2.RefreshEndpoint(); got != "https://api.figma.com/v1/oauth/refresh" {
		t.Errorf("figma: refreshes at %s", got)
	}
	if notion := get("notion").OAuth2; notion.RequestFormat != tokenvault.RequestJSON || notion.AuthorizationParams["owner"] != "user" {
		t.Errorf("notion: %q, %v", notion.RequestFormat, notion.AuthorizationParams)
	}
	if linear := get("linear").OAuth2; linear.ScopeSeparator != "," || linear.UserInfoBody == "" {
		t.Errorf("linear: separator %q, asks for the account with %q", linear.ScopeSeparator, linear.UserInfoBody)
	}
	if _, ok := get("microsoft").CoversScopes([]string{"https://graph.microsoft.com/Mail.Read"}, []string{"Mail.Read"}); !ok {
		t.Error("microsoft: the long name of a permission does not cover the short one")
	}
	if !slices.Contains(get("atlassian").OAuth2.AlwaysScopes, "offline_access") {
		t.Error("atlassian: without offline_access there is no refresh token")
	}
}

func TestLoadAddsFiles(t *testing.T) {
	cat, err := catalog.Load(write(t, "acme.yaml", acme))
	if err != nil {
		t.Fatal(err)
	}
	p, err := cat.Provider("acme")
	if err != nil {
		t.Fatal(err)
	}
	want := tokenvault.Provider{
		ID: "acme", Name: "Acme", Service: "acme", AuthMethod: tokenvault.AuthOAuth2, UsageMode: tokenvault.UsageToken,
		Hosts:    []string{"api.acme.example"},
		OAuth2:   &tokenvault.OAuth2{AuthorizationURL: "https://acme.example/authorize", TokenURL: "https://acme.example/token"},
		Verified: "unverified",
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("acme (-want +got):\n%s", diff)
	}
}

func TestLoadRefusesShadowing(t *testing.T) {
	shadow := write(t, "mine.yaml", strings.Replace(acme, "id: acme", "id: github", 1))
	first, second := write(t, "one.yaml", acme), write(t, "two.yaml", acme)
	for name, tc := range map[string]struct {
		files []string
		want  string
	}{
		"of what ships":   {[]string{shadow}, "mine.yaml:1: id: another provider with this id ships with tokenvault"},
		"of another file": {[]string{first, second}, "two.yaml:1: id: another provider with this id is in " + first},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := catalog.Load(tc.files...)
			if !errors.Is(err, tokenvault.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Load = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestLoadJoinsTheProblemsOfAllFiles(t *testing.T) {
	_, err := catalog.Load(
		filepath.Join(t.TempDir(), "absent.yaml"),
		write(t, "bad-host.yaml", strings.Replace(acme, "[api.acme.example]", "[API.acme.example]", 1)),
		write(t, "bad-key.yaml", acme+"icon: x\n"),
	)
	if err == nil {
		t.Fatal("Load succeeded")
	}
	for _, want := range []string{"absent.yaml cannot be read", "bad-host.yaml:4: hosts[0]: ", "bad-key.yaml:8: icon: is not a known key"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Load = %v, want it to hold %q", err, want)
		}
	}
	if field, ok := errors.AsType[*tokenvault.FieldError](err); !ok || field.Field != "hosts[0]" {
		t.Errorf("the first field error is %v, want hosts[0]", field)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
