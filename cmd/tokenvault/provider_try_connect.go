package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	tryAgent = "provider-try"
	// revokeWait bounds the wait for the provider to end the grant.
	revokeWait = 30 * time.Second
)

// connect walks a connect of a person of its own, whom it deletes afterwards.
func (t *try) connect(ctx context.Context) (err error) {
	owner := tokenvault.Owner{Tenant: t.vault.Tenant(), OrganizationID: t.cmd.Organization, UserID: tryAgent + "-" + strings.ToLower(rand.Text())}
	person := tokenvault.Actor{Kind: tokenvault.ActorUser, ID: owner.UserID, Owner: owner}
	agent := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: tryAgent, Owner: owner}
	defer func() {
		err = errors.Join(err, t.vault.DeleteOwner(context.WithoutCancel(ctx), t.admin, owner))
	}()
	_, err = t.vault.Resolve(ctx, agent, tokenvault.ResolveRequest{ProviderID: t.provider.ID, Scopes: t.cmd.Scopes})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		return err
	}
	if !t.walk(ctx, person, required.Request.ID) {
		return nil
	}
	access, err := t.vault.Resolve(ctx, agent, tokenvault.ResolveRequest{ProviderID: t.provider.ID, Scopes: t.cmd.Scopes})
	if asked, ok := errors.AsType[*tokenvault.AuthRequiredError](err); ok {
		t.line("scopes", fmt.Errorf("what was granted is not enough (%s): check the app's scopes at the provider, and scopeImplies in the entry", asked.Request.Reason), "")
		return nil
	}
	if err != nil {
		return err
	}
	t.granted(access.Connection())
	t.refresh(ctx, access)
	return t.revoke(ctx, person, access.Connection().ID)
}

// walk sends the person to the provider and takes what comes back.
func (t *try) walk(ctx context.Context, person tokenvault.Actor, requestID string) bool {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", t.callback.Host)
	if err != nil {
		t.line("connect", fmt.Errorf("%s is not free for the browser to come back to: stop the server for the try, or use --no-browser", t.callback.Host), "")
		return false
	}
	redirect, err := t.vault.StartConnect(ctx, person, tokenvault.StartConnect{AuthRequestID: requestID})
	if err != nil {
		_ = listener.Close()
		t.line("connect", err, "")
		return false
	}
	returns := make(chan tokenvault.Return, 1)
	server := &http.Server{Handler: t.callbackHandler(redirect, returns), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()
	_, _ = fmt.Fprintf(t.out, "\nOpen this link, and sign in with an account to try with:\n%s\n\nWaiting …\n\n", redirect.URL)
	ctx, cancel := context.WithTimeout(ctx, t.cmd.Timeout)
	defer cancel()
	select {
	case <-ctx.Done():
		t.line("connect", errors.New("nobody came back: see what the provider's page says; often the redirect URL above is not registered there"), "")
		return false
	case ret := <-returns:
		return t.finish(ctx, person, ret)
	}
}

// callbackHandler takes the first return of the attempt.
func (t *try) callbackHandler(redirect tokenvault.Redirect, returns chan<- tokenvault.Return) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+t.callback.Path, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		state := q.Get("state")
		if t.vault.AttemptCookie(state) != redirect.CookieName { // not what was sent out: wait on
			http.Error(w, "This answer does not belong to the try.", http.StatusBadRequest)
			return
		}
		ret := tokenvault.Return{
			AppID: t.appID, State: tokenvault.NewSecret(state), Code: tokenvault.NewSecret(q.Get("code")), Iss: q.Get("iss"),
			Error: q.Get("error"), Browser: redirect.CookieValue,
		}
		select {
		case returns <- ret:
		default: // the first one counts
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Referrer-Policy", "no-referrer")
		_, _ = fmt.Fprintln(w, "The terminal has the answer. You can close this window.")
	})
	return mux
}

func (t *try) finish(ctx context.Context, person tokenvault.Actor, ret tokenvault.Return) bool {
	done, err := t.vault.FinishConnect(ctx, person, ret)
	failed, byProvider := errors.AsType[*tokenvault.ProviderError](err)
	switch {
	case errors.Is(err, tokenvault.ErrStateInvalid):
		t.line("connect", errors.New("the answer is not that of this provider: iss is missing or another than issuer in the entry says, or there is no code"), "")
	case byProvider && failed.Op == "id_token":
		t.line("connect", explain(err, "check issuer and jwksUrl"), "")
	case byProvider:
		t.line("connect", explain(err, "see the provider's documentation of this error"), "")
	case err != nil:
		t.line("connect", err, "")
	case done.Request.Status != tokenvault.AuthConnected:
		t.line("connect", fmt.Errorf("it ended as %s", done.Request.Status), "")
	default:
		t.line("connect", nil, "the code was exchanged")
		return true
	}
	return false
}

// granted reports what the provider gave.
func (t *try) granted(c tokenvault.Connection) {
	if c.Account.ID == "" {
		t.line("account", errors.New("the provider did not tell whose account it is: check userInfoUrl, accountId and the scopes that they need"), "")
	} else {
		t.line("account", nil, fmt.Sprintf("%s (%s)", c.Account.Label, c.Account.ID))
	}
	scopes := "none told"
	if len(c.Scopes) > 0 {
		scopes = strings.Join(c.Scopes, ", ")
	}
	t.line("scopes", nil, scopes)
	if c.ExpiresAt.IsZero() {
		t.note("expiry", "the provider does not say when the token ends: if it does end, set defaultLifetime")
		return
	}
	t.line("expiry", nil, "in "+time.Until(c.ExpiresAt).Round(time.Second).String())
}

// refresh renews the credential once, as after a 401.
func (t *try) refresh(ctx context.Context, access *tokenvault.Access) {
	renewed, err := access.Rejected(ctx)
	asked, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	switch {
	case ok && t.reauth(ctx, access) == tokenvault.ReauthNoRefresh && access.Connection().ExpiresAt.IsZero():
		t.note("refresh", "there is no refresh token, and the token has no end")
	case ok && t.reauth(ctx, access) == tokenvault.ReauthNoRefresh:
		t.line("refresh", errors.New("there is no refresh token, and people have to connect again whenever the token ends: many providers want a scope such as offline_access (alwaysScopes) or a parameter (authorizationParams)"), "")
	case ok:
		t.line("refresh", fmt.Errorf("the provider refused the refresh token it had just issued (%s)", asked.Request.Reason), "")
	case err != nil:
		t.line("refresh", err, "")
	default:
		t.line("refresh", nil, fmt.Sprintf("renewed, version %d", renewed.Connection().Version))
	}
}

// reauth says why the connection needs its owner.
func (t *try) reauth(ctx context.Context, access *tokenvault.Access) tokenvault.ReauthReason {
	owner := access.Connection().Owner
	list, err := t.vault.Connections(ctx, tokenvault.Actor{Kind: tokenvault.ActorUser, ID: owner.UserID, Owner: owner}, tokenvault.Page{})
	if err != nil || len(list) != 1 {
		return ""
	}
	return list[0].Reason
}

// revoke ends the grant and waits for the provider's word.
func (t *try) revoke(ctx context.Context, person tokenvault.Actor, connectionID string) (err error) {
	if err := t.vault.Revoke(ctx, person, connectionID); err != nil {
		return err
	}
	if t.provider.OAuth2.RevocationURL == "" {
		t.note("revoke", "the entry has no revocationUrl: end the grant in the settings of the account")
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, revokeWait)
	defer cancel()
	ran := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	go func() { ran <- t.vault.Run(running) }()
	defer func() { stop(); err = errors.Join(err, <-ran) }()
	look := time.NewTicker(time.Second / 5)
	defer look.Stop()
	for {
		found, err := t.vault.Events(ctx, t.admin, tokenvault.EventQuery{Kind: tokenvault.EventProviderRevoked, ConnectionID: connectionID})
		if err == nil && len(found) > 0 {
			t.line("revoke", nil, "the provider ended the grant")
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.line("revoke", errors.New("the provider did not end the grant: check revocationUrl; the log says why"), "")
			return nil
		}
	}
}
