package signin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/ai-token-vault/tokenvault"
)

const (
	signingInPurpose = "oidc-sign-in"
	signingInTTL     = 10 * time.Minute
	maxNext          = 2048 // a cookie holds it
)

// signingIn is what a browser keeps, sealed, while its user is at the sign-in
// server.
type signingIn struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Next     string `json:"next"`
}

// signingInCookie names the cookie of one state, so that two windows that sign in
// at the same time do not end each other.
func (o *OIDC) signingInCookie(state string) string {
	sum := sha256.Sum256([]byte(state))
	return cookieName("tv_signin_"+hex.EncodeToString(sum[:6]), o.cookie.secure())
}

// begin sends the browser to the sign-in server.
func (o *OIDC) begin(w http.ResponseWriter, r *http.Request) {
	server, err := o.discover(r.Context())
	if err != nil {
		o.fail(w, r, err)
		return
	}
	s := signingIn{State: random256(), Nonce: random256(), Verifier: oauth2.GenerateVerifier(), Next: r.URL.Query().Get("next")}
	if len(s.Next) > maxNext {
		s.Next = "/"
	}
	payload, err := json.Marshal(s)
	if err != nil {
		o.fail(w, r, err)
		return
	}
	sealed, err := o.vault.SealToken(r.Context(), signingInPurpose, payload, signingInTTL)
	if err != nil {
		o.fail(w, r, err)
		return
	}
	o.setSigningIn(w, s.State, sealed.Reveal(), int(signingInTTL/time.Second))
	to := server.client.AuthCodeURL(s.State, oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (o *OIDC) setSigningIn(w http.ResponseWriter, state, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: o.signingInCookie(state), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: o.cookie.secure(), SameSite: http.SameSiteLaxMode,
	})
}

// finish takes the browser back.
func (o *OIDC) finish(w http.ResponseWriter, r *http.Request) {
	s, err := o.begun(r)
	if err != nil {
		o.fail(w, r, err)
		return
	}
	o.setSigningIn(w, s.State, "", -1)
	user, err := o.user(r, s)
	if err == nil {
		err = o.cookie.signIn(w, r, user, s.Next)
	}
	if err != nil {
		o.fail(w, r, err)
	}
}

// begun returns what this browser began with the state that it comes back with.
func (o *OIDC) begun(r *http.Request) (signingIn, error) {
	var s signingIn
	query := r.URL.Query()
	for _, name := range []string{"state", "code", "iss", "error"} {
		if len(query[name]) > 1 {
			return s, refused("a parameter came twice")
		}
	}
	cookie, err := r.Cookie(o.signingInCookie(query.Get("state")))
	if err != nil {
		return s, refused("the browser did not begin this")
	}
	payload, err := o.vault.OpenToken(r.Context(), signingInPurpose, tokenvault.NewSecret(cookie.Value))
	if errors.Is(err, tokenvault.ErrUnauthenticated) || err == nil && json.Unmarshal(payload, &s) != nil {
		return s, refused("it took longer than ten minutes")
	}
	if err == nil && subtle.ConstantTimeCompare([]byte(s.State), []byte(query.Get("state"))) != 1 {
		return s, refused("the state is another")
	}
	return s, err
}

// user exchanges the code and returns whom the ID token names.
func (o *OIDC) user(r *http.Request, s signingIn) (tokenvault.Actor, error) {
	var none tokenvault.Actor
	server, err := o.discover(r.Context())
	if err != nil {
		return none, err
	}
	query := r.URL.Query()
	if iss := query.Get("iss"); iss != o.opts.Issuer && (iss != "" || server.returnsIss) {
		return none, refused("iss is of another server")
	}
	if query.Get("error") != "" || query.Get("code") == "" {
		return none, refused("the sign-in server refused")
	}
	ctx := oidc.ClientContext(r.Context(), o.http)
	// Of the error nothing is kept but its class: it would hold the answer's body.
	token, err := server.client.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return none, exchangeFailed(err)
	}
	raw, _ := token.Extra("id_token").(string)
	verified, err := server.provider.Verifier(&oidc.Config{ClientID: o.opts.ClientID}).Verify(ctx, raw)
	if err != nil {
		return none, refused("the id_token does not verify")
	}
	if subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(s.Nonce)) != 1 {
		return none, refused("the nonce is another")
	}
	claims := map[string]any{}
	if verified.Claims(&claims) != nil {
		return none, refused("the claims are no JSON object")
	}
	return o.userOf(claims)
}

func exchangeFailed(err error) error {
	if answered, ok := errors.AsType[*oauth2.RetrieveError](err); ok && answered.Response != nil {
		return fmt.Errorf("the token endpoint answered %d: %w", answered.Response.StatusCode, errSignInServer)
	}
	return fmt.Errorf("the token endpoint did not answer as it should: %w", errSignInServer)
}

// userOf maps the claims of a verified ID token.
func (o *OIDC) userOf(claims map[string]any) (tokenvault.Actor, error) {
	owner := tokenvault.Owner{Tenant: o.vault.Tenant()}
	owner.UserID, _ = claims[o.opts.UserClaim].(string)
	if o.opts.OrganizationClaim != "" {
		owner.OrganizationID, _ = claims[o.opts.OrganizationClaim].(string)
	}
	if owner.UserID == "" || owner.Validate() != nil {
		return tokenvault.Actor{}, refused("the claim " + o.opts.UserClaim + " is no id of at most 255 bytes")
	}
	if verified, _ := claims["email_verified"].(bool); o.opts.UserClaim == "email" && !verified {
		return tokenvault.Actor{}, refused("the email is not verified")
	}
	return tokenvault.Actor{Kind: tokenvault.ActorUser, ID: owner.UserID, Owner: owner}, nil
}

var errSignInServer = errors.New("the sign-in server failed")

// refused is an error of the person's side, with a reason for the log.
func refused(reason string) error { return fmt.Errorf("%s: %w", reason, tokenvault.ErrUnauthenticated) }

// fail shows that nobody was signed in.
func (o *OIDC) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		err = context.Cause(r.Context())
	}
	if errors.Is(err, tokenvault.ErrUnauthenticated) {
		o.log.InfoContext(r.Context(), "a user could not be signed in", slog.Any("reason", err))
		o.page.answer(http.StatusUnauthorized, textRefused()).ServeHTTP(w, r)
		return
	}
	o.log.ErrorContext(r.Context(), "a user could not be signed in", slog.Any("error", err))
	o.page.answer(http.StatusServiceUnavailable, textNoServer()).ServeHTTP(w, r)
}
