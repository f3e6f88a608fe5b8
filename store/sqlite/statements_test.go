package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
)

// A connection runs a text that it has run before, also while rows of it are open.
func TestStatementsAreKept(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "kept.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	conn, err := s.writer.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const text = `SELECT column1 FROM (VALUES (?1), (?1 + 1))`
	for range 3 {
		mustRead(t, conn, text, 1)
	}
	kept := func() (n int) {
		err := conn.Raw(func(c any) error {
			if keeping, ok := c.(*keepingConn); ok {
				n = len(keeping.kept)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := kept()
	outer, err := conn.QueryContext(t.Context(), text, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = outer.Close() }()
	for want := 10; outer.Next(); want++ {
		var got int
		if err := outer.Scan(&got); err != nil || got != want {
			t.Errorf("the outer rows have %d, not %d: %v", got, want, err)
		}
		mustRead(t, conn, text, 20)
	}
	if err := outer.Err(); err != nil {
		t.Error(err)
	}
	mustRead(t, conn, text, 30)
	if after := kept(); before == 0 || after != before {
		t.Errorf("%d statements are kept, then %d", before, after)
	}
	if _, err := conn.ExecContext(t.Context(), `CREATE TABLE scratch (id INTEGER)`); err != nil || kept() != before {
		t.Errorf("a statement of a migration is kept: %v", err)
	}
}

// mustRead reads two numbers, the second one more than the first.
func mustRead(t *testing.T, conn *sql.Conn, text string, first int) {
	t.Helper()
	rows, err := conn.QueryContext(t.Context(), text, first)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []int
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	if rows.Err() != nil || len(all) != 2 || all[0] != first || all[1] != first+1 {
		t.Errorf("it reads %v from %d: %v", all, first, rows.Err())
	}
}
