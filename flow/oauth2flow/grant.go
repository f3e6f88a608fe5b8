package oauth2flow

import (
	"cmp"
	"context"
	"net/url"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/dotted"
)

// Grant obtains a token with the app's own credentials (RFC 6749 §4.4). The account
// is the app, unless the provider's entry says where the answer names another.
func (f *Flow) Grant(ctx context.Context, in tokenvault.GrantInput) (tokenvault.Completed, error) {
	p := in.Provider.OAuth2
	ans, failed := f.token(ctx, clientCredentials(in, "exchange"))
	if failed != nil {
		return tokenvault.Completed{}, failed.err
	}
	scopes := ans.scopes
	if scopes == nil { // RFC 6749 §5.1: absent means as requested
		scopes = in.Scopes
	}
	answers := []map[string]any{ans.fields}
	account := tokenvault.Account{
		ID:    cmp.Or(dotted.Text(answers, p.AccountID), in.Client.AppID),
		Label: cmp.Or(dotted.Text(answers, p.AccountLabel), in.Client.ID),
	}
	return tokenvault.Completed{
		Credential: credential(in.Provider, ans), Account: account, Scopes: scopes, ExpiresIn: lifetime(p, ans),
	}, nil
}

func clientCredentials(in tokenvault.GrantInput, op string) tokenCall {
	p := in.Provider.OAuth2
	form := url.Values{"grant_type": {"client_credentials"}}
	if scopes := withAlways(in.Scopes, p.AlwaysScopes); len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, orDefault(p.ScopeSeparator, " ")))
	}
	return tokenCall{provider: in.Provider, client: in.Client, op: op, form: form}
}

// grantAgain asks for another token. The one before is not spent by that, so that
// whatever goes wrong, asking once more is safe.
func (f *Flow) grantAgain(ctx context.Context, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
	call := clientCredentials(tokenvault.GrantInput{Provider: in.Provider, Client: in.Client, Scopes: in.Scopes}, "refresh")
	ans, failed := f.token(ctx, call)
	if failed != nil {
		outcome := outcomeOf(in.Provider, failed)
		if uncertain, ok := outcome.(tokenvault.Uncertain); ok {
			uncertain.Err.Transient = true
			return tokenvault.Transient(uncertain)
		}
		return outcome
	}
	return tokenvault.Rotated{Credential: credential(in.Provider, ans), Scopes: ans.scopes, ExpiresIn: lifetime(in.Provider.OAuth2, ans)}
}
