package oauth2flow

import (
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func TestAnswers(t *testing.T) {
	nested := &tokenvault.OAuth2{TokenPath: "authed_user"}
	plain := &tokenvault.OAuth2{}
	for name, c := range map[string]struct {
		p           *tokenvault.OAuth2
		kind, body  string
		token, code string
		scopes      string
		bad         bool
	}{
		"JSON":            {plain, "application/json", `{"access_token":"t","scope":"a b"}`, "t", "", "a b", false},
		"form":            {plain, "application/x-www-form-urlencoded", `access_token=t&scope=a%2Cb&token_type=bearer`, "t", "", "a b", false},
		"form error":      {plain, "application/x-www-form-urlencoded", `error=bad_verification_code`, "", "bad_verification_code", "", false},
		"nested":          {nested, "application/json", `{"ok":true,"authed_user":{"access_token":"u","scope":"x,y"}}`, "u", "", "x y", false},
		"nested, at root": {nested, "application/json", `{"ok":true,"access_token":"r"}`, "r", "", "", false},
		"ok false":        {nested, "application/json", `{"ok":false,"error":"invalid_code"}`, "", "invalid_code", "", false},
		"no token":        {plain, "application/json", `{}`, "", "", "", true},
		"MAC token":       {plain, "application/json", `{"access_token":"t","token_type":"mac"}`, "t", "", "", true},
		"line break":      {plain, "application/json", `{"access_token":"t\nX: 1"}`, "", "", "", true},
		"HTML":            {plain, "text/html", `<html>`, "", "", "", true},
		"list":            {plain, "application/json", `[]`, "", "", "", true},
		"empty":           {plain, "application/json", ``, "", "", "", true},
	} {
		ans := parseAnswer(c.p, response{status: 200, mediaType: c.kind, body: []byte(c.body)})
		if (ans.problem != nil) != c.bad || ans.code != c.code {
			t.Errorf("%s: problem = %v, code = %q", name, ans.problem, ans.code)
		}
		if !c.bad && (ans.accessToken.Reveal() != c.token || strings.Join(ans.scopes, " ") != c.scopes) {
			t.Errorf("%s: token or scopes %q are wrong", name, ans.scopes)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add("application/json", `{"access_token":"t","expires_in":3600,"scope":["a"]}`)
	f.Add("application/x-www-form-urlencoded", "access_token=t")
	f.Add("application/json", `{"error":{"message":"x"}}`)
	f.Add("", `{"access_token":"t","expires_in":"1e400"}`)
	f.Fuzz(func(t *testing.T, kind, body string) {
		ans := parseAnswer(&tokenvault.OAuth2{TokenPath: "a.b"}, response{status: 200, mediaType: kind, body: []byte(body)})
		if ans.problem == nil && ans.code == "" && (ans.accessToken.IsZero() || !carryable(ans.accessToken) || ans.expiresIn < 0 || ans.expiresIn > maxLifetime) {
			t.Errorf("accepted %q", body)
		}
	})
}

func FuzzOpenPrivate(f *testing.F) {
	f.Add(private{verifier: "v", nonce: "n"}.seal().Reveal())
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := openPrivate(tokenvault.NewSecret(text)); err == nil && p.verifier == "" {
			t.Error("accepted a record without a verifier")
		}
	})
}
