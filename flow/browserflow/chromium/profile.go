package chromium

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/filelock"
)

const (
	profilePrefix = "tokenvault-"
	lockSuffix    = ".lock"
	filesSuffix   = ".files"
	wipeTries     = 50
	leastRoom     = 256 << 20 // bytes that a directory of profiles should have
	longestParent = 38        // a socket below the profile must fit into 107 bytes (unix(7))
)

// A profile is the directory of one browser, with a lock beside it, and a directory
// of files that the browser may read. The lock is this process's as long as it lives,
// so that nobody sweeps a profile in use.
type profile struct {
	dir  string
	lock *os.File
}

// newProfile makes a directory that is the account's alone.
func newProfile(parent string, a *account) (*profile, error) {
	for {
		lock, err := os.CreateTemp(parent, profilePrefix+"*"+lockSuffix)
		if err != nil {
			return nil, err
		}
		held, err := hold(lock)
		if err != nil || !held { // a sweep came between
			_ = lock.Close()
			if err != nil {
				return nil, err
			}
			continue
		}
		p := &profile{dir: strings.TrimSuffix(lock.Name(), lockSuffix), lock: lock}
		if err := errors.Join(os.Mkdir(p.dir, 0o700), give(p.dir, a)); err != nil {
			return nil, errors.Join(err, p.wipe(context.Background()))
		}
		return p, nil
	}
}

// hold locks a lock file, and reports whether it is still where it was.
func hold(lock *os.File) (bool, error) {
	held, err := filelock.Try(lock)
	if err != nil || !held {
		return false, err
	}
	opened, err := lock.Stat()
	if err != nil {
		return false, err
	}
	found, err := os.Lstat(lock.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(opened, found), err
}

// wipe removes the profile, once no process writes to it, and then its lock.
func (p *profile) wipe(ctx context.Context) error {
	defer func() { _ = p.lock.Close() }()
	var err error
	for range wipeTries {
		if err = errors.Join(os.RemoveAll(p.dir), os.RemoveAll(p.dir+filesSuffix)); err == nil {
			return os.Remove(p.lock.Name())
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(goneEvery):
		}
	}
	return err
}

// keep stores a file for the browser to read, and returns its path. It is not kept in
// the profile: nothing is written by path to where the browser could put a link.
func (p *profile) keep(name string, content []byte, a *account) (string, error) {
	files := p.dir + filesSuffix
	if err := os.Mkdir(files, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	dir, err := os.MkdirTemp(files, "") // so that each keeps its name
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, filepath.Base(name))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", err
	}
	return path, errors.Join(show(files, 0o750, a), show(dir, 0o750, a), show(path, 0o640, a))
}

// size returns the bytes that the profile holds.
func (p *profile) size() (total int64) {
	_ = filepath.WalkDir(p.dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // files come and go meanwhile
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}

// sweep removes the profiles of processes that died, and what is left of their
// browsers. It returns how many there were.
func sweep(ctx context.Context, parent string) (swept int, err error) {
	locks, err := filepath.Glob(filepath.Join(parent, profilePrefix+"*"+lockSuffix))
	if err != nil {
		return 0, err
	}
	for _, name := range locks {
		done, failed := sweepOne(ctx, name)
		if done {
			swept++
		}
		err = errors.Join(err, failed)
	}
	return swept, err
}

func sweepOne(ctx context.Context, name string) (bool, error) {
	info, err := os.Lstat(name)
	if err != nil || !ownedByUs(info) {
		return false, nil //nolint:nilerr // it went meanwhile, or is somebody else's
	}
	lock, err := os.OpenFile(name, os.O_RDWR, 0) //nolint:gosec // a lock file of ours
	if err != nil {
		return false, err
	}
	held, err := hold(lock)
	if err != nil || !held {
		_ = lock.Close()
		return false, err
	}
	p := &profile{dir: strings.TrimSuffix(name, lockSuffix), lock: lock}
	killMarked(p.dir)
	return true, p.wipe(ctx)
}
