package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

// agent is scripted: whatever is asked, it calls its one tool. What the tool does
// is real.
type agent struct {
	vault  *client.Client
	issuer string
	bank   string
}

var errUnauthorized = errors.New("the API answered 401")

// whoAmI is the tool: it calls the provider's API with the user's token. If there
// is none, pause is told what the user has to do, and the same call goes on once
// that is done.
func (a *agent) whoAmI(ctx context.Context, runID string, pause func(tokenvault.AuthRequest)) (answer string, err error) {
	req := client.ResolveRequest{ProviderID: providerID, Scopes: []string{"email"}, Release: tokenvault.ReleaseToken, RunID: runID}
	token, err := a.vault.ResolveWait(ctx, req, pause)
	if err != nil {
		return "", err
	}
	answer, err = a.profile(ctx, token)
	if errors.Is(err, errUnauthorized) { // renewed at most once per version
		req.RejectedVersion = token.Version
		if token, err = a.vault.ResolveWait(ctx, req, pause); err == nil {
			answer, err = a.profile(ctx, token)
		}
	}
	return answer, err
}

func (a *agent) profile(ctx context.Context, token *client.Token) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.issuer+"/me", http.NoBody)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+token.AccessToken.Reveal())
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusUnauthorized {
		return "", errUnauthorized
	}
	var me struct{ Sub, Email string }
	if err := json.NewDecoder(res.Body).Decode(&me); err != nil {
		return "", fmt.Errorf("the API's answer cannot be read: %w", err)
	}
	return fmt.Sprintf("You are %s (%s).", me.Sub, me.Email), nil
}
