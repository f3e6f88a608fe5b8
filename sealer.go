package tokenvault

import "context"

// Sealed is the encrypted form of a value, the only form a store ever sees.
type Sealed []byte

// A SealedRecord is a sealed value with the data key that sealed it. The zero
// SealedRecord holds nothing.
type SealedRecord struct {
	KeySpace   string // whose data key: see [Vault] on encryption
	KeyVersion uint32
	Blob       Sealed
}

// A Sealer holds a root key and seals data keys with it. The Vault opens data
// keys through it, keeps them for at most ten minutes, and seals records with
// them.
//
// Implementations must be safe for concurrent use, must never return equal
// results for two calls, and must refuse to open a value under other additional
// data.
//
// An error that does not wrap [ErrUnsealable] says that the root key cannot be
// used for now. Data keys that are open still serve.
type Sealer interface {
	Seal(ctx context.Context, plaintext, aad []byte) (Sealed, error)
	// Open returns an error wrapping [ErrUnsealable] if sealed was altered, was
	// sealed under other data, or was sealed by a key that is not held.
	Open(ctx context.Context, sealed Sealed, aad []byte) ([]byte, error)
}

// A Rotator is an optional ability of a [Sealer] whose root key can change.
type Rotator interface {
	// Outdated reports whether sealed was sealed by a root key that is no longer
	// the primary one and should be sealed again.
	Outdated(sealed Sealed) bool
}
