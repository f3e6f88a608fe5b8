package server

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/signin"
)

// userFiles is what the configuration names by file for proving users.
type userFiles struct {
	assertionKeys []crypto.PublicKey
	clientSecret  tokenvault.Secret
}

// readUserFiles reads the files that the mode needs.
func readUserFiles(cfg Config) (f userFiles, err error) {
	if cfg.AssertionKeys != "" {
		text, err := readNamed("assertion-keys", cfg.AssertionKeys)
		if err != nil {
			return f, err
		}
		f.assertionKeys, err = signin.ParseKeys(text)
		if wrong, ok := errors.AsType[*tokenvault.FieldError](err); ok {
			return f, fmt.Errorf("assertion-keys: %s: %s", cfg.AssertionKeys, wrong.Reason)
		}
	}
	if cfg.OIDCClientSecretFile != "" {
		text, err := readNamed("oidc-client-secret-file", cfg.OIDCClientSecretFile)
		if err != nil {
			return f, err
		}
		f.clientSecret = tokenvault.NewSecret(strings.TrimSpace(string(text)))
		if f.clientSecret.IsZero() {
			return f, fmt.Errorf("oidc-client-secret-file: %s is empty: leave the setting out for a public client", cfg.OIDCClientSecretFile)
		}
	}
	return f, nil
}

func readNamed(key, path string) ([]byte, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("%s: %s cannot be read (%w)", key, path, failed.Err)
	}
	return text, err
}

// authenticator returns how users are proven, and mounts what it needs.
func (s *Server) authenticator(mux *http.ServeMux) (tokenvault.Authenticator, error) {
	v, cfg := s.Opened.Vault, s.cfg
	switch cfg.Mode {
	case "verifier":
		return signin.Visitor{Tenant: cfg.Tenant}, nil
	case "session":
		return signin.NewHostSession(signin.HostSessionOptions{
			Tenant: cfg.Tenant, URL: cfg.SessionURL, Cookies: cfg.SessionCookies,
			SignInURL: cfg.SignInURL, PublicURL: cfg.PublicURL, Logger: s.log,
		})
	case "assertion":
		a, err := signin.NewAssertion(v, signin.AssertionOptions{
			Issuer: cfg.AssertionIssuer, Keys: s.files.assertionKeys, KeysURL: cfg.AssertionKeysURL, Allow: cfg.AllowHosts,
			SignInURL: cfg.SignInURL, SessionTTL: cfg.SessionTTL, Logger: s.log,
		})
		if err != nil {
			return nil, err
		}
		mux.Handle("/signin/", a.Handler())
		return a, nil
	case "signin":
		o, err := signin.NewOIDC(v, signin.OIDCOptions{
			Issuer: cfg.OIDCIssuer, ClientID: cfg.OIDCClientID, ClientSecret: s.files.clientSecret, Scopes: cfg.OIDCScopes,
			UserClaim: cfg.OIDCUserClaim, OrganizationClaim: cfg.OIDCOrganization,
			Allow: cfg.AllowHosts, SessionTTL: cfg.SessionTTL, Logger: s.log,
		})
		if err != nil {
			return nil, err
		}
		mux.Handle("/signin/", o.Handler())
		return o, nil
	}
	local, err := signin.NewLocal(signin.LocalOptions{Tenant: cfg.Tenant, Dir: cfg.DataDir, Failures: cfg.LimitFailures, Logger: s.log})
	if err != nil {
		return nil, err
	}
	s.local = local
	mux.Handle(signin.LocalPath, local.Handler())
	return local, nil
}
