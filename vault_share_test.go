package tokenvault_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// sharedBy connects an account of a user, lets the user's agent use it, and shares
// it.
func (r *rig) sharedBy(t *testing.T, user tokenvault.Actor) string {
	t.Helper()
	id := r.connectAs(t, user, user.ID, false)
	r.allow(t, user, helperOf(user))
	c, err := r.Share(t.Context(), user, id)
	if err != nil || c.ID != id || c.Owner != acme || c.SharedBy != user.ID {
		t.Fatalf("Share = %+v, %v", c, err)
	}
	return id
}

func TestASharedConnectionIsTheOrganizations(t *testing.T) {
	r := newRig(t)
	id := r.sharedBy(t, carol)
	if got := r.used(t, helperOf(carol)); got != id {
		t.Errorf("the sharer's agent uses %s, want %s without being asked again", got, id)
	}
	r.allow(t, dave, helperOf(dave))
	r.allow(t, chief, acmeAgent)
	r.clock.advance(2 * time.Hour) // it is refreshed in its new place
	for _, agent := range []tokenvault.Actor{helperOf(dave), helperOf(carol), acmeAgent} {
		if got := r.used(t, agent); got != id {
			t.Errorf("%s uses %s, want %s", agent.ID, got, id)
		}
	}
	if _, refreshes, _ := r.flow.counts(); refreshes != 1 {
		t.Errorf("%d refreshes, want one for all", refreshes)
	}
	again, err := r.Share(t.Context(), carol, id)
	if err != nil || again.Version != 3 {
		t.Errorf("sharing twice = %+v, %v", again, err)
	}
	events := r.events(t, tokenvault.EventShared)
	if len(events) != 1 || events[0].ConnectionID != id || events[0].ActorID != "carol" || events[0].ProviderID != "mail" {
		t.Errorf("events = %+v", events)
	}
}

func TestUnsharingGivesBackToTheSharer(t *testing.T) {
	for _, by := range []tokenvault.Actor{carol, chief} {
		r := newRig(t)
		id := r.sharedBy(t, carol)
		r.allow(t, dave, helperOf(dave))
		if _, err := r.Unshare(t.Context(), dave, id); !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("another member: err = %v, want ErrDenied", err)
		}
		c, err := r.Unshare(t.Context(), by, id)
		if err != nil || c.Owner != carol.Owner || c.SharedBy != "" {
			t.Fatalf("Unshare by %s = %+v, %v", by.ID, c, err)
		}
		if got := r.used(t, helperOf(carol)); got != id {
			t.Errorf("the sharer's agent uses %s", got)
		}
		if req := r.asked(t, helperOf(dave)); req.Reason != tokenvault.ReasonMissing {
			t.Errorf("dave's agent: %s, want missing", req.Reason)
		}
		if list, err := r.Permissions(t.Context(), dave, tokenvault.Page{}); err != nil || len(list) != 0 {
			t.Errorf("dave's permissions: %+v, %v", list, err)
		}
		if n := len(r.events(t, tokenvault.EventUnshared)); n != 1 {
			t.Errorf("%d events", n)
		}
		if again, err := r.Unshare(t.Context(), carol, id); err != nil || again.Version != c.Version {
			t.Errorf("unsharing twice = %+v, %v", again, err)
		}
	}
}

func TestOnlyItsOwnerSharesAConnection(t *testing.T) {
	r := newRig(t)
	id := r.connectAs(t, carol, "carol", false)
	alone := r.connectOwn(t, "acc-1").ConnectionID
	backend := tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "host", Owner: carol.Owner}
	for _, tc := range []struct {
		name  string
		actor tokenvault.Actor
		id    string
		want  error
	}{
		{"agent", helperOf(carol), id, tokenvault.ErrDenied},
		{"operator", admin, id, tokenvault.ErrDenied},
		{"another member", dave, id, tokenvault.ErrNotFound},
		{"administrator", chief, id, tokenvault.ErrNotFound},
		{"another user", bobUser, id, tokenvault.ErrNotFound},
		{"without organization", aliceUser, alone, tokenvault.ErrInvalid},
		{"unknown", carol, "cn_unknown", tokenvault.ErrNotFound},
		{"back end", backend, id, nil},
	} {
		if _, err := r.Share(t.Context(), tc.actor, tc.id); !errors.Is(err, tc.want) {
			t.Errorf("Share by %s: err = %v, want %v", tc.name, err, tc.want)
		}
		if tc.want == nil || tc.name == "without organization" {
			continue
		}
		if _, err := r.Unshare(t.Context(), tc.actor, tc.id); !errors.Is(err, tc.want) {
			t.Errorf("Unshare by %s: err = %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestWhatNobodySharedIsRevokedOnly(t *testing.T) {
	r := newRig(t)
	id := r.connectAs(t, chief, "team", true)
	if _, err := r.Unshare(t.Context(), chief, id); !errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("Unshare: err = %v, want ErrConflict", err)
	}
	shared := r.sharedBy(t, carol)
	if err := r.Revoke(t.Context(), carol, shared); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("Revoke by the sharer: %v", err)
	}
	if err := r.Revoke(t.Context(), chief, shared); err != nil { // the sharer is gone
		t.Errorf("Revoke by an administrator: %v", err)
	}
	if _, err := r.Unshare(t.Context(), chief, shared); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("Unshare of what was revoked: %v", err)
	}
}

func TestAnAccountIsSharedOnce(t *testing.T) {
	r := newRig(t)
	r.connectAs(t, chief, "team", true)
	id := r.connectAs(t, carol, "team", false)
	if _, err := r.Share(t.Context(), carol, id); !errors.Is(err, tokenvault.ErrAccountTaken) {
		t.Errorf("err = %v, want ErrAccountTaken", err)
	}
	if _, refreshes, _ := r.flow.counts(); refreshes != 0 {
		t.Errorf("%d refreshes for nothing", refreshes)
	}
}

// A member does not renew a connection that was the member's own when the request
// was opened.
func TestASharedConnectionIsNotHealedByAnOldRequest(t *testing.T) {
	r := newRig(t)
	id := r.connectAs(t, carol, "carol", false)
	old, err := r.RequestConnect(t.Context(), carol, tokenvault.ConnectRequest{ProviderID: "mail", ConnectionID: id})
	if err != nil {
		t.Fatal(err)
	}
	ret := r.startAs(t, carol, old.ID)
	if _, err := r.Share(t.Context(), carol, id); err != nil {
		t.Fatal(err)
	}
	done, err := r.FinishConnect(t.Context(), carol, ret)
	if err != nil || done.Request.ConnectionID == id {
		t.Errorf("request = %+v, %v, want a connection of the member's own", done.Request, err)
	}
}

// A refresh under way ends before a connection changes hands: what the provider
// rotated is sealed for the old owner.
func TestSharingWaitsForARefreshUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		id := r.connectAs(t, carol, "carol", false)
		r.allow(t, carol, helperOf(carol))
		r.clock.advance(2 * time.Hour)
		answer := make(chan struct{})
		r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
			<-answer
			return rotated(n)
		}
		go func() { _, _ = r.Resolve(t.Context(), helperOf(carol), tokenvault.ResolveRequest{ProviderID: "mail"}) }()
		synctest.Wait()
		shared := make(chan error)
		go func() {
			_, err := r.Share(t.Context(), carol, id)
			shared <- err
		}()
		synctest.Wait()
		select {
		case err := <-shared:
			t.Errorf("shared while the provider was rotating: %v", err)
		default:
		}
		close(answer)
		if err := <-shared; err != nil {
			t.Fatal(err)
		}
		r.wantShared(t, id, "at-1", 1)
	})
}

// wantShared checks that the connection is the organization's, and which token it
// holds after how many refreshes.
func (r *rig) wantShared(t *testing.T, id, token string, refreshes int) {
	t.Helper()
	access, err := r.Resolve(t.Context(), helperOf(carol), tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}, Release: tokenvault.ReleaseToken})
	if err != nil {
		t.Fatal(err)
	}
	cred, err := access.Reveal()
	if err != nil || cred.AccessToken.Reveal() != token || access.Connection().ID != id || !access.Connection().Shared() {
		t.Errorf("used %+v, %v", access.Connection(), err)
	}
	if _, n, _ := r.flow.counts(); n != refreshes {
		t.Errorf("%d refreshes, want %d", n, refreshes)
	}
}

// A process died in the middle of a refresh: before the connection changes hands, a
// turn of its own finds out what became of it.
func TestSharingEndsARefreshThatNobodyEnded(t *testing.T) {
	r := newRig(t)
	id := r.connectAs(t, carol, "carol", false)
	r.allow(t, carol, helperOf(carol))
	_, err := r.store.BeginRefresh(t.Context(), tokenvault.RefreshClaim{Owner: carol.Owner, ConnectionID: id, Version: 1, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	r.clock.advance(time.Minute)
	if _, err := r.Share(t.Context(), carol, id); err != nil {
		t.Fatal(err)
	}
	r.wantShared(t, id, "at-1", 1)
}

// What a refresh left in the spool is stored before, and never in the new place.
func TestSharingStoresWhatWasSpooled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, store, kept := newBrittleRig(t)
		id := r.connectAs(t, carol, "carol", false)
		r.allow(t, carol, helperOf(carol))
		r.clock.advance(2 * time.Hour)
		store.commitFails.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Resolve(ctx, helperOf(carol), tokenvault.ResolveRequest{ProviderID: "mail"}); err == nil {
			t.Fatal("a credential was released that is not stored")
		}
		_ = r.Close(t.Context())
		left, err := kept.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		store.commitFails.Store(false)
		r.Vault = newVaultWith(t, store, r, kept)
		r.clock.advance(time.Minute)
		if _, err := r.Share(t.Context(), carol, id); err != nil {
			t.Fatal(err)
		}
		r.wantShared(t, id, "at-1", 1)

		// The same file turns up again, and the next turn is uncertain.
		if err := kept.Put(t.Context(), id, left); err != nil {
			t.Fatal(err)
		}
		_, err = r.store.BeginRefresh(t.Context(), tokenvault.RefreshClaim{Owner: acme, ConnectionID: id, Version: 3, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		r.clock.advance(2 * time.Hour)
		r.wantShared(t, id, "at-2", 2)
	})
}
