package tokenvault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

const (
	ownerBatch      = 100
	maxOwnerRetries = 100
)

// DeleteOwner deletes all that belongs to an owner and ends the grants at the
// providers in the background. An owner of a user alone is the user everywhere in
// the tenant; of a user and an organization, the user in there; of an organization
// alone, the organization with its members' rows in it, its apps, its custom
// providers, and the API keys bound to it. With an organization its data key is
// destroyed: what copies of its rows in older backups hold cannot be read with the
// database of today.
//
// Audit entries stay. What belongs to the organization itself stays when a member
// is deleted. Only an administrator may: of the organization, or of the tenant for
// a user everywhere. It may be stopped at any moment and called again; deleting
// twice is no error.
func (v *Vault) DeleteOwner(ctx context.Context, actor Actor, owner Owner) error {
	if err := v.checkActor(actor); err != nil {
		return err
	}
	owner.Tenant = v.opts.Tenant
	if err := owner.Validate(); err != nil {
		return err
	}
	if actor.Kind != ActorAdmin || !actor.MayAdminister(v.opts.Tenant, owner.OrganizationID) {
		return fmt.Errorf("only an administrator deletes owners: %w", ErrDenied)
	}
	if err := actor.need(ScopeOwners); err != nil {
		return err
	}
	cmd := OwnerDeletion{Owner: owner, Event: v.event(EventOwnerDeleted, actor, owner)}
	if owner.UserID == "" {
		cmd.KeySpace = keySpace(owner)
	}
	return v.deleteOwner(ctx, cmd)
}

// deleteOwner deletes batch by batch.
func (v *Vault) deleteOwner(ctx context.Context, cmd OwnerDeletion) error {
	for conflicts := 0; ; {
		done, err := v.deleteOwned(ctx, cmd)
		if errors.Is(err, ErrConflict) && conflicts < maxOwnerRetries { // a connection was renewed meanwhile
			conflicts++
			continue
		}
		if err != nil {
			return fmt.Errorf("delete owner: %w", err)
		}
		v.wakeJobs()
		if done {
			break
		}
	}
	v.keys.destroyed(cmd.Owner.Tenant, cmd.KeySpace)
	v.apiKeys.dropOwner(cmd.Owner)
	v.logins.stopOf(cmd.Owner)
	v.driven.stopOf(cmd.Owner)
	v.custom.forgetAll()
	return nil
}

// deleteForHost deletes what is left of owners whom the host deleted in its own
// tables.
func (v *Vault) deleteForHost(ctx context.Context) {
	store, ok := v.store.(HostDeletionStore)
	if !ok {
		return
	}
	for ctx.Err() == nil {
		nested, end := v.watch.begin(ctx, Operation{Kind: OpSweep})
		gone, err := store.HostDeletions(nested, v.opts.Tenant, ownerBatch)
		for _, owner := range gone {
			cmd := OwnerDeletion{Owner: owner, Event: v.event(EventOwnerDeleted, Actor{Kind: ActorSystem}, owner)}
			if owner.UserID == "" {
				cmd.KeySpace = keySpace(owner)
			}
			err = errors.Join(err, v.deleteOwner(nested, cmd)) // the others are not the worse for it
		}
		end(OutcomeOf(err))
		if err != nil && ctx.Err() == nil {
			v.log.Error("owners whom the host deleted cannot be deleted here", slog.Any("error", err))
		}
		if err != nil || len(gone) < ownerBatch {
			return
		}
	}
}

// deleteOwned deletes one batch, and reports whether it was the last.
func (v *Vault) deleteOwned(ctx context.Context, cmd OwnerDeletion) (done bool, err error) {
	owned, err := v.store.ListOwned(ctx, cmd.Owner, Page{Limit: ownerBatch})
	if err != nil {
		return false, err
	}
	for _, c := range owned {
		job, err := v.revocationJob(ctx, c)
		if err != nil {
			return false, err
		}
		cmd.Connections = append(cmd.Connections, OwnedConnection{ID: c.ID, Version: c.Version, Job: job})
	}
	return v.store.DeleteOwner(ctx, cmd)
}
