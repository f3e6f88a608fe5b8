package tokenvault_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// finishAs confirms the request as alice, as she wishes, and comes back.
func (r *rig) finishAs(t *testing.T, in tokenvault.StartConnect) (tokenvault.Finished, error) {
	t.Helper()
	return r.FinishConnect(t.Context(), aliceUser, r.startWith(t, aliceUser, in))
}

// permission returns the only permission that alice granted.
func (r *rig) permission(t *testing.T) tokenvault.Permission {
	t.Helper()
	list, err := r.Permissions(t.Context(), aliceUser, tokenvault.Page{})
	if err != nil || len(list) != 1 {
		t.Fatalf("Permissions = %+v, %v, want one", list, err)
	}
	return list[0]
}

func TestAPermissionEndsAtItsTime(t *testing.T) {
	r := newRig(t)
	r.flow.completed.ExpiresIn = 0
	if _, err := r.finishAs(t, tokenvault.StartConnect{AuthRequestID: r.mustAsk(t, "read").ID, PermissionTTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if got, want := r.permission(t).ExpiresAt, r.clock.Now().Add(time.Hour); got.Sub(want).Abs() > time.Microsecond {
		t.Errorf("the permission ends %s, want %s", got, want)
	}
	r.clock.advance(time.Hour - time.Second)
	r.token(t, "read")
	r.clock.advance(time.Second)
	req := r.mustAsk(t, "read")
	if req.Reason != tokenvault.ReasonPermissionRequired {
		t.Errorf("reason = %s, want permission_required", req.Reason)
	}
	permit := tokenvault.Permit{AuthRequestID: req.ID, TTL: 24 * time.Hour}
	if _, err := r.Permit(t.Context(), aliceUser, permit); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(24*time.Hour - time.Second)
	r.token(t, "read")
	r.clock.advance(time.Second)
	r.mustAsk(t, "read")
}

func TestTheLastConfirmationSaysHowLong(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	if p := r.permission(t); !p.ExpiresAt.IsZero() {
		t.Errorf("the permission ends %s, want until withdrawn", p.ExpiresAt)
	}
	r.clock.advance(time.Minute)
	if _, err := r.finishAs(t, tokenvault.StartConnect{AuthRequestID: r.mustAsk(t, "read", "write").ID, PermissionTTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if p := r.permission(t); p.ExpiresAt.Sub(p.GrantedAt) != time.Hour || len(p.Scopes) != 2 {
		t.Errorf("permission = %+v, want both scopes for an hour", p)
	}
}

func TestAPermissionTTLIsChecked(t *testing.T) {
	r := newRig(t)
	req := r.mustAsk(t, "read")
	for _, ttl := range []time.Duration{-time.Hour, time.Millisecond} {
		if _, err := r.StartConnect(t.Context(), aliceUser, tokenvault.StartConnect{AuthRequestID: req.ID, PermissionTTL: ttl}); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("StartConnect for %s: %v", ttl, err)
		}
		if _, err := r.Permit(t.Context(), aliceUser, tokenvault.Permit{AuthRequestID: req.ID, TTL: ttl}); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("Permit for %s: %v", ttl, err)
		}
	}
}

// C23: what is connected stays as it is; the owner may have the other account as a
// connection beside it.
func TestC23AnotherAccountIsConnectedAsANewOne(t *testing.T) {
	r := newRig(t)
	first := r.connect(t, "read")
	req := r.mustAsk(t, "read", "write")
	r.flow.completed.Account = tokenvault.Account{ID: "acc-2", Label: "work@mail.example"}
	r.flow.completed.Credential = credential("at-work", "rt-work")
	if _, err := r.finishAs(t, tokenvault.StartConnect{AuthRequestID: req.ID}); !errors.Is(err, tokenvault.ErrAccountMismatch) {
		t.Fatalf("err = %v, want ErrAccountMismatch", err)
	}
	r.clock.advance(time.Second)
	done, err := r.finishAs(t, tokenvault.StartConnect{AuthRequestID: req.ID, NewAccount: true})
	if err != nil || done.Request.Status != tokenvault.AuthConnected || done.Request.ConnectionID == first.ConnectionID {
		t.Fatalf("request = %+v, %v, want connected with a new connection", done.Request, err)
	}
	if got := r.token(t, "read", "write"); got != "at-work" {
		t.Errorf("token = %q, want that of the account that was permitted last", got)
	}
	access, err := r.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{ProviderID: "mail", ConnectionID: first.ConnectionID, Release: tokenvault.ReleaseToken})
	if err != nil || access.Connection().Account.ID != "acc-1" || access.Connection().Version != 1 {
		t.Errorf("the first account: %+v, %v", access, err)
	}
}

func TestAnotherAccountIsConnectedInsteadOfChoosing(t *testing.T) {
	r := newRig(t)
	r.connectOwn(t, "acc-1")
	r.connectOwn(t, "acc-2")
	req := r.mustAsk(t, "read")
	if req.Reason != tokenvault.ReasonChooseAccount {
		t.Fatalf("reason = %s, want choose_account", req.Reason)
	}
	r.flow.completed.Account = tokenvault.Account{ID: "acc-3", Label: "third@mail.example"}
	done, err := r.finishAs(t, tokenvault.StartConnect{AuthRequestID: req.ID, NewAccount: true})
	if err != nil || done.Request.Status != tokenvault.AuthConnected {
		t.Fatalf("request = %+v, %v", done.Request, err)
	}
	access, err := r.resolve(t, "read")
	if err != nil || access.Connection().ID != done.Request.ConnectionID || len(r.connections(t)) != 3 {
		t.Errorf("resolved %+v, %v among %d", access, err, len(r.connections(t)))
	}
}
