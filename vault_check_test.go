package tokenvault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// check asks as alice's agent whether it would be given the token.
func (r *rig) check(t testing.TB, scopes ...string) (tokenvault.Checked, error) {
	t.Helper()
	return r.Check(t.Context(), aliceAgent, tokenvault.ResolveRequest{
		ProviderID: "mail", Scopes: scopes, Release: tokenvault.ReleaseToken, RunID: "run-1", ThreadID: "thread-1",
	})
}

func TestACheckReleasesNothing(t *testing.T) {
	r := newRig(t)
	connected := r.connect(t, "read")
	checked, err := r.check(t, "read")
	if err != nil {
		t.Fatal(err)
	}
	if c := checked.Connection; c.ID != connected.ConnectionID || c.Version != 1 || checked.Provider.ID != "mail" {
		t.Errorf("checked = %+v", checked)
	}
	if text := fmt.Sprintf("%#v", checked); strings.Contains(text, "at-0") || strings.Contains(text, "rt-0") {
		t.Errorf("a check tells the token: %s", text)
	}
	checks := r.events(t, tokenvault.EventChecked)
	if len(checks) != 1 || checks[0].ConnectionID != connected.ConnectionID || checks[0].RunID != "run-1" || checks[0].ThreadID != "thread-1" || checks[0].Detail != "token" {
		t.Errorf("audited: %+v", checks)
	}
	if released := r.events(t, tokenvault.EventReleased); len(released) != 0 {
		t.Errorf("audited as released: %+v", released)
	}
}

// A check that said yes leaves to the use whatever is to be decided then.
func TestACheckUsesUpNoPermission(t *testing.T) {
	r := newRig(t)
	r.flow.completed.ExpiresIn = 0
	if _, err := r.finishAs(t, tokenvault.StartConnect{AuthRequestID: r.mustAsk(t, "read").ID, PermissionTTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	granted := r.permission(t)
	r.clock.advance(time.Hour - time.Second)
	for range 3 {
		if _, err := r.check(t, "read"); err != nil {
			t.Fatal(err)
		}
	}
	if p := r.permission(t); fmt.Sprint(p) != fmt.Sprint(granted) {
		t.Errorf("permission = %+v, was %+v", p, granted)
	}
	r.token(t, "read")
	if checks, released := r.events(t, tokenvault.EventChecked), r.events(t, tokenvault.EventReleased); len(checks) != 3 || len(released) != 1 {
		t.Errorf("%d checks and %d releases are audited, want 3 and 1", len(checks), len(released))
	}
	r.clock.advance(time.Second)
	if req := r.mustAsk(t, "read"); req.Reason != tokenvault.ReasonPermissionRequired {
		t.Errorf("reason = %s, want permission_required: a check is no promise", req.Reason)
	}
}

func TestAPermissionWithdrawnAfterTheCheckReleasesNothing(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	if _, err := r.check(t, "read"); err != nil {
		t.Fatal(err)
	}
	if err := r.WithdrawPermission(t.Context(), aliceUser, r.permission(t).ID); err != nil {
		t.Fatal(err)
	}
	r.mustAsk(t, "read")
	if released := r.events(t, tokenvault.EventReleased); len(released) != 0 {
		t.Errorf("released: %+v", released)
	}
}

func TestACheckPausesAndRefusesAsAReleaseDoes(t *testing.T) {
	token := tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}, Release: tokenvault.ReleaseToken}
	connected := func(t *testing.T, r *rig) { r.connect(t, "read") }
	for name, tc := range map[string]struct {
		before func(*testing.T, *rig)
		actor  tokenvault.Actor
		change func(*tokenvault.ResolveRequest)
		reason tokenvault.Reason
		err    error
	}{
		"not connected":      {reason: tokenvault.ReasonMissing},
		"another agent":      {before: connected, actor: tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "other", Owner: alice}, reason: tokenvault.ReasonPermissionRequired},
		"another scope":      {before: connected, change: func(req *tokenvault.ResolveRequest) { req.Scopes = []string{"write"} }, reason: tokenvault.ReasonInsufficientScope},
		"another connection": {before: connected, change: func(req *tokenvault.ResolveRequest) { req.ConnectionID = "cn_x" }, err: tokenvault.ErrNotFound},
		"a person":           {before: connected, actor: aliceUser, err: tokenvault.ErrDenied},
		"unknown provider":   {change: func(req *tokenvault.ResolveRequest) { req.ProviderID = "nope" }, err: tokenvault.ErrNotFound},
		"dead grant": {before: func(t *testing.T, r *rig) {
			r.connect(t, "read")
			r.flow.outcome = func(int, tokenvault.RefreshInput) tokenvault.RefreshOutcome { return tokenvault.Rejected{} }
			r.clock.advance(2 * time.Hour)
		}, reason: tokenvault.ReasonExpired},
		"permitted less": {before: func(t *testing.T, r *rig) {
			ask := token
			ask.Release = tokenvault.ReleaseInject
			_, err := r.Resolve(t.Context(), aliceAgent, ask)
			required, _ := errors.AsType[*tokenvault.AuthRequiredError](err)
			if _, err := r.finishAs(t, tokenvault.StartConnect{AuthRequestID: required.Request.ID}); err != nil {
				t.Fatal(err)
			}
		}, err: tokenvault.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			r, actor, ask := newRig(t), aliceAgent, token
			if tc.before != nil {
				tc.before(t, r)
			}
			if tc.actor.ID != "" {
				actor = tc.actor
			}
			if tc.change != nil {
				tc.change(&ask)
			}
			_, err := r.Check(t.Context(), actor, ask)
			_, same := r.Resolve(t.Context(), actor, ask)
			if tc.err != nil {
				if !errors.Is(err, tc.err) || err.Error() != same.Error() {
					t.Errorf("Check: %v, Resolve: %v, want %v of both", err, same, tc.err)
				}
				return
			}
			checked, _ := errors.AsType[*tokenvault.AuthRequiredError](err)
			resolved, _ := errors.AsType[*tokenvault.AuthRequiredError](same)
			if checked == nil || resolved == nil || checked.Request.ID != resolved.Request.ID || checked.Request.Reason != tc.reason {
				t.Errorf("Check: %v, Resolve: %v, want one request of both, for %s", err, same, tc.reason)
			}
			if checked != nil && actor.ID == "helper" && checked.Request.Release != tokenvault.ReleaseToken {
				t.Errorf("the owner is asked for %s, want token", checked.Request.Release)
			}
		})
	}
}

func TestACheckRefreshesForTheUseThatFollows(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	r.clock.advance(2 * time.Hour)
	checked, err := r.check(t, "read")
	if err != nil || checked.Connection.Version != 2 {
		t.Fatalf("checked = %+v, %v, want version 2", checked, err)
	}
	if got := r.token(t, "read"); got != "at-1" {
		t.Errorf("token = %q, want at-1", got)
	}
	if _, refreshes, _ := r.flow.counts(); refreshes != 1 {
		t.Errorf("%d refreshes, want 1", refreshes)
	}
}

// K8: a check answers no more than a release does while neither can be audited.
func TestK8AFailingAuditLogAnswersNoCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := tamperedRig(t)
		s.auditFails.Store(true)
		if checked, err := r.check(t, "read"); checked.Connection.ID != "" || !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("Check = %+v, %v, want ErrUnavailable", checked, err)
		}
	})
}

// Who keeps to the account of a check is asked for one again once the owner ended it.
func TestAnAccountThatEndsAfterTheCheckPauses(t *testing.T) {
	r := newRig(t)
	id := r.connect(t, "read").ConnectionID
	if _, err := r.check(t, "read"); err != nil {
		t.Fatal(err)
	}
	if err := r.Revoke(t.Context(), aliceUser, id); err != nil {
		t.Fatal(err)
	}
	_, err := r.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{
		ProviderID: "mail", ConnectionID: id, Scopes: []string{"read"}, Release: tokenvault.ReleaseToken,
	})
	if required, ok := errors.AsType[*tokenvault.AuthRequiredError](err); !ok || required.Request.Reason != tokenvault.ReasonRevoked {
		t.Errorf("Resolve: %v, want a request for what was revoked", err)
	}
}
