package httpapi

import (
	"context"
	"errors"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

type resolveInput struct {
	ownerBody
	ProviderID      string             `json:"-" path:"providerId"`
	ConnectionID    string             `json:"connectionId,omitempty" jsonschema:"connection to use; default: the vault selects"`
	Scopes          []string           `json:"scopes,omitempty" jsonschema:"scopes that this call needs"`
	Release         tokenvault.Release `json:"release,omitempty" jsonschema:"inject (default) or token"`
	RunID           string             `json:"runId,omitempty" jsonschema:"the agent's run, for audit"`
	ThreadID        string             `json:"threadId,omitempty" jsonschema:"the conversation, for audit"`
	RejectedVersion int64              `json:"rejectedVersion,omitempty" jsonschema:"version that the service answered 401 to"`
	Check           bool               `json:"check,omitempty" jsonschema:"asks whether it would be released now: nothing is, so the answer has no secret, and the audit log has a check"`
	Format          stateFormat        `json:"format,omitempty" jsonschema:"of a browser login, with release token: storage_state (default), cookie_header or raw"`
	URL             string             `json:"url,omitempty" jsonschema:"the address that a cookie_header is for"`
}

type resolveOutput struct {
	CredentialID string     `json:"credentialId"`
	Version      int64      `json:"version"`
	Scopes       []string   `json:"scopes"`
	ExpiresAt    *time.Time `json:"expiresAt"`
	TokenType    string     `json:"tokenType"`
	Hosts        []string   `json:"hosts" jsonschema:"where it may be sent: host is port 443 by https, host:port as listed"`
	// AccessToken and what follows are the one place where a secret leaves the vault
	// over HTTP.
	AccessToken string `json:"accessToken,omitempty" jsonschema:"only with release token"`
	enteredOutput
	browserOutput
}

// errNothingToResolve says what was not found: the path of the route is right.
var errNothingToResolve = errors.New("no such provider or connection")

func (in resolveInput) request() (tokenvault.ResolveRequest, error) {
	if err := in.Format.check(in.URL); err != nil {
		return tokenvault.ResolveRequest{}, err
	}
	if in.Check && in.Format != "" {
		return tokenvault.ResolveRequest{}, &tokenvault.FieldError{Field: "format", Reason: "must be empty with check, which releases nothing"}
	}
	return tokenvault.ResolveRequest{
		ProviderID: in.ProviderID, ConnectionID: in.ConnectionID, Scopes: in.Scopes, Release: in.Release,
		RunID: in.RunID, ThreadID: in.ThreadID, RejectedVersion: in.RejectedVersion,
	}, nil
}

func resolve(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in resolveInput) (resolveOutput, error) {
	out, err := resolved(ctx, v, actor, in)
	if errors.Is(err, tokenvault.ErrNotFound) {
		err = errNothingToResolve
	}
	return out, err
}

func resolved(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in resolveInput) (resolveOutput, error) {
	req, err := in.request()
	if err != nil {
		return resolveOutput{}, err
	}
	if in.Check {
		checked, err := v.Check(ctx, actor, req)
		if err != nil {
			return resolveOutput{}, err
		}
		return withoutSecret(checked.Connection, checked.Provider), nil
	}
	access, err := v.Resolve(ctx, actor, req)
	if err != nil {
		return resolveOutput{}, err
	}
	out := withoutSecret(access.Connection(), access.Provider())
	if in.Release == tokenvault.ReleaseToken {
		err = out.reveal(access, in)
	}
	return out, err
}

func withoutSecret(c tokenvault.Connection, p tokenvault.Provider) resolveOutput {
	out := resolveOutput{
		CredentialID: c.ID, Version: c.Version, Scopes: append([]string{}, c.Scopes...),
		ExpiresAt: instant(c.ExpiresAt), TokenType: "Bearer", Hosts: append([]string{}, p.Hosts...),
	}
	switch c.AuthMethod {
	case tokenvault.AuthAPIKey:
		out.TokenType = tokenvault.TokenTypeAPIKey
	case tokenvault.AuthBrowserLogin:
		out.TokenType = "browser"
	case tokenvault.AuthOAuth2:
	}
	return out
}

// reveal adds what the agent asked for and is permitted.
func (out *resolveOutput) reveal(access *tokenvault.Access, in resolveInput) (err error) {
	if access.Connection().AuthMethod == tokenvault.AuthBrowserLogin {
		out.browserOutput, err = browserOf(access, in.Format, in.URL)
		return err
	}
	cred, err := access.Reveal()
	if err != nil {
		return err
	}
	out.AccessToken = cred.AccessToken.Reveal()
	if key := access.Provider().APIKey; key != nil {
		out.enteredOutput, err = enteredOf(*key, cred.Fields)
	}
	return err
}
