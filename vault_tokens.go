package tokenvault

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

// SealToken returns a token that holds payload for ttl. Only this tenant's vaults
// can read or make one, and only for the same purpose: a sign-in adapter keeps a
// session in a cookie with it. It cannot be taken back before its time.
func (v *Vault) SealToken(ctx context.Context, purpose string, payload []byte, ttl time.Duration) (Secret, error) {
	plaintext := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(ttl).UnixMicro()))
	sealed, err := v.keys.seal(ctx, v.tokenPlace(purpose), append(plaintext, payload...))
	if err != nil {
		return Secret{}, err
	}
	return NewSecret(base64.RawURLEncoding.EncodeToString(sealed.Blob)), nil
}

// OpenToken returns the payload of a token of SealToken. It fails with
// [ErrUnauthenticated] if the token is not one for the purpose, or its time is
// over.
func (v *Vault) OpenToken(ctx context.Context, purpose string, token Secret) ([]byte, error) {
	payload, _, err := v.openToken(ctx, purpose, token)
	return payload, err
}

// openToken is OpenToken, and tells when the token's time is over.
func (v *Vault) openToken(ctx context.Context, purpose string, token Secret) ([]byte, time.Time, error) {
	invalid := fmt.Errorf("token: %w", ErrUnauthenticated)
	blob, err := base64.RawURLEncoding.DecodeString(token.Reveal())
	if err != nil || base64.RawURLEncoding.EncodeToString(blob) != token.Reveal() { // one text for each token: see SignOut
		return nil, time.Time{}, invalid
	}
	version, err := envelope.KeyVersion(blob)
	if err != nil {
		return nil, time.Time{}, invalid
	}
	plaintext, err := v.keys.open(ctx, v.tokenPlace(purpose), SealedRecord{KeySpace: tenantSpace, KeyVersion: version, Blob: blob}, nil)
	if errors.Is(err, ErrUnsealable) || errors.Is(err, ErrNotFound) || err == nil && len(plaintext) < 8 {
		return nil, time.Time{}, invalid
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	until := time.UnixMicro(int64(binary.BigEndian.Uint64(plaintext))) //nolint:gosec // written from one
	if !time.Now().Before(until) {
		return nil, time.Time{}, invalid
	}
	return plaintext[8:], until, nil
}

func (v *Vault) tokenPlace(purpose string) place {
	return place{table: "token", owner: Owner{Tenant: v.opts.Tenant}, row: purpose, version: 1}
}

// UseOnce remembers id for ttl. It fails with [ErrConflict] if the id was used for
// the purpose before, by any process on the store.
func (v *Vault) UseOnce(ctx context.Context, purpose, id string, ttl time.Duration) error {
	return v.store.UseNonce(ctx, Nonce{Tenant: v.opts.Tenant, Hash: nonceHash(purpose, id), TTL: ttl})
}

func nonceHash(purpose, id string) string { return hashText(purpose + "\x00" + id) }
