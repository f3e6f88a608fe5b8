package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/ai-token-vault/tokenvault"
)

// A HostKeyState is a key to a table of the host's, as the database has it.
type HostKeyState struct {
	Of    string // "user" or "organization"
	Key   HostKey
	Ready bool // false: it was begun and holds for new rows only
}

// ListHostKeys returns the keys that were made, or were begun, users first. It
// changes nothing.
func ListHostKeys(ctx context.Context, dsn string, opts *MigrateOptions) ([]HostKeyState, error) {
	var states []HostKeyState
	err := withProvider(dsn, opts, func(db *sql.DB, _ *goose.Provider, schema string) error {
		keys, err := recordedKeys(ctx, db, linkingIn(schema).prefix)
		for _, kind := range []keyKind{userKey, organizationKey} {
			if k, ok := keys[kind]; ok {
				states = append(states, HostKeyState{Of: string(kind), Key: k.public(), Ready: k.ready})
			}
		}
		return err
	})
	return states, err
}

// PendingHostKeys returns the keys of opts that [Migrate] would make, and fails if
// another is in the place of one. It changes nothing.
func PendingHostKeys(ctx context.Context, dsn string, opts *MigrateOptions) ([]HostKeyState, error) {
	var states []HostKeyState
	err := withProvider(dsn, opts, func(db *sql.DB, _ *goose.Provider, schema string) error {
		if opts == nil {
			return nil
		}
		kinds, asked, err := opts.HostKeys.asked()
		if err != nil {
			return err
		}
		recorded, err := recordedKeys(ctx, db, linkingIn(schema).prefix)
		if err != nil {
			return err
		}
		for _, kind := range kinds {
			k, there := recorded[kind]
			if there && !asked[kind].same(k) {
				return differs(kind, k)
			}
			if !k.ready {
				states = append(states, HostKeyState{Of: string(kind), Key: asked[kind].public()})
			}
		}
		return nil
	})
	return states, err
}

// DropHostKeys removes all keys to the host's tables. No row is deleted.
func DropHostKeys(ctx context.Context, dsn string, opts *MigrateOptions) error {
	return withProvider(dsn, opts, func(db *sql.DB, _ *goose.Provider, schema string) error {
		return withLinker(ctx, db, schema, nil, func(l *linker) error {
			if l.keys == nil {
				return nil // from before there were any
			}
			return l.drop(ctx)
		})
	})
}

// makeHostKeys is the last part of Migrate.
func makeHostKeys(ctx context.Context, db *sql.DB, schema string, wanted HostKeys, log *slog.Logger) error {
	kinds, asked, err := wanted.asked()
	if err != nil || len(kinds) == 0 {
		return err
	}
	recorded, err := recordedKeys(ctx, db, linkingIn(schema).prefix)
	if err != nil {
		return err
	}
	if done, err := allThere(recorded, kinds, asked); done || err != nil {
		return err
	}
	return withLinker(ctx, db, schema, log, func(l *linker) error { return l.link(ctx, wanted) })
}

// allThere reports whether the keys are as they are asked for.
func allThere(recorded map[keyKind]hostKey, kinds []keyKind, asked map[keyKind]hostKey) (bool, error) {
	all := true
	for _, kind := range kinds {
		k, there := recorded[kind]
		if there && !asked[kind].same(k) {
			return false, differs(kind, k)
		}
		all = all && k.ready
	}
	return all, nil
}

// checkHostKeys refuses a schema whose keys are others than those that are asked
// for.
func (s *Store) checkHostKeys(ctx context.Context, wanted HostKeys) error {
	kinds, asked, err := wanted.asked()
	if err != nil || len(kinds) == 0 {
		return err
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer func() { _ = db.Close() }() // the pool stays open
	recorded, err := recordedKeys(ctx, db, s.prefix)
	if err != nil {
		return s.wrap("open", err)
	}
	done, err := allThere(recorded, kinds, asked)
	if err == nil && !done {
		err = errors.New("the keys to the host's tables are not there: run 'tokenvault migrate up'")
	}
	if err != nil {
		return fmt.Errorf("postgres: open: %w", err)
	}
	return nil
}

// hostKeysSQL returns the statements that make keys of tables without rows.
func hostKeysSQL(schema string, wanted HostKeys) (string, error) {
	l := linkingIn(schema)
	kinds, asked, err := wanted.asked()
	if err != nil {
		return "", err
	}
	l.keys = asked
	for _, kind := range kinds {
		if asked[kind].typ == "" {
			return "", &tokenvault.FieldError{Field: string(kind) + "-type", Reason: "must be given, as uuid, text or bigint, where no database is asked"}
		}
	}
	statements := l.parsers()
	for _, t := range l.tables() {
		statements = append(statements, l.install(t)...)
		for _, index := range l.indexes(t, "") {
			statements = append(statements, index.create)
		}
		for _, key := range l.foreignKeys(t) {
			statements = append(statements, key.add, key.validate)
		}
	}
	for _, kind := range kinds {
		statements = append(statements, l.record(kind, true))
	}
	var b strings.Builder
	for i, text := range statements {
		if i == 0 {
			b.WriteString("\n-- keys to the host's tables\n")
		}
		b.WriteString(text + ";\n")
	}
	return b.String(), nil
}
