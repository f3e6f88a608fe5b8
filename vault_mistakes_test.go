package tokenvault_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

// A connect that was begun is no credential: there is nothing to be found before
// the code is exchanged, and the agent is asked again.
func TestABegunConnectIsNoCredential(t *testing.T) {
	r := newRig(t)
	req := r.mustAsk(t, "read")
	r.start(t, req.ID)
	if n := len(r.connections(t)); n != 0 {
		t.Errorf("%d connections are stored before anything was exchanged", n)
	}
	if again := r.mustAsk(t, "read"); again.ID != req.ID {
		t.Errorf("asked by %s, and then by %s", req.ID, again.ID)
	}
}

// What somebody connected as a member of one organization is not used for another,
// nor for themselves alone.
func TestAConnectionOfOneOrganizationIsNotUsedInAnother(t *testing.T) {
	r := newRig(t)
	member := func(organization string) (agent, person tokenvault.Actor) {
		owner := tokenvault.Owner{Tenant: "default", OrganizationID: organization, UserID: "alice"}
		return tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "helper", Owner: owner}, tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "alice", Owner: owner}
	}
	agent, person := member("acme")
	ask := tokenvault.ResolveRequest{ProviderID: "mail"}
	_, err := r.Resolve(t.Context(), agent, ask)
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatal(err)
	}
	if _, err := r.FinishConnect(t.Context(), person, r.startAs(t, person, required.Request.ID)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(t.Context(), agent, ask); err != nil {
		t.Errorf("in its own organization: %v", err)
	}
	for _, organization := range []string{"umbrella", ""} {
		other, _ := member(organization)
		_, err := r.Resolve(t.Context(), other, ask)
		if required, ok := errors.AsType[*tokenvault.AuthRequiredError](err); !ok || required.Request.Reason != tokenvault.ReasonMissing {
			t.Errorf("in %q: err = %v, want an AuthRequiredError: missing", organization, err)
		}
	}
}

// A tool gets access, never the refresh token, whatever its permission says.
func TestAToolNeverGetsARefreshToken(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	tool := tokenvault.AuthenticatedTool(r.Vault, tokenvault.ToolSpec{ProviderID: "mail", Release: tokenvault.ReleaseToken},
		func(_ context.Context, _ struct{}, access *tokenvault.Access) (tokenvault.Credential, error) {
			return access.Reveal()
		})
	cred, err := tool(t.Context(), aliceAgent, struct{}{})
	if err != nil || cred.AccessToken.IsZero() || !cred.RefreshToken.IsZero() {
		t.Errorf("the tool got an access token: %t, a refresh token: %t, %v", !cred.AccessToken.IsZero(), !cred.RefreshToken.IsZero(), err)
	}
}
