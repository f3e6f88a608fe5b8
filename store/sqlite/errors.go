package sqlite

import (
	"database/sql"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/ai-token-vault/tokenvault"
)

// wrap puts err into the words of the contract and names the operation. The
// database's messages name tables and columns, never values.
func (s *Store) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = tokenvault.ErrNotFound
	} else if meaning := s.meaning(err); meaning != nil {
		return fmt.Errorf("sqlite: %s: %w: %w", op, meaning, err)
	}
	return fmt.Errorf("sqlite: %s: %w", op, err)
}

// meaning returns the sentinel that err stands for, or nil.
func (s *Store) meaning(err error) error {
	e, ok := errors.AsType[*driver.Error](err)
	if !ok {
		if s.closed.Load() {
			return tokenvault.ErrUnavailable
		}
		return nil
	}
	switch e.Code() {
	case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY:
		return tokenvault.ErrConflict
	case lib.SQLITE_CONSTRAINT_FOREIGNKEY:
		return tokenvault.ErrNotFound
	}
	if unavailable(e.Code()) {
		return tokenvault.ErrUnavailable
	}
	return nil
}

// conflictIfNone is for a statement that replaces a version: no row means that it
// moved on.
func conflictIfNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return tokenvault.ErrConflict
	}
	return err
}

// unavailable reports whether an (extended) result code means that the file
// cannot be reached, is full, is read-only, or stayed locked.
func unavailable(code int) bool {
	switch code & 0xff {
	case lib.SQLITE_FULL, lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_IOERR,
		lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL, lib.SQLITE_PERM, lib.SQLITE_NOLFS:
		return true
	}
	return false
}

// openError says what is wrong with the file and what to do.
func (s *Store) openError(err error) error {
	e, ok := errors.AsType[*driver.Error](err)
	if !ok {
		return fmt.Errorf("sqlite: open %s: %w", s.path, err)
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_NOTADB, lib.SQLITE_CORRUPT:
		return fmt.Errorf("sqlite: open %s: not a database, or damaged: choose another path, or restore the file from a backup: %w", s.path, err)
	case lib.SQLITE_FULL:
		return fmt.Errorf("sqlite: open %s: the disk is full: free some space: %w: %w", s.path, tokenvault.ErrUnavailable, err)
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return fmt.Errorf("sqlite: open %s: locked by another process: stop it, or try again: %w: %w", s.path, tokenvault.ErrUnavailable, err)
	}
	if unavailable(e.Code()) {
		return fmt.Errorf("sqlite: open %s: make the file and its directory writable for this user: %w: %w", s.path, tokenvault.ErrUnavailable, err)
	}
	return fmt.Errorf("sqlite: open %s: %w", s.path, err)
}
