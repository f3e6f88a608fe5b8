// Package envelope is the sealed form of one value: AES-256-GCM with a random
// nonce under a numbered key, bound to the place it is stored in.
//
//	0x01 | key version, 4 bytes big-endian | nonce, 12 | ciphertext | tag, 16
//
// The nonce is drawn by [cipher.NewGCMWithRandomNonce], which is safe for 2^32
// values per key.
package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	format     = 0x01
	headerSize = 5
	// KeySize is the length of every key in bytes.
	KeySize = 32
)

// ErrOpen reports a blob that was altered, that belongs elsewhere, or that was
// sealed by another key.
var ErrOpen = errors.New("sealed value cannot be opened")

// NewAEAD returns the cipher for a key of [KeySize] bytes.
func NewAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("a key has %d bytes, not %d", KeySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Seal encrypts plaintext under aead, whose number is keyVersion.
func Seal(aead cipher.AEAD, keyVersion uint32, plaintext, aad []byte) []byte {
	out := make([]byte, headerSize, headerSize+len(plaintext)+aead.Overhead())
	out[0] = format
	binary.BigEndian.PutUint32(out[1:], keyVersion)
	return aead.Seal(out, nil, plaintext, aad)
}

// KeyVersion returns the number of the key that sealed blob.
func KeyVersion(blob []byte) (uint32, error) {
	if len(blob) < headerSize || blob[0] != format {
		return 0, ErrOpen
	}
	return binary.BigEndian.Uint32(blob[1:headerSize]), nil
}

// Open decrypts blob. It returns [ErrOpen] and nothing else when it cannot.
func Open(aead cipher.AEAD, blob, aad []byte) ([]byte, error) {
	if _, err := KeyVersion(blob); err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, blob[headerSize:], aad)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// AAD returns the additional data "tv1" followed by the length-prefixed parts,
// so that no two lists of parts give the same bytes.
func AAD(parts ...string) []byte {
	n := 3
	for _, p := range parts {
		n += 4 + len(p)
	}
	b := make([]byte, 0, n+12)
	b = append(b, "tv1"...)
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p))) //nolint:gosec // identifiers are at most 255 bytes
		b = append(b, p...)
	}
	return b
}
