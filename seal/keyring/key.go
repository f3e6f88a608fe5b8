package keyring

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

// minDistinct is how many different bytes a key has at least. Of 32 random bytes
// fewer are different about once in 10^18 keys.
const minDistinct = 16

const howToMakeOne = "make one with 'openssl rand -base64 32'"

// FromKey returns a keyring of one key, given as base64, base64url or hex of 32
// bytes, and of those before it, which only open. It refuses anything shorter or
// longer, passphrases, and keys that are plainly not random; the error never holds
// the text.
func FromKey(text tokenvault.Secret, old ...tokenvault.Secret) (*Keyring, error) {
	keys := map[uint32][]byte{}
	primary, err := addKey(keys, text)
	for _, text := range old {
		if err == nil {
			_, err = addKey(keys, text)
		}
	}
	if err != nil {
		return nil, err
	}
	r, err := newRing(primary, keys)
	if err != nil {
		return nil, err
	}
	return &Keyring{ring: r}, nil
}

// addKey adds a key under an id that follows from it, since nothing else tells keys
// of the environment apart. It is greater than those in files.
func addKey(keys map[uint32][]byte, text tokenvault.Secret) (uint32, error) {
	key, err := decodeKey(strings.TrimSpace(text.Reveal()))
	if err != nil {
		return 0, err
	}
	sum, err := hkdf.Key(sha256.New, key, nil, "tokenvault root key id", 4)
	if err != nil {
		return 0, err
	}
	id := binary.BigEndian.Uint32(sum) | 1<<31
	keys[id] = key
	return id, nil
}

func decodeKey(text string) ([]byte, error) {
	if key, err := hex.DecodeString(text); err == nil && len(key) == envelope.KeySize {
		return key, nil
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if key, err := encoding.Strict().DecodeString(text); err == nil && len(key) == envelope.KeySize {
			return key, nil
		}
	}
	return nil, errors.New("root key: must be 32 random bytes as base64 or hex, not a passphrase: " + howToMakeOne)
}

// checkStrength refuses keys that nobody drew at random.
func checkStrength(key []byte) error {
	if len(key) != envelope.KeySize {
		return errors.New("root key: must have 32 bytes: " + howToMakeOne)
	}
	distinct := map[byte]bool{}
	sequence := true
	for i, b := range key {
		distinct[b] = true
		sequence = sequence && (i == 0 || b-key[i-1] == key[1]-key[0])
	}
	if len(distinct) < minDistinct || sequence {
		return errors.New("root key: is weak, not 32 random bytes: " + howToMakeOne)
	}
	return nil
}
