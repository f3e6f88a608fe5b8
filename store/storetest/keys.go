package storetest

import (
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
