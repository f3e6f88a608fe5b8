package signin

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/ai-token-vault/tokenvault"
)

const (
	assertionType   = "tokenvault-assertion+jwt"
	maxAssertionAge = time.Minute
	clockSkew       = 10 * time.Second
	maxKeys         = 256 << 10
)

// assertionAlgs are the algorithms that are taken: asymmetric ones only.
func assertionAlgs() []string {
	return []string{oidc.ES256, oidc.ES384, oidc.EdDSA, oidc.RS256, oidc.PS256}
}

// An asserted is what an assertion says.
type asserted struct {
	user  tokenvault.Actor
	id    string
	until time.Time
}

// verify returns what an assertion says, and spends nothing. The errors say what is wrong
// for the log, and hold nothing of the assertion but its issuer, audience and
// times.
func (a *Assertion) verify(ctx context.Context, assertion tokenvault.Secret) (asserted, error) {
	var none asserted
	if err := checkAssertionHeader(assertion); err != nil {
		return none, err
	}
	token, err := a.verifier.Verify(ctx, assertion.Reveal())
	if err != nil {
		return none, fmt.Errorf("%w (it has to match assertion-issuer, public-url and assertion-keys)", err)
	}
	var claims struct {
		ID             string `json:"jti"`
		OrganizationID string `json:"org_id"`
		OrgAdmin       bool   `json:"org_admin"`
	}
	if token.Claims(&claims) != nil {
		return none, errors.New("jti and org_id must be strings, org_admin true or false")
	}
	owner := tokenvault.Owner{Tenant: a.vault.Tenant(), OrganizationID: claims.OrganizationID, UserID: token.Subject}
	switch now := time.Now(); {
	case token.IssuedAt.IsZero() || token.IssuedAt.After(now.Add(clockSkew)):
		return none, errors.New("iat is missing or in the future: are the clocks right")
	case token.Expiry.Sub(token.IssuedAt) > maxAssertionAge:
		return none, errors.New("exp must be at most 60 seconds after iat")
	case len(token.Audience) != 1:
		return none, errors.New("aud must be the vault's public URL alone")
	case claims.ID == "" || len(claims.ID) > 255:
		return none, errors.New("jti must be 1 to 255 bytes")
	case token.Subject == "" || owner.Validate() != nil:
		return none, errors.New("sub and org_id must be ids of at most 255 bytes without control characters")
	}
	user := tokenvault.Actor{
		Kind: tokenvault.ActorUser, ID: token.Subject, Owner: owner, OrgAdmin: claims.OrgAdmin && owner.OrganizationID != "",
	}
	return asserted{user, claims.ID, token.Expiry}, nil
}

// checkAssertionHeader takes alg, kid and typ, and refuses every other member:
// jku, jwk, x5u and x5c would name the key to believe, and crit what we do not
// know (RFC 8725 §3.10, RFC 7515 §4.1.11).
func checkAssertionHeader(assertion tokenvault.Secret) error {
	segment, _, _ := strings.Cut(assertion.Reveal(), ".")
	text, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return errors.New("it is no JSON Web Token in compact form")
	}
	var header struct {
		Type      string `json:"typ"`
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if dec.Decode(&header) != nil {
		return errors.New("its header must have typ, alg and kid, and nothing else")
	}
	if header.Type != assertionType {
		return errors.New("its typ must be " + assertionType)
	}
	return nil
}

// ParseKeys reads public keys: a JWK Set (RFC 7517) or PEM blocks of type PUBLIC
// KEY. It fails with a [tokenvault.FieldError] if there is none, or anything that
// is to be kept secret.
func ParseKeys(text []byte) ([]crypto.PublicKey, error) {
	wrong := &tokenvault.FieldError{Field: "assertionKeys", Reason: "must be public keys, RSA, ECDSA or Ed25519: a JWK Set, or PEM blocks of type PUBLIC KEY"}
	var keys []crypto.PublicKey
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		var set jose.JSONWebKeySet
		if json.Unmarshal(text, &set) != nil {
			return nil, wrong
		}
		for _, k := range set.Keys {
			if !k.Valid() || !k.IsPublic() {
				return nil, wrong
			}
			keys = append(keys, k.Key)
		}
	} else {
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			key, err := x509.ParsePKIXPublicKey(block.Bytes)
			if err != nil || block.Type != "PUBLIC KEY" {
				return nil, wrong
			}
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, wrong
	}
	return keys, nil
}
