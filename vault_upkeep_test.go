package tokenvault_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

// runFor runs background work of several vaults on one store, on the bubble's clock.
func runFor(t *testing.T, long time.Duration, vaults ...*tokenvault.Vault) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	ended := make(chan error, len(vaults))
	for _, v := range vaults {
		go func() { ended <- v.Run(ctx) }()
	}
	for range vaults {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	synctest.Wait()
}

// upkeepRig is a rig on the bubble's clock.
func upkeepRig(t *testing.T, change ...func(*tokenvault.Options)) *rig {
	t.Helper()
	r := newRig(t)
	r.store = memory.New(nil)
	r.Vault = newVault(t, r.store, r.key, r.flow, change...)
	_, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client", ClientSecret: tokenvault.NewSecret("client-secret")})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatWasUsedLatelyIsRefreshedAhead(t *testing.T) {
	for _, tc := range []struct {
		name string
		used bool
		want int
	}{{"used", true, 1}, {"not used", false, 0}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := upkeepRig(t)
				r.connect(t, "read")
				if tc.used {
					r.token(t, "read")
				}
				runFor(t, 62*time.Minute, r.Vault)
				if _, n, _ := r.flow.counts(); n != tc.want {
					t.Errorf("%d refreshes, want %d", n, tc.want)
				}
			})
		})
	}
}

func TestTwoProcessesRefreshAheadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := upkeepRig(t)
		other := newVault(t, r.store, r.key, r.flow)
		r.connect(t, "read")
		r.token(t, "read")
		runFor(t, 62*time.Minute, r.Vault, other)
		if _, n, _ := r.flow.counts(); n != 1 {
			t.Errorf("%d refreshes, want 1", n)
		}
	})
}

func TestAnIdleGrantIsKeptAlive(t *testing.T) {
	for _, tc := range []struct {
		name string
		idle time.Duration
		want int
	}{{"with a limit", 20 * 24 * time.Hour, 1}, {"without", 0, 0}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := upkeepRig(t)
				p := mailProvider()
				p.OAuth2.RefreshIdle = tc.idle
				cat, err := tokenvault.NewCatalog(p)
				if err != nil {
					t.Fatal(err)
				}
				r.connect(t, "read")
				v, err := tokenvault.New(r.store, r.key, cat, &tokenvault.Options{
					Flows: map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthOAuth2: r.flow},
				})
				if err != nil {
					t.Fatal(err)
				}
				runFor(t, 17*24*time.Hour, v)
				if err := v.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if _, n, _ := r.flow.counts(); n != tc.want {
					t.Errorf("%d refreshes, want %d", n, tc.want)
				}
			})
		})
	}
}

func TestOnlyAnAdministratorSeesJobs(t *testing.T) {
	r := newRig(t)
	inOrganization, narrow := admin, admin
	inOrganization.Owner.OrganizationID = "acme"
	narrow.Scopes = tokenvault.NewKeyScopes(tokenvault.ScopeKeys)
	for name, actor := range map[string]tokenvault.Actor{
		"a user": aliceUser, "an agent": aliceAgent, "an organization's administrator": inOrganization, "another scope": narrow,
	} {
		if _, err := r.Jobs(t.Context(), actor, tokenvault.JobQuery{}); !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("%s lists jobs: %v", name, err)
		}
		if err := r.RetryJob(t.Context(), actor, "jb_x"); !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("%s retries a job: %v", name, err)
		}
	}
	if err := r.RetryJob(t.Context(), admin, "jb_missing"); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("a missing job: %v", err)
	}
	if _, err := r.Jobs(t.Context(), admin, tokenvault.JobQuery{State: "odd"}); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("an odd state: %v", err)
	}
}

func TestOldAuthRequestsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTimedRig(t, rootKey(t), func(o *tokenvault.Options) { o.RequestRetention = 90 * time.Minute })
		settled := r.mustAsk(t)
		if _, err := r.Decline(t.Context(), aliceUser, settled.ID); err != nil {
			t.Fatal(err)
		}
		runFor(t, 61*time.Minute, r.Vault)
		if _, err := r.AuthRequest(t.Context(), aliceUser, settled.ID); err != nil {
			t.Errorf("a settled request, an hour later: %v", err)
		}
		runFor(t, 61*time.Minute, r.Vault)
		if _, err := r.AuthRequest(t.Context(), aliceUser, settled.ID); !errors.Is(err, tokenvault.ErrNotFound) {
			t.Errorf("a settled request, two hours later: %v, want ErrNotFound", err)
		}
	})
}
