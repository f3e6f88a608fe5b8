package tokenvault

import (
	"crypto/sha256"
	"strconv"
	"testing"
	"time"
)

// However many keys are in use, memory stays bounded, and what is over makes room
// first.
func TestTheKeyCacheIsBounded(t *testing.T) {
	c, now := newKeyCache(), time.Now()
	put := func(name string, until time.Time) [sha256.Size]byte {
		hash := sha256.Sum256([]byte(name))
		_, seen, _ := c.get(hash, now)
		c.put(hash, seen, cachedActor{keyID: name, until: until})
		return hash
	}
	for i := range maxKeyCache - 1 {
		put("over-"+strconv.Itoa(i), now.Add(-time.Second))
	}
	first := put("first", now.Add(time.Hour))
	second := put("second", now.Add(time.Hour))
	for _, hash := range [][sha256.Size]byte{first, second} {
		if _, _, ok := c.get(hash, now); !ok {
			t.Error("a key that is in force was forgotten for ones that are over")
		}
	}
	if len(c.valid) != 2 {
		t.Errorf("%d keys are kept, want the two in force", len(c.valid))
	}
	for i := range 3 * maxKeyCache {
		if put("more-"+strconv.Itoa(i), now.Add(time.Hour)); len(c.valid) > maxKeyCache {
			t.Fatalf("%d keys are kept", len(c.valid))
		}
	}
}

func TestAPIKeyState(t *testing.T) {
	now := time.Now()
	past, future := now.Add(-time.Second), now.Add(time.Second)
	for _, tc := range []struct {
		expires, revoked time.Time
		state            KeyState
		ends             time.Time
	}{
		{time.Time{}, time.Time{}, KeyActive, time.Time{}},
		{future, time.Time{}, KeyActive, future},
		{time.Time{}, future, KeyActive, future},
		{future.Add(time.Hour), future, KeyActive, future},
		{future, future.Add(time.Hour), KeyActive, future},
		{now, time.Time{}, KeyExpired, now},
		{past, time.Time{}, KeyExpired, past},
		{past, now, KeyExpired, past},
		{time.Time{}, now, KeyRevoked, now},
		{future, past, KeyRevoked, past},
	} {
		key := APIKey{ExpiresAt: tc.expires, RevokedAt: tc.revoked}
		if key.State(now) != tc.state || !key.Ends().Equal(tc.ends) {
			t.Errorf("%+v: %s until %v, want %s until %v", key, key.State(now), key.Ends(), tc.state, tc.ends)
		}
	}
}

func TestKeyScopes(t *testing.T) {
	set := NewKeyScopes(ScopeResolve, ScopeActFor, ScopeResolve)
	if set != "act_for resolve" || !set.Has(ScopeActFor) || set.Has("act") || set.Has("") || set.Has("act_for resolve") {
		t.Errorf("set = %q", set)
	}
	if !set.Covers("resolve") || !set.Covers("") || set.Covers("resolve audit") || KeyScopes("").Covers("resolve") {
		t.Error("Covers is wrong")
	}
	if list := set.List(); len(list) != 2 || NewKeyScopes(list...) != set {
		t.Errorf("list = %q", list)
	}
	if ScopesOf(ActorUser) != "" || ScopesOf("unknown") != "" {
		t.Error("a kind without keys has scopes")
	}
}
