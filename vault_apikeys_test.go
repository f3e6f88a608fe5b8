package tokenvault_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

// alteredKeys is a store behind whose back somebody changes rows of API keys.
type alteredKeys struct {
	tokenvault.Store
	alter func(*tokenvault.APIKey)
}

func (s alteredKeys) GetAPIKey(ctx context.Context, id string) (tokenvault.FoundAPIKey, error) {
	found, err := s.Store.GetAPIKey(ctx, id)
	s.alter(&found.APIKey)
	return found, err
}

// A5: whatever is changed in a stored key that decides what it may do, it
// authenticates nobody.
func TestA5AnAlteredKeyAuthenticatesNobody(t *testing.T) {
	r := newRig(t)
	owner := tokenvault.Owner{OrganizationID: "acme", UserID: "alice"}
	_, text, err := r.CreateAPIKey(t.Context(), admin, tokenvault.APIKeyInput{
		Name: "helper", Kind: tokenvault.ActorAgent, Owner: owner, TTL: time.Hour, Scopes: []tokenvault.KeyScope{tokenvault.ScopeConnections},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func(*tokenvault.APIKey){
		"":                       func(*tokenvault.APIKey) {},
		"wider scopes":           func(k *tokenvault.APIKey) { k.Scopes = tokenvault.ScopesOf(tokenvault.ActorAgent) },
		"no scopes":              func(k *tokenvault.APIKey) { k.Scopes = "" },
		"another kind":           func(k *tokenvault.APIKey) { k.Kind = tokenvault.ActorAdmin },
		"another agent":          func(k *tokenvault.APIKey) { k.AgentID = "trusted" },
		"another name":           func(k *tokenvault.APIKey) { k.Name = "trusted" },
		"another user":           func(k *tokenvault.APIKey) { k.Owner.UserID = "bob" },
		"another organization":   func(k *tokenvault.APIKey) { k.Owner.OrganizationID = "other" },
		"another tenant":         func(k *tokenvault.APIKey) { k.Owner.Tenant = "other" },
		"a later end":            func(k *tokenvault.APIKey) { k.ExpiresAt = k.ExpiresAt.Add(time.Hour) },
		"no end":                 func(k *tokenvault.APIKey) { k.ExpiresAt = time.Time{} },
		"another key version":    func(k *tokenvault.APIKey) { k.MACVersion++ },
		"no key version":         func(k *tokenvault.APIKey) { k.MACVersion, k.MAC = 0, nil },
		"another secret":         func(k *tokenvault.APIKey) { k.MAC = slices.Clone(k.MAC); k.MAC[0] ^= 1 },
		"expired":                func(k *tokenvault.APIKey) { k.RevokedAt = k.CreatedAt },
		"another row's identity": func(k *tokenvault.APIKey) { k.ID = strings.Repeat("a", 26) },
	} {
		v := newVault(t, alteredKeys{r.store, alter}, r.key, r.flow)
		if actor, err := v.AuthenticateKey(t.Context(), text); (err == nil) != (name == "") || err != nil && !errors.Is(err, tokenvault.ErrUnauthenticated) {
			t.Errorf("%s: %+v, %v", name, actor, err)
		}
	}
}

// A5: a key of another tenant on the same store, and one that ended.
func TestA5AKeyOutsideItsTenantOrTime(t *testing.T) {
	r := newRig(t)
	other := newVault(t, r.store, r.key, r.flow, func(o *tokenvault.Options) { o.Tenant = "other" })
	theirAdmin := tokenvault.Actor{Kind: tokenvault.ActorAdmin, ID: "operator", Owner: tokenvault.Owner{Tenant: "other"}}
	_, foreign, err := other.CreateAPIKey(t.Context(), theirAdmin, tokenvault.APIKeyInput{Name: "helper", Kind: tokenvault.ActorAgent, Owner: alice})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.AuthenticateKey(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	if r.authenticates(t, foreign) {
		t.Error("a key of another tenant authenticates")
	}
	_, text, err := r.CreateAPIKey(t.Context(), admin, tokenvault.APIKeyInput{Name: "helper", Kind: tokenvault.ActorAgent, Owner: alice, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	r.clock.advance(time.Hour + time.Minute) // the end is by the machine's clock, which has gone on
	if r.authenticates(t, text) {
		t.Error("an expired key authenticates")
	}
}

// A key that was stored before keys had scopes goes on, with those of its kind.
func TestAKeyFromBeforeScopesGoesOn(t *testing.T) {
	r := newRig(t)
	key, secret := legacyKey(t, r)
	if _, err := r.store.CreateAPIKey(t.Context(), key, tokenvault.Event{Tenant: "default"}); err != nil {
		t.Fatal(err)
	}
	actor, err := r.AuthenticateKey(t.Context(), tokenvault.NewSecret(keyText(key.ID, secret)))
	if err != nil || actor.Owner != alice || actor.Scopes != tokenvault.ScopesOf(tokenvault.ActorAgent) {
		t.Errorf("actor = %+v, %v", actor, err)
	}
	widened := newVault(t, alteredKeys{r.store, func(k *tokenvault.APIKey) { k.Scopes = tokenvault.ScopesOf(tokenvault.ActorBackend) }}, r.key, r.flow)
	if _, err := widened.AuthenticateKey(t.Context(), tokenvault.NewSecret(keyText(key.ID, secret))); !errors.Is(err, tokenvault.ErrUnauthenticated) {
		t.Errorf("with scopes written to it: %v", err)
	}
}

// legacyKey returns a key as it was stored before there were scopes.
func legacyKey(t *testing.T, r *rig) (key tokenvault.APIKey, secret string) {
	t.Helper()
	stored, err := r.store.GetDataKey(t.Context(), "default", "tenant", 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.key.Open(t.Context(), stored.Wrapped, append(envelope.AAD("data_key", "default", "tenant"), 0, 0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	key = tokenvault.APIKey{ID: strings.Repeat("k", 26), Name: "old", Kind: tokenvault.ActorAgent, AgentID: "old", Owner: alice, MACVersion: 1}
	secret = strings.Repeat("s", 52)
	mac := hmac.New(sha256.New, raw)
	mac.Write(envelope.AAD("api_key", key.ID, secret, "agent", "old", "default", "", "alice", ""))
	key.MAC = mac.Sum(nil)
	return key, secret
}

// Administrators hand out no more than they have, by creating or by rotating.
func TestAnAdminKeyGrantsNothingBeyondItself(t *testing.T) {
	r := newRig(t)
	create := func(actor tokenvault.Actor, in tokenvault.APIKeyInput) (tokenvault.APIKey, error) {
		in.Name = "key"
		key, _, err := r.CreateAPIKey(t.Context(), actor, in)
		return key, err
	}
	acme := tokenvault.Owner{OrganizationID: "acme"}
	full, err := create(admin, tokenvault.APIKeyInput{Kind: tokenvault.ActorAdmin})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := create(admin, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend, Owner: tokenvault.Owner{OrganizationID: "other"}})
	if err != nil {
		t.Fatal(err)
	}
	confined, limited, useless := admin, admin, admin
	confined.Owner.OrganizationID, confined.Scopes = "acme", tokenvault.ScopesOf(tokenvault.ActorAdmin)
	limited.Scopes = tokenvault.NewKeyScopes(tokenvault.ScopeKeys, tokenvault.ScopeAudit)
	useless.Scopes = tokenvault.NewKeyScopes(tokenvault.ScopeAudit)
	agent := tokenvault.APIKeyInput{Kind: tokenvault.ActorAgent, Owner: tokenvault.Owner{OrganizationID: "acme", UserID: "u"}}
	for name, tc := range map[string]struct {
		actor   tokenvault.Actor
		in      tokenvault.APIKeyInput
		allowed bool
	}{
		"an agent of the organization":    {confined, agent, true},
		"a back end of the organization":  {confined, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend, Owner: acme}, true},
		"an admin of the organization":    {confined, tokenvault.APIKeyInput{Kind: tokenvault.ActorAdmin, Owner: acme}, true},
		"a back end of another":           {confined, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend, Owner: tokenvault.Owner{OrganizationID: "other"}}, false},
		"an agent of another":             {confined, tokenvault.APIKeyInput{Kind: tokenvault.ActorAgent, Owner: alice}, false},
		"a back end of the tenant":        {confined, tokenvault.APIKeyInput{Kind: tokenvault.ActorBackend}, false},
		"an admin of the tenant":          {confined, tokenvault.APIKeyInput{Kind: tokenvault.ActorAdmin}, false},
		"an agent, by keys alone":         {limited, agent, true},
		"all scopes of an admin":          {limited, tokenvault.APIKeyInput{Kind: tokenvault.ActorAdmin}, false},
		"scopes that it has":              {limited, tokenvault.APIKeyInput{Kind: tokenvault.ActorAdmin, Scopes: limited.Scopes.List()}, true},
		"anything without the scope keys": {useless, agent, false},
	} {
		if _, err := create(tc.actor, tc.in); (err == nil) != tc.allowed || err != nil && !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := r.RotateAPIKey(t.Context(), limited, full.ID, 0); !errors.Is(err, tokenvault.ErrDenied) {
		t.Errorf("rotating a wider key: %v", err)
	}
	if _, _, err := r.RotateAPIKey(t.Context(), confined, theirs.ID, 0); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("rotating another organization's key: %v", err)
	}
	if err := r.RevokeAPIKey(t.Context(), confined, theirs.ID); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("revoking another organization's key: %v", err)
	}
	list, err := r.APIKeys(t.Context(), confined, tokenvault.Page{})
	if err != nil || len(list) != 4 || slices.ContainsFunc(list, func(k tokenvault.APIKey) bool { return k.Owner.OrganizationID != "acme" }) {
		t.Errorf("the organization's keys: %+v, %v", list, err)
	}
}

func TestARotatedKeyEndsAfterItsOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, key, text := keyRig(t, tokenvault.APIKeyInput{TTL: 30 * 24 * time.Hour, Scopes: []tokenvault.KeyScope{tokenvault.ScopeResolve}})
		pass := func(d time.Duration) {
			wait(d)
			r.clock.advance(d)
		}
		pass(7 * 24 * time.Hour)
		r.authenticates(t, text) // it is believed for a while, and must not be beyond its end
		next, nextText, err := r.RotateAPIKey(t.Context(), admin, key.ID, 4*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(next.ExpiresAt); next.ID == key.ID || next.AgentID != key.AgentID || next.Owner != key.Owner || next.Scopes != key.Scopes ||
			left < 30*24*time.Hour-time.Minute {
			t.Errorf("next = %+v", next)
		}
		pass(3 * time.Second)
		if !r.authenticates(t, text) || !r.authenticates(t, nextText) {
			t.Error("a key is refused in the overlap")
		}
		pass(time.Second)
		if r.authenticates(t, text) || !r.authenticates(t, nextText) {
			t.Error("after the overlap the old key is taken, or the new one is not")
		}
		if _, _, err := r.RotateAPIKey(t.Context(), admin, key.ID, 0); !errors.Is(err, tokenvault.ErrConflict) {
			t.Errorf("rotating it again: %v", err)
		}
		if n := len(r.events(t, tokenvault.EventAPIKeyRotated)); n != 1 {
			t.Errorf("%d rotations are in the audit log", n)
		}
	})
}

// The last use is written in the background, at most once a minute, and at the end.
func TestTheLastUseOfAKeyIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, counted, key, text := keyRig(t, tokenvault.APIKeyInput{})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = r.Run(ctx) }()
		for range 25 { // two minutes of use
			r.authenticates(t, text)
			wait(5 * time.Second)
		}
		r.clock.advance(2 * time.Minute)
		if n := counted.touches.Load(); n != 2 {
			t.Errorf("%d writes in two minutes, want 2", n)
		}
		r.authenticates(t, text)
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		found, err := r.store.GetAPIKey(t.Context(), key.ID)
		if err != nil || !found.LastUsedAt.Equal(r.clock.Now().UTC().Truncate(time.Microsecond)) {
			t.Errorf("last used at %v, %v, want %v", found.LastUsedAt, err, r.clock.Now())
		}
	})
}

func TestALastUseThatCannotBeNotedIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, counted, key, text := keyRig(t, tokenvault.APIKeyInput{})
		r.authenticates(t, text)
		counted.refuse.Store(true)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = r.Run(ctx) }()
		wait(time.Minute)
		synctest.Wait()
		counted.refuse.Store(false)
		wait(time.Minute)
		synctest.Wait()
		if found, err := r.store.GetAPIKey(t.Context(), key.ID); err != nil || found.LastUsedAt.IsZero() {
			t.Errorf("last used at %v, %v", found.LastUsedAt, err)
		}
	})
}
