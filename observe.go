package tokenvault

import (
	"context"
	"errors"
)

// An Observer is told what a vault does, while it does it: it is where metrics and
// traces come from. Package telemetry has one for Prometheus and OpenTelemetry.
//
// An Observer learns no secret and no personal data: an operation names a
// provider of the catalog, and neither owner nor agent nor connection.
type Observer interface {
	// Begin is called on the goroutine of the operation, before it. What the
	// operation does itself is called with the context that Begin returns, so that
	// operations nest. The vault calls end once, with how the operation ended.
	// Begin must be safe for concurrent use and must not block.
	Begin(ctx context.Context, op Operation) (nested context.Context, end func(Outcome))
}

// An Operation is something that takes time.
type Operation struct {
	Kind OperationKind
	// ProviderID is an id of the catalog. Empty: at no provider, or at one that the
	// catalog does not have.
	ProviderID string
	// Entries is how many audit entries an [OpAuditCommit] writes; else 0.
	Entries int
}

// An OperationKind names what is done.
type OperationKind string

// The operations. Names are stable: dashboards and alerts are made of them.
const (
	OpResolve          OperationKind = "resolve" // for a release, or a check
	OpConnectStart     OperationKind = "connect.start"
	OpConnectFinish    OperationKind = "connect.finish" // by a return, or by the host's word
	OpRefresh          OperationKind = "refresh"        // one for all callers of a process
	OpRevoke           OperationKind = "revoke"
	OpProviderBegin    OperationKind = "provider.begin" // calls the provider if requests are pushed
	OpProviderExchange OperationKind = "provider.exchange"
	OpProviderRefresh  OperationKind = "provider.refresh"
	OpProviderRevoke   OperationKind = "provider.revoke"
	OpProviderProbe    OperationKind = "provider.probe" // does what an owner entered work?
	OpLoginCapture     OperationKind = "login.capture"  // reads the state of a browser login and proves it
	OpLoginView        OperationKind = "login.view"     // opens a live view
	OpSessionDrive     OperationKind = "session.drive"  // gives an agent the browser of a connection
	OpKeyUnwrap        OperationKind = "key.unwrap"
	OpAuditWait        OperationKind = "audit.wait"   // until an entry is durable
	OpAuditCommit      OperationKind = "audit.commit" // of a group, for all who wait
	OpJob              OperationKind = "job"
	OpSweep            OperationKind = "sweep"
)

// An Outcome says how an operation ended, in a word from a fixed list.
type Outcome string

// The outcomes beside those of the errors of this package.
const (
	OutcomeOK            Outcome = "ok"
	OutcomeAuthRequired  Outcome = "auth_required"  // [AuthRequiredError]
	OutcomeNeedsReauth   Outcome = "needs_reauth"   // a connection needs its owner again
	OutcomeProviderError Outcome = "provider_error" // [ProviderError]
	OutcomeRejected      Outcome = "rejected"       // the provider says that the grant is dead
	OutcomeUncertain     Outcome = "uncertain"      // sent, and no full answer came back
	OutcomeCanceled      Outcome = "canceled"       // the caller gave up, or time was over
	OutcomeInternal      Outcome = "internal"
)

// OutcomeOf returns the outcome of an operation that ended with err.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return OutcomeOK
	}
	if _, ok := errors.AsType[*AuthRequiredError](err); ok {
		return OutcomeAuthRequired
	}
	if _, ok := asReauth(err); ok {
		return OutcomeNeedsReauth
	}
	if _, ok := errors.AsType[*ProviderError](err); ok && !errors.Is(err, ErrProviderUnavailable) {
		return OutcomeProviderError
	}
	for _, known := range []struct {
		err     error
		outcome Outcome
	}{
		{ErrUnknownOwner, "unknown_owner"}, // before ErrInvalid, which it is
		{ErrInvalid, "invalid"},
		{ErrUnauthenticated, "unauthenticated"},
		{ErrDenied, "denied"},
		{ErrNotFound, "not_found"},
		{ErrConflict, "conflict"},
		{ErrExpired, "expired"},
		{ErrFenced, "fenced"},
		{ErrUnsealable, "unsealable"},
		{ErrNoApp, "no_app"},
		{ErrStateInvalid, "state_invalid"},
		{ErrInUse, "in_use"},
		{ErrAccountMismatch, "account_mismatch"},
		{ErrCredentialRejected, "credential_rejected"},
		{ErrRateLimited, "rate_limited"},
		{ErrUnavailable, "unavailable"},
		{ErrProviderUnavailable, "provider_unavailable"},
		{ErrClosed, "closed"},
		{context.Canceled, OutcomeCanceled},
		{context.DeadlineExceeded, OutcomeCanceled},
	} {
		if errors.Is(err, known.err) {
			return known.outcome
		}
	}
	return OutcomeInternal
}

// outcomeOfRefresh returns the outcome of a provider's answer to a refresh.
func outcomeOfRefresh(o RefreshOutcome) Outcome {
	switch o.(type) {
	case Rotated:
		return OutcomeOK
	case Rejected:
		return OutcomeRejected
	case Uncertain:
		return OutcomeUncertain
	}
	return OutcomeProviderError
}

// observing tells the observer, if there is one, what begins.
type observing struct {
	observer Observer
	catalog  *Catalog
}

// begin tells that an operation begins; call end after it. A provider that the
// catalog does not have is not named: an id may be whatever a caller sent.
func (o observing) begin(ctx context.Context, op Operation) (nested context.Context, end func(Outcome)) {
	if o.observer == nil {
		return ctx, unobserved
	}
	if _, known := o.catalog.byID[op.ProviderID]; !known {
		op.ProviderID = ""
	}
	return o.observer.Begin(ctx, op)
}

func unobserved(Outcome) {}

// Stats is the state of a vault's process at one moment.
type Stats struct {
	AuditQueued  int  // entries that wait for their commit
	AuditFailing bool // the last commit failed: nothing is released
	// FailingProviders are those whose token endpoint keeps failing, so that this
	// process leaves it alone: ids of the catalog, in order; "" stands for all others.
	FailingProviders []string
	Logins           int // in browsers of this process
	Sessions         int // browsers of this process that agents drive
}

// Stats returns the vault's state. It asks no store.
func (v *Vault) Stats() Stats {
	return Stats{
		AuditQueued: len(v.audit.queue), AuditFailing: v.audit.failing.Load(),
		FailingProviders: v.failingProviders(),
		Logins:           v.logins.running(), Sessions: v.driven.running(),
	}
}
