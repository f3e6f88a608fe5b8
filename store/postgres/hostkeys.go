package postgres

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

// HostKeys are foreign keys from the rows of owners to the host's own tables, which
// are in the same database. With one, the vault stores nothing for a user or an
// organization that the host does not have: [tokenvault.ErrUnknownOwner]. There are
// none unless they are asked for.
//
// They bind the rows of every tenant in the schema: products with tables of their
// own need a schema each. Audit entries and background work are not bound.
type HostKeys struct {
	// User and Organization name the tables of users and of organizations. nil asks
	// for none, and leaves the one alone that is there.
	User, Organization *HostKey
}

// A HostKey names a column of the host's that holds the ids of users or
// organizations, as a primary key or unique by itself.
type HostKey struct {
	// Table is the host's table with its schema, such as "auth.users". Without one it
	// is in the schema public. Capital letters are as they were when the table was
	// created in quotes.
	Table string
	// Column is the column. Default "id".
	Column string
	// Type is the column's type. Empty: whatever it is. The vault's ids must be
	// written as the database writes them: a uuid in lower case with hyphens, a
	// number without a plus sign or leading zeros, so that an id is one owner's only.
	Type KeyType
	// OnDelete says what becomes of the vault's rows. Default [OnDeleteRestrict].
	OnDelete OnDelete
}

// A KeyType is the type of a host's ids.
type KeyType string

// The types of ids. KeyText stands for varchar too, KeyBigint for integer.
const (
	KeyUUID   KeyType = "uuid"
	KeyText   KeyType = "text"
	KeyBigint KeyType = "bigint"
)

// OnDelete says what happens when the host deletes a user or an organization of
// which the vault has something.
type OnDelete string

// What happens on deletion.
const (
	// OnDeleteRestrict has the database refuse it: [tokenvault.Vault.DeleteOwner] is
	// called first.
	OnDeleteRestrict OnDelete = "restrict"
	// OnDeleteCascade ends all access with the host's transaction. What that leaves is
	// deleted within half a minute by [tokenvault.Vault.Run], as by DeleteOwner: it
	// ends the grants at the providers and writes the audit entry.
	OnDeleteCascade OnDelete = "cascade"
)

// Validate reports what is malformed, by a [tokenvault.FieldError] for the setting.
func (k HostKeys) Validate() error {
	_, _, err := k.asked()
	return err
}

// A keyKind is what a key is about, as in the table host_keys.
type keyKind string

const (
	userKey         keyKind = "user"
	organizationKey keyKind = "organization"
)

// asked returns the keys that are asked for, in the order in which they are made.
func (k HostKeys) asked() (kinds []keyKind, keys map[keyKind]hostKey, err error) {
	keys = make(map[keyKind]hostKey)
	for _, one := range []struct {
		kind keyKind
		key  *HostKey
	}{{userKey, k.User}, {organizationKey, k.Organization}} {
		if one.key == nil {
			continue
		}
		if keys[one.kind], err = parseHostKey(one.kind, *one.key); err != nil {
			return nil, nil, err
		}
		kinds = append(kinds, one.kind)
	}
	return kinds, keys, nil
}

// A hostKey is a HostKey whose names were checked and whose defaults are filled in.
type hostKey struct {
	schema, table, column string
	typ                   KeyType // empty: not looked up yet
	onDelete              OnDelete
	ready                 bool
}

// namePattern is more than most hosts need. Whatever matches is quoted all the same.
var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$-]*$`)

func validName(name string) bool { return len(name) <= 63 && namePattern.MatchString(name) }

func parseHostKey(kind keyKind, k HostKey) (hostKey, error) {
	refuse := func(field, reason string) (hostKey, error) {
		return hostKey{}, &tokenvault.FieldError{Field: string(kind) + "-" + field, Reason: reason}
	}
	parsed := hostKey{column: k.Column, typ: k.Type, onDelete: k.OnDelete}
	schema, table, qualified := strings.Cut(k.Table, ".")
	if !qualified {
		schema, table = "public", k.Table
	}
	if parsed.schema, parsed.table = schema, table; !validName(schema) || !validName(table) {
		return refuse("table", "must be a table with its schema, such as auth.users: letters, digits, and _ $ -")
	}
	if parsed.column == "" {
		parsed.column = "id"
	}
	if !validName(parsed.column) {
		return refuse("column", "must be the name of a column: letters, digits, and _ $ -")
	}
	switch parsed.typ {
	case "", KeyUUID, KeyText, KeyBigint:
	default:
		return refuse("type", "must be uuid, text or bigint")
	}
	switch parsed.onDelete {
	case "":
		parsed.onDelete = OnDeleteRestrict
	case OnDeleteRestrict, OnDeleteCascade:
	default:
		return hostKey{}, &tokenvault.FieldError{Field: "on-delete", Reason: "must be restrict or cascade"}
	}
	return parsed, nil
}

// public returns the key as the caller writes it.
func (k hostKey) public() HostKey {
	return HostKey{Table: k.schema + "." + k.table, Column: k.column, Type: k.typ, OnDelete: k.onDelete}
}

// String is for people.
func (k hostKey) String() string {
	typ := string(k.typ)
	if typ == "" {
		typ = "of any type"
	}
	return fmt.Sprintf("%s.%s (%s), %s, on delete %s", k.schema, k.table, k.column, typ, k.onDelete)
}

// String is for people, such as "auth.users (id), uuid, on delete restrict".
func (k HostKey) String() string {
	parsed, err := parseHostKey("", k)
	if err != nil {
		return "malformed"
	}
	return parsed.String()
}

// same reports whether recorded is what k asks for.
func (k hostKey) same(recorded hostKey) bool {
	return k.schema == recorded.schema && k.table == recorded.table && k.column == recorded.column &&
		(k.typ == "" || k.typ == recorded.typ) && k.onDelete == recorded.onDelete
}

func (k hostKey) quoted() string { return pgx.Identifier{k.schema, k.table}.Sanitize() }

func (k hostKey) quotedColumn() string { return pgx.Identifier{k.column}.Sanitize() }
