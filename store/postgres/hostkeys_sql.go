package postgres

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A hostRef is a column of ours that holds an id in the host's type. It is filled
// by a trigger, not generated: adding a generated column writes the whole table
// anew while nobody can read it, and a generated column cannot be set to NULL by a
// foreign key.
type hostRef struct {
	kind   keyKind
	column string
	from   string // the column of ours with the id as text
	name   string // of the foreign key
}

// A keyedTable is a table whose rows have owners. left says that rows stay for a
// while when the host deletes their owner: see host_row_left.
type keyedTable struct {
	name string
	refs []hostRef
	left bool
}

// keyedTables are all that DeleteOwner empties, but webhooks and deliveries: who has
// one has a data key, or the row that it tells of. Rows are locked in this order when
// the host deletes: as by transactions of ours.
func keyedTables() []keyedTable {
	user := hostRef{userKey, "user_ref", "user_id", "user"}
	organization := hostRef{organizationKey, "organization_ref", "organization_id", "organization"}
	sharer := hostRef{userKey, "sharer_ref", "shared_by", "sharer"}
	space := hostRef{organizationKey, "organization_ref", "space", "organization"}
	return []keyedTable{
		{"auth_requests", []hostRef{user, organization}, false},
		{"connections", []hostRef{user, organization, sharer}, true},
		{"permissions", []hostRef{user, organization}, false},
		{"api_keys", []hostRef{user, organization}, false},
		{"apps", []hostRef{organization}, true},
		{"providers", []hostRef{organization}, true},
		{"data_keys", []hostRef{space}, true},
	}
}

// constraint returns the name of a foreign key. Where it restricts, the name is all
// that the host is told by the error that it gets.
func (r hostRef) constraint(k hostKey) string {
	if k.onDelete == OnDeleteRestrict {
		return "call_delete_owner_before_deleting_the_" + r.name
	}
	return "host_" + r.name
}

// A linking is the work of making keys: those of before and those that are new.
type linking struct {
	prefix string // the quoted schema and a dot
	keys   map[keyKind]hostKey
}

func linkingIn(schema string) linking {
	return linking{prefix: pgx.Identifier{schema}.Sanitize() + "."}
}

// sql returns text with "tv." replaced by the schema.
func (l linking) sql(format string, args ...any) string {
	return l.in(fmt.Sprintf(format, args...))
}

func (l linking) in(text string) string { return strings.ReplaceAll(text, "tv.", l.prefix) }

// refs returns the columns of a table that there is a key for.
func (l linking) refs(t keyedTable) []hostRef {
	return slices.DeleteFunc(slices.Clone(t.refs), func(r hostRef) bool { _, ok := l.keys[r.kind]; return !ok })
}

// tables returns the tables that there is a key for.
func (l linking) tables() []keyedTable {
	return slices.DeleteFunc(keyedTables(), func(t keyedTable) bool { return len(l.refs(t)) == 0 })
}

// written is the condition that an id is one of a type, and as the database writes
// it. Nothing is cast before it was looked at: the server's errors quote.
func written(typ KeyType, id string) string {
	switch typ {
	case KeyUUID:
		return id + ` ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'`
	case KeyBigint:
		return `CASE WHEN ` + id + ` ~ '^(0|-?[1-9][0-9]{0,18})$'
        THEN ` + id + `::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 ELSE false END`
	case KeyText:
	}
	return `true`
}

// parsers returns the functions that turn our ids into the host's.
func (l linking) parsers() (statements []string) {
	for _, kind := range slices.Sorted(maps.Keys(l.keys)) {
		typ := l.keys[kind].typ
		statements = append(statements, l.sql(`CREATE OR REPLACE FUNCTION tv.host_%[1]s(id text) RETURNS %[2]s LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF id = '' THEN
        RETURN NULL;
    END IF;
    IF NOT (%[3]s) THEN
        RAISE EXCEPTION 'the %[1]s id is no %[2]s as the database writes it' USING ERRCODE = 'invalid_text_representation', CONSTRAINT = 'host_%[1]s';
    END IF;
    RETURN id::%[2]s;
END
$$`, kind, typ, written(typ, "id")))
	}
	return statements
}

// anew is the condition that an id is looked up. An update that leaves an id as it
// is leaves also what lost its user or organization as it is.
const anew = `TG_OP = 'INSERT' OR current_setting('tokenvault.linking', true) = 'on'`

// install adds the columns of a table and what fills them: from then on every row
// that is written has them.
func (l linking) install(t keyedTable) (statements []string) {
	add := func(format string, args ...any) { statements = append(statements, l.sql(format, args...)) }
	refs := l.refs(t)
	var fill strings.Builder
	var from []string
	cascades := false
	for _, r := range refs {
		key := l.keys[r.kind]
		cascades = cascades || key.onDelete == OnDeleteCascade
		from = append(from, r.from)
		add(`ALTER TABLE tv.%s ADD COLUMN IF NOT EXISTS %s %s`, t.name, r.column, key.typ)
		if r.from != "space" {
			_, _ = fmt.Fprintf(&fill, `    IF %s OR NEW.%[2]s <> OLD.%[2]s THEN
        NEW.%[3]s := tv.host_%[4]s(NEW.%[2]s);
    END IF;
`, anew, r.from, r.column, r.kind)
		}
	}
	if t.name == "data_keys" {
		from = append(from, "wrapped")
		fill.WriteString(`    IF length(NEW.wrapped) = 0 OR NEW.space NOT LIKE 'org:%' THEN
        NEW.organization_ref := NULL;
    ELSIF ` + anew + ` THEN
        NEW.organization_ref := tv.host_organization(substr(NEW.space, 5));
    END IF;
`)
	}
	if cascades {
		fill.WriteString(`    IF TG_OP = 'INSERT' AND tv.being_deleted(` + ownerOf(t, "NEW.") + `) THEN
        RAISE EXCEPTION 'what the owner had before is still being deleted' USING ERRCODE = 'lock_not_available';
    END IF;
`)
	}
	statements = append(statements, l.in("CREATE OR REPLACE FUNCTION tv.host_fill_"+t.name+"() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"+
		fill.String()+"    RETURN NEW;\nEND\n$$"))
	add(`CREATE OR REPLACE TRIGGER host_fill BEFORE INSERT OR UPDATE OF %s ON tv.%s FOR EACH ROW EXECUTE FUNCTION tv.host_fill_%s()`,
		strings.Join(from, ", "), t.name, t.name)
	if cascades {
		statements = append(statements, l.onDelete(t)...)
	}
	return statements
}

// ownerOf is the owner of a row as arguments of being_deleted.
func ownerOf(t keyedTable, row string) string {
	switch t.name {
	case "apps", "providers":
		return row + "tenant, " + row + "organization_id, ''"
	case "data_keys":
		return row + "tenant, CASE WHEN " + row + "space LIKE 'org:%' THEN substr(" + row + "space, 5) ELSE '' END, ''"
	}
	return row + "tenant, " + row + "organization_id, " + row + "user_id"
}

// onDelete returns the triggers for rows that the host's deletions reach. What
// the vault itself deletes, it deletes in a transaction that is bound to a tenant.
func (l linking) onDelete(t keyedTable) (statements []string) {
	if !t.left {
		return []string{l.sql(`CREATE OR REPLACE TRIGGER host_gone AFTER DELETE ON tv.%s FOR EACH ROW
    WHEN (coalesce(current_setting('tokenvault.tenant', true), '') = '') EXECUTE FUNCTION tv.host_row_gone()`, t.name)}
	}
	var columns, lost []string
	for _, r := range l.refs(t) {
		was := fmt.Sprintf("(OLD.%[1]s IS NOT NULL AND NEW.%[1]s IS NULL)", r.column)
		if r.name == "sharer" {
			statements = append(statements, l.sql(`CREATE OR REPLACE TRIGGER host_sharer_left BEFORE UPDATE OF %s ON tv.%s FOR EACH ROW
    WHEN %s EXECUTE FUNCTION tv.host_sharer_left()`, r.column, t.name, was))
			continue
		}
		columns, lost = append(columns, r.column), append(lost, was)
	}
	return append(statements, l.sql(`CREATE OR REPLACE TRIGGER host_left BEFORE UPDATE OF %s ON tv.%s FOR EACH ROW
    WHEN (%s) EXECUTE FUNCTION tv.host_row_left()`, strings.Join(columns, ", "), t.name, strings.Join(lost, " OR ")))
}

// An indexed is an index that the host's deletions find our rows by.
type indexed struct{ name, create string }

// indexes returns the indexes of a table; how is CONCURRENTLY or empty.
func (l linking) indexes(t keyedTable, how string) (all []indexed) {
	for _, r := range l.refs(t) {
		name := t.name + "_" + r.column
		all = append(all, indexed{name, l.sql(`CREATE INDEX %s IF NOT EXISTS %s ON tv.%s (%s) WHERE %[4]s IS NOT NULL`, how, name, t.name, r.column)})
	}
	return all
}

// A foreignKey is a constraint, made in two steps: from the first on it holds for
// what is written, from the second on for all.
type foreignKey struct{ table, name, add, validate string }

func (l linking) foreignKeys(t keyedTable) (all []foreignKey) {
	for _, r := range l.refs(t) {
		key := l.keys[r.kind]
		action := "RESTRICT"
		switch {
		case key.onDelete == OnDeleteCascade && (t.left || r.name == "sharer"):
			action = "SET NULL"
		case key.onDelete == OnDeleteCascade:
			action = "CASCADE"
		}
		name := r.constraint(key)
		all = append(all, foreignKey{
			table: t.name, name: name,
			add: l.sql(`ALTER TABLE tv.%s ADD CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (%s) ON DELETE %s NOT VALID`,
				t.name, name, r.column, key.quoted(), key.quotedColumn(), action),
			validate: l.sql(`ALTER TABLE tv.%s VALIDATE CONSTRAINT %s`, t.name, name),
		})
	}
	return all
}

// record returns the statement that notes a key.
func (l linking) record(kind keyKind, ready bool) string {
	k := l.keys[kind]
	return l.sql(`INSERT INTO tv.host_keys (kind, host_schema, host_table, host_column, type, on_delete, ready)
    VALUES ('%s', '%s', '%s', '%s', '%s', '%s', %t) ON CONFLICT (kind) DO UPDATE SET ready = excluded.ready`,
		kind, k.schema, k.table, k.column, k.typ, k.onDelete, ready)
}

// unlink removes the keys of a table. The host's rows and ours stay.
func (l linking) unlink(t keyedTable) (statements []string) {
	for _, trigger := range []string{"host_fill", "host_gone", "host_left", "host_sharer_left"} {
		statements = append(statements, l.sql(`DROP TRIGGER IF EXISTS %s ON tv.%s`, trigger, t.name))
	}
	statements = append(statements, l.sql(`DROP FUNCTION IF EXISTS tv.host_fill_%s()`, t.name))
	for _, r := range t.refs {
		statements = append(statements, l.sql(`ALTER TABLE tv.%s DROP COLUMN IF EXISTS %s`, t.name, r.column))
	}
	return statements
}
