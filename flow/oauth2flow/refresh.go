package oauth2flow

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// Refresh sends the refresh token once (RFC 6749 §6), to the endpoint at which
// the grant was obtained and nowhere else. Where the app itself is the account, it
// asks for another token instead.
func (f *Flow) Refresh(ctx context.Context, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
	if !boundTo(in.Credential, *in.Provider.OAuth2) {
		return tokenvault.Rejected{Err: &tokenvault.ProviderError{
			ProviderID: in.Provider.ID, Op: "refresh", Code: "token_endpoint_changed",
		}}
	}
	if in.Provider.OAuth2.Grant == tokenvault.GrantClientCredentials {
		return f.grantAgain(ctx, in)
	}
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {in.Credential.RefreshToken.Reveal()},
	}
	call := tokenCall{provider: in.Provider, client: in.Client, op: "refresh", form: form, url: in.Provider.OAuth2.RefreshEndpoint()}
	ans, failed := f.token(ctx, call)
	if failed != nil {
		return outcomeOf(in.Provider, failed)
	}
	cred := credential(in.Provider, ans)
	return tokenvault.Rotated{Credential: cred, Scopes: ans.scopes, ExpiresIn: lifetime(in.Provider.OAuth2, ans)}
}

// boundTo reports whether p still describes the server that issued the grant.
func boundTo(c tokenvault.Credential, p tokenvault.OAuth2) bool {
	return c.TokenURL == p.RefreshEndpoint() && c.Issuer == p.Issuer
}

// outcomeOf sorts a failure. Only what says plainly that the grant is dead is
// Rejected. An answer that is whole and says anything else leaves the refresh
// token unspent; no answer, or half of one, leaves that open.
func outcomeOf(p tokenvault.Provider, f *failure) tokenvault.RefreshOutcome {
	switch {
	case rejects(p, f):
		return tokenvault.Rejected{Err: f.err}
	case f.sent && !f.whole:
		return tokenvault.Uncertain{Err: f.err}
	}
	f.err.Transient = true
	return tokenvault.Transient{Err: f.err}
}

// rejects reports whether the provider said that the grant is dead: invalid_grant
// (RFC 6749 §5.2), or a code of the provider's own.
func rejects(p tokenvault.Provider, f *failure) bool {
	if !f.whole || f.err.Status >= http.StatusInternalServerError || f.err.Status == http.StatusTooManyRequests {
		return false
	}
	switch f.code {
	case "invalid_grant", "bad_refresh_token", "invalid_refresh_token", "token_revoked":
		return true
	}
	return f.code != "" && slices.Contains(p.OAuth2.RejectedCodes, f.code)
}

// maxLifetime caps what a provider claims.
const maxLifetime = 400 * 24 * time.Hour

// lifetime returns how long the access token is valid; 0 if nobody knows. A
// lifetime that is not positive is as good as none: a token is never born
// expired.
func lifetime(p *tokenvault.OAuth2, ans answer) time.Duration {
	if ans.expiresIn <= 0 {
		return p.DefaultLifetime
	}
	return min(ans.expiresIn, maxLifetime)
}
