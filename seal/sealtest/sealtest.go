// Package sealtest is the suite that every [tokenvault.Sealer] passes.
package sealtest

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

// Run tests a sealer. newSealers returns two with different root keys, so that
// what happens under a wrong key is tested for all.
func Run(t *testing.T, newSealers func(t *testing.T) (a, b tokenvault.Sealer)) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, tokenvault.Sealer, tokenvault.Sealer){
		"round trip":             roundTrip,
		"two seals differ":       twoSealsDiffer,
		"bound to its place":     boundToItsPlace,
		"every alteration fails": everyAlterationFails,
		"another key fails":      anotherKeyFails,
		"concurrent use":         concurrentUse,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newSealers(t)
			test(t, a, b)
		})
	}
}

const plaintext = "canary-plaintext-71c2"

func seal(t *testing.T, s tokenvault.Sealer, aad string) tokenvault.Sealed {
	t.Helper()
	sealed, err := s.Seal(t.Context(), []byte(plaintext), []byte(aad))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte(plaintext)) {
		t.Fatal("the sealed value holds the plaintext")
	}
	return sealed
}

func refuse(t *testing.T, s tokenvault.Sealer, sealed tokenvault.Sealed, aad, what string) {
	t.Helper()
	got, err := s.Open(t.Context(), sealed, []byte(aad))
	if got != nil || !errors.Is(err, tokenvault.ErrUnsealable) {
		t.Errorf("%s: Open = %q, %v; want ErrUnsealable", what, got, err)
	}
	if err != nil && strings.Contains(err.Error(), plaintext) {
		t.Errorf("%s: the error holds the plaintext", what)
	}
}

func roundTrip(t *testing.T, s, _ tokenvault.Sealer) {
	for _, text := range []string{"", "x", plaintext, strings.Repeat("y", 1<<16)} {
		sealed, err := s.Seal(t.Context(), []byte(text), []byte("aad"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Open(t.Context(), sealed, []byte("aad"))
		if err != nil || string(got) != text {
			t.Errorf("%d bytes: Open failed: %v", len(text), err)
		}
	}
}

func twoSealsDiffer(t *testing.T, s, _ tokenvault.Sealer) {
	if bytes.Equal(seal(t, s, "aad"), seal(t, s, "aad")) {
		t.Error("two seals of one plaintext are equal")
	}
}

func boundToItsPlace(t *testing.T, s, _ tokenvault.Sealer) {
	sealed := seal(t, s, "row 1")
	refuse(t, s, sealed, "row 2", "another place")
	refuse(t, s, sealed, "", "no place")
}

func everyAlterationFails(t *testing.T, s, _ tokenvault.Sealer) {
	sealed := seal(t, s, "aad")
	for n := range sealed {
		refuse(t, s, sealed[:n], "aad", "cut short")
		flipped := bytes.Clone(sealed)
		flipped[n] ^= 1
		refuse(t, s, flipped, "aad", "bit flipped")
	}
	refuse(t, s, append(bytes.Clone(sealed), 0), "aad", "a byte too many")
	refuse(t, s, nil, "aad", "nothing")
}

func anotherKeyFails(t *testing.T, a, b tokenvault.Sealer) {
	refuse(t, b, seal(t, a, "aad"), "aad", "another root key")
}

func concurrentUse(t *testing.T, s, _ tokenvault.Sealer) {
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 {
				sealed, err := s.Seal(t.Context(), []byte(plaintext), []byte("aad"))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Open(t.Context(), sealed, []byte("aad")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
