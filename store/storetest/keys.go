package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func keyCases() []testCase {
	return []testCase{
		{"a data key is stored whole", dataKeyStored},
		{"a data key that is there stays", dataKeyStays},
		{"version 0 is the newest data key", dataKeyNewest},
		{"data keys of other tenants and spaces are not found", dataKeyApart},
		{"any data key is found unless there is none", dataKeyAny},
		{"an API key is stored whole", apiKeyStored},
		{"an API key that is there stays", apiKeyStays},
		{"an API key is revoked", apiKeyRevoked},
		{"an unknown API key is not found", apiKeyUnknown},
		{"lists of API keys are pages in order of ids", apiKeyPages},
	}
}

func dataKeyStored(t *testing.T, f *fixture) {
	key := tokenvault.DataKey{Tenant: acme, Space: "org:eng", Version: 1, Wrapped: tokenvault.Sealed("wrapped\x00\xff")}
	event := f.event(tokenvault.EventDataKeyCreated, eng())
	want := key
	want.CreatedAt = f.now()
	f.writes(t, func() {
		got, err := f.CreateDataKey(t.Context(), key, event)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "CreateDataKey", got, want)
	}, event)
	got, err := f.GetDataKey(t.Context(), acme, "org:eng", 1)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "GetDataKey", got, want)
}

func dataKeyStays(t *testing.T, f *fixture) {
	first := f.dataKey(t, acme, 1)
	f.advance(time.Minute)
	f.writes(t, func() { equal(t, "CreateDataKey again", f.dataKey(t, acme, 1), first) })
	got, err := f.GetDataKey(t.Context(), acme, "org:eng", 0)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "GetDataKey", got, first)
}

func dataKeyNewest(t *testing.T, f *fixture) {
	two, ten, one := f.dataKey(t, acme, 2), f.dataKey(t, acme, 10), f.dataKey(t, acme, 1)
	for version, want := range map[uint32]tokenvault.DataKey{0: ten, 1: one, 2: two, 10: ten} {
		got, err := f.GetDataKey(t.Context(), acme, "org:eng", version)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "GetDataKey", got, want)
	}
}

func dataKeyApart(t *testing.T, f *fixture) {
	f.dataKey(t, acme, 1)
	for _, version := range []uint32{0, 1} {
		_, err := f.GetDataKey(t.Context(), "globex", "org:eng", version)
		wantError(t, "GetDataKey of another tenant", err, tokenvault.ErrNotFound)
		_, err = f.GetDataKey(t.Context(), acme, "org:ops", version)
		wantError(t, "GetDataKey of another space", err, tokenvault.ErrNotFound)
	}
	_, err := f.GetDataKey(t.Context(), acme, "org:eng", 2)
	wantError(t, "GetDataKey of another version", err, tokenvault.ErrNotFound)
}

func dataKeyAny(t *testing.T, f *fixture) {
	_, err := f.AnyDataKey(t.Context())
	wantError(t, "AnyDataKey in an empty store", err, tokenvault.ErrNotFound)
	want := f.dataKey(t, "globex", 3)
	got, err := f.AnyDataKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "AnyDataKey", got, want)
}

func (f *fixture) apiKey(owner tokenvault.Owner) tokenvault.APIKey {
	return tokenvault.APIKey{
		ID: f.id("key"), Name: "billing agent", Kind: tokenvault.ActorAgent, AgentID: agent, Owner: owner,
		MAC: []byte(f.id("mac\x00\xff")), ExpiresAt: f.now().Add(time.Hour),
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
	equal(t, "GetAPIKey", got, want)
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
	list, err := f.ListAPIKeys(t.Context(), acme, tokenvault.Page{Limit: 10})
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
		return f.ListAPIKeys(t.Context(), acme, p)
	}, func(k tokenvault.APIKey) string { return k.ID }, want)
}
