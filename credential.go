package tokenvault

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/record"
)

// A Credential is secret material. It exists in memory only; a store sees it
// sealed.
type Credential struct {
	AuthMethod   AuthMethod
	AccessToken  Secret
	RefreshToken Secret // never given to an agent
	// PreviousRefreshToken is the one that the last rotation replaced, kept for one
	// version for an operator who has to sort out a grant with its provider. It is
	// never sent.
	PreviousRefreshToken Secret
	TokenType            string // "Bearer", or [TokenTypeAPIKey]
	// Fields are what the owner entered, by the names of [KeyAuth.Fields], with
	// auth method api_key; the tokens are empty then.
	Fields map[string]Secret
	// Browser is the signed-in state, with auth method browser_login; the tokens are
	// empty then.
	Browser BrowserState
	// Issuer and TokenURL record who issued the grant and where it is refreshed. A
	// refresh token is never sent anywhere else, nor a client secret with it.
	Issuer   string
	TokenURL string
	// ExpiresAt is kept in the connection's row, not in the sealed record.
	ExpiresAt time.Time
}

// Tags of the sealed record. A tag is never reused for another meaning.
const (
	tagAuthMethod   = 1
	tagAccessToken  = 2
	tagRefreshToken = 3
	tagTokenType    = 4
	tagIssuer       = 5
	tagTokenURL     = 6

	tagPreviousRefreshToken = 7
	tagField                = 8 // once per field: its name, a zero byte, its value

	tagBrowserState  = 9
	tagUserAgent     = 10
	tagBrowserWidth  = 11 // decimal
	tagBrowserHeight = 12 // decimal
)

// TokenTypeAPIKey is the [Credential.TokenType] of what an owner entered. How a
// request is authorized with it is the provider's [KeyAuth.Inject].
const TokenTypeAPIKey = "api_key"

// marshal encodes c for sealing. ExpiresAt is left out.
func (c Credential) marshal() []byte {
	var w record.Writer
	w.String(tagAuthMethod, string(c.AuthMethod))
	w.String(tagAccessToken, c.AccessToken.Reveal())
	w.String(tagRefreshToken, c.RefreshToken.Reveal())
	w.String(tagTokenType, c.TokenType)
	w.String(tagIssuer, c.Issuer)
	w.String(tagTokenURL, c.TokenURL)
	w.String(tagPreviousRefreshToken, c.PreviousRefreshToken.Reveal())
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		w.String(tagField, name+"\x00"+c.Fields[name].Reveal())
	}
	if b := c.Browser; !b.IsZero() {
		w.String(tagBrowserState, b.StorageState.Reveal())
		w.String(tagUserAgent, b.UserAgent)
		w.String(tagBrowserWidth, strconv.Itoa(b.Width))
		w.String(tagBrowserHeight, strconv.Itoa(b.Height))
	}
	return w.Bytes()
}

// unmarshalCredential decodes what marshal wrote. Unknown tags are skipped, so
// that an older binary reads what a newer one sealed.
func unmarshalCredential(b []byte) (Credential, error) {
	var c Credential
	err := record.Each(b, func(tag byte, value []byte) {
		switch tag {
		case tagAuthMethod:
			c.AuthMethod = AuthMethod(value)
		case tagAccessToken:
			c.AccessToken = NewSecret(string(value))
		case tagRefreshToken:
			c.RefreshToken = NewSecret(string(value))
		case tagTokenType:
			c.TokenType = string(value)
		case tagIssuer:
			c.Issuer = string(value)
		case tagTokenURL:
			c.TokenURL = string(value)
		case tagPreviousRefreshToken:
			c.PreviousRefreshToken = NewSecret(string(value))
		case tagField:
			name, text, _ := strings.Cut(string(value), "\x00")
			if c.Fields == nil {
				c.Fields = make(map[string]Secret)
			}
			c.Fields[name] = NewSecret(text)
		case tagBrowserState:
			c.Browser.StorageState = NewSecret(string(value))
		case tagUserAgent:
			c.Browser.UserAgent = string(value)
		case tagBrowserWidth:
			c.Browser.Width, _ = strconv.Atoi(string(value))
		case tagBrowserHeight:
			c.Browser.Height, _ = strconv.Atoi(string(value))
		}
	})
	if err != nil {
		return Credential{}, fmt.Errorf("credential record: %w", ErrUnsealable)
	}
	return c, nil
}

// forAgent returns c without what an agent never receives.
func (c Credential) forAgent() Credential {
	c.RefreshToken, c.PreviousRefreshToken = Secret{}, Secret{}
	return c
}
