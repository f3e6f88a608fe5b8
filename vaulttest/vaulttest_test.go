package vaulttest_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/vaulttest"
)

// call asks the provider's service whose a token is, and returns the status.
func call(t *testing.T, v *vaulttest.Vault, access *tokenvault.Access) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.Provider.URL+"/userinfo", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: access.Transport(nil)}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func mustResolve(t *testing.T, v *vaulttest.Vault, agent tokenvault.Actor, scopes ...string) *tokenvault.Access {
	t.Helper()
	access, err := v.Resolve(t.Context(), agent, vaulttest.Ask(scopes...))
	if err != nil {
		t.Fatal(err)
	}
	return access
}

func mustAsk(t *testing.T, err error) tokenvault.AuthRequest {
	t.Helper()
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatalf("err = %v, want an AuthRequiredError", err)
	}
	return required.Request
}

func TestATokenIsConnectedUsedAndRefreshed(t *testing.T) {
	v := vaulttest.New(t, nil)
	agent := v.Agent("alice")
	if c := v.Connect(t, agent, "read"); c.Account.ID != "alice" || c.Account.Label != "alice@example.test" {
		t.Errorf("connection: %+v", c)
	}
	if status := call(t, v, mustResolve(t, v, agent, "read")); status != http.StatusOK {
		t.Errorf("the service answers %d", status)
	}
	v.Advance(2 * time.Hour)
	var callers sync.WaitGroup
	for range 10 {
		callers.Go(func() {
			if status := call(t, v, mustResolve(t, v, agent, "read")); status != http.StatusOK {
				t.Errorf("after a refresh the service answers %d", status)
			}
		})
	}
	callers.Wait()
	if n := v.Provider.Refreshes(); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

func TestWhatTheProviderTakesAwayIsNoticed(t *testing.T) {
	v := vaulttest.New(t, nil)
	agent := v.Agent("alice")
	v.Connect(t, agent)
	access := mustResolve(t, v, agent)
	v.Provider.EndAccessTokens()
	if status := call(t, v, access); status != http.StatusUnauthorized {
		t.Fatalf("the service takes an ended token: %d", status)
	}
	renewed, err := access.Rejected(t.Context())
	if err != nil || call(t, v, renewed) != http.StatusOK {
		t.Fatalf("after a 401: %v", err)
	}
	v.Provider.EndGrants()
	v.Advance(2 * time.Hour)
	_, err = v.Resolve(t.Context(), agent, vaulttest.Ask())
	if req := mustAsk(t, err); req.Reason != tokenvault.ReasonExpired {
		t.Errorf("reason = %s, want expired", req.Reason)
	} else if settled := v.Fulfil(t, req, "alice"); settled.ConnectionID != access.Connection().ID {
		t.Error("reconnecting made another connection")
	}
	mustResolve(t, v, agent)
}

func TestAFailingProviderKeepsTheGrant(t *testing.T) {
	v := vaulttest.New(t, &vaulttest.Options{TokenTTL: time.Minute})
	agent := v.Agent("alice")
	v.Connect(t, agent)
	v.Advance(2 * time.Minute)
	v.Provider.Fail(http.StatusServiceUnavailable)
	_, err := v.Resolve(t.Context(), agent, vaulttest.Ask())
	if failed, ok := errors.AsType[*tokenvault.ProviderError](err); !ok || failed.Status != http.StatusServiceUnavailable {
		t.Errorf("err = %v, want the provider's 503", err)
	}
	mustResolve(t, v, agent)
}

func TestRevokingEndsTheGrantAtTheProvider(t *testing.T) {
	v := vaulttest.New(t, nil)
	agent := v.Agent("alice")
	c := v.Connect(t, agent)
	access := mustResolve(t, v, agent)
	if err := v.Revoke(t.Context(), v.User("alice"), c.ID); err != nil {
		t.Fatal(err)
	}
	for v.Provider.Revocations() == 0 {
		<-time.After(time.Millisecond)
	}
	if status := call(t, v, access); status != http.StatusUnauthorized {
		t.Errorf("after revocation the service answers %d", status)
	}
}

func TestAgentsAndPagesOverHTTP(t *testing.T) {
	v := vaulttest.New(t, nil)
	agent := v.Client(t, v.Agent("alice"))
	token, err := agent.ResolveWait(t.Context(), client.ResolveRequest{ProviderID: vaulttest.ProviderID, Release: tokenvault.ReleaseToken},
		func(req tokenvault.AuthRequest) {
			if status := open(t, req.ConnectURL, "bob"); status != http.StatusNotFound {
				t.Errorf("another user is shown status %d", status)
			}
			if status := open(t, req.ConnectURL, "alice"); status != http.StatusOK {
				t.Errorf("the owner is shown status %d", status)
			}
			shown, err := v.AuthRequest(t.Context(), v.User("alice"), req.ID)
			if err != nil {
				t.Error(err)
			}
			go v.Fulfil(t, shown, "alice")
		})
	if err != nil || token.AccessToken.IsZero() {
		t.Errorf("token: %v", err)
	}
}

func open(t *testing.T, url, user string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(vaulttest.UserHeader, user)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestAnotherAgentIsPermitted(t *testing.T) {
	v := vaulttest.New(t, nil)
	first, second := v.Agent("alice"), v.Agent("alice")
	second.ID = "second"
	if a, b := v.Connect(t, first), v.Connect(t, second); a.ID != b.ID {
		t.Errorf("the second agent got %s beside %s", b.ID, a.ID)
	}
}

// The provider here is as strict as the ones that rotate: used twice, a refresh
// token ends its grant.
func TestTheProviderIsStrict(t *testing.T) {
	v := vaulttest.New(t, nil)
	post := func(form string) int {
		res, err := http.Post(v.Provider.URL+"/token", "application/x-www-form-urlencoded", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if status := post("grant_type=refresh_token&refresh_token=guess"); status != http.StatusUnauthorized {
		t.Errorf("without client authentication: %d", status)
	}
	if status := open(t, v.Provider.URL+"/authorize?client_id=vaulttest&response_type=code&redirect_uri=http://127.0.0.1/cb", ""); status != http.StatusBadRequest {
		t.Errorf("without PKCE: %d", status)
	}
}
