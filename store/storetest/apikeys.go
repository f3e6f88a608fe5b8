package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func apiKeyCases() []testCase {
	return []testCase{
		{"an API key is stored whole", apiKeyStored},
		{"an API key that is there stays", apiKeyStays},
		{"an API key is revoked", apiKeyRevoked},
		{"an unknown API key is not found", apiKeyUnknown},
		{"lists of API keys are pages in order of ids", apiKeyPages},
		{"lists of API keys keep to an organization", apiKeyPagesOfOrganization},
		{"an API key is rotated", apiKeyRotated},
		{"an API key that is over, or was rotated, is not rotated", apiKeyRotatedOnce},
		{"an API key is revoked in its overlap", apiKeyRevokedInOverlap},
		{"the last use of API keys is noted", apiKeyTouched},
	}
}

func (f *fixture) apiKey(owner tokenvault.Owner) tokenvault.APIKey {
	return tokenvault.APIKey{
		ID: f.id("key"), Name: "billing agent", Kind: tokenvault.ActorAgent, AgentID: agent, Owner: owner,
		Scopes: "connections resolve", MAC: []byte(f.id("mac\x00\xff")), MACVersion: 7, ExpiresAt: f.now().Add(time.Hour),
	}
}

func (f *fixture) createAPIKey(t *testing.T, key tokenvault.APIKey) tokenvault.APIKey {
	t.Helper()
	got, err := f.CreateAPIKey(t.Context(), key, f.event(tokenvault.EventAPIKeyCreated, key.Owner))
	if err != nil {
		t.Fatalf("CreateAPIKey: %v", err)
	}
	return got
}

func (f *fixture) wantAPIKey(t *testing.T, want tokenvault.APIKey) {
	t.Helper()
	got, err := f.GetAPIKey(t.Context(), want.ID)
	if err != nil {
		t.Fatalf("GetAPIKey: %v", err)
	}
	equal(t, "GetAPIKey", got, tokenvault.FoundAPIKey{APIKey: want, Now: f.now()})
}

func apiKeyStored(t *testing.T, f *fixture) {
	key := f.apiKey(member("alice"))
	event := f.event(tokenvault.EventAPIKeyCreated, alice())
	want := key
	want.CreatedAt = f.now()
	f.writes(t, func() {
		got, err := f.CreateAPIKey(t.Context(), key, event)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "CreateAPIKey", got, want)
	}, event)
	f.wantAPIKey(t, want)

	forever := f.apiKey(tokenvault.Owner{Tenant: acme})
	forever.Kind, forever.AgentID, forever.ExpiresAt = tokenvault.ActorBackend, "", time.Time{}
	forever.Scopes, forever.MACVersion = "", 1 // as in a row from before there were scopes
	f.wantAPIKey(t, f.createAPIKey(t, forever))
}

func apiKeyStays(t *testing.T, f *fixture) {
	want := f.createAPIKey(t, f.apiKey(alice()))
	for _, owner := range []tokenvault.Owner{alice(), {Tenant: "globex", UserID: "alice"}} {
		taken := f.apiKey(owner)
		taken.ID = want.ID
		f.writes(t, func() {
			_, err := f.CreateAPIKey(t.Context(), taken, f.event(tokenvault.EventAPIKeyCreated, alice()))
			wantError(t, "CreateAPIKey with an id that is taken", err, tokenvault.ErrConflict)
		})
	}
	f.wantAPIKey(t, want)
}

func apiKeyRevoked(t *testing.T, f *fixture) {
	want := f.createAPIKey(t, f.apiKey(alice()))
	other := f.createAPIKey(t, f.apiKey(alice()))
	f.advance(time.Minute)
	want.RevokedAt = f.now()
	event := f.event(tokenvault.EventAPIKeyRevoked, alice())
	f.writes(t, func() {
		if err := f.RevokeAPIKey(t.Context(), acme, want.ID, event); err != nil {
			t.Fatal(err)
		}
	}, event)
	f.wantAPIKey(t, want)
	f.wantAPIKey(t, other)
	f.advance(time.Minute)
	f.writes(t, func() {
		if err := f.RevokeAPIKey(t.Context(), acme, want.ID, event); err != nil {
			t.Errorf("RevokeAPIKey again: %v", err)
		}
	})
	f.wantAPIKey(t, want)
	list, err := f.ListAPIKeys(t.Context(), acme, "", tokenvault.Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ListAPIKeys", list, []tokenvault.APIKey{want, other})
}

func apiKeyUnknown(t *testing.T, f *fixture) {
	key := f.createAPIKey(t, f.apiKey(alice()))
	_, err := f.GetAPIKey(t.Context(), "key_missing")
	wantError(t, "GetAPIKey", err, tokenvault.ErrNotFound)
	f.writes(t, func() {
		event := f.event(tokenvault.EventAPIKeyRevoked, alice())
		wantError(t, "RevokeAPIKey", f.RevokeAPIKey(t.Context(), acme, "key_missing", event), tokenvault.ErrNotFound)
		wantError(t, "RevokeAPIKey by another tenant", f.RevokeAPIKey(t.Context(), "globex", key.ID, event), tokenvault.ErrNotFound)
	})
	f.wantAPIKey(t, key)
}

func apiKeyPages(t *testing.T, f *fixture) {
	var want []string
	for i := range 5 {
		owner := alice()
		if i%2 == 1 {
			owner = eng()
		}
		want = append(want, f.createAPIKey(t, f.apiKey(owner)).ID)
	}
	f.createAPIKey(t, f.apiKey(tokenvault.Owner{Tenant: "globex", UserID: "alice"}))
	slices.Sort(want)
	checkPages(t, func(p tokenvault.Page) ([]tokenvault.APIKey, error) {
		return f.ListAPIKeys(t.Context(), acme, "", p)
	}, func(k tokenvault.APIKey) string { return k.ID }, want)
}

func apiKeyPagesOfOrganization(t *testing.T, f *fixture) {
	var want []string
	for _, owner := range []tokenvault.Owner{eng(), member("alice"), alice(), {Tenant: acme}, {Tenant: acme, OrganizationID: "ops"}, eng()} {
		key := f.createAPIKey(t, f.apiKey(owner))
		if owner.OrganizationID == "eng" {
			want = append(want, key.ID)
		}
	}
	f.createAPIKey(t, f.apiKey(tokenvault.Owner{Tenant: "globex", OrganizationID: "eng"}))
	slices.Sort(want)
	checkPages(t, func(p tokenvault.Page) ([]tokenvault.APIKey, error) {
		return f.ListAPIKeys(t.Context(), acme, "eng", p)
	}, func(k tokenvault.APIKey) string { return k.ID }, want)
}

func (f *fixture) rotation(old tokenvault.APIKey, overlap time.Duration) tokenvault.APIKeyRotation {
	return tokenvault.APIKeyRotation{
		ID: old.ID, Next: f.apiKey(old.Owner), Overlap: overlap,
		Events: []tokenvault.Event{f.event(tokenvault.EventAPIKeyRotated, old.Owner), f.event(tokenvault.EventAPIKeyCreated, old.Owner)},
	}
}

func apiKeyRotated(t *testing.T, f *fixture) {
	for _, overlap := range []time.Duration{0, 24 * time.Hour} {
		old := f.createAPIKey(t, f.apiKey(member("alice")))
		f.advance(time.Minute)
		cmd := f.rotation(old, overlap)
		next := cmd.Next
		next.CreatedAt = f.now()
		f.writes(t, func() {
			got, err := f.RotateAPIKey(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "RotateAPIKey", got, next)
		}, cmd.Events...)
		old.RevokedAt = f.now().Add(overlap)
		f.wantAPIKey(t, old)
		f.wantAPIKey(t, next)
		f.advance(time.Minute)
	}
}

func apiKeyRotatedOnce(t *testing.T, f *fixture) {
	revoked, expired, rotated := f.createAPIKey(t, f.apiKey(alice())), f.createAPIKey(t, f.apiKey(alice())), f.apiKey(alice())
	rotated.ExpiresAt = time.Time{}
	rotated = f.createAPIKey(t, rotated)
	if err := f.RevokeAPIKey(t.Context(), acme, revoked.ID, f.event(tokenvault.EventAPIKeyRevoked, alice())); err != nil {
		t.Fatal(err)
	}
	next, err := f.RotateAPIKey(t.Context(), f.rotation(rotated, 24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	f.advance(time.Hour) // expired is over at this time
	for name, old := range map[string]tokenvault.APIKey{"revoked": revoked, "expired": expired, "rotated before": rotated} {
		f.refuses(t, tokenvault.ErrConflict, func() error {
			_, err := f.RotateAPIKey(t.Context(), f.rotation(old, time.Hour))
			if err == nil {
				t.Errorf("a key that was %s was rotated", name)
			}
			return err
		})
	}
	taken := f.rotation(f.createAPIKey(t, f.apiKey(alice())), 0)
	taken.Next.ID = next.ID
	foreign := f.rotation(next, 0)
	foreign.Next.Owner.Tenant = "globex"
	unknown := f.rotation(next, 0)
	unknown.ID = "key_missing"
	for want, cmds := range map[error][]tokenvault.APIKeyRotation{
		tokenvault.ErrConflict: {taken}, tokenvault.ErrNotFound: {foreign, unknown},
	} {
		for _, cmd := range cmds {
			f.refuses(t, want, func() error {
				_, err := f.RotateAPIKey(t.Context(), cmd)
				return err
			})
		}
	}
}

// A key that goes on for an overlap can be ended before.
func apiKeyRevokedInOverlap(t *testing.T, f *fixture) {
	old := f.createAPIKey(t, f.apiKey(alice()))
	if _, err := f.RotateAPIKey(t.Context(), f.rotation(old, time.Hour)); err != nil {
		t.Fatal(err)
	}
	f.advance(time.Minute)
	event := f.event(tokenvault.EventAPIKeyRevoked, alice())
	f.writes(t, func() {
		if err := f.RevokeAPIKey(t.Context(), acme, old.ID, event); err != nil {
			t.Fatal(err)
		}
	}, event)
	old.RevokedAt = f.now()
	f.wantAPIKey(t, old)
}

func apiKeyTouched(t *testing.T, f *fixture) {
	used, other := f.createAPIKey(t, f.apiKey(alice())), f.createAPIKey(t, f.apiKey(alice()))
	foreign := f.createAPIKey(t, f.apiKey(tokenvault.Owner{Tenant: "globex", UserID: "alice"}))
	for range 2 {
		f.advance(time.Minute)
		f.writes(t, func() {
			if err := f.TouchAPIKeys(t.Context(), acme, []string{used.ID, foreign.ID, "key_missing"}); err != nil {
				t.Fatal(err)
			}
		})
	}
	used.LastUsedAt = f.now()
	for _, want := range []tokenvault.APIKey{used, other, foreign} {
		f.wantAPIKey(t, want)
	}
}
