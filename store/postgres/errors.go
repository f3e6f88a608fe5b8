package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ai-token-vault/tokenvault"
)

var errClosed = errors.New("the store is closed")

// wrap puts err into the words of the contract and names the operation. The
// server's details, which quote values, are left out.
func (s *Store) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("postgres: %s: %w", op, tokenvault.ErrNotFound)
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		if unknown := hostKeyError(e.Code, e.ConstraintName, e.Message); unknown != nil {
			return fmt.Errorf("postgres: %s: %w", op, unknown)
		}
	}
	if meaning := s.meaning(err); meaning != nil {
		return fmt.Errorf("postgres: %s: %w: %w", op, meaning, plain(err))
	}
	return fmt.Errorf("postgres: %s: %w", op, plain(err))
}

// A serverError is what the server said, without the values that it quotes.
type serverError struct{ code, constraint, message string }

// Error names the condition (PostgreSQL documentation, appendix A) and, if there
// is one, the constraint.
func (e *serverError) Error() string {
	if e.constraint != "" {
		return "SQLSTATE " + e.code + " at " + e.constraint
	}
	return "SQLSTATE " + e.code + ": " + e.message
}

// plain returns err without what may quote a value or a connection string.
func plain(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return &serverError{code: e.Code, constraint: e.ConstraintName, message: e.Message}
	}
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		if inner := errors.Unwrap(e); inner != nil {
			return plainCause(inner)
		}
		return errors.New("cannot connect")
	}
	return err
}

func plainCause(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return &serverError{code: e.Code, message: e.Message}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errors.New("cannot connect")
}

// meaning returns the sentinel that err stands for, or nil.
func (s *Store) meaning(err error) error {
	for _, known := range []error{
		tokenvault.ErrConflict, tokenvault.ErrNotFound, tokenvault.ErrExpired, tokenvault.ErrFenced, tokenvault.ErrStateInvalid,
		tokenvault.ErrUnavailable, tokenvault.ErrInvalid, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return nil
		}
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return tokenvault.ErrUnavailable // whatever is not the server's word is the way to it
	}
	switch e.Code {
	case codeUnique:
		return tokenvault.ErrConflict
	case codeForeignKey:
		return tokenvault.ErrNotFound
	}
	if unavailable(e.Code) {
		return tokenvault.ErrUnavailable
	}
	return nil
}

// Conditions, from the PostgreSQL documentation, appendix A.
const (
	codeUnique        = "23505"
	codeForeignKey    = "23503"
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeReadOnly      = "25006"
	codeNoSchema      = "3F000"
	codeLockTimeout   = "55P03"
	codeIdle          = "25P03"
	codeNoTable       = "42P01"
	codeBadText       = "22P02"
)

// unavailable reports whether a condition says that the server cannot serve now:
// no connection, out of resources, shutting down, read-only, locked, broken storage.
func unavailable(code string) bool {
	switch code {
	case codeReadOnly, codeSerialization, codeDeadlock, codeLockTimeout, codeIdle:
		return true
	}
	for _, class := range []string{"08", "53", "57", "58", "XX", "F0"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

// again reports whether a transaction that failed with err was rolled back for
// the sake of another, and may be tried again.
func again(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == codeSerialization || e.Code == codeDeadlock)
}

// conflictIfNone is for a statement that replaces a version: no row means that it
// moved on.
func conflictIfNone(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return tokenvault.ErrConflict
	}
	return err
}
