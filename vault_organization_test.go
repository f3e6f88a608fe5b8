package tokenvault_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// The people and programs of an organization.
var (
	acme      = tokenvault.Owner{Tenant: "default", OrganizationID: "acme"}
	chief     = userOf("chief", true)
	carol     = userOf("carol", false)
	dave      = userOf("dave", false)
	acmeAgent = tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "bot", Owner: acme}
)

func userOf(name string, administers bool) tokenvault.Actor {
	owner := acme
	owner.UserID = name
	return tokenvault.Actor{Kind: tokenvault.ActorUser, ID: name, Owner: owner, OrgAdmin: administers}
}

func helperOf(user tokenvault.Actor) tokenvault.Actor {
	return tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "helper", Owner: user.Owner}
}

// asked resolves and returns the request that the call pauses on.
func (r *rig) asked(t *testing.T, agent tokenvault.Actor) tokenvault.AuthRequest {
	t.Helper()
	_, err := r.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}, Release: tokenvault.ReleaseToken})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("Resolve of %s's agent: err = %v, want an AuthRequiredError", agent.Owner.UserID, err)
	}
	return required.Request
}

// used resolves and returns the id of the connection that is used.
func (r *rig) used(t *testing.T, agent tokenvault.Actor) string {
	t.Helper()
	access, err := r.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}, Release: tokenvault.ReleaseToken})
	if err != nil {
		t.Fatalf("Resolve of %s's agent: %v", agent.Owner.UserID, err)
	}
	return access.Connection().ID
}

func (r *rig) finishRequest(t *testing.T, user tokenvault.Actor, id string) tokenvault.AuthRequest {
	t.Helper()
	done, err := r.FinishConnect(t.Context(), user, r.startAs(t, user, id))
	if err != nil || done.Request.Status != tokenvault.AuthConnected {
		t.Fatalf("connect by %s: %s, %v", user.ID, done.Request.Status, err)
	}
	return done.Request
}

// connectFor connects an account of a user, or of the user's organization.
func (r *rig) connectAs(t *testing.T, user tokenvault.Actor, account string, organization bool) string {
	t.Helper()
	r.flow.completed.Account = tokenvault.Account{ID: account, Label: account + "@mail.example"}
	req, err := r.RequestConnect(t.Context(), user, tokenvault.ConnectRequest{ProviderID: "mail", Scopes: []string{"read"}, Organization: organization})
	if err != nil {
		t.Fatal(err)
	}
	return r.finishRequest(t, user, req.ID).ConnectionID
}

// allow lets a user permit what the agent asks for.
func (r *rig) allow(t *testing.T, user, agent tokenvault.Actor) {
	t.Helper()
	req := r.asked(t, agent)
	if req.Reason != tokenvault.ReasonPermissionRequired {
		t.Fatalf("reason = %s, want permission_required", req.Reason)
	}
	if _, err := r.Permit(t.Context(), user, tokenvault.Permit{AuthRequestID: req.ID}); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) reject(code string) {
	r.flow.outcome = func(int, tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		return tokenvault.Rejected{Err: &tokenvault.ProviderError{ProviderID: "mail", Op: "refresh", Code: code}}
	}
}

func TestAnAdministratorConnectsForTheOrganization(t *testing.T) {
	r := newRig(t)
	id := r.connectAs(t, chief, "team", true)
	for _, user := range []tokenvault.Actor{carol, dave} {
		r.allow(t, user, helperOf(user))
		if got := r.used(t, helperOf(user)); got != id {
			t.Errorf("%s's agent uses %s, want the organization's %s", user.ID, got, id)
		}
	}
	list, err := r.Permissions(t.Context(), carol, tokenvault.Page{})
	if err != nil || len(list) != 1 || list[0].Owner != carol.Owner {
		t.Errorf("carol's permissions = %+v, %v", list, err)
	}
	own := r.connectAs(t, dave, "dave", false)
	if req := r.asked(t, helperOf(dave)); req.Reason != tokenvault.ReasonPermissionRequired || req.ConnectionID != own {
		t.Errorf("request = %s for %s, want the own connection before the shared one", req.Reason, req.ConnectionID)
	}
}

func TestOnlyAnAdministratorConnectsForTheOrganization(t *testing.T) {
	r := newRig(t)
	r.connectAs(t, chief, "team", true)
	for name, actor := range map[string]tokenvault.Actor{"member": carol, "user without organization": aliceUser, "agent": helperOf(chief)} {
		_, err := r.RequestConnect(t.Context(), actor, tokenvault.ConnectRequest{ProviderID: "mail", Organization: true})
		if !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("%s: err = %v, want ErrDenied", name, err)
		}
	}
	stranger := chief
	stranger.Owner.OrganizationID = "globex"
	if list, err := r.Connections(t.Context(), stranger, tokenvault.Page{}); err != nil || len(list) != 0 {
		t.Errorf("another organization sees %v, %v", list, err)
	}
}

func TestABrokenSharedConnectionIsAnAdministrators(t *testing.T) {
	r := newRig(t)
	id := r.connectAs(t, chief, "team", true)
	r.allow(t, carol, helperOf(carol))
	r.allow(t, dave, helperOf(dave))
	r.reject("invalid_grant")
	r.clock.advance(2 * time.Hour)

	req := r.asked(t, helperOf(carol))
	if req.Owner != acme || req.ConnectionID != id || req.Reason != tokenvault.ReasonExpired || req.AgentID != "" {
		t.Fatalf("request = %+v, want one of the organization for the connection", req)
	}
	if want := "An administrator of your organization has to reconnect Mail to continue"; req.Message() != want {
		t.Errorf("message = %q, want %q", req.Message(), want)
	}
	if again := r.asked(t, helperOf(dave)); again.ID != req.ID {
		t.Errorf("dave's agent opened %s beside %s", again.ID, req.ID)
	}
	for _, actor := range []tokenvault.Actor{carol, dave, helperOf(dave)} {
		if got, err := r.AuthRequest(t.Context(), actor, req.ID); err != nil || got.RunID+got.ThreadID != "" {
			t.Errorf("AuthRequest for %s %s = %+v, %v", actor.Kind, actor.ID, got, err)
		}
	}
	r.refusesMember(t, carol, req.ID)

	waited := make(chan tokenvault.AuthRequest, 1)
	go func() {
		got, _ := r.Wait(t.Context(), helperOf(dave), req.ID)
		waited <- got
	}()
	mine, err := r.RequestConnect(t.Context(), chief, tokenvault.ConnectRequest{ProviderID: "mail", ConnectionID: id, Organization: true})
	if err != nil || mine.ID != req.ID {
		t.Fatalf("the administrator's request = %s, %v, want the one that all wait for", mine.ID, err)
	}
	if done := r.finishRequest(t, chief, mine.ID); done.ConnectionID != id {
		t.Errorf("healed %s, want %s", done.ConnectionID, id)
	}
	if got := <-waited; got.Status != tokenvault.AuthConnected {
		t.Errorf("who waited saw %s", got.Status)
	}
	for _, user := range []tokenvault.Actor{carol, dave} {
		if got := r.used(t, helperOf(user)); got != id {
			t.Errorf("%s's agent uses %s", user.ID, got)
		}
	}
	if list, err := r.Permissions(t.Context(), tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "x", Owner: acme}, tokenvault.Page{}); err != nil || len(list) != 0 {
		t.Errorf("reconnecting granted %+v, %v", list, err)
	}
}

// refusesMember checks that a member decides nothing about the request.
func (r *rig) refusesMember(t *testing.T, member tokenvault.Actor, id string) {
	t.Helper()
	_, start := r.StartConnect(t.Context(), member, tokenvault.StartConnect{AuthRequestID: id})
	_, permit := r.Permit(t.Context(), member, tokenvault.Permit{AuthRequestID: id})
	_, decline := r.Decline(t.Context(), member, id)
	_, plan := r.PlanConnect(t.Context(), member, id)
	for name, err := range map[string]error{"StartConnect": start, "Permit": permit, "Decline": decline, "PlanConnect": plan} {
		if !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("%s by a member: err = %v, want ErrDenied", name, err)
		}
	}
}

func TestAnOrganizationsAgentAsksAnAdministrator(t *testing.T) {
	r := newRig(t)
	req := r.asked(t, acmeAgent)
	if req.Owner != acme || req.AgentID != "bot" || req.Message() != "An administrator of your organization has to connect Mail to continue" {
		t.Errorf("request = %+v, %q", req, req.Message())
	}
	for name, actor := range map[string]tokenvault.Actor{"member": carol, "member's agent": helperOf(carol), "other user": aliceUser} {
		if _, err := r.AuthRequest(t.Context(), actor, req.ID); !errors.Is(err, tokenvault.ErrNotFound) {
			t.Errorf("%s: err = %v, want ErrNotFound", name, err)
		}
	}
	done := r.finishRequest(t, chief, req.ID)
	if got := r.used(t, acmeAgent); got != done.ConnectionID {
		t.Errorf("used %s, want %s", got, done.ConnectionID)
	}
	if err := r.Revoke(t.Context(), carol, done.ConnectionID); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("a member revokes the organization's: %v", err)
	}
	if err := r.Revoke(t.Context(), chief, done.ConnectionID); err != nil {
		t.Errorf("an administrator revokes the organization's: %v", err)
	}
}

// What is chosen from is what would be used: a shared account beside own ones would
// be chosen in vain.
func TestOwnAccountsAreChosenFromBeforeSharedOnes(t *testing.T) {
	r := newRig(t)
	r.connectAs(t, chief, "team", true)
	r.connectAs(t, chief, "team-2", true)
	offered := func(user tokenvault.Actor) (accounts []string) {
		t.Helper()
		plan, err := r.PlanConnect(t.Context(), user, r.asked(t, helperOf(user)).ID)
		if err != nil || plan.Way != tokenvault.WayPermit {
			t.Fatalf("PlanConnect = %+v, %v", plan, err)
		}
		for _, c := range plan.Choices {
			accounts = append(accounts, c.Account.ID)
		}
		slices.Sort(accounts)
		return accounts
	}
	if got := offered(dave); !slices.Equal(got, []string{"team", "team-2"}) {
		t.Errorf("dave chooses from %q", got)
	}
	r.connectAs(t, carol, "one", false)
	r.connectAs(t, carol, "two", false)
	if got := offered(carol); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("carol chooses from %q", got)
	}
}

// In mode verifier the host says who administers.
func TestTheHostsWordForAnAdministrator(t *testing.T) {
	r := verifyRig(t)
	req := r.asked(t, acmeAgent)
	for _, host := range []struct {
		user     tokenvault.Actor
		orgAdmin bool
		want     error
	}{{carol, false, tokenvault.ErrStateInvalid}, {aliceUser, true, tokenvault.ErrStateInvalid}, {chief, true, nil}} {
		done, err := r.visit(t, req.ID)
		if err != nil {
			t.Fatal(err)
		}
		actor := tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "host", Owner: host.user.Owner, OrgAdmin: host.orgAdmin}
		if _, err := r.CompleteConnect(t.Context(), actor, req.ID, handleOf(t, done)); !errors.Is(err, host.want) {
			t.Errorf("%s: err = %v, want %v", host.user.ID, err, host.want)
		}
	}
	r.used(t, acmeAgent)
}
