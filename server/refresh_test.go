package server_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// accepted reports whether the provider takes an access token.
func (s *site) accepted(t *testing.T, token *client.Token) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.op.Issuer+"/me", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token.AccessToken.Reveal())
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// R2: the caller hangs up while the provider has committed and not answered yet:
// what it issued is stored.
func TestR2ACallerThatHangsUpLosesNothing(t *testing.T) {
	s := strict(t, testop.Options{})
	agent := s.connected(t)
	s.expire(t)
	asked := s.tokenRequests(t)
	s.op.Fault(t, "/token", "hold_after_commit", 1)
	ctx, hangUp := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := agent.Resolve(ctx, ask())
		done <- err
	}()
	s.awaitHeld(t)
	hangUp()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	s.op.Release(t)
	if token := mustResolve(t, agent); token.Version != 2 || !s.accepted(t, token) {
		t.Errorf("version %d", token.Version)
	}
	if n := s.tokenRequests(t) - asked; n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	s.expire(t) // and the grant lives on
	mustResolve(t, agent)
}

// R5: the reply is lost after the commit of a provider that forgives nothing: one
// more try, then the owner is asked, and the reason is kept.
func TestR5ALostReplyAsksTheOwner(t *testing.T) {
	s := strict(t, testop.Options{})
	agent := s.connected(t)
	s.expire(t)
	asked := s.tokenRequests(t)
	s.op.Fault(t, "/token", "drop_after_commit", 1)
	if req := mustAsk(t, agent); req.Reason != tokenvault.ReasonExpired {
		t.Errorf("reason = %s", req.Reason)
	}
	if n := s.tokenRequests(t) - asked; n != 2 {
		t.Errorf("the refresh token was sent %d times, want twice", n)
	}
	if c := s.connection(t); c.Status != tokenvault.ConnectionNeedsReauth || c.Reason != tokenvault.ReauthLostResponse {
		t.Errorf("connection is %s (%s)", c.Status, c.Reason)
	}
	if got := s.events(t, tokenvault.EventReauth); !slices.Equal(got, []string{"lost_response"}) {
		t.Errorf("audited as %q", got)
	}
	for range 3 { // nothing is tried any more
		mustAsk(t, agent)
	}
	if n := s.tokenRequests(t) - asked; n != 2 {
		t.Errorf("the refresh token was sent %d times in the end", n)
	}
}

// R6: the same at a provider that takes a refresh token once more for a while.
func TestR6AGracePeriodMendsALostReply(t *testing.T) {
	s := strict(t, testop.Options{Grace: true})
	agent := s.connected(t)
	s.expire(t)
	asked := s.tokenRequests(t)
	s.op.Fault(t, "/token", "drop_after_commit", 1)
	if token := mustResolve(t, agent); token.Version != 2 || !s.accepted(t, token) {
		t.Errorf("version %d", token.Version)
	}
	if n := s.tokenRequests(t) - asked; n != 2 {
		t.Errorf("the refresh token was sent %d times, want twice", n)
	}
}

// awaitHeld returns once the provider has committed a refresh whose answer it holds.
func (s *site) awaitHeld(t *testing.T) {
	t.Helper()
	for s.op.Refreshes(t).Held == 0 {
		<-time.After(10 * time.Millisecond)
	}
}

// hold keeps everybody else from writing to the database until release is called.
func (s *site) hold(t *testing.T) (release func()) {
	t.Helper()
	conn, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.ExecContext(context.WithoutCancel(t.Context()), `ROLLBACK`); err != nil {
			t.Error(err)
		}
		_ = conn.Close()
	}
}

// R8: the database cannot be written from the provider's commit on: the credential
// goes to the spool, and into the database once that is back.
func TestR8ADatabaseThatIsGoneAfterTheCommitLosesNothing(t *testing.T) {
	t.Parallel() // it waits for the database's patience to end
	s := strict(t, testop.Options{})
	agent := s.connected(t)
	s.expire(t)
	asked := s.tokenRequests(t)
	s.op.Fault(t, "/token", "hold_after_commit", 1)
	go func() { _, _ = agent.Resolve(context.WithoutCancel(t.Context()), ask()) }()
	s.awaitHeld(t)
	release := s.hold(t)
	s.op.Release(t)
	for len(s.spooled(t)) == 0 {
		<-time.After(10 * time.Millisecond)
	}
	release()
	if token := mustResolve(t, agent); token.Version != 2 || !s.accepted(t, token) {
		t.Errorf("version %d", token.Version)
	}
	if n := s.tokenRequests(t) - asked; n != 1 {
		t.Errorf("the refresh token was sent %d times", n)
	}
	s.stop()
	if left := s.spooled(t); len(left) != 0 {
		t.Errorf("the spool still holds %v", left)
	}
}

func (s *site) spooled(t *testing.T) []os.DirEntry {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(s.cfg.DataDir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// R9: the database cannot be written before: the refresh token is not spent.
func TestR9ADatabaseThatIsGoneBeforeSpendsNothing(t *testing.T) {
	t.Parallel() // it waits for the database's patience to end
	s := strict(t, testop.Options{})
	agent := s.connected(t)
	s.expire(t)
	asked := s.tokenRequests(t)
	release := s.hold(t)
	if _, err := agent.Resolve(t.Context(), ask()); !errors.Is(err, tokenvault.ErrUnavailable) {
		t.Errorf("err = %v, want ErrUnavailable", err)
	}
	release()
	if n := s.tokenRequests(t) - asked; n != 0 {
		t.Errorf("the token endpoint was asked %d times", n)
	}
	mustResolve(t, agent)
}

// R16: the service refuses a token that has not expired: a 401 refreshes each
// version once, however often it is told, and then the owner is asked.
func TestR16ARefusedTokenIsRefreshedOncePerVersion(t *testing.T) {
	s := strict(t, testop.Options{})
	agent := s.connected(t)
	asked := s.tokenRequests(t)
	first := mustResolve(t, agent)
	s.op.EndAccessTokens(t)
	if s.accepted(t, first) {
		t.Fatal("the provider takes a token that was ended")
	}
	var second *client.Token
	for range 3 {
		var err error
		if second, err = agent.Resolve(t.Context(), rejected(first)); err != nil || !s.accepted(t, second) {
			t.Fatalf("after a 401: %v", err)
		}
	}
	s.wantAsked(t, agent, rejected(second), tokenvault.ReauthUpstream)
	if n := s.tokenRequests(t) - asked; n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

// R16: the user ended the grant at the provider: one refresh finds out.
func TestR16AGrantEndedAtTheProviderAsksTheOwner(t *testing.T) {
	s := strict(t, testop.Options{})
	agent := s.connected(t)
	asked := s.tokenRequests(t)
	token := mustResolve(t, agent)
	s.revokeAtProvider(t, token.AccessToken)
	s.wantAsked(t, agent, rejected(token), tokenvault.ReauthRejected)
	mustAsk(t, agent)
	if n := s.tokenRequests(t) - asked; n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

// rejected says that the service answered 401 to the token.
func rejected(token *client.Token) client.ResolveRequest {
	req := ask()
	req.RejectedVersion = token.Version
	return req
}

// wantAsked checks that the call pauses for a reconnect, and why.
func (s *site) wantAsked(t *testing.T, agent *client.Client, req client.ResolveRequest, why tokenvault.ReauthReason) {
	t.Helper()
	_, err := agent.Resolve(t.Context(), req)
	if required, ok := errors.AsType[*tokenvault.AuthRequiredError](err); !ok || required.Request.Reason != tokenvault.ReasonExpired {
		t.Errorf("err = %v, want an AuthRequiredError: expired", err)
	}
	if c := s.connection(t); c.Status != tokenvault.ConnectionNeedsReauth || c.Reason != why {
		t.Errorf("connection is %s (%s), want needs_reauth (%s)", c.Status, c.Reason, why)
	}
}

// revokeAtProvider ends a token's grant behind the vault's back.
func (s *site) revokeAtProvider(t *testing.T, token tokenvault.Secret) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.op.Issuer+"/token/revocation", strings.NewReader("token="+token.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, clientSecret)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
}

// R17: the operator's client secret is not the provider's any more: that is told,
// and no grant is touched.
func TestR17AWrongClientSecretTouchesNoGrant(t *testing.T) {
	s := strict(t, testop.Options{})
	agent := s.connected(t)
	register := func(secret string) {
		_, err := s.SetApp(t.Context(), s.admin, tokenvault.AppInput{ProviderID: "idp", ClientID: clientID, ClientSecret: tokenvault.NewSecret(secret)})
		if err != nil {
			t.Fatal(err)
		}
	}
	register("not-the-secret-any-more")
	s.expire(t)
	if _, err := agent.Resolve(t.Context(), ask()); err == nil {
		t.Error("resolved with a wrong client secret")
	} else if required, ok := errors.AsType[*tokenvault.AuthRequiredError](err); ok {
		t.Errorf("the owner is asked: %v", required)
	}
	if c := s.connection(t); c.Status != tokenvault.ConnectionActive {
		t.Errorf("connection is %s (%s)", c.Status, c.Reason)
	}
	if !strings.Contains(s.log.String(), "register the app again") || !slices.Contains(s.events(t, tokenvault.EventRefreshFailed), "invalid_client") {
		t.Error("the operator is not told")
	}
	register(clientSecret)
	mustResolve(t, agent)
}
