package oauth2flow

import (
	"context"
	"fmt"
	"net/url"

	"github.com/ai-token-vault/tokenvault"
)

// Complete exchanges the code (RFC 6749 §4.1.3) and finds out whose account it
// is for.
func (f *Flow) Complete(ctx context.Context, in tokenvault.CompleteInput) (tokenvault.Completed, error) {
	p := in.Provider.OAuth2
	if in.Iss == "" && p.IssRequired || in.Iss != "" && p.Issuer != "" && in.Iss != p.Issuer {
		return tokenvault.Completed{}, fmt.Errorf("the response is from another issuer: %w", tokenvault.ErrStateInvalid)
	}
	secret, err := openPrivate(in.Private)
	if err != nil {
		return tokenvault.Completed{}, err
	}
	form := url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {in.Code.Reveal()},
		"redirect_uri":  {in.RedirectURL},
		"code_verifier": {secret.verifier},
	}
	call := tokenCall{provider: in.Provider, client: in.Client, op: opExchange, form: form}
	ans, failed := f.token(ctx, call)
	if failed != nil {
		return tokenvault.Completed{}, failed.err
	}
	account, err := f.account(ctx, in, ans, secret.nonce)
	if err != nil {
		return tokenvault.Completed{}, err
	}
	scopes := ans.scopes
	if scopes == nil { // RFC 6749 §5.1: absent means as requested
		scopes = in.Scopes
	}
	return tokenvault.Completed{
		Credential: credential(in.Provider, ans), Account: account,
		Scopes: scopes, ExpiresIn: lifetime(p, ans),
	}, nil
}

func credential(p tokenvault.Provider, ans answer) tokenvault.Credential {
	return tokenvault.Credential{
		AuthMethod: tokenvault.AuthOAuth2, TokenType: "Bearer",
		AccessToken: ans.accessToken, RefreshToken: ans.refreshToken,
		Issuer: p.OAuth2.Issuer, TokenURL: p.OAuth2.RefreshEndpoint(),
	}
}
