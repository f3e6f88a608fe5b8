// Package keyring is the built-in [tokenvault.Sealer]: root keys in a file that
// only its owner can read, or one key from the environment.
//
// A keyring holds one primary key, which seals, and any number of older ones,
// which still open what they sealed. Losing the root key is losing all that is
// sealed: back it up apart from the database.
package keyring

import (
	"context"
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

// A Keyring seals with its primary key and opens with any of its keys. It is safe
// for concurrent use and prints nothing of its keys.
type Keyring struct {
	primary uint32
	keys    map[uint32]cipher.AEAD
}

var (
	_ tokenvault.Sealer  = (*Keyring)(nil)
	_ tokenvault.Rotator = (*Keyring)(nil)
)

// newKeyring returns a keyring of keys of 32 bytes by id.
func newKeyring(primary uint32, keys map[uint32][]byte) (*Keyring, error) {
	k := &Keyring{primary: primary, keys: make(map[uint32]cipher.AEAD, len(keys))}
	for id, key := range keys {
		if err := checkStrength(key); err != nil {
			return nil, err
		}
		aead, err := envelope.NewAEAD(key)
		if err != nil {
			return nil, err
		}
		k.keys[id] = aead
	}
	return k, nil
}

// Seal seals plaintext under the primary key.
func (k *Keyring) Seal(_ context.Context, plaintext, aad []byte) (tokenvault.Sealed, error) {
	return envelope.Seal(k.keys[k.primary], k.primary, plaintext, bind(aad, k.primary)), nil
}

// Open opens what one of the keys sealed. Any failure is
// [tokenvault.ErrUnsealable].
func (k *Keyring) Open(_ context.Context, sealed tokenvault.Sealed, aad []byte) ([]byte, error) {
	id, err := envelope.KeyVersion(sealed)
	if err != nil {
		return nil, fmt.Errorf("keyring: malformed value: %w", tokenvault.ErrUnsealable)
	}
	aead, held := k.keys[id]
	if !held {
		return nil, fmt.Errorf("keyring: root key %d is not held: %w", id, tokenvault.ErrUnsealable)
	}
	plaintext, err := envelope.Open(aead, sealed, bind(aad, id))
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", tokenvault.ErrUnsealable)
	}
	return plaintext, nil
}

// Outdated reports whether sealed was sealed by another key than the primary one.
func (k *Keyring) Outdated(sealed tokenvault.Sealed) bool {
	id, err := envelope.KeyVersion(sealed)
	return err != nil || id != k.primary
}

// String names the keyring without its keys.
func (k *Keyring) String() string { return fmt.Sprintf("keyring of %d keys", len(k.keys)) }

// GoString names the keyring without its keys.
func (k *Keyring) GoString() string { return k.String() }

// bind adds the key's id to the additional data.
func bind(aad []byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append([]byte("root"), aad...), id)
}
