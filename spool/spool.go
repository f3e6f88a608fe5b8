// Package spool keeps refreshed credentials in files while the store cannot take
// them: one file per connection, readable by its owner alone, sealed before it
// comes here.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ai-token-vault/tokenvault"
)

const suffix = ".spooled"

// namePattern counts nothing: a count is compiled into as many copies, at each start.
var namePattern = regexp.MustCompile(`^[a-z0-9_]+$`)

func validName(name string) bool { return len(name) <= 64 && namePattern.MatchString(name) }

// A Dir is a [tokenvault.Spool] in a directory. Any number of processes may share
// it.
type Dir struct{ path string }

var _ tokenvault.Spool = (*Dir)(nil)

// Open returns the spool in a directory, which it creates for its owner alone if
// it does not exist. It refuses one that others can enter.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("spool: %s can be entered by others: run 'chmod 700 %s'", path, path)
	}
	return &Dir{path: path}, nil
}

func (d *Dir) file(name string) (string, error) {
	if !validName(name) {
		return "", fmt.Errorf("spool: %w", &tokenvault.FieldError{Field: "name", Reason: "must be lower-case letters, digits and underscores"})
	}
	return filepath.Join(d.path, name+suffix), nil
}

// Put implements [tokenvault.Spool]: data and directory are synced before it
// returns.
func (d *Dir) Put(_ context.Context, name string, data []byte) error {
	path, err := d.file(name)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(d.path, ".put-*") // mode 0600
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("spool: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return d.sync()
}

func (d *Dir) sync() error {
	dir, err := os.Open(d.path)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// Get implements [tokenvault.Spool].
func (d *Dir) Get(_ context.Context, name string) ([]byte, error) {
	path, err := d.file(name)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path) //nolint:gosec // the name is letters and digits
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("spool: %w", tokenvault.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return data, nil
}

// Names implements [tokenvault.Spool].
func (d *Dir) Names(context.Context) ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), suffix); ok && validName(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Remove implements [tokenvault.Spool].
func (d *Dir) Remove(_ context.Context, name string) error {
	path, err := d.file(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("spool: %w", err)
	}
	return d.sync()
}
