package tokenvault

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"time"
)

// spoolAfter is how long the store may refuse a refreshed credential before it is
// put on disk too.
const spoolAfter = 3 * time.Second

// commitWithRetry stores a refreshed credential. It holds on to it and tries
// again while the lease lasts. What cannot be stored soon is spooled, so that it
// outlives the process.
func (v *Vault) commitWithRetry(ctx context.Context, s spooled) (SealedConnection, error) {
	spool := time.NewTimer(spoolAfter)
	defer spool.Stop()
	closing, kept := v.work.closing, false
	for pause := commitRetry; ; pause = min(2*pause, time.Second) {
		stored, err := v.commitOnce(ctx, s)
		if err == nil || errors.Is(err, ErrFenced) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) {
			v.unspool(ctx, s.commit.ConnectionID, kept)
			return stored, err
		}
		v.log.ErrorContext(ctx, "a refreshed credential cannot be stored: trying again",
			slog.String("connection_id", s.commit.ConnectionID), slog.Bool("spooled", kept), slog.Any("error", err))
		select {
		case <-time.After(pause):
		case <-spool.C:
			kept = v.spool(ctx, s)
		case <-closing:
			closing, kept = nil, v.spool(ctx, s)
		case <-ctx.Done():
			if !kept {
				v.spool(ctx, s)
			}
			return SealedConnection{}, err
		}
	}
}

// commitOnce stores s, or finds that it was stored: an answer of the store may have
// been lost, and another process may have found it in the spool.
func (v *Vault) commitOnce(ctx context.Context, s spooled) (SealedConnection, error) {
	stored, err := v.store.CommitRefresh(ctx, s.late(time.Now()))
	if !errors.Is(err, ErrFenced) {
		return stored, err
	}
	now, getErr := v.store.GetConnection(ctx, s.commit.Owner, s.commit.ConnectionID)
	if getErr == nil && now.Version == s.version && bytes.Equal(now.Record.Blob, s.commit.Record.Blob) {
		return now, nil
	}
	return stored, err
}

// spool keeps s on disk and reports whether it did.
func (v *Vault) spool(ctx context.Context, s spooled) bool {
	if v.opts.Spool == nil {
		return false
	}
	err := v.opts.Spool.Put(context.WithoutCancel(ctx), s.commit.ConnectionID, s.marshal())
	if err != nil {
		v.log.ErrorContext(ctx, "a refreshed credential cannot be spooled either: it is lost if the process ends now",
			slog.String("connection_id", s.commit.ConnectionID), slog.Any("error", err))
	}
	return err == nil
}

func (v *Vault) unspool(ctx context.Context, connectionID string, kept bool) {
	if !kept {
		return
	}
	if err := v.opts.Spool.Remove(context.WithoutCancel(ctx), connectionID); err != nil {
		v.log.WarnContext(ctx, "a spooled credential that was stored cannot be removed",
			slog.String("connection_id", connectionID), slog.Any("error", err))
	}
}

// fromSpool ends an uncertain turn with what the last turn obtained but could not
// store, if it left that in the spool. Sending the old refresh token again would
// end the grant at a strict provider.
func (v *Vault) fromSpool(ctx context.Context, turn RefreshTurn) (stored SealedConnection, ok bool, err error) {
	if v.opts.Spool == nil || !turn.Uncertain {
		return SealedConnection{}, false, nil
	}
	s, err := v.spooledOf(ctx, turn.Connection.ID)
	if errors.Is(err, ErrNotFound) || err == nil && (s.version <= turn.Connection.Version || s.commit.Owner != turn.Connection.Owner) {
		return SealedConnection{}, false, nil
	}
	if err != nil {
		return SealedConnection{}, false, err
	}
	commit := s.late(time.Now())
	commit.Fence = turn.Fence
	if commit.Record, err = v.nextOf(ctx, turn.Connection.Connection, s); err == nil {
		stored, err = v.store.CommitRefresh(ctx, commit)
	}
	if errors.Is(err, ErrUnsealable) { // it is of no use to anybody
		v.unspool(ctx, turn.Connection.ID, true)
		return SealedConnection{}, false, nil
	}
	if err == nil {
		v.unspool(ctx, turn.Connection.ID, true)
	}
	return stored, err == nil, err
}

// nextOf returns what was spooled as the connection's next record. If the
// connection was restored from a backup since, what was spooled is of a later
// version, and is sealed again.
func (v *Vault) nextOf(ctx context.Context, c Connection, s spooled) (SealedRecord, error) {
	plaintext, err := v.keys.open(ctx, s.place(), s.commit.Record, nil)
	if errors.Is(err, ErrNotFound) { // its data key is gone
		err = ErrUnsealable
	}
	if err != nil || s.version == c.Version+1 {
		return s.commit.Record, err
	}
	return v.keys.seal(ctx, connectionPlace(c, c.Version+1), plaintext)
}

func (v *Vault) spooledOf(ctx context.Context, connectionID string) (spooled, error) {
	b, err := v.opts.Spool.Get(ctx, connectionID)
	if err != nil {
		return spooled{}, err
	}
	return unmarshalSpooled(b)
}

// replaySpool stores what an earlier process could not.
func (v *Vault) replaySpool(ctx context.Context) {
	if v.opts.Spool == nil {
		return
	}
	names, err := v.opts.Spool.Names(ctx)
	if err != nil {
		v.log.Error("the spool cannot be read", slog.Any("error", err))
		return
	}
	for _, name := range names {
		if err := v.replay(ctx, name); err != nil && ctx.Err() == nil {
			v.log.Error("a spooled credential cannot be stored yet", slog.String("connection_id", name), slog.Any("error", err))
		}
	}
}

func (v *Vault) replay(ctx context.Context, name string) error {
	s, err := v.spooledOf(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil // another process did it
	}
	if err != nil {
		return err
	}
	if s.commit.Owner.Tenant != v.opts.Tenant {
		return nil
	}
	_, err = v.store.CommitRefresh(ctx, s.late(time.Now()))
	if err != nil && !errors.Is(err, ErrFenced) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrConflict) {
		return err
	}
	now, getErr := v.store.GetConnection(ctx, s.commit.Owner, s.commit.ConnectionID)
	if getErr != nil && !errors.Is(getErr, ErrNotFound) {
		return getErr
	}
	if err != nil && getErr == nil && now.Status == ConnectionActive && now.Version < s.version {
		return nil // somebody has begun a turn: it finds this one
	}
	v.unspool(ctx, name, true)
	return nil
}
