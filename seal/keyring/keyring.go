// Package keyring is the built-in [tokenvault.Sealer]: root keys in a file that
// only its owner can read, or from the environment.
//
// A keyring holds one primary key, which seals, and any number of older ones,
// which still open what they sealed. Losing the root key is losing all that is
// sealed: back it up apart from the database.
//
// # Rotation
//
// [Keyring.Rotate] adds a primary key to the file. A process that has the file open
// looks at it again before it seals, and before it gives up on a key that it does
// not hold, so that rotation needs no restart. Once [tokenvault.Vault.RewrapDataKeys]
// has sealed all data keys again, [Keyring.Retire] removes the older key.
package keyring

import (
	"context"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

// lookEvery is how old what is known of a key file may be when something is sealed.
const lookEvery = time.Second

// A Keyring seals with its primary key and opens with any of its keys. It is safe
// for concurrent use and prints nothing of its keys.
type Keyring struct {
	path string // of the key file; empty for keys of the environment

	mu     sync.Mutex // protects all below
	ring   *ring
	seen   stamp
	looked time.Time
}

// A ring is the content of a keyring. It is never changed.
type ring struct {
	primary uint32
	keys    map[uint32]cipher.AEAD
}

// A Key tells of a root key what may be told.
type Key struct {
	ID      uint32
	Primary bool // seals; the others only open
}

var (
	_ tokenvault.Sealer  = (*Keyring)(nil)
	_ tokenvault.Rotator = (*Keyring)(nil)
)

// newRing returns a ring of keys of 32 bytes by id.
func newRing(primary uint32, keys map[uint32][]byte) (*ring, error) {
	r := &ring{primary: primary, keys: make(map[uint32]cipher.AEAD, len(keys))}
	for id, key := range keys {
		if err := checkStrength(key); err != nil {
			return nil, err
		}
		aead, err := envelope.NewAEAD(key)
		if err != nil {
			return nil, err
		}
		r.keys[id] = aead
	}
	return r, nil
}

// current returns the keys, at most lookEvery old, or as they are now. A file that
// cannot be read changes nothing: the keys that are known still serve.
func (k *Keyring) current(now bool) *ring {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.path == "" || !now && time.Since(k.looked) < lookEvery {
		return k.ring
	}
	k.looked = time.Now()
	if seen, err := stampOf(k.path); err != nil || seen == k.seen {
		return k.ring
	}
	if f, seen, err := read(k.path); err == nil {
		if r, err := f.ring(); err == nil {
			k.ring, k.seen = r, seen
		}
	}
	return k.ring
}

// Keys returns the root keys by id.
func (k *Keyring) Keys() []Key {
	r := k.current(true)
	var keys []Key
	for _, id := range slices.Sorted(maps.Keys(r.keys)) {
		keys = append(keys, Key{ID: id, Primary: id == r.primary})
	}
	return keys
}

// Seal seals plaintext under the primary key.
func (k *Keyring) Seal(_ context.Context, plaintext, aad []byte) (tokenvault.Sealed, error) {
	r := k.current(false)
	return envelope.Seal(r.keys[r.primary], r.primary, plaintext, bind(aad, r.primary)), nil
}

// Open opens what one of the keys sealed. Any failure is
// [tokenvault.ErrUnsealable].
func (k *Keyring) Open(_ context.Context, sealed tokenvault.Sealed, aad []byte) ([]byte, error) {
	id, err := envelope.KeyVersion(sealed)
	if err != nil {
		return nil, fmt.Errorf("keyring: malformed value: %w", tokenvault.ErrUnsealable)
	}
	aead, held := k.current(false).keys[id]
	if !held {
		aead, held = k.current(true).keys[id]
	}
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
	id, err := KeyID(sealed)
	return err != nil || id != k.current(false).primary
}

// KeyID returns the id of the root key that sealed a value.
func KeyID(sealed tokenvault.Sealed) (uint32, error) {
	id, err := envelope.KeyVersion(sealed)
	if err != nil {
		return 0, fmt.Errorf("keyring: malformed value: %w", tokenvault.ErrUnsealable)
	}
	return id, nil
}

// String names the keyring without its keys.
func (k *Keyring) String() string { return fmt.Sprintf("keyring of %d keys", len(k.Keys())) }

// GoString names the keyring without its keys.
func (k *Keyring) GoString() string { return k.String() }

// bind adds the key's id to the additional data.
func bind(aad []byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append([]byte("root"), aad...), id)
}
