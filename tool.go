package tokenvault

import (
	"context"
	"errors"
)

// A ToolSpec says what a tool needs before it can run.
type ToolSpec struct {
	ProviderID string
	Scopes     []string
	Release    Release // default: see [ResolveRequest]
	// CallIDs returns the agent's run and the conversation that a call belongs to,
	// for audit. nil: they are not recorded.
	CallIDs func(ctx context.Context) (runID, threadID string)
	// Pause is called when the owner has to act first. It returns nil to have the
	// tool tried again, as [Vault.WaitForOwner] does, or an error to return: a
	// framework's own interrupt. nil returns the *[AuthRequiredError] itself.
	Pause func(ctx context.Context, actor Actor, required *AuthRequiredError) error
}

// maxPauses bounds how often one call may pause: for a connect, a step-up, and
// once more.
const maxPauses = 3

// AuthenticatedTool wraps run so that it is called with access to the provider.
// The result resolves first, pauses if the owner has to act, and runs then. If
// run returns an error wrapping [ErrCredentialRejected], the credential is
// renewed and run is called once more.
func AuthenticatedTool[In, Out any](v *Vault, spec ToolSpec, run func(ctx context.Context, in In, access *Access) (Out, error)) func(ctx context.Context, actor Actor, in In) (Out, error) {
	return func(ctx context.Context, actor Actor, in In) (Out, error) {
		resolve := func() (*Access, error) {
			req := ResolveRequest{ProviderID: spec.ProviderID, Scopes: spec.Scopes, Release: spec.Release}
			if spec.CallIDs != nil {
				req.RunID, req.ThreadID = spec.CallIDs(ctx)
			}
			return v.Resolve(ctx, actor, req)
		}
		var none Out
		for pauses := 0; ; pauses++ {
			out, err := runOnce(ctx, in, resolve, run)
			required, paused := errors.AsType[*AuthRequiredError](err)
			if !paused {
				return out, err
			}
			if spec.Pause == nil || pauses == maxPauses {
				return none, err
			}
			if err := spec.Pause(ctx, actor, required); err != nil {
				return none, err
			}
		}
	}
}

func runOnce[In, Out any](ctx context.Context, in In, resolve func() (*Access, error), run func(context.Context, In, *Access) (Out, error)) (Out, error) {
	var none Out
	access, err := resolve()
	if err != nil {
		return none, err
	}
	out, err := run(ctx, in, access)
	if !errors.Is(err, ErrCredentialRejected) {
		return out, err
	}
	if access, err = access.Rejected(ctx); err != nil {
		return none, err
	}
	out, err = run(ctx, in, access)
	if errors.Is(err, ErrCredentialRejected) {
		_, err = access.Rejected(ctx)
	}
	return out, err
}

// WaitForOwner waits until the auth request is settled. It is a ready-made
// [ToolSpec.Pause] for programs that may block: nil once connected, else the
// request's end as an error: [ErrDenied] if declined, [ErrExpired], or
// *[AuthRequiredError] with the failure.
func (v *Vault) WaitForOwner(ctx context.Context, actor Actor, required *AuthRequiredError) error {
	settled, err := v.Wait(ctx, actor, required.Request.ID)
	if err != nil {
		return err
	}
	switch settled.Status {
	case AuthConnected:
		return nil
	case AuthDeclined:
		return ErrDenied
	case AuthExpired:
		return ErrExpired
	case AuthPending, AuthFailed:
	}
	return &AuthRequiredError{Request: settled}
}
