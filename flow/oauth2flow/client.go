package oauth2flow

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/ai-token-vault/tokenvault"
)

// assertionLifetime is how long a client assertion is valid.
const assertionLifetime = time.Minute

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// authenticate adds to the form or to the request what proves the client
// (RFC 6749 §2.3, RFC 7523 §2.2). A client without a secret is public.
func (call tokenCall) authenticate(form url.Values) (basic func(*http.Request), err error) {
	client, p := call.client, call.provider.OAuth2
	basic = func(*http.Request) {}
	switch {
	case client.Secret.IsZero() || p.ClientAuth == tokenvault.ClientAuthNone:
		form.Set("client_id", client.ID)
	case p.ClientAuth == tokenvault.ClientSecretPost:
		form.Set("client_id", client.ID)
		form.Set("client_secret", client.Secret.Reveal())
	case p.ClientAuth == tokenvault.PrivateKeyJWT:
		assertion, err := signAssertion(p.Issuer, client, time.Now())
		if err != nil {
			return nil, fmt.Errorf("app of %s: %w", call.provider.ID, err)
		}
		form.Set("client_id", client.ID)
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	default: // RFC 6749 §2.3.1: both parts are form-encoded first
		basic = func(r *http.Request) {
			r.SetBasicAuth(url.QueryEscape(client.ID), url.QueryEscape(client.Secret.Reveal()))
		}
	}
	return basic, nil
}

// signAssertion returns a client assertion (RFC 7523 §3) whose audience is the
// issuer alone, as one string: an assertion with the token endpoint as audience
// could be collected by one server for another.
func signAssertion(issuer string, client tokenvault.Client, now time.Time) (string, error) {
	if issuer == "" {
		return "", &tokenvault.FieldError{Field: "oauth2.issuer", Reason: "must be set for client authentication by private_key_jwt"}
	}
	key, algorithm, err := signingKey(client.Secret)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", errSigningKey()
	}
	claims, err := json.Marshal(map[string]any{
		"iss": client.ID, "sub": client.ID, "aud": issuer, "jti": random(),
		"iat": now.Unix(), "exp": now.Add(assertionLifetime).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", errSigningKey()
	}
	return signed.CompactSerialize()
}

func errSigningKey() error {
	return &tokenvault.FieldError{Field: "clientSecret", Reason: "must be a private key, as PEM (PKCS #8) or JWK: RSA of 2048 bits or more, EC P-256, P-384 or P-521, or Ed25519"}
}

// signingKey reads a private key, as PEM or JWK; a JWK may name its kid.
func signingKey(text tokenvault.Secret) (key any, algorithm jose.SignatureAlgorithm, err error) {
	raw := strings.TrimSpace(text.Reveal())
	if strings.HasPrefix(raw, "{") {
		var jwk jose.JSONWebKey
		if jwk.UnmarshalJSON([]byte(raw)) != nil || jwk.IsPublic() || !jwk.Valid() {
			return nil, "", errSigningKey()
		}
		algorithm, err = algorithmOf(jwk.Key)
		return jwk, algorithm, err
	}
	block, _ := pem.Decode([]byte(raw))
	if block == nil {
		return nil, "", errSigningKey()
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, "", errSigningKey()
	}
	algorithm, err = algorithmOf(parsed)
	return parsed, algorithm, err
}

func algorithmOf(key crypto.PrivateKey) (jose.SignatureAlgorithm, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() >= 2048 {
			return jose.RS256, nil
		}
	case ed25519.PrivateKey:
		return jose.EdDSA, nil
	case *ecdsa.PrivateKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return jose.ES256, nil
		case 384:
			return jose.ES384, nil
		case 521:
			return jose.ES512, nil
		}
	}
	return "", errSigningKey()
}
