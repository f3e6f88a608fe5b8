package client_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

func TestResolveOverHTTP(t *testing.T) {
	r := newRig(t)
	server := httptest.NewServer(r)
	defer server.Close()
	c, err := client.New(server.URL, r.agentKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.connect("alice", mustAsk(t, c, readMail()).ConnectURL)
	token, err := c.Resolve(t.Context(), readMail())
	if err != nil {
		t.Fatal(err)
	}
	if token.AccessToken.Reveal() != "token-1" || token.TokenType != "Bearer" || token.Version == 0 {
		t.Errorf("token = %+v", token)
	}
	if !token.ExpiresAt.After(time.Now()) || !cmp.Equal(token.Scopes, []string{"mail.read"}) {
		t.Errorf("token until %v for %q", token.ExpiresAt, token.Scopes)
	}
}

func TestReleaseInjectHoldsNoToken(t *testing.T) {
	r := newRig(t)
	c, req := r.client(t), readMail()
	req.Release = ""
	r.connect("alice", mustAsk(t, c, req).ConnectURL)
	token, err := c.Resolve(t.Context(), req)
	if err != nil || token.CredentialID == "" || !token.AccessToken.IsZero() {
		t.Errorf("token = %+v, %v", token, err)
	}
	if _, err := c.Resolve(t.Context(), readMail()); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("release token with a permission to inject: %v, want ErrDenied", err)
	}
}

func TestThePayloadIsTheVaults(t *testing.T) {
	r := newRig(t)
	req := readMail()
	req.ThreadID = "thread-1"
	got := mustAsk(t, r.client(t), req)
	stored, err := r.AuthRequest(t.Context(), userOf("alice"), got.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stored.Payload(), got.Payload()); diff != "" {
		t.Errorf("payload differs (-vault +client):\n%s", diff)
	}
	if got.Status != tokenvault.AuthPending || got.Reason != tokenvault.ReasonMissing || got.ThreadID != "thread-1" {
		t.Errorf("request = %+v", got)
	}
}

// Who asks through a client is told as well that an administrator has to act.
func TestAnOrganizationsAgentIsToldWhoHasToAct(t *testing.T) {
	r := newRig(t)
	acme := tokenvault.Owner{Tenant: tokenvault.DefaultTenant, OrganizationID: "acme"}
	operator := tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: tokenvault.DefaultTenant}}
	key := r.newKey(t.Context(), operator, tokenvault.APIKeyInput{Name: "bot", Kind: tokenvault.ActorAgent, Owner: acme})
	got := mustAsk(t, newClient(t, key, r), readMail())
	if want := "An administrator of your organization has to connect Mail to continue"; got.Message() != want || got.Payload().OrganizationID != "acme" {
		t.Errorf("message = %q, want %q", got.Message(), want)
	}
	host, member := newClient(t, r.backendKey, r), client.Owner{UserID: "carol", OrganizationID: "acme"}
	if _, err := host.Complete(t.Context(), member, got.ID, r.visit(t, got.ID)); !errors.Is(err, tokenvault.ErrStateInvalid) {
		t.Errorf("for a member: %v", err)
	}
	member.OrgAdmin = true
	if _, err := host.Complete(t.Context(), member, got.ID, r.visit(t, got.ID)); err != nil {
		t.Errorf("for an administrator: %v", err)
	}
	session, err := host.CreateSession(t.Context(), member, "https://app.example")
	if err != nil {
		t.Fatal(err)
	}
	if actor, err := r.AuthenticateSession(t.Context(), session.Token, "https://app.example"); err != nil || !actor.OrgAdmin {
		t.Errorf("%+v, %v", actor, err)
	}
}

func TestARejectedVersionIsRenewedOnce(t *testing.T) {
	r := newRig(t)
	c, req := r.client(t), readMail()
	r.connect("alice", mustAsk(t, c, req).ConnectURL)
	first, err := c.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	req.RejectedVersion = first.Version
	var second *client.Token
	for range 2 { // another call that met the same 401 gets the same token
		if second, err = c.Resolve(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if got := second.AccessToken.Reveal(); got != "token-2" || second.Version == first.Version {
			t.Errorf("token = %q, version %d after %d", got, second.Version, first.Version)
		}
	}
	req.RejectedVersion = second.Version
	if got := mustAsk(t, c, req); got.Reason != tokenvault.ReasonExpired {
		t.Errorf("reason = %s, want expired", got.Reason)
	}
}

func TestACheckBringsNoToken(t *testing.T) {
	r := newRig(t)
	c, check := r.client(t), readMail()
	check.Check = true
	checked, err := c.ResolveWait(t.Context(), check, func(asked tokenvault.AuthRequest) { r.connect("alice", asked.ConnectURL) })
	if err != nil || checked.CredentialID == "" || !checked.AccessToken.IsZero() {
		t.Fatalf("checked = %+v, %v", checked, err)
	}
	token, err := c.Resolve(t.Context(), readMail())
	if err != nil || token.CredentialID != checked.CredentialID || token.AccessToken.IsZero() {
		t.Errorf("token = %+v, %v", token, err)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t)
	for name, tc := range map[string]struct {
		key  tokenvault.Secret
		req  client.ResolveRequest
		want error
		code string
	}{
		"wrong key":        {tokenvault.NewSecret("tv_wrong"), readMail(), tokenvault.ErrUnauthenticated, "unauthenticated"},
		"unknown provider": {r.agentKey, client.ResolveRequest{ProviderID: "nope"}, tokenvault.ErrNotFound, "not_found"},
		"odd provider":     {r.agentKey, client.ResolveRequest{ProviderID: "a/../b?c#d"}, tokenvault.ErrNotFound, "not_found"},
		"bad scope":        {r.agentKey, client.ResolveRequest{ProviderID: "mail", Scopes: []string{"a b"}}, tokenvault.ErrInvalid, "invalid"},
		"agent names owner": {
			r.agentKey, client.ResolveRequest{ProviderID: "mail", Owner: &client.Owner{UserID: "bob"}}, tokenvault.ErrInvalid, "invalid",
		},
		"back end names none": {r.backendKey, readMail(), tokenvault.ErrInvalid, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, tc.key, r).Resolve(t.Context(), tc.req)
			refused, ok := errors.AsType[*client.Error](err)
			if !ok || refused.Code != tc.code || !errors.Is(err, tc.want) {
				t.Errorf("err = %v, want %s", err, tc.code)
			}
		})
	}
}

func TestIDsThatAreNone(t *testing.T) {
	c := newRig(t).client(t)
	for _, id := range []string{"", ".", ".."} {
		_, resolve := c.Resolve(t.Context(), client.ResolveRequest{ProviderID: id})
		_, wait := c.Wait(t.Context(), id)
		for _, err := range []error{
			resolve, wait, c.Revoke(t.Context(), client.Owner{UserID: "alice"}, id), c.Rename(t.Context(), client.Owner{UserID: "alice"}, id, "Work"),
		} {
			if _, ok := errors.AsType[*tokenvault.FieldError](err); !ok {
				t.Errorf("%q: err = %v, want a FieldError", id, err)
			}
		}
	}
}

func TestABackEndActsForItsUsers(t *testing.T) {
	r := newRig(t)
	c, req := newClient(t, r.backendKey, r), readMail()
	req.Owner = &client.Owner{UserID: "bob"}
	token, err := c.ResolveWait(t.Context(), req, func(asked tokenvault.AuthRequest) { r.connect("bob", asked.ConnectURL) })
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{c.Rename(t.Context(), client.Owner{UserID: "alice"}, token.CredentialID, "Mine"), c.Rename(t.Context(), *req.Owner, "cn_x", "Mine")} {
		if !errors.Is(err, tokenvault.ErrNotFound) {
			t.Errorf("renamed what is not the owner's: %v, want ErrNotFound", err)
		}
	}
	if err := c.Rename(t.Context(), *req.Owner, token.CredentialID, "Work"); err != nil {
		t.Error(err)
	}
	if err := c.Rename(t.Context(), *req.Owner, token.CredentialID, strings.Repeat("x", tokenvault.MaxConnectionName+1)); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("a long name: %v, want ErrInvalid", err)
	}
	if err := c.Revoke(t.Context(), client.Owner{UserID: "alice"}, token.CredentialID); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("revoked for another owner: %v, want ErrNotFound", err)
	}
	if err := c.Revoke(t.Context(), *req.Owner, token.CredentialID); err != nil {
		t.Fatal(err)
	}
	if got := mustAsk(t, c, req); got.Reason != tokenvault.ReasonRevoked && got.Reason != tokenvault.ReasonMissing {
		t.Errorf("reason = %s after the connection was revoked", got.Reason)
	}
	if err := r.client(t).Revoke(t.Context(), client.Owner{}, token.CredentialID); err == nil {
		t.Error("an agent revoked a connection")
	}
}
