package tokenvault

import (
	"context"
	"fmt"
)

// Connections returns what the actor's owner sees: its own connections and its
// organization's, without those that were revoked.
func (v *Vault) Connections(ctx context.Context, actor Actor, page Page) ([]Connection, error) {
	if err := v.checkActor(actor); err != nil {
		return nil, err
	}
	list, err := v.store.ListConnections(ctx, actor.Owner, page.limited())
	for i := range list {
		list[i] = list[i].shownTo(actor)
	}
	return list, err
}

// shownTo returns c as actor may see it: no agent learns which other one used it.
func (c Connection) shownTo(actor Actor) Connection {
	if actor.Kind == ActorAgent && c.LastUsedBy != actor.ID {
		c.LastUsedBy = ""
	}
	return c
}

// Rename gives a connection a name of its owner's own, as [CleanName] returns it;
// an empty one takes it away. Only the user who owns it may, an administrator of the
// organization that owns it, or a back end that acts for them; an agent never does.
// The account keeps what the provider calls it, and the audit log does not say the
// name.
func (v *Vault) Rename(ctx context.Context, actor Actor, connectionID, name string) (Connection, error) {
	if err := v.checkActor(actor); err != nil {
		return Connection{}, err
	}
	name, err := CleanName(name)
	if err != nil {
		return Connection{}, err
	}
	c, err := v.store.GetConnection(ctx, actor.Owner, connectionID)
	if err != nil {
		return Connection{}, fmt.Errorf("connection: %w", err)
	}
	if actor.Kind != ActorUser && actor.Kind != ActorBackend || !speaksFor(actor, c.Owner) {
		return Connection{}, fmt.Errorf("connection: only its owner names it: %w", ErrDenied)
	}
	event := v.event(EventRenamed, actor, c.Owner)
	event.ProviderID, event.ConnectionID = c.ProviderID, c.ID
	renamed, err := v.store.Rename(ctx, Renaming{Owner: c.Owner, ConnectionID: c.ID, Name: name, Event: event})
	if err != nil {
		return Connection{}, fmt.Errorf("rename: %w", err)
	}
	return renamed, nil
}

// Revoke ends a connection: its credential is erased at once and the grant at
// the provider is ended in the background, as often as it takes. Only the user
// who owns it, an administrator of the organization that owns it, or a back end
// that acts for them may. Revoking twice is no error.
func (v *Vault) Revoke(ctx context.Context, actor Actor, connectionID string) (err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpRevoke})
	defer func() { end(OutcomeOf(err)) }()
	if err := v.checkActor(actor); err != nil {
		return err
	}
	c, err := v.store.GetConnection(ctx, actor.Owner, connectionID)
	if err != nil {
		return fmt.Errorf("connection: %w", err)
	}
	if actor.Kind == ActorAgent || c.Owner != actor.Owner && !actor.OrgAdmin {
		return fmt.Errorf("connection: only its owner revokes it: %w", ErrDenied)
	}
	job, err := v.revocationJob(ctx, c)
	if err != nil {
		return err
	}
	event := v.event(EventRevoked, actor, c.Owner)
	event.ProviderID, event.ConnectionID = c.ProviderID, c.ID
	if _, err := v.store.Revoke(ctx, Revocation{Owner: c.Owner, ConnectionID: c.ID, Job: job, Event: event}); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	v.driven.stop(c.ID)
	v.wakeJobs()
	return nil
}

// Permissions returns what the owner permitted to agents.
func (v *Vault) Permissions(ctx context.Context, actor Actor, page Page) ([]Permission, error) {
	if err := v.checkActor(actor); err != nil {
		return nil, err
	}
	return v.store.ListPermissions(ctx, actor.Owner, page.limited())
}

// WithdrawPermission takes a permission away. The agent's next resolve asks the
// owner again.
func (v *Vault) WithdrawPermission(ctx context.Context, actor Actor, id string) error {
	if err := v.checkActor(actor); err != nil {
		return err
	}
	if actor.Kind == ActorAgent {
		return fmt.Errorf("only its owner withdraws a permission: %w", ErrDenied)
	}
	event := v.event(EventPermissionRemoved, actor, actor.Owner)
	if err := v.store.WithdrawPermission(ctx, actor.Owner, id, event); err != nil {
		return fmt.Errorf("permission: %w", err)
	}
	return nil
}
