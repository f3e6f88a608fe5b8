package sealtest_test

import (
	"crypto/rand"
	"encoding/base64"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/seal/sealtest"
)

// openMySealer returns a sealer of another module, with a new root key.
func openMySealer(t *testing.T) tokenvault.Sealer {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	sealer, err := keyring.FromKey(tokenvault.NewSecret(base64.StdEncoding.EncodeToString(key)))
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

// A sealer of another module runs the suite in a test of its own.
func Example() {
	testMySealer := func(t *testing.T) { // TestMySealer, in your package
		sealtest.Run(t, func(t *testing.T) (a, b tokenvault.Sealer) {
			t.Helper()
			return openMySealer(t), openMySealer(t) // two root keys
		})
	}
	_ = testMySealer
}
