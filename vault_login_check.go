package tokenvault

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"
)

const defaultCheckEvery = 12 * time.Hour

// checkEvery returns how old a check of a browser login may be.
func (l Login) checkEvery() time.Duration { return cmp.Or(l.CheckEvery, defaultCheckEvery) }

// currentLogin returns the state of a browser login. One that was not looked at for
// long is checked first, once for all callers. If that cannot be done now, the state
// goes out as it is, but not beyond the time that the provider documents.
func (v *Vault) currentLogin(ctx context.Context, p Provider, c *Candidate, now time.Time) (Connection, Credential, error) {
	over := !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt)
	due := now.Sub(c.ObtainedAt) >= p.Login.checkEvery() && v.checks(p) && !v.isHeldOff(c.ID)
	if over || due {
		conn, cred, err := v.refresh(ctx, p, c.SealedConnection, false)
		if err == nil || over || !maySucceedLater(err) {
			return conn, cred, err
		}
		v.log.WarnContext(ctx, "a browser login could not be checked before its use", slog.String("provider_id", p.ID), slog.Any("error", err))
	}
	cred, err := v.openCredential(ctx, c.SealedConnection, c.WrappedKey)
	return c.Connection, cred, err
}

// checks reports whether it can be told here if a login of the provider's is still
// signed in.
func (v *Vault) checks(p Provider) bool {
	_, ok := v.opts.Flows[p.AuthMethod].(Refresher)
	return ok
}

// maySucceedLater reports whether a check may succeed later.
func maySucceedLater(err error) bool {
	_, failed := errors.AsType[*ProviderError](err)
	return failed || errors.Is(err, ErrUnavailable)
}
