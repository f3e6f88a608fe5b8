package tokenvault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/record"
)

const (
	viewTicketTTL = 30 * time.Second
	viewPurpose   = "live_view"
)

// Tags of a ticket.
const (
	tagViewOrganization = iota + 1
	tagViewUser
	tagViewSession
	tagViewOrigin
	tagViewNonce
)

// ViewTicket returns a ticket with which a page of origin opens a view of the
// user's own login, once and soon. The origin is that of [Options.PublicURL] or one
// of [Options.Origins], else [ErrDenied]. It fails as [Vault.Login] does, and with
// [ErrConflict] if the login is over.
func (v *Vault) ViewTicket(ctx context.Context, actor Actor, id, origin string) (ViewTicket, error) {
	a, rec, err := v.loginOf(ctx, actor, id)
	if err != nil {
		return ViewTicket{}, err
	}
	if origin != v.opts.PublicURL && !slices.Contains(v.opts.Origins, origin) {
		return ViewTicket{}, fmt.Errorf("live view: the origin is not registered: %w", ErrDenied)
	}
	if a.State != AttemptBegun {
		return ViewTicket{}, fmt.Errorf("live view: the login is over: %w", ErrConflict)
	}
	var w record.Writer
	w.String(tagViewOrganization, a.Owner.OrganizationID)
	w.String(tagViewUser, a.Owner.UserID)
	w.String(tagViewSession, a.ID)
	w.String(tagViewOrigin, origin)
	w.String(tagViewNonce, random256())
	expires := time.Now().Add(viewTicketTTL)
	token, err := v.SealToken(ctx, viewPurpose, w.Bytes(), viewTicketTTL)
	if err != nil {
		return ViewTicket{}, err
	}
	return ViewTicket{Ticket: token, ExpiresAt: expires, NodeURL: rec.nodeURL}, nil
}

// OpenView opens a view of a login with a ticket, which is used up by it. The
// origin is that of the page that asks. It fails with [ErrUnauthenticated] if the
// ticket is none, not for this login or origin, used, or too old; with
// [ErrNotFound] if the browser does not run here or has ended; and with
// [ErrConflict] if it is shown elsewhere.
func (v *Vault) OpenView(ctx context.Context, id string, ticket Secret, origin string) (view LiveView, err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpLoginView})
	defer func() { end(OutcomeOf(err)) }()
	owner, err := v.takeTicket(ctx, id, ticket, origin)
	if err != nil {
		return nil, err
	}
	a, err := v.store.GetAttempt(ctx, owner, id)
	if err != nil {
		return nil, fmt.Errorf("live view: %w", err)
	}
	l := v.logins.get(id)
	if l == nil || a.State != AttemptBegun {
		return nil, fmt.Errorf("live view: the login is over: %w", ErrNotFound)
	}
	viewable, ok := l.session.(Viewable)
	if !ok {
		return nil, fmt.Errorf("live view: the browser is shown elsewhere: %w", ErrConflict)
	}
	if err := v.audit.append(ctx, v.requestEvent(EventLoginViewed, l.actor, l.request)); err != nil {
		return nil, err
	}
	return viewable.View(ctx)
}

// takeTicket uses a ticket up, and returns whose login it shows.
func (v *Vault) takeTicket(ctx context.Context, id string, ticket Secret, origin string) (Owner, error) {
	refused := fmt.Errorf("live view ticket: %w", ErrUnauthenticated)
	payload, err := v.OpenToken(ctx, viewPurpose, ticket)
	if err != nil {
		return Owner{}, err
	}
	owner := Owner{Tenant: v.opts.Tenant}
	var session, bound, nonce string
	err = record.Each(payload, func(tag byte, value []byte) {
		switch tag {
		case tagViewOrganization:
			owner.OrganizationID = string(value)
		case tagViewUser:
			owner.UserID = string(value)
		case tagViewSession:
			session = string(value)
		case tagViewOrigin:
			bound = string(value)
		case tagViewNonce:
			nonce = string(value)
		}
	})
	if err != nil || session == "" || session != id || bound == "" || bound != origin || nonce == "" {
		return Owner{}, refused
	}
	if err := v.UseOnce(ctx, viewPurpose, nonce, 2*viewTicketTTL); err != nil {
		if errors.Is(err, ErrConflict) {
			return Owner{}, refused
		}
		return Owner{}, err
	}
	return owner, nil
}
