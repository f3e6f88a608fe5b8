package tokenvault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// rotationGrace is how long a data key must not have been the newest, and a root
// key not the primary one, before nobody seals under it any more: processes notice
// within five seconds.
const rotationGrace = 6 * time.Second

// A RotationStep says what a rotation is doing.
type RotationStep string

// The steps of rotations.
const (
	StepRewrap RotationStep = "rewrap" // data keys are sealed again by the root key
	StepCreate RotationStep = "create" // new data keys are made
	StepReseal RotationStep = "reseal" // records are sealed again
	StepWait   RotationStep = "wait"   // until nobody uses the old key
	StepDelete RotationStep = "delete" // old data keys are deleted
)

// A Progress reports how much of a rotation's step is done so far.
type Progress func(step RotationStep, done int)

func (p Progress) tell(step RotationStep, done int) {
	if p != nil {
		p(step, done)
	}
}

// RewrapDataKeys seals every data key of all tenants again that another root key
// than the primary one sealed, and returns how many those were. It may be stopped
// at any moment and begun again. Only an administrator of the whole tenant may; the
// sealer must be a [Rotator].
func (v *Vault) RewrapDataKeys(ctx context.Context, actor Actor, report Progress) (int, error) {
	if err := v.mayKeepKeys(actor); err != nil {
		return 0, err
	}
	rotator, ok := v.keys.sealer.(Rotator)
	if !ok {
		return 0, fmt.Errorf("the root key of this sealer is not rotated here: %w", ErrInvalid)
	}
	total := 0
	for {
		rewrapped := 0
		err := v.eachDataKey(ctx, "", func(key DataKey) error {
			if !rotator.Outdated(key.Wrapped) {
				return nil
			}
			if err := v.rewrap(ctx, actor, key); err != nil && !errors.Is(err, ErrConflict) {
				return err
			}
			rewrapped++
			report.tell(StepRewrap, total+rewrapped)
			return nil
		})
		if total += rewrapped; err != nil || rewrapped == 0 {
			return total, err
		}
		// A process that did not notice the new root key yet may make a data key.
		report.tell(StepWait, 0)
		if err := pause(ctx, rotationGrace); err != nil {
			return total, err
		}
	}
}

func (v *Vault) rewrap(ctx context.Context, actor Actor, key DataKey) error {
	raw, err := v.keys.sealer.Open(ctx, key.Wrapped, dataKeyAAD(key))
	if err != nil {
		return fmt.Errorf("data key %s/%d: %w", key.Space, key.Version, sealerError(err))
	}
	wrapped, err := v.keys.wrap(ctx, key, raw)
	clear(raw)
	if err != nil {
		return err
	}
	event := Event{Kind: EventDataKeyRewrapped, Tenant: key.Tenant, ActorKind: actor.Kind, ActorID: actor.ID}
	return v.store.RewrapDataKey(ctx, key, wrapped, event)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A DataKeyRotation asks for new data keys.
type DataKeyRotation struct {
	// OrganizationID confines it to the organization's own data key. Empty: every
	// data key of the tenant.
	OrganizationID string
	// MinAge leaves out key spaces whose newest key is younger: a rotation that was
	// stopped goes on where it was. Records under older keys are sealed again all the
	// same.
	MinAge time.Duration
	Report Progress // nil: nothing is reported
}

// A RotatedKeys tells what a rotation did.
type RotatedKeys struct {
	Created  int // new data keys
	Resealed int // records that are sealed under them now
	Deleted  int // old data keys
	// Kept is how many old data keys could not be deleted, because something under
	// them cannot be read: [Vault.VerifySealed] names it.
	Kept int
}

// RotateDataKeys gives key spaces a new data key, seals all that older ones sealed
// again, and deletes those. Credentials are released and refreshed meanwhile; a
// record that is renewed at the same moment stays renewed. It may be stopped at any
// moment and begun again. The older keys of the tenant's own space stay, since API
// keys, sessions and the audit log refer to them.
//
// Only an administrator of the whole tenant may.
func (v *Vault) RotateDataKeys(ctx context.Context, actor Actor, in DataKeyRotation) (RotatedKeys, error) {
	if err := v.mayKeepKeys(actor); err != nil {
		return RotatedKeys{}, err
	}
	r := rotation{v: v, actor: actor, in: in, newest: map[string]DataKey{}}
	if in.OrganizationID != "" {
		r.space = keySpace(Owner{OrganizationID: in.OrganizationID})
	}
	for _, step := range []func(context.Context) error{r.create, r.resealAll, r.deleteOld} {
		if err := step(ctx); err != nil {
			return r.done, err
		}
	}
	return r.done, nil
}

// A rotation is one run of RotateDataKeys.
type rotation struct {
	v      *Vault
	actor  Actor
	in     DataKeyRotation
	space  string // the only one; empty: all
	newest map[string]DataKey
	done   RotatedKeys
}

// each calls do for the tenant's data keys that are rotated.
func (r *rotation) each(ctx context.Context, do func(DataKey) error) error {
	return r.v.eachDataKey(ctx, r.v.opts.Tenant, func(key DataKey) error {
		if r.space != "" && key.Space != r.space {
			return nil
		}
		return do(key)
	})
}

// create gives every space a new key that has none yet.
func (r *rotation) create(ctx context.Context) error {
	now, err := r.v.storeClock(ctx)
	if err != nil {
		return err
	}
	err = r.each(ctx, func(key DataKey) error {
		r.newest[key.Space] = key // keys come in the order of versions
		return nil
	})
	if err != nil {
		return err
	}
	if r.space != "" && len(r.newest) == 0 {
		return fmt.Errorf("the organization has no data key: %w", ErrNotFound)
	}
	for space, key := range r.newest {
		if now.Sub(key.CreatedAt) < r.in.MinAge {
			continue
		}
		created, err := r.v.keys.create(ctx, DataKey{Tenant: key.Tenant, Space: space, Version: key.Version + 1})
		if err != nil {
			return fmt.Errorf("data key: %w", err)
		}
		r.v.keys.forget(key.Tenant, space)
		r.newest[space] = created
		r.done.Created++
		r.in.Report.tell(StepCreate, r.done.Created)
	}
	return nil
}

// storeClock returns the store's time.
func (v *Vault) storeClock(ctx context.Context) (time.Time, error) {
	found, err := v.store.FindUsable(ctx, FindQuery{Owner: Owner{Tenant: v.opts.Tenant}})
	return found.Now, err
}

// resealAll passes over all records until a pass, at a time at which nobody seals
// under older keys any more, finds nothing.
func (r *rotation) resealAll(ctx context.Context) error {
	var youngest time.Time
	for _, key := range r.newest {
		if key.CreatedAt.After(youngest) {
			youngest = key.CreatedAt
		}
	}
	for {
		now, err := r.v.storeClock(ctx)
		if err != nil {
			return err
		}
		before := r.done.Resealed
		if err := r.pass(ctx); err != nil {
			return err
		}
		if r.done.Resealed == before && now.Sub(youngest) >= rotationGrace {
			return nil
		}
		r.in.Report.tell(StepWait, r.done.Resealed)
		if err := pause(ctx, rotationGrace); err != nil {
			return err
		}
	}
}

func (r *rotation) pass(ctx context.Context) error {
	err := r.v.eachSealed(ctx, SealedQuery{Tenant: r.v.opts.Tenant, KeySpace: r.space}, func(rows []SealedRow) error {
		var batch []Resealed
		for _, row := range rows {
			if row.Record.KeyVersion >= r.newest[row.Record.KeySpace].Version {
				continue
			}
			plaintext, at, err := r.v.openRow(ctx, row)
			if errors.Is(err, ErrUnsealable) || errors.Is(err, ErrNotFound) {
				continue // its key stays
			}
			if err != nil {
				return err
			}
			record, err := r.seal(ctx, at, plaintext)
			if err != nil {
				return err
			}
			batch = append(batch, Resealed{row, record})
		}
		if len(batch) == 0 {
			return nil
		}
		n, err := r.v.store.Reseal(ctx, batch)
		if err != nil {
			return fmt.Errorf("reseal: %w", err)
		}
		r.done.Resealed += n
		r.in.Report.tell(StepReseal, r.done.Resealed)
		return nil
	})
	if err != nil {
		return err
	}
	return r.passSpool(ctx)
}

// seal seals under the key that this rotation moves the place's space to.
func (r *rotation) seal(ctx context.Context, at place, plaintext []byte) (SealedRecord, error) {
	to := r.newest[at.space()]
	key, err := r.v.keys.get(ctx, keyRef{to.Tenant, to.Space, to.Version}, to.Wrapped)
	if err != nil {
		return SealedRecord{}, err
	}
	return key.seal(at, plaintext), nil
}

// deleteOld deletes the keys that nothing refers to any more.
func (r *rotation) deleteOld(ctx context.Context) error {
	return r.each(ctx, func(key DataKey) error {
		if key.Version >= r.newest[key.Space].Version || key.Space == tenantSpace {
			return nil
		}
		if r.spoolNeeds(ctx, key) {
			r.done.Kept++
			return nil
		}
		event := Event{Kind: EventDataKeyDeleted, Tenant: key.Tenant, ActorKind: r.actor.Kind, ActorID: r.actor.ID}
		err := r.v.store.DeleteDataKey(ctx, key, event)
		switch {
		case errors.Is(err, ErrConflict):
			r.done.Kept++
			return nil
		case err != nil:
			return fmt.Errorf("delete data key: %w", err)
		}
		r.done.Deleted++
		r.in.Report.tell(StepDelete, r.done.Deleted)
		return nil
	})
}
