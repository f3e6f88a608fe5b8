package client

import (
	"context"
	"net/http"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// Complete ends a connect in mode verifier: owner is who is signed in at the host
// in the browser that arrived at its page with authRequestId and handle. It
// returns where to send that browser. Back ends only.
//
// What an organization's agent asked for is completed for an administrator of it.
// It fails with [tokenvault.ErrStateInvalid] if the request is another owner's,
// or the handle is unknown, used, or older than a minute. Nothing was exchanged
// then.
func (c *Client) Complete(ctx context.Context, owner Owner, authRequestID string, handle tokenvault.Secret) (nextURL string, err error) {
	id, err := segment("authRequestId", authRequestID)
	if err != nil {
		return "", err
	}
	in := struct {
		Owner    Owner  `json:"owner"`
		Handle   string `json:"handle"`
		OrgAdmin bool   `json:"orgAdmin,omitempty"`
	}{owner, handle.Reveal(), owner.OrgAdmin}
	var out struct {
		NextURL string `json:"nextUrl"`
	}
	err = c.call(ctx, http.MethodPost, "/v1/auth-requests/"+id+"/complete", in, &out)
	return out.NextURL, err
}

// CreateSession opens a session of a user, with which pages of origin call the
// vault's browser-facing API for at most 15 minutes. Back ends only; origin is one
// that is registered at the vault.
func (c *Client) CreateSession(ctx context.Context, owner Owner, origin string) (tokenvault.Session, error) {
	in := struct {
		Owner    Owner  `json:"owner"`
		Origin   string `json:"origin"`
		OrgAdmin bool   `json:"orgAdmin,omitempty"`
	}{owner, origin, owner.OrgAdmin}
	var out struct {
		Token     tokenvault.Secret `json:"token"`
		ExpiresAt time.Time         `json:"expiresAt"`
	}
	err := c.call(ctx, http.MethodPost, "/v1/sessions", in, &out)
	return tokenvault.Session{Token: out.Token, ExpiresAt: out.ExpiresAt}, err
}
