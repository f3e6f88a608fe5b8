package tokenvault

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/envelope"
	"github.com/ai-token-vault/tokenvault/internal/record"
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
	invalid := fmt.Errorf("token: %w", ErrUnauthenticated)
	blob, err := base64.RawURLEncoding.DecodeString(token.Reveal())
	if err != nil {
		return nil, invalid
	}
	version, err := envelope.KeyVersion(blob)
	if err != nil {
		return nil, invalid
	}
	plaintext, err := v.keys.open(ctx, v.tokenPlace(purpose), SealedRecord{KeySpace: tenantSpace, KeyVersion: version, Blob: blob}, nil)
	if errors.Is(err, ErrUnsealable) || errors.Is(err, ErrNotFound) || err == nil && len(plaintext) < 8 {
		return nil, invalid
	}
	if err != nil {
		return nil, err
	}
	if until := time.UnixMicro(int64(binary.BigEndian.Uint64(plaintext))); !time.Now().Before(until) { //nolint:gosec // written from one
		return nil, invalid
	}
	return plaintext[8:], nil
}

func (v *Vault) tokenPlace(purpose string) place {
	return place{table: "token", owner: Owner{Tenant: v.opts.Tenant}, row: purpose, version: 1}
}

// UseOnce remembers id for ttl. It fails with [ErrConflict] if the id was used for
// the purpose before, by any process on the store.
func (v *Vault) UseOnce(ctx context.Context, purpose, id string, ttl time.Duration) error {
	hash := hashText(purpose + "\x00" + id)
	return v.store.UseNonce(ctx, Nonce{Tenant: v.opts.Tenant, Hash: hash, TTL: ttl})
}

// A Session lets one person's browser call the browser-facing API from the pages
// of one origin, where no cookie of the vault is sent.
type Session struct {
	Token     Secret
	ExpiresAt time.Time
}

const (
	maxSession     = 15 * time.Minute
	sessionPrefix  = "tvs_"
	sessionPurpose = "session"
)

// Tags of the record.
const (
	tagSessionOrganization = iota + 1
	tagSessionUser
	tagSessionOrigin
)

// CreateSession returns a session of the owner that a back end acts for, for
// pages of one origin, such as https://app.example.com, for at most 15 minutes;
// 0 means that. Only a back end may, and only for a user.
func (v *Vault) CreateSession(ctx context.Context, actor Actor, origin string, ttl time.Duration) (Session, error) {
	if err := v.checkActor(actor); err != nil {
		return Session{}, err
	}
	switch {
	case actor.Kind != ActorBackend || actor.Owner.UserID == "":
		return Session{}, fmt.Errorf("only a back end opens sessions, for a user: %w", ErrDenied)
	case !validOrigin(origin):
		return Session{}, invalid("origin", "must be an origin such as https://app.example.com")
	case ttl < 0 || ttl > maxSession:
		return Session{}, invalid("ttlSeconds", "must be at most 900")
	case ttl == 0:
		ttl = maxSession
	}
	var w record.Writer
	w.String(tagSessionOrganization, actor.Owner.OrganizationID)
	w.String(tagSessionUser, actor.Owner.UserID)
	w.String(tagSessionOrigin, origin)
	expires := time.Now().Add(ttl).UTC().Truncate(time.Second)
	token, err := v.SealToken(ctx, sessionPurpose, w.Bytes(), ttl)
	return Session{Token: NewSecret(sessionPrefix + token.Reveal()), ExpiresAt: expires}, err
}

// AuthenticateSession returns the user of a session whose token a page of origin
// sent, or [ErrUnauthenticated].
func (v *Vault) AuthenticateSession(ctx context.Context, token Secret, origin string) (Actor, error) {
	text, ok := strings.CutPrefix(token.Reveal(), sessionPrefix)
	if !ok {
		return Actor{}, fmt.Errorf("session: %w", ErrUnauthenticated)
	}
	payload, err := v.OpenToken(ctx, sessionPurpose, NewSecret(text))
	if err != nil {
		return Actor{}, err
	}
	owner, bound := Owner{Tenant: v.opts.Tenant}, ""
	err = record.Each(payload, func(tag byte, value []byte) {
		switch tag {
		case tagSessionOrganization:
			owner.OrganizationID = string(value)
		case tagSessionUser:
			owner.UserID = string(value)
		case tagSessionOrigin:
			bound = string(value)
		}
	})
	if err != nil || owner.UserID == "" || bound != origin {
		return Actor{}, fmt.Errorf("session: %w", ErrUnauthenticated)
	}
	return Actor{Kind: ActorUser, ID: owner.UserID, Owner: owner}, nil
}
