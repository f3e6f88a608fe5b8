package tokenvault_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// connectIn connects an account of a user in an organization, by the app of that.
func (r *rig) connectIn(t *testing.T, organization, user string) tokenvault.Actor {
	t.Helper()
	_, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{
		OrganizationID: organization, ProviderID: "mail", ClientID: organization + "-client", ClientSecret: tokenvault.NewSecret(organization + "-secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	agent := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "helper", Owner: tokenvault.Owner{Tenant: "default", OrganizationID: organization, UserID: user}}
	_, err = r.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: "mail"})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatal(err)
	}
	person := tokenvault.Actor{Kind: tokenvault.ActorUser, ID: user, Owner: agent.Owner}
	back := r.startAs(t, person, required.Request.ID)
	back.AppID = r.AppID(organization, "mail")
	if _, err := r.FinishConnect(t.Context(), person, back); err != nil {
		t.Fatal(err)
	}
	return agent
}

func TestADeletedOrganizationIsGoneAndItsGrantsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTimedRig(t, rootKey(t))
		var clients []tokenvault.Client
		r.flow.onRevoke = func(in tokenvault.RefreshInput) { clients = append(clients, in.Client) }
		member := r.connectIn(t, "acme", "alice")
		r.connect(t, "read") // alice's own
		rows, err := r.store.ListSealed(t.Context(), tokenvault.SealedQuery{Tenant: "default", Table: tokenvault.SealedConnections, KeySpace: "org:acme"})
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		for range 2 { // twice is no error
			if err := r.DeleteOwner(t.Context(), admin, tokenvault.Owner{OrganizationID: "acme"}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(r.events(t, tokenvault.EventOwnerDeleted)); n != 1 {
			t.Errorf("%d events, want one", n)
		}
		// What a backup of the row holds cannot be read any more.
		if key, err := r.store.GetDataKey(t.Context(), "default", "org:acme", rows[0].Record.KeyVersion); err != nil || len(key.Wrapped) > 0 {
			t.Errorf("the data key: %+v, %v", key, err)
		}
		if _, err := r.Resolve(t.Context(), member, tokenvault.ResolveRequest{ProviderID: "mail"}); err == nil {
			t.Error("a member of the deleted organization was given a credential")
		}
		r.token(t, "read") // alice's own

		// The grant ends although app and data key are gone.
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := r.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(clients) != 1 || clients[0].ID != "acme-client" || clients[0].Secret.Reveal() != "acme-secret" {
			t.Errorf("revoked with %+v, want once as the organization's client", clients)
		}
		// Whoever comes later under the same id starts anew.
		r.connectIn(t, "acme", "bob")
		r.wantReadable(t)
	})
}

func TestADeletedUserIsGoneEverywhere(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	r.connectIn(t, "acme", "alice")
	pending := r.mustAsk(t, "read", "more")
	_, key, err := r.CreateAPIKey(t.Context(), admin, tokenvault.APIKeyInput{Name: "helper", Kind: tokenvault.ActorAgent, Owner: alice})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.AuthenticateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteOwner(t.Context(), admin, tokenvault.Owner{UserID: "alice"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AuthenticateKey(t.Context(), key); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("her agent's key: %v, want ErrUnauthenticated", err)
	}
	if _, err := r.AuthRequest(t.Context(), aliceUser, pending.ID); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("her auth request: %v, want ErrNotFound", err)
	}
	if left := r.connections(t); len(left) != 0 {
		t.Errorf("%d connections are left", len(left))
	}
	if spaces := r.versions(t); len(spaces) != 2 { // the organization's app, and the tenant's records
		t.Errorf("sealed records are left in %v", spaces)
	}
}

func TestWhoMayDeleteOwners(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	ofAcme, lacking := admin, admin
	ofAcme.Owner.OrganizationID = "acme"
	lacking.Scopes = tokenvault.NewKeyScopes(tokenvault.ScopeKeys)
	for _, tc := range []struct {
		actor tokenvault.Actor
		owner tokenvault.Owner
		want  error
	}{
		{aliceUser, alice, tokenvault.ErrDenied},
		{aliceAgent, alice, tokenvault.ErrDenied},
		{ofAcme, alice, tokenvault.ErrDenied},
		{ofAcme, tokenvault.Owner{OrganizationID: "other"}, tokenvault.ErrDenied},
		{lacking, alice, tokenvault.ErrDenied},
		{admin, tokenvault.Owner{}, tokenvault.ErrInvalid},
		{ofAcme, tokenvault.Owner{OrganizationID: "acme", UserID: "alice"}, nil},
	} {
		if err := r.DeleteOwner(t.Context(), tc.actor, tc.owner); !errors.Is(err, tc.want) {
			t.Errorf("%s of %q deletes %+v: %v, want %v", tc.actor.Kind, tc.actor.Owner.OrganizationID, tc.owner, err, tc.want)
		}
	}
	if got := r.connections(t); len(got) != 1 || !slices.Equal(got[0].Scopes, []string{"read"}) {
		t.Errorf("connections: %v", got)
	}
}
