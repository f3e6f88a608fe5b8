package catalog

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// reserved are the authorization parameters that the vault sets itself, or that
// would replace the ones it sets (RFC 6749 §4.1.1, RFC 7636 §4.3, OpenID Connect
// Core §3.1.2.1, RFC 9101 §5), and the secret, which must never be in a URL.
func reserved(param string) bool {
	return slices.Contains([]string{
		"client_id", "client_secret", "code_challenge", "code_challenge_method", "nonce", "redirect_uri",
		"request", "request_uri", "response_mode", "response_type", "state",
	}, strings.ToLower(param))
}

func (l *linter) endpoints(o tokenvault.OAuth2) {
	l.grant(o)
	l.endpoint("oauth2.tokenUrl", o.TokenURL)
	l.optionalEndpoint("oauth2.refreshUrl", o.RefreshURL)
	l.optionalEndpoint("oauth2.deviceAuthorizationUrl", o.DeviceAuthorizationURL)
	l.optionalEndpoint("oauth2.pushedAuthorizationUrl", o.PushedAuthorizationURL)
	l.optionalEndpoint("oauth2.revocationUrl", o.RevocationURL)
	l.optionalEndpoint("oauth2.userInfoUrl", o.UserInfoURL)
	l.optionalEndpoint("oauth2.jwksUrl", o.JWKSURL)
	l.optionalEndpoint("oauth2.consoleUrl", o.ConsoleURL)
	l.optionalEndpoint("oauth2.issuer", o.Issuer)
	l.expect(!strings.Contains(o.Issuer, "?"), "oauth2.issuer", "must have no query (RFC 8414 section 2)")
	l.expect(o.Issuer != "" || !o.IssRequired, "oauth2.issuer", "must be given when issRequired is true")
	l.expect(o.Issuer != "" || o.JWKSURL == "", "oauth2.issuer", "must be given when jwksUrl is")
	l.expect(o.Issuer != "" || o.ClientAuth != tokenvault.PrivateKeyJWT, "oauth2.issuer", "must be given when clientAuth is private_key_jwt")
	l.expect(o.UserInfoBody == "" || json.Valid([]byte(o.UserInfoBody)), "oauth2.userInfoBody", "must be JSON")
	l.expect(o.UserInfoBody == "" || o.UserInfoURL != "", "oauth2.userInfoUrl", "must be given when userInfoBody is")
	l.expect(slices.Contains([]tokenvault.RequestFormat{"", tokenvault.RequestForm, tokenvault.RequestJSON}, o.RequestFormat),
		"oauth2.requestFormat", "must be form or json")
	switch o.ClientAuth {
	case "", tokenvault.ClientSecretBasic, tokenvault.ClientSecretPost, tokenvault.PrivateKeyJWT, tokenvault.ClientAuthNone:
	default:
		l.fail("oauth2.clientAuth", "must be client_secret_basic, client_secret_post, private_key_jwt or none")
	}
}

// grant checks what departs from the authorization code grant.
func (l *linter) grant(o tokenvault.OAuth2) {
	switch o.Grant {
	case "", tokenvault.GrantCode:
		l.endpoint("oauth2.authorizationUrl", o.AuthorizationURL)
	case tokenvault.GrantClientCredentials:
		const text = "must be left out when grant is client_credentials"
		l.expect(o.AuthorizationURL == "", "oauth2.authorizationUrl", text)
		l.expect(o.PushedAuthorizationURL == "", "oauth2.pushedAuthorizationUrl", text)
		l.expect(len(o.AuthorizationParams) == 0, "oauth2.authorizationParams", text)
		l.expect(o.DeviceAuthorizationURL == "", "oauth2.deviceAuthorizationUrl", text)
		l.expect(o.RefreshURL == "", "oauth2.refreshUrl", text)
		l.expect(o.UserInfoURL == "", "oauth2.userInfoUrl", text)
		l.expect(o.ClientAuth != tokenvault.ClientAuthNone, "oauth2.clientAuth", "must not be none when grant is client_credentials (RFC 6749 section 4.4)")
	default:
		l.fail("oauth2.grant", "must be authorization_code or client_credentials")
	}
}

func (l *linter) scopes(o tokenvault.OAuth2) {
	l.expect(!slices.ContainsFunc(o.DefaultScopes, badScope), "oauth2.defaultScopes", scopeForm)
	l.expect(!slices.ContainsFunc(o.AlwaysScopes, badScope), "oauth2.alwaysScopes", scopeForm)
	l.expect(o.ScopeParam == "" || isName(o.ScopeParam) && !reserved(o.ScopeParam), "oauth2.scopeParam",
		"must be the name of a parameter that the vault does not set itself, such as scope or user_scope")
	l.expect(slices.Contains([]string{"", " ", ","}, o.ScopeSeparator), "oauth2.scopeSeparator", "must be one space or one comma")
	for _, scope := range slices.Sorted(maps.Keys(o.ScopeImplies)) {
		implied := o.ScopeImplies[scope]
		l.expect(!badScope(scope) && len(implied) > 0 && !slices.ContainsFunc(implied, badScope), "oauth2.scopeImplies",
			"must map scopes to lists of scopes: each "+scopeForm)
		for _, next := range implied {
			missing := slices.ContainsFunc(o.ScopeImplies[next], func(s string) bool { return s != scope && !slices.Contains(implied, s) })
			l.expect(!missing, "oauth2.scopeImplies", "must list what the implied scopes imply in turn")
		}
	}
}

const scopeForm = "must be printable ASCII without space, comma, quote or backslash (RFC 6749 section 3.3)"

// badScope reports whether scope is no scope-token of RFC 6749 §3.3, or holds a
// comma, which answers are split on.
func badScope(scope string) bool {
	return scope == "" || strings.ContainsFunc(scope, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\' || r == ','
	})
}

func (l *linter) authorization(o tokenvault.OAuth2) {
	const text = "must not be set here: the vault sets it for each attempt"
	for _, param := range slices.Sorted(maps.Keys(o.AuthorizationParams)) {
		field := "oauth2.authorizationParams." + quotable(param)
		l.expect(isName(param), field, "must be the name of a parameter: letters, digits, '_', '-' and '.'")
		l.expect(!reserved(param) && param != scopeParam(o), field, text)
	}
	u, err := url.Parse(o.AuthorizationURL)
	if err != nil {
		return // endpoints has reported it
	}
	for param := range u.Query() {
		if reserved(param) || param == scopeParam(o) {
			l.fail("oauth2.authorizationUrl", "must not carry "+strings.ToLower(param)+": the vault sets it for each attempt")
		}
	}
}

func scopeParam(o tokenvault.OAuth2) string {
	if o.ScopeParam == "" {
		return "scope"
	}
	return o.ScopeParam
}

func (l *linter) answers(o tokenvault.OAuth2) {
	l.expect(o.TokenPath == "" || !notPath(o.TokenPath), "oauth2.tokenPath", pathForm)
	l.expect(!slices.ContainsFunc(o.AccountID, notPath), "oauth2.accountId", pathForm)
	l.expect(!slices.ContainsFunc(o.AccountLabel, notPath), "oauth2.accountLabel", pathForm)
	l.expect(o.DefaultLifetime == 0 || o.DefaultLifetime >= time.Minute && o.DefaultLifetime <= 10*365*24*time.Hour,
		"oauth2.defaultLifetime", `must be from "1m" to "87600h", or left out for tokens that do not expire`)
	l.expect(o.RefreshIdle == 0 || o.RefreshIdle >= time.Hour && o.RefreshIdle <= 10*365*24*time.Hour,
		"oauth2.refreshIdle", `must be from "1h" to "87600h", or left out if no limit is known`)
	for i, code := range o.RejectedCodes {
		l.expect(isName(code), "oauth2.rejectedCodes["+strconv.Itoa(i)+"]", "must be an error code: letters, digits, '_', '-' and '.'")
	}
	for i, step := range o.Setup {
		l.expect(step != "" && shown(step, 500), "oauth2.setup["+strconv.Itoa(i)+"]", "must be 1 to 500 printable characters in one line")
	}
}

const pathForm = `must be names joined by dots, such as "authed_user" or "team.id"`

func notPath(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "."), func(name string) bool { return !isName(name) })
}

func isName(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
	})
}
