package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ai-token-vault/tokenvault/seal/keyring"
)

// CheckStorage reports whether the data directory exists, and what keeps
// directory or root key from being used. It leaves everything as it was.
func CheckStorage(cfg Config) (exists bool, err error) {
	if exists, err = checkDataDir(cfg.DataDir); err != nil {
		return exists, err
	}
	if err := checkSharedKey(cfg); err != nil {
		return exists, err
	}
	return exists, checkKey(cfg)
}

func checkDataDir(dir string) (exists bool, err error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, checkParent(dir)
	case err != nil:
		return false, cannotCreate(dir, err)
	case !info.IsDir():
		return true, fmt.Errorf("data-dir: %s is a file: name a directory", dir)
	}
	if err := probe(dir); err != nil {
		return true, fmt.Errorf("data-dir: %s cannot be written (%w): make it writable, or name another with --data-dir", dir, reason(err))
	}
	if info.Mode().Perm()&0o077 != 0 {
		return true, fmt.Errorf("data-dir: %s can be entered by others: run 'chmod 700 %s'", dir, dir)
	}
	return true, nil
}

// checkParent reports whether dir can be created in what exists of its path.
func checkParent(dir string) error {
	parent := filepath.Dir(dir)
	for parent != filepath.Dir(parent) {
		if _, err := os.Stat(parent); err == nil {
			break
		}
		parent = filepath.Dir(parent)
	}
	if err := probe(parent); err != nil {
		return cannotCreate(dir, err)
	}
	return nil
}

func cannotCreate(dir string, err error) error {
	return fmt.Errorf("data-dir: %s cannot be created (%w): name a directory that can be written with --data-dir", dir, reason(err))
}

// probe creates a file in dir and removes it.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".write-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(filepath.Clean(f.Name())))
}

// reason is the system's error without the operation and the path.
func reason(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err
	}
	return err
}

// checkKey refuses a root key that cannot be read, before anything is created.
func checkKey(cfg Config) error {
	path := cfg.KeyPath()
	_, err := os.Lstat(path)
	if err == nil || !cfg.RootKey.IsZero() {
		_, _, err = keyring.Load(path, cfg.RootKey, cfg.OldRootKey, true)
		return err
	}
	if dir := filepath.Dir(path); cfg.KeyFile != "" && dir != cfg.DataDir {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("key-file: the directory of %s does not exist: create it, or name another file with --key-file", path)
		}
	}
	return nil
}
