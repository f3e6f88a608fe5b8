package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// A mode is how the vault is told who a browser's user is.
type mode string

const (
	modeLocal     mode = "local"
	modeSession   mode = "session"
	modeVerifier  mode = "verifier"
	modeAssertion mode = "assertion"
	modeSignIn    mode = "signin"
)

func parseMode(text string) (mode, error) {
	m := mode(text)
	if !slices.Contains([]mode{modeLocal, modeSession, modeVerifier, modeAssertion, modeSignIn}, m) {
		return "", fmt.Errorf("mode %q: must be local, session, verifier, assertion or signin", text)
	}
	return m, nil
}

// user is the demo's one user, as the vault knows them.
func (m mode) user() string {
	if m == modeLocal {
		return "local"
	}
	return "ada"
}

// vaultName and chatName are the names in the URLs. In mode local they are on
// different sites; else on one, as a host and its vault are.
func (m mode) vaultName() string {
	if m == modeLocal {
		return "127.0.0.1"
	}
	return "vault.demo.localhost"
}

func (m mode) chatName() string {
	if m == modeLocal {
		return "localhost"
	}
	return "app.demo.localhost"
}

// settings returns the vault's settings for the mode, beside the mode itself.
func (d *demo) settings() ([]string, error) {
	switch d.mode {
	case modeSession:
		return []string{
			"TOKENVAULT_SESSION_URL=" + d.chat.internalURL + "/session", "TOKENVAULT_SESSION_COOKIES=" + hostCookie,
			"TOKENVAULT_SIGN_IN_URL=" + d.chat.url + "/login",
		}, nil
	case modeVerifier:
		return []string{"TOKENVAULT_VERIFY_URL=" + d.chat.url + "/connected"}, nil
	case modeAssertion:
		file := filepath.Join(d.dir, "host-keys.pem")
		der, err := x509.MarshalPKIXPublicKey(d.signing.Public())
		if err != nil {
			return nil, err
		}
		err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600)
		return []string{
			"TOKENVAULT_ASSERTION_ISSUER=" + d.chat.url, "TOKENVAULT_ASSERTION_KEYS=" + file,
			"TOKENVAULT_SIGN_IN_URL=" + d.chat.url + "/vault?returnTo={returnTo}",
		}, err
	case modeSignIn:
		return []string{"TOKENVAULT_OIDC_ISSUER=" + d.loginIssuer, "TOKENVAULT_OIDC_CLIENT_ID=" + publicClientID}, nil
	case modeLocal:
	}
	return nil, nil
}

// newSigningKey returns the key with which the application signs what it says of
// its users.
func newSigningKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// startLogin starts the server at which users sign in to the vault in mode
// signin. It is not the provider that they connect.
func (d *demo) startLogin(ctx context.Context) error {
	if d.mode != modeSignIn {
		return nil
	}
	p, where, err := d.launchOP(ctx, "the sign-in server", "127.0.0.1")
	if err != nil {
		return err
	}
	d.login, d.loginIssuer = p, where.Issuer
	return putCallbacks(ctx, where.Control, d.vaultURL+"/signin/oidc/callback")
}
