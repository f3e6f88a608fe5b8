package oauth2flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/dotted"
	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

// maxUserInfo bounds a userinfo answer.
const maxUserInfo = 256 << 10

// account finds out whose account a token is for: from the id_token, then
// userinfo, then the token answer. A provider that does not tell costs nobody the
// grant; an id_token that does not verify does.
func (f *Flow) account(ctx context.Context, in tokenvault.CompleteInput, ans answer, nonce string) (tokenvault.Account, error) {
	p := in.Provider.OAuth2
	var sources []map[string]any
	if !ans.idToken.IsZero() && p.Issuer != "" && p.JWKSURL != "" {
		claims, err := f.idToken(ctx, in, ans.idToken, nonce)
		if err != nil {
			return tokenvault.Account{}, err
		}
		sources = append(sources, claims)
	}
	found := accountIn(p, sources)
	if (found.ID == "" || found.Label == "") && p.UserInfoURL != "" {
		claims, err := f.userInfo(ctx, in.Provider, ans.accessToken)
		if err != nil {
			f.log.WarnContext(ctx, "the account of a new connection is not known", slog.String("provider_id", in.Provider.ID), slog.Any("error", err))
		}
		sources = append(sources, claims)
	}
	found = accountIn(p, append(sources, ans.fields))
	if found.Label == "" {
		found.Label = found.ID
	}
	return found, nil
}

// idToken verifies an id_token (OpenID Connect Core §3.1.3.7) and returns its
// claims.
func (f *Flow) idToken(ctx context.Context, in tokenvault.CompleteInput, raw tokenvault.Secret, nonce string) (map[string]any, error) {
	p := in.Provider.OAuth2
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(ctx, f.http), p.JWKSURL)
	verified, err := oidc.NewVerifier(p.Issuer, keys, &oidc.Config{ClientID: in.Client.ID}).Verify(ctx, raw.Reveal())
	asked := slices.Contains(withAlways(in.Scopes, p.AlwaysScopes), "openid")
	if err != nil || (asked || verified.Nonce != "") && verified.Nonce != nonce {
		return nil, &tokenvault.ProviderError{ProviderID: in.Provider.ID, Op: "id_token", Err: errIDToken}
	}
	claims := map[string]any{}
	if err := verified.Claims(&claims); err != nil {
		return nil, &tokenvault.ProviderError{ProviderID: in.Provider.ID, Op: "id_token", Err: errIDToken}
	}
	return claims, nil
}

var errIDToken = errors.New("the id_token does not verify")

func (f *Flow) userInfo(ctx context.Context, p tokenvault.Provider, token tokenvault.Secret) (map[string]any, error) {
	failed := func(status int, err error) error {
		return &tokenvault.ProviderError{ProviderID: p.ID, Op: "userinfo", Status: status, Err: err}
	}
	r, err := userInfoRequest(ctx, p.OAuth2)
	if err != nil {
		return nil, failed(0, netguard.ErrUnreachable)
	}
	r.Header.Set("Authorization", "Bearer "+token.Reveal())
	r.Header.Set("Accept", "application/json")
	res, err := f.http.Do(r)
	if err != nil {
		return nil, failed(0, classOf(err))
	}
	defer func() { _ = res.Body.Close() }()
	body, err := netguard.ReadBody(res.Body, maxUserInfo)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, failed(res.StatusCode, nil)
	}
	claims := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&claims); err != nil {
		return nil, failed(res.StatusCode, errUnreadable)
	}
	return claims, nil
}

func userInfoRequest(ctx context.Context, p *tokenvault.OAuth2) (*http.Request, error) {
	if p.UserInfoBody == "" {
		return http.NewRequestWithContext(ctx, http.MethodGet, p.UserInfoURL, http.NoBody)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.UserInfoURL, strings.NewReader(p.UserInfoBody))
	if err == nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, err
}

func accountIn(p *tokenvault.OAuth2, sources []map[string]any) tokenvault.Account {
	ids, labels := p.AccountID, p.AccountLabel
	if len(ids) == 0 {
		ids = []string{"sub"}
	}
	if len(labels) == 0 {
		labels = []string{"email", "preferred_username", "name"}
	}
	return tokenvault.Account{ID: dotted.Text(sources, ids), Label: dotted.Text(sources, labels)}
}
