package tokenvault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/record"
)

// A Session stands for one signed-in user, at the pages of one origin. It is
// sealed, not stored: its time ends it, or [Vault.SignOut].
type Session struct {
	Token     Secret
	ExpiresAt time.Time
}

// A SessionInput describes a session that a back end asks for.
type SessionInput struct {
	// Origin is one of the vault's [Options.Origins]. Only its pages can use the
	// session.
	Origin string
	// OrgAdmin says that the user administers the owner's organization.
	OrgAdmin bool
	// TTL is how long it counts, at most 15 minutes. 0 means that.
	TTL time.Duration
}

const (
	maxSession       = 15 * time.Minute
	maxSignedIn      = 24 * time.Hour
	sessionPrefix    = "tvs_"
	sessionPurpose   = "session"
	signOutPurpose   = "sign-out"
	tokenGranularity = time.Second
)

// Tags of the record.
const (
	tagSessionOrganization = iota + 1
	tagSessionUser
	tagSessionOrigin
	tagSessionOrgAdmin
)

// CreateSession returns a session of the user that a back end acts for, with which
// pages of one origin call the browser-facing API, since no cookie of the vault
// reaches it from there. Only a back end may.
func (v *Vault) CreateSession(ctx context.Context, actor Actor, in SessionInput) (Session, error) {
	if err := v.checkActor(actor); err != nil {
		return Session{}, err
	}
	switch {
	case actor.Kind != ActorBackend || actor.Owner.UserID == "":
		return Session{}, fmt.Errorf("only a back end opens sessions, for a user: %w", ErrDenied)
	case !actor.Has(ScopeSessions):
		return Session{}, actor.need(ScopeSessions)
	case !slices.Contains(v.opts.Origins, in.Origin):
		return Session{}, invalid("origin", "must be one of the origins that are registered in the configuration")
	case in.TTL < 0 || in.TTL > maxSession:
		return Session{}, invalid("ttlSeconds", "must be at most 900")
	case in.OrgAdmin && actor.Owner.OrganizationID == "":
		return Session{}, invalid("orgAdmin", "needs an owner.organizationId")
	case in.TTL == 0:
		in.TTL = maxSession
	}
	user := Actor{Kind: ActorUser, ID: actor.Owner.UserID, Owner: actor.Owner, OrgAdmin: in.OrgAdmin}
	return v.newSession(ctx, user, in.Origin, in.TTL)
}

// SignIn returns a session of a user for the vault's own pages: a sign-in adapter
// that has proven the user keeps it in a cookie. It counts for ttl, at most a day.
func (v *Vault) SignIn(ctx context.Context, user Actor, ttl time.Duration) (Session, error) {
	if err := v.checkActor(user); err != nil {
		return Session{}, err
	}
	if user.Kind != ActorUser || user.Owner.UserID == "" || ttl <= 0 || ttl > maxSignedIn {
		return Session{}, fmt.Errorf("only a user signs in, for at most a day: %w", ErrDenied)
	}
	return v.newSession(ctx, user, v.opts.PublicURL, ttl)
}

func (v *Vault) newSession(ctx context.Context, user Actor, origin string, ttl time.Duration) (Session, error) {
	var w record.Writer
	w.String(tagSessionOrganization, user.Owner.OrganizationID)
	w.String(tagSessionUser, user.Owner.UserID)
	w.String(tagSessionOrigin, origin)
	if user.OrgAdmin {
		w.String(tagSessionOrgAdmin, "yes")
	}
	expires := time.Now().Add(ttl).UTC().Truncate(tokenGranularity)
	token, err := v.SealToken(ctx, sessionPurpose, w.Bytes(), ttl)
	if err != nil {
		return Session{}, err
	}
	return Session{Token: NewSecret(sessionPrefix + token.Reveal()), ExpiresAt: expires}, nil
}

// SignOut ends a session of [Vault.SignIn], at every process on the store. A token that
// is none, or whose time is over, needs no end.
func (v *Vault) SignOut(ctx context.Context, token Secret) error {
	_, until, err := v.RecheckSession(ctx, token, v.opts.PublicURL)
	if errors.Is(err, ErrUnauthenticated) {
		return nil
	}
	if err != nil {
		return err
	}
	text := strings.TrimPrefix(token.Reveal(), sessionPrefix)
	// The clocks of processes may differ a little.
	err = v.UseOnce(ctx, signOutPurpose, text, time.Until(until)+time.Minute)
	if errors.Is(err, ErrConflict) { // at the same time elsewhere
		return nil
	}
	return err
}

// IsSessionToken reports whether text has the form of a session's token.
func IsSessionToken(text Secret) bool { return strings.HasPrefix(text.Reveal(), sessionPrefix) }

// AuthenticateSession returns the user of a session whose token a page of origin
// sent, or [ErrUnauthenticated].
func (v *Vault) AuthenticateSession(ctx context.Context, token Secret, origin string) (Actor, error) {
	actor, _, err := v.RecheckSession(ctx, token, origin)
	return actor, err
}

// RecheckSession is [Vault.AuthenticateSession], and tells when the session ends.
func (v *Vault) RecheckSession(ctx context.Context, token Secret, origin string) (Actor, time.Time, error) {
	refused := fmt.Errorf("session: %w", ErrUnauthenticated)
	text, ok := strings.CutPrefix(token.Reveal(), sessionPrefix)
	if !ok {
		return Actor{}, time.Time{}, refused
	}
	payload, until, err := v.openToken(ctx, sessionPurpose, NewSecret(text))
	if err != nil {
		return Actor{}, time.Time{}, err
	}
	user, bound := Actor{Kind: ActorUser, Owner: Owner{Tenant: v.opts.Tenant}}, ""
	err = record.Each(payload, func(tag byte, value []byte) {
		switch tag {
		case tagSessionOrganization:
			user.Owner.OrganizationID = string(value)
		case tagSessionUser:
			user.Owner.UserID = string(value)
		case tagSessionOrigin:
			bound = string(value)
		case tagSessionOrgAdmin:
			user.OrgAdmin = true
		}
	})
	if err != nil || user.Owner.UserID == "" || bound == "" || bound != origin {
		return Actor{}, time.Time{}, refused
	}
	if bound == v.opts.PublicURL { // one of SignIn: others are short, and nobody signs out of them
		ended, err := v.store.NonceUsed(ctx, v.opts.Tenant, nonceHash(signOutPurpose, text))
		if err != nil {
			return Actor{}, time.Time{}, err
		}
		if ended {
			return Actor{}, time.Time{}, refused
		}
	}
	user.ID = user.Owner.UserID
	return user, until, nil
}
