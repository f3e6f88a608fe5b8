package tokenvault

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/limit"
)

// tokenEndpoint returns by which key the breaker of a provider's token endpoint is
// found; empty if it has none. Whoever defines a custom provider decides what is
// sent there: its breaker is its own.
func (v *Vault) tokenEndpoint(p Provider, owner Owner) string {
	if p.OAuth2 == nil {
		return ""
	}
	if _, known := v.catalog.byID[p.ID]; known {
		return p.OAuth2.RefreshEndpoint()
	}
	return owner.OrganizationID + "\x00" + p.ID + "\x00" + p.OAuth2.RefreshEndpoint()
}

// mayAsk reports whether the provider's token endpoint may be asked now. If so, told
// must be called with the outcome, or with nil if nothing was asked. The first call
// counts.
func (v *Vault) mayAsk(p Provider, owner Owner) (told func(RefreshOutcome), err error) {
	endpoint := v.tokenEndpoint(p, owner)
	if endpoint == "" {
		return func(RefreshOutcome) {}, nil
	}
	end, wait := v.breakers.Begin(endpoint)
	if end == nil {
		return nil, leftAlone(p, wait)
	}
	return func(o RefreshOutcome) {
		if end != nil {
			end(verdictOf(o))
			end = nil
		}
	}, nil
}

// askIn returns how long the provider's token endpoint is left alone; 0: it is not.
func (v *Vault) askIn(p Provider, owner Owner) time.Duration {
	if endpoint := v.tokenEndpoint(p, owner); endpoint != "" {
		return v.breakers.Wait(endpoint)
	}
	return 0
}

func leftAlone(p Provider, wait time.Duration) error {
	return &ProviderError{ProviderID: p.ID, Op: "refresh", RetryAfter: wait, Transient: true, Err: ErrProviderUnavailable}
}

// verdictOf says what an outcome tells about the endpoint. An answer below 500 is
// about the grant or the client, whatever it says, and too many requests are limited
// by the flow; neither is any other grant's business.
func verdictOf(o RefreshOutcome) (v limit.Verdict, pause time.Duration) {
	switch o := o.(type) {
	case nil:
		return limit.Unsent, 0
	case Uncertain:
		return limit.Failed, 0
	case Transient:
		switch {
		case o.Err == nil || o.Err.Status == 0 && ourOwn(o.Err):
			return limit.Unsent, 0
		case o.Err.Status == 0 || o.Err.Status >= http.StatusInternalServerError:
			return limit.Failed, o.Err.RetryAfter
		}
	}
	return limit.Answered, 0
}

// ourOwn reports whether nothing was sent for a reason of our own.
func ourOwn(err *ProviderError) bool {
	_, busy := errors.AsType[*limit.BusyError](err)
	return busy || errors.Is(err, ErrInvalid)
}

// breakerChanged tells the operator.
func (v *Vault) breakerChanged(endpoint string, open bool) {
	providers := slog.Any("providers", v.providersAt(endpoint))
	if open {
		v.log.Warn("a token endpoint keeps failing and is left alone, but for a try now and then: tokens that are still valid are served", providers)
		return
	}
	v.log.Info("a token endpoint that failed works again", providers)
}

// providersAt returns the catalog's providers with the endpoint, in order. A custom
// provider has no name here: it may say whose it is.
func (v *Vault) providersAt(endpoint string) []string {
	ids := []string{}
	for id, p := range v.catalog.byID {
		if p.OAuth2 != nil && p.OAuth2.RefreshEndpoint() == endpoint {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return []string{""}
	}
	slices.Sort(ids)
	return ids
}

// failingProviders returns the providers whose token endpoints are left alone.
func (v *Vault) failingProviders() []string {
	var ids []string
	for _, endpoint := range v.breakers.Open() {
		ids = append(ids, v.providersAt(endpoint)...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
