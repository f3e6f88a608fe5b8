package envelope

import (
	"bytes"
	"errors"
	"testing"
)

func TestOpenRefusesEveryAlteration(t *testing.T) {
	aead, err := NewAEAD(bytes.Repeat([]byte{7}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	aad := AAD("connection", "t1", "c1")
	blob := Seal(aead, 3, []byte("plaintext"), aad)
	if got, err := Open(aead, blob, aad); err != nil || string(got) != "plaintext" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	if v, _ := KeyVersion(blob); v != 3 {
		t.Errorf("KeyVersion = %d, want 3", v)
	}
	for n := range blob {
		if _, err := Open(aead, blob[:n], aad); !errors.Is(err, ErrOpen) {
			t.Errorf("cut to %d bytes: err = %v", n, err)
		}
		flipped := bytes.Clone(blob)
		flipped[n] ^= 1
		if n >= 1 && n < headerSize {
			continue // the key version is bound by the caller's additional data
		}
		if _, err := Open(aead, flipped, aad); !errors.Is(err, ErrOpen) {
			t.Errorf("bit flipped in byte %d: err = %v", n, err)
		}
	}
	if _, err := Open(aead, blob, AAD("connection", "t1", "c2")); !errors.Is(err, ErrOpen) {
		t.Errorf("other row: err = %v", err)
	}
}

func TestAADPartsCannotRunTogether(t *testing.T) {
	if bytes.Equal(AAD("ab", "c"), AAD("a", "bc")) {
		t.Error("two lists of parts gave the same additional data")
	}
}

func FuzzOpen(f *testing.F) {
	aead, err := NewAEAD(bytes.Repeat([]byte{7}, KeySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(Seal(aead, 1, []byte("x"), nil))
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, blob []byte) {
		if _, err := Open(aead, blob, []byte("other")); !errors.Is(err, ErrOpen) {
			t.Errorf("opened %x under other additional data", blob)
		}
	})
}
