package tokenvault_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// readKeys counts how often API keys are read and touched, and lets a test in
// between.
type readKeys struct {
	tokenvault.Store
	reads   atomic.Int32
	touches atomic.Int32
	after   func()
	refuse  atomic.Bool // TouchAPIKeys
}

func (s *readKeys) TouchAPIKeys(ctx context.Context, tenant string, ids []string) error {
	if s.refuse.Load() {
		return tokenvault.ErrUnavailable
	}
	s.touches.Add(1)
	return s.Store.TouchAPIKeys(ctx, tenant, ids)
}

func (s *readKeys) GetAPIKey(ctx context.Context, id string) (tokenvault.FoundAPIKey, error) {
	s.reads.Add(1)
	key, err := s.Store.GetAPIKey(ctx, id)
	if s.after != nil {
		s.after()
	}
	return key, err
}

// keyRig is a vault that counts, with a key of alice's agent.
func keyRig(t *testing.T, in tokenvault.APIKeyInput) (*rig, *readKeys, tokenvault.APIKey, tokenvault.Secret) {
	t.Helper()
	r := newRig(t)
	counted := &readKeys{Store: r.store}
	r.Vault = newVault(t, counted, r.key, r.flow)
	in.Name, in.Kind, in.Owner = "helper", tokenvault.ActorAgent, alice
	key, text, err := r.CreateAPIKey(t.Context(), admin, in)
	if err != nil {
		t.Fatal(err)
	}
	return r, counted, key, text
}

func (r *rig) authenticates(t *testing.T, text tokenvault.Secret) bool {
	t.Helper()
	actor, err := r.AuthenticateKey(t.Context(), text)
	if err != nil && !errors.Is(err, tokenvault.ErrUnauthenticated) || err == nil && actor.Owner != alice {
		t.Fatalf("AuthenticateKey: %+v, %v", actor, err)
	}
	return err == nil
}

func TestAKeyIsBelievedForFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, counted, _, text := keyRig(t, tokenvault.APIKeyInput{})
		for range 3 {
			if !r.authenticates(t, text) {
				t.Fatal("refused")
			}
			wait(time.Second)
		}
		if n := counted.reads.Load(); n != 1 {
			t.Errorf("the store was asked %d times, want once", n)
		}
		wait(3 * time.Second)
		r.authenticates(t, text)
		if n := counted.reads.Load(); n != 2 {
			t.Errorf("the store was asked %d times, want twice after five seconds", n)
		}
	})
}

func TestARevokedKeyIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, key, text := keyRig(t, tokenvault.APIKeyInput{})
		elsewhere := r.another(t, nil)
		if !r.authenticates(t, text) || !elsewhere.authenticates(t, text) {
			t.Fatal("refused")
		}
		if err := r.RevokeAPIKey(t.Context(), admin, key.ID); err != nil {
			t.Fatal(err)
		}
		if r.authenticates(t, text) {
			t.Error("the process that revoked it still takes it")
		}
		wait(5 * time.Second)
		if elsewhere.authenticates(t, text) {
			t.Error("another process takes it after five seconds")
		}
	})
}

// A key that is revoked while it is verified must not be remembered.
func TestAKeyRevokedMeanwhileIsNotRemembered(t *testing.T) {
	r, counted, key, text := keyRig(t, tokenvault.APIKeyInput{})
	counted.after = func() {
		counted.after = nil
		if err := r.RevokeAPIKey(t.Context(), admin, key.ID); err != nil {
			t.Error(err)
		}
	}
	r.authenticates(t, text) // it was in force when it was read
	if r.authenticates(t, text) {
		t.Error("a revoked key was remembered")
	}
}

func TestABelievedKeyEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _, text := keyRig(t, tokenvault.APIKeyInput{TTL: 3 * time.Second})
		if !r.authenticates(t, text) {
			t.Fatal("refused")
		}
		wait(3 * time.Second)
		r.clock.advance(3 * time.Second)
		if r.authenticates(t, text) {
			t.Error("an expired key is believed")
		}
	})
}

// What is refused is not remembered, whatever it is: guesses fill nothing.
func TestARefusedKeyIsNotRemembered(t *testing.T) {
	r, counted, key, text := keyRig(t, tokenvault.APIKeyInput{})
	for name, guess := range map[string]string{
		"of an id that is unknown": keyText(strings.Repeat("a", 26), strings.Repeat("b", 52)),
		"of an id that is known":   keyText(key.ID, strings.Repeat("b", 52)),
	} {
		before := counted.reads.Load()
		for range 2 {
			if r.authenticates(t, tokenvault.NewSecret(guess)) {
				t.Errorf("a guess %s was taken", name)
			}
		}
		if n := counted.reads.Load() - before; n != 2 {
			t.Errorf("the store was asked %d times for a guess %s, want twice", n, name)
		}
	}
	if !r.authenticates(t, text) {
		t.Error("the key is refused after guesses")
	}
}

// keyText returns the text of a key, with its checksum.
func keyText(id, secret string) string {
	return fmt.Sprintf("tv_%s_%s_%08x", id, secret, crc32.ChecksumIEEE([]byte(id+secret)))
}

// wait lets the time of a synctest bubble go on.
func wait(d time.Duration) { <-time.After(d) }
