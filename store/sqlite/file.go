package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/filelock"
)

const (
	lockWait = time.Minute // for another process that migrates
	lockPoll = 20 * time.Millisecond
)

// prepareFile makes sure that there is a file that only its owner can read, since
// the database would create it for everybody, and locks it against being
// prepared or migrated by another process until unlock is called.
func (s *Store) prepareFile(ctx context.Context) (unlock func() error, err error) {
	info, err := os.Stat(s.path)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("sqlite: %s is a directory: name a file in it", s.path)
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("sqlite: %s is no regular file: choose another path", s.path)
	case err == nil && info.Mode().Perm()&0o077 != 0:
		s.log.Warn("the database file can be read by others: run chmod 600 on it", slog.String("path", s.path))
	}
	lock, err := s.openOrCreate(s.path + ".lock")
	if err != nil {
		return nil, err
	}
	if err := s.waitForLock(ctx, lock); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	file, err := s.openOrCreate(s.path)
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock.Close, nil // closing unlocks
}

func (s *Store) openOrCreate(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator chooses the path
	if err == nil {
		return file, nil
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // the path is named already
	}
	return nil, fmt.Errorf("sqlite: cannot open or create %s: make it and its directory writable for this user, or choose another path: %w: %w",
		path, tokenvault.ErrUnavailable, err)
}

func (s *Store) waitForLock(ctx context.Context, lock *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		locked, err := filelock.Try(lock)
		if err != nil {
			return fmt.Errorf("sqlite: cannot lock %s: choose a path on a file system with locks: %w", lock.Name(), err)
		}
		if locked {
			return nil
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return fmt.Errorf("sqlite: %s is held by another process that opens the database: %w: %w",
				lock.Name(), tokenvault.ErrUnavailable, ctx.Err())
		}
	}
}
