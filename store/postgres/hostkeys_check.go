package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ai-token-vault/tokenvault"
)

// A hostColumn is what the catalogue says of a column.
type hostColumn struct {
	typ                                   string
	unique, mayEnter, mayReference, reads bool
}

const sqlHostColumn = `SELECT format_type(a.atttypid, NULL),
		EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
			AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum),
		has_schema_privilege(n.oid, 'USAGE'), has_column_privilege(c.oid, a.attnum, 'REFERENCES'),
		has_column_privilege(c.oid, a.attnum, 'SELECT') AND NOT row_security_active(c.oid)
	FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
	JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND c.relkind IN ('r', 'p')`

// keyTypes are the types of the host's that keys can have.
func keyType(typ string) KeyType {
	switch typ {
	case "uuid":
		return KeyUUID
	case "text", "character varying":
		return KeyText
	case "bigint", "integer":
		return KeyBigint
	}
	return ""
}

// lookUp finds the host's column, and says what keeps it from being referenced.
func (l *linker) lookUp(ctx context.Context, kind keyKind, k hostKey) (hostKey, error) {
	column, err := l.hostColumn(ctx, k)
	if errors.Is(err, sql.ErrNoRows) {
		return k, fmt.Errorf("%s-table, %s-column: there is no column %s in a table %s of this database", kind, kind, k.quotedColumn(), k.quoted())
	}
	if err != nil {
		return k, err
	}
	typ := keyType(column.typ)
	switch {
	case typ == "":
		return k, fmt.Errorf("%s-column: %s of %s is %s: a key must be uuid, text or bigint", kind, k.quotedColumn(), k.quoted(), column.typ)
	case k.typ != "" && k.typ != typ:
		return k, fmt.Errorf("%s-type: %s of %s is %s, not %s", kind, k.quotedColumn(), k.quoted(), typ, k.typ)
	case !column.unique:
		return k, fmt.Errorf("%s-column: %s of %s is neither the primary key nor unique by itself", kind, k.quotedColumn(), k.quoted())
	case !column.mayEnter || !column.mayReference:
		return k, fmt.Errorf("%s-table: the role that migrates may not refer to %s: as its owner, GRANT USAGE ON SCHEMA and GRANT REFERENCES (%s) to the role", kind, k.quoted(), k.quotedColumn())
	}
	k.typ = typ
	return k, nil
}

func (l *linker) hostColumn(ctx context.Context, k hostKey) (c hostColumn, err error) {
	err = l.conn.QueryRowContext(ctx, sqlHostColumn, k.schema, k.table, k.column).Scan(&c.typ, &c.unique, &c.mayEnter, &c.mayReference, &c.reads)
	return c, err
}

// checkOwners looks at the ids that are there before anything is changed. It sees
// those of connections and permissions, of all tenants; others are found later.
func (l *linker) checkOwners(ctx context.Context, kind keyKind) error {
	k := l.keys[kind]
	id := "user_id"
	if kind == organizationKey {
		id = "organization_id"
	}
	count := func(condition string) (n int, err error) {
		query := `SELECT count(*) FROM (SELECT ` + id + ` AS id FROM tv.hot_connections UNION SELECT ` + id + ` FROM tv.hot_permissions) AS owners
			WHERE id <> '' AND ` + condition
		err = l.conn.QueryRowContext(ctx, l.in(query)).Scan(&n)
		return n, err
	}
	n, err := count(`NOT (` + written(k.typ, "id") + `)`)
	if err == nil && n > 0 {
		return fmt.Errorf("%d %s ids of the vault are no %s as the database writes it: %s", n, kind, k.typ, howToMend)
	}
	if err != nil {
		return err
	}
	column, err := l.hostColumn(ctx, k)
	if err != nil || !column.reads {
		return err
	}
	n, err = count(`NOT EXISTS (SELECT FROM ` + k.quoted() + ` AS h WHERE h.` + k.quotedColumn() + ` = id::` + string(k.typ) + `)`)
	if err == nil && n > 0 {
		return fmt.Errorf("%d %ss of the vault are not in %s: %s", n, kind, k.quoted(), howToMend)
	}
	return err
}

// hostKeyError returns what a refused row means if a key of the host's refused it,
// else nil. message is the server's, which quotes no value here.
func hostKeyError(code, constraint, message string) error {
	var kind keyKind
	switch constraint {
	case "host_user", "host_sharer", "call_delete_owner_before_deleting_the_user", "call_delete_owner_before_deleting_the_sharer":
		kind = userKey
	case "host_organization", "call_delete_owner_before_deleting_the_organization":
		kind = organizationKey
	default:
		return nil
	}
	if code == codeBadText {
		return fmt.Errorf("%w: %s", tokenvault.ErrUnknownOwner, message)
	}
	return fmt.Errorf("%w: no such %s", tokenvault.ErrUnknownOwner, kind)
}
