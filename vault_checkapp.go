package tokenvault

import (
	"context"
	"errors"
	"fmt"
)

// A Registration is the app with which an organization's users connect.
type Registration struct {
	App App
	// CallbackURL is the redirect URL to register at the provider.
	CallbackURL string
	// Exchange is the token endpoint's answer to a code that was never issued: see
	// [Registration.Verdict].
	Exchange error
}

// A RegistrationVerdict is what a provider's answer says about an app.
type RegistrationVerdict string

// The verdicts.
const (
	RegistrationAccepted    RegistrationVerdict = "accepted"     // the provider knows the app and takes its secret
	RegistrationRefused     RegistrationVerdict = "refused"      // wrong client id or secret, or way to authenticate
	RegistrationRedirect    RegistrationVerdict = "redirect"     // the redirect URL is not registered
	RegistrationUnreachable RegistrationVerdict = "unreachable"  // the token endpoint did not answer as one
	RegistrationUnclear     RegistrationVerdict = "unclear"      // it refuses in words of its own
	RegistrationUntrusted   RegistrationVerdict = "not_to_trust" // it issued a token for a code that it never issued
)

// Verdict sorts the answer.
func (r Registration) Verdict() RegistrationVerdict {
	failed, ok := errors.AsType[*ProviderError](r.Exchange)
	switch {
	case r.Exchange == nil:
		return RegistrationUntrusted
	case !ok || failed.Status == 0:
		return RegistrationUnreachable
	}
	switch failed.Code {
	case "invalid_grant", "bad_verification_code":
		return RegistrationAccepted
	case "invalid_client", "unauthorized_client", "incorrect_client_credentials":
		return RegistrationRefused
	case "redirect_uri_mismatch":
		return RegistrationRedirect
	}
	if failed.Status >= 500 || failed.Status == 404 {
		return RegistrationUnreachable
	}
	return RegistrationUnclear
}

// CheckApp asks the provider's token endpoint to exchange a code that was never
// issued, as a connect would. Only an administrator may. It fails with [ErrNoApp]
// if none is registered, and says nothing of what a user could do.
func (v *Vault) CheckApp(ctx context.Context, actor Actor, organizationID, providerID string) (Registration, error) {
	if err := v.checkActor(actor); err != nil {
		return Registration{}, err
	}
	if !actor.MayAdminister(v.opts.Tenant, organizationID) {
		return Registration{}, fmt.Errorf("only an administrator checks apps: %w", ErrDenied)
	}
	owner := Owner{Tenant: v.opts.Tenant, OrganizationID: organizationID}
	p, err := v.provider(ctx, owner, providerID)
	if err != nil {
		return Registration{}, err
	}
	flow, ok := v.opts.Flows[p.AuthMethod].(interface {
		Flow
		Redirecting
	})
	if !ok || p.OAuth2 == nil || p.OAuth2.AuthorizationURL == "" {
		return Registration{}, fmt.Errorf("provider %s: nobody is redirected to it: %w", p.ID, ErrInvalid)
	}
	app, err := v.appOf(ctx, owner, p)
	if err != nil {
		return Registration{}, err
	}
	client, err := v.openClient(ctx, app)
	if err != nil {
		return Registration{}, err
	}
	found := Registration{App: app.App, CallbackURL: v.CallbackURL(app.App)}
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	step, err := flow.Begin(ctx, BeginInput{Provider: p, Client: client, RedirectURL: found.CallbackURL, State: NewSecret(random256())})
	if err != nil {
		found.Exchange = err // the pushed request is refused
		return found, nil
	}
	_, found.Exchange = flow.Complete(ctx, CompleteInput{
		Provider: p, Client: client, RedirectURL: found.CallbackURL, Private: step.Private, Code: NewSecret(random256()), Iss: p.OAuth2.Issuer,
	})
	return found, nil
}
