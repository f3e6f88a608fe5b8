package tokenvault

import (
	"context"
	"errors"
	"fmt"
)

// Share gives a connection of the user's to the user's organization: its members
// may permit their agents to use it, and it outlives the user's membership. The
// permissions that the user gave stay. Only the user who owns it may, or a back end
// that acts for that user; an agent never does. Sharing what the organization owns
// already changes nothing.
//
// It fails with [ErrAccountTaken] if the organization has a connection to the same
// account. A refresh that is under way ends first, so that no grant is lost.
func (v *Vault) Share(ctx context.Context, actor Actor, connectionID string) (Connection, error) {
	if err := checkSharer(actor); err != nil {
		return Connection{}, err
	}
	return v.transfer(ctx, actor, connectionID, func(c Connection) (Transfer, error) {
		org, ok := c.Owner.Organization()
		switch {
		case c.Shared():
			return Transfer{}, nil
		case !ok:
			return Transfer{}, invalid("owner", "must be in an organization to share with it")
		}
		return Transfer{To: org, SharedBy: c.Owner.UserID, Event: v.event(EventShared, actor, c.Owner)}, nil
	})
}

// Unshare gives a shared connection back to the user who shared it, and ends what
// everybody else permitted. Only that user may, an administrator of the
// organization, or a back end that acts for either. An administrator ends for good
// what a user who is gone had shared with [Vault.Revoke]. Unsharing what the user
// owns changes nothing; what nobody shared is an [ErrConflict].
func (v *Vault) Unshare(ctx context.Context, actor Actor, connectionID string) (Connection, error) {
	if err := checkSharer(actor); err != nil {
		return Connection{}, err
	}
	return v.transfer(ctx, actor, connectionID, func(c Connection) (Transfer, error) {
		switch {
		case !c.Shared():
			return Transfer{}, nil
		case !speaksFor(actor, c.Owner) && (c.SharedBy == "" || actor.Owner.UserID != c.SharedBy):
			return Transfer{}, fmt.Errorf("only who shared it or an administrator gives it back: %w", ErrDenied)
		case c.SharedBy == "":
			return Transfer{}, fmt.Errorf("the organization connected it itself and can only revoke it: %w", ErrConflict)
		}
		to := c.Owner
		to.UserID = c.SharedBy
		return Transfer{To: to, Event: v.event(EventUnshared, actor, c.Owner)}, nil
	})
}

func checkSharer(actor Actor) error {
	if actor.Kind != ActorUser && actor.Kind != ActorBackend {
		return fmt.Errorf("only a user decides whose a connection is: %w", ErrDenied)
	}
	return nil
}

// transfer gives a connection that the actor sees to whom plan says; nobody means
// that nothing is to be done. It tries again if the connection changed in between.
func (v *Vault) transfer(ctx context.Context, actor Actor, id string, plan func(Connection) (Transfer, error)) (Connection, error) {
	if err := v.checkActor(actor); err != nil {
		return Connection{}, err
	}
	for range settleTries {
		c, err := v.store.GetConnection(ctx, actor.Owner, id)
		if err == nil && c.Status == ConnectionRevoked {
			err = ErrNotFound
		}
		if err != nil {
			return Connection{}, fmt.Errorf("connection: %w", err)
		}
		cmd, err := plan(c.Connection)
		if err != nil || cmd.To == (Owner{}) {
			return c.Connection, err
		}
		moved, err := v.move(ctx, c, cmd)
		if !errors.Is(err, ErrConflict) || errors.Is(err, ErrAccountTaken) {
			return moved, err
		}
		if err := v.endTurns(ctx, c); err != nil {
			return Connection{}, err
		}
	}
	return Connection{}, fmt.Errorf("share: %w", ErrConflict)
}

// move seals the credential of c for its new owner and stores both together.
func (v *Vault) move(ctx context.Context, c SealedConnection, cmd Transfer) (Connection, error) {
	plaintext, err := v.keys.open(ctx, connectionPlace(c.Connection, c.Version), c.Record, nil)
	if err != nil {
		return Connection{}, fmt.Errorf("connection %s: %w", c.ID, err)
	}
	cmd.From, cmd.ConnectionID, cmd.Version = c.Owner, c.ID, c.Version+1
	cmd.Event.ProviderID, cmd.Event.ConnectionID = c.ProviderID, c.ID
	there := c.Connection
	there.Owner = cmd.To
	if cmd.Record, err = v.keys.seal(ctx, connectionPlace(there, cmd.Version), plaintext); err != nil {
		return Connection{}, err
	}
	moved, err := v.store.Transfer(ctx, cmd)
	if err != nil {
		return Connection{}, fmt.Errorf("share: %w", err)
	}
	v.wakeJobs()
	return moved, nil
}

// endTurns makes sure that no refresh of c is under way or left without a word: it
// waits for the one that is, and takes a turn of its own after one that nobody
// ended. A connection that changed since is left to the next look.
func (v *Vault) endTurns(ctx context.Context, c SealedConnection) error {
	now, err := v.store.GetConnection(ctx, c.Owner, c.ID)
	if err != nil {
		return fmt.Errorf("connection: %w", err)
	}
	if now.Version != c.Version || now.Status != ConnectionActive {
		return nil
	}
	p, err := v.provider(ctx, c.Owner, c.ProviderID)
	if err != nil {
		return fmt.Errorf("a refresh of the connection has to end first: %w", ErrConflict)
	}
	_, _, err = v.refresh(ctx, p, c, false)
	if _, ok := asReauth(err); ok {
		return nil // it can change hands like this, too
	}
	return err
}
