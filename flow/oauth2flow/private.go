package oauth2flow

import (
	"fmt"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/record"
)

// private is what Complete needs and nobody else may know.
type private struct {
	verifier string // PKCE, RFC 7636
	nonce    string // OpenID Connect Core §3.1.2.1
}

// Tags of the record.
const (
	tagVerifier = 1
	tagNonce    = 2
)

func (p private) seal() tokenvault.Secret {
	var w record.Writer
	w.String(tagVerifier, p.verifier)
	w.String(tagNonce, p.nonce)
	return tokenvault.NewSecret(string(w.Bytes()))
}

func openPrivate(s tokenvault.Secret) (private, error) {
	var p private
	err := record.Each([]byte(s.Reveal()), func(tag byte, value []byte) {
		switch tag {
		case tagVerifier:
			p.verifier = string(value)
		case tagNonce:
			p.nonce = string(value)
		}
	})
	if err != nil || p.verifier == "" {
		return private{}, fmt.Errorf("attempt record: %w", tokenvault.ErrUnsealable)
	}
	return p, nil
}
