// Package stdwebhook signs and verifies webhooks as Standard Webhooks 1.0.0 says
// (https://www.standardwebhooks.com): an HMAC-SHA256 over id, time and body, with
// a symmetric secret.
package stdwebhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a webhook.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp" // seconds since 1970
	HeaderSignature = "Webhook-Signature" // "v1,…" in base64, several with a space between
)

const (
	secretPrefix = "whsec_"
	secretSize   = 32
	leastSecret  = 24 // bytes, by the specification
	mostSecret   = 64
	tolerance    = 5 * time.Minute
	version      = "v1"
	maxHeader    = 255
)

// The ways in which a webhook cannot be verified.
var (
	ErrSecret    = errors.New(`the secret must be "whsec_" and 24 to 64 bytes in base64`)
	ErrSignature = errors.New("no signature of the webhook was made with a secret that is held")
	ErrTimestamp = errors.New("the webhook was signed more than five minutes before or after now")
)

// NewSecret returns a random secret.
func NewSecret() string {
	key := make([]byte, secretSize)
	_, _ = rand.Read(key) // never fails: see package crypto/rand
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// Sign returns the header webhook-signature of a message, with one signature by
// each secret.
func Sign(id string, at time.Time, body []byte, secrets ...string) (string, error) {
	signatures := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		key, err := keyOf(secret)
		if err != nil {
			return "", err
		}
		signatures = append(signatures, version+","+base64.StdEncoding.EncodeToString(mac(key, id, strconv.FormatInt(at.Unix(), 10), body)))
	}
	return strings.Join(signatures, " "), nil
}

// Verify returns the id of a message that was signed with one of the secrets at most
// five minutes before or after now. It compares in constant time. The body must be
// as it arrived, byte by byte.
func Verify(header http.Header, body []byte, now time.Time, secrets ...string) (id string, err error) {
	id, stamp := header.Get(HeaderID), header.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" || len(id) > maxHeader {
		return "", ErrSignature
	}
	signed := false
	for _, secret := range secrets {
		key, err := keyOf(secret)
		if err != nil {
			return "", err
		}
		signed = hasSignature(header.Get(HeaderSignature), mac(key, id, stamp, body)) || signed
	}
	if !signed {
		return "", ErrSignature
	}
	if at := time.Unix(seconds, 0); at.Before(now.Add(-tolerance)) || at.After(now.Add(tolerance)) {
		return "", ErrTimestamp
	}
	return id, nil
}

func hasSignature(header string, want []byte) bool {
	found := false
	for signature := range strings.FieldsSeq(header) {
		text, ok := strings.CutPrefix(signature, version+",")
		got, err := base64.StdEncoding.DecodeString(text)
		found = ok && err == nil && hmac.Equal(got, want) || found
	}
	return found
}

func mac(key []byte, id, stamp string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(id + "." + stamp + "."))
	_, _ = h.Write(body)
	return h.Sum(nil)
}

func keyOf(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < leastSecret || len(key) > mostSecret {
		return nil, ErrSecret
	}
	return key, nil
}
