package oauth2flow

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

// maxMetadata bounds a metadata document.
const maxMetadata = 256 << 10

// Metadata is what an authorization server says of itself (RFC 8414 §2, OpenID
// Connect Discovery §3), as far as a provider's entry says it too.
type Metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	PushedEndpoint        string   `json:"pushed_authorization_request_endpoint"` // RFC 9126 §5
	JWKSURI               string   `json:"jwks_uri"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	IssSupported          bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3
}

// Discover reads the metadata of an issuer. It returns
// [tokenvault.ErrNotFound] if there is no document, and [tokenvault.ErrInvalid] if
// the document names another issuer (RFC 8414 §3.3) or an endpoint that is not
// http or https.
func (f *Flow) Discover(ctx context.Context, issuer string) (Metadata, error) {
	for _, at := range wellKnown(issuer) {
		m, err := f.metadata(ctx, at)
		if err != nil || m == nil {
			if err == nil {
				continue
			}
			return Metadata{}, err
		}
		if m.Issuer != issuer {
			return Metadata{}, fmt.Errorf("the document at %s is of another issuer: %w", at, tokenvault.ErrInvalid)
		}
		for name, endpoint := range m.endpoints() {
			if endpoint != "" && !strings.HasPrefix(endpoint, "https://") && !strings.HasPrefix(endpoint, "http://") {
				return Metadata{}, fmt.Errorf("the document at %s has a %s that is neither https nor http: %w", at, name, tokenvault.ErrInvalid)
			}
		}
		return *m, nil
	}
	return Metadata{}, fmt.Errorf("the issuer has no metadata document: %w", tokenvault.ErrNotFound)
}

// wellKnown returns where a metadata document may be: behind the issuer, as
// OpenID Connect has it, or between its host and path (RFC 8414 §3.1).
func wellKnown(issuer string) []string {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	path := strings.TrimSuffix(u.Path, "/")
	at := func(p string) string { return u.Scheme + "://" + u.Host + p }
	return []string{at(path + "/.well-known/openid-configuration"), at("/.well-known/oauth-authorization-server" + path)}
}

// metadata reads one document; nil if there is none.
func (f *Flow) metadata(ctx context.Context, at string) (*Metadata, error) {
	status, body, err := f.get(ctx, at, maxMetadata)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if status != http.StatusOK {
		return nil, nil //nolint:nilnil // there is none, which is no error yet
	}
	var m Metadata
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("the document at %s is not JSON: %w", at, tokenvault.ErrInvalid)
	}
	return &m, nil
}

// get reads what is at a URL. An error is a class, and names nothing of the URL's.
func (f *Flow) get(ctx context.Context, target string, limit int64) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return 0, nil, classOf(err)
	}
	res, err := f.http.Do(r)
	if err != nil {
		return 0, nil, classOf(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err = netguard.ReadBody(res.Body, limit)
	if err != nil {
		return 0, nil, classOf(err)
	}
	return res.StatusCode, body, nil
}

// Reach reports whether a server answers at a URL without failing: any status
// below 500 will do. The answer is not read.
func (f *Flow) Reach(ctx context.Context, target string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return classOf(err)
	}
	res, err := f.http.Do(r)
	if err != nil {
		return classOf(err)
	}
	_ = res.Body.Close()
	if res.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

func (m Metadata) endpoints() map[string]string {
	return map[string]string{
		"authorization_endpoint": m.AuthorizationEndpoint, "token_endpoint": m.TokenEndpoint,
		"revocation_endpoint": m.RevocationEndpoint, "userinfo_endpoint": m.UserInfoEndpoint,
		"pushed_authorization_request_endpoint": m.PushedEndpoint, "jwks_uri": m.JWKSURI,
	}
}

// Differences says where a provider's entry and the metadata disagree, each with
// what the entry should say. What the entry leaves out is no difference, unless
// security depends on it.
func (m Metadata) Differences(p tokenvault.OAuth2) []string {
	var all []string
	for _, c := range []struct{ field, entry, document string }{
		{"authorizationUrl", p.AuthorizationURL, m.AuthorizationEndpoint},
		{"tokenUrl", p.TokenURL, m.TokenEndpoint},
		{"revocationUrl", p.RevocationURL, m.RevocationEndpoint},
		{"userInfoUrl", p.UserInfoURL, m.UserInfoEndpoint},
		{"pushedAuthorizationUrl", p.PushedAuthorizationURL, m.PushedEndpoint},
		{"jwksUrl", p.JWKSURL, m.JWKSURI},
	} {
		if c.entry != "" && c.document != "" && withoutQuery(c.entry) != withoutQuery(c.document) {
			all = append(all, c.field+" should be "+c.document)
		}
	}
	if m.IssSupported && !p.IssRequired {
		all = append(all, "issRequired should be true")
	}
	if p.IssRequired && !m.IssSupported {
		all = append(all, "issRequired should be left out: the server does not send iss")
	}
	method := orDefault(string(p.ClientAuth), string(tokenvault.ClientSecretBasic))
	if len(m.AuthMethods) > 0 && !slices.Contains(m.AuthMethods, method) {
		all = append(all, "clientAuth should be one of "+strings.Join(m.AuthMethods, ", "))
	}
	return all
}

func withoutQuery(text string) string {
	before, _, _ := strings.Cut(text, "?")
	return before
}

// PKCE reports whether the metadata says that S256 challenges are understood, and
// whether it says anything about challenges.
func (m Metadata) PKCE() (s256, said bool) {
	return slices.Contains(m.ChallengeMethods, "S256"), len(m.ChallengeMethods) > 0
}
