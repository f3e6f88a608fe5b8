package keyring

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
	"github.com/ai-token-vault/tokenvault/internal/filelock"
)

const (
	lockPoll = 20 * time.Millisecond
	lockWait = 30 * time.Second
)

// errFromEnvironment says how a key is changed that no file holds.
var errFromEnvironment = errors.New("the root key comes from the environment: put the key in use into TOKENVAULT_ROOT_KEY_OLD and a new one" +
	" ('openssl rand -base64 32') into TOKENVAULT_ROOT_KEY, restart the servers with both, and run 'tokenvault key rotate root' with both")

// FromEnvironment reports whether no file holds the keys.
func (k *Keyring) FromEnvironment() bool { return k.path == "" }

// Rotate adds a random key to the file, makes it the primary one, and returns its
// id. The file is replaced as a whole: it holds either the keys before or those
// after. Keys of the environment fail with an error that says what to do instead.
func (k *Keyring) Rotate(ctx context.Context) (id uint32, err error) {
	err = k.change(ctx, func(f *file) error {
		for i, old := range f.Keys {
			f.Keys[i].State, id = stateOld, max(id, old.ID)
		}
		id++
		key := make([]byte, envelope.KeySize)
		_, _ = rand.Read(key) // never fails: see package crypto/rand
		f.Keys = append([]fileKey{{ID: id, Alg: algorithm, Key: key, State: statePrimary}}, f.Keys...)
		return nil
	})
	return id, err
}

// Retire removes a key that only opens. It fails with [tokenvault.ErrNotFound] if
// the file has no such key, and with [tokenvault.ErrConflict] if it is the primary
// one. What only it can open is lost: the caller has checked that there is nothing.
func (k *Keyring) Retire(ctx context.Context, id uint32) error {
	return k.change(ctx, func(f *file) error {
		at := slices.IndexFunc(f.Keys, func(key fileKey) bool { return key.ID == id })
		switch {
		case at < 0:
			return fmt.Errorf("root key %d: %w", id, tokenvault.ErrNotFound)
		case f.Keys[at].State == statePrimary:
			return fmt.Errorf("root key %d is the primary one: %w", id, tokenvault.ErrConflict)
		}
		f.Keys = slices.Delete(f.Keys, at, at+1)
		return nil
	})
}

// change replaces the file under a lock, so that of two who change it neither
// undoes what the other did.
func (k *Keyring) change(ctx context.Context, do func(*file) error) (err error) {
	if k.FromEnvironment() {
		return errFromEnvironment
	}
	path, err := filepath.EvalSymlinks(k.path)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	unlock, err := lock(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	f, _, err := read(path)
	if err != nil {
		return err
	}
	if err := do(&f); err != nil {
		return err
	}
	text, err := f.marshal()
	if err != nil {
		return err
	}
	if err := replace(path, text); err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	k.current(true)
	return nil
}

func lock(ctx context.Context, path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // beside the key file
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		locked, err := filelock.Try(f)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("key file: %w", err), f.Close())
		}
		if locked {
			return f.Close, nil // closing unlocks
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("key file: another process changes it: %w", ctx.Err()), f.Close())
		}
	}
}

// replace puts text in the place of the file at path, for its owner alone, and
// returns once that is durable.
func replace(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".root-key-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return syncDir(path)
}
