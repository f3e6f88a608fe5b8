package oauth2flow

import (
	"context"
	"fmt"
	"net/url"

	"github.com/ai-token-vault/tokenvault"
)

// RevokeGrant ends the grant at the provider's revocation endpoint (RFC 7009): by
// its refresh token, or by the access token if there is none. A token that the
// provider does not know any more is no error (§2.2). A grant of another server
// than the provider's entry names now is not sent there: [tokenvault.ErrNotFound].
func (f *Flow) RevokeGrant(ctx context.Context, in tokenvault.RefreshInput) error {
	p := in.Provider.OAuth2
	if p.RevocationURL == "" {
		return nil
	}
	if !boundTo(in.Credential, *p) {
		return fmt.Errorf("provider %s: the grant is of another token endpoint or issuer than its entry names now: %w", in.Provider.ID, tokenvault.ErrNotFound)
	}
	form := url.Values{"token": {in.Credential.RefreshToken.Reveal()}, "token_type_hint": {"refresh_token"}}
	if in.Credential.RefreshToken.IsZero() {
		form = url.Values{"token": {in.Credential.AccessToken.Reveal()}, "token_type_hint": {"access_token"}}
	}
	call := tokenCall{provider: in.Provider, client: in.Client, op: "revoke", form: form, url: p.RevocationURL}
	res, failed := f.post(ctx, call)
	if failed != nil {
		return failed.err
	}
	if res.status >= 300 {
		failed := call.failed(res, parseAnswer(p, res))
		if failed.code == "invalid_token" || failed.code == "invalid_grant" {
			return nil
		}
		return failed.err
	}
	return nil
}
