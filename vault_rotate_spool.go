package tokenvault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// passSpool stores what is spooled, and seals again what cannot be stored yet.
func (r *rotation) passSpool(ctx context.Context) error {
	v := r.v
	if v.opts.Spool == nil {
		return nil
	}
	names, err := v.opts.Spool.Names(ctx)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	for _, name := range names {
		if !r.isOld(ctx, name) {
			continue
		}
		if err := v.replay(ctx, name); err != nil {
			return err
		}
		if !r.isOld(ctx, name) {
			r.done.Resealed++
			continue
		}
		if err := r.resealSpooled(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// isOld reports whether something is spooled under an older key of the tenant.
func (r *rotation) isOld(ctx context.Context, name string) bool {
	s, err := r.v.spooledOf(ctx, name)
	return err == nil && s.commit.Owner.Tenant == r.v.opts.Tenant && s.commit.Record.KeyVersion < r.newest[s.commit.Record.KeySpace].Version
}

func (r *rotation) resealSpooled(ctx context.Context, name string) error {
	before, err := r.v.opts.Spool.Get(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s, err := unmarshalSpooled(before)
	if err != nil {
		return nil //nolint:nilerr // nobody can read it: VerifySealed names it
	}
	plaintext, err := r.v.keys.open(ctx, s.place(), s.commit.Record, nil)
	if errors.Is(err, ErrUnsealable) || errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.commit.Record, err = r.seal(ctx, s.place(), plaintext); err != nil {
		return err
	}
	now, err := r.v.opts.Spool.Get(ctx, name)
	if err != nil || !bytes.Equal(now, before) {
		return nil //nolint:nilerr // stored or replaced meanwhile: the next pass sees it
	}
	if err := r.v.opts.Spool.Put(ctx, name, s.marshal()); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	r.done.Resealed++
	return nil
}

// spoolNeeds reports whether something is spooled under the key.
func (r *rotation) spoolNeeds(ctx context.Context, key DataKey) bool {
	if r.v.opts.Spool == nil {
		return false
	}
	names, err := r.v.opts.Spool.Names(ctx)
	for _, name := range names {
		s, err := r.v.spooledOf(ctx, name)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if c := s.commit; err != nil || c.Owner.Tenant == key.Tenant && c.Record.KeySpace == key.Space && c.Record.KeyVersion == key.Version {
			return true
		}
	}
	return err != nil
}
