package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// A row is what the scan functions read from: one row of a result. There is one
// scan function for each type of row, and one list of columns that it expects.
type row interface {
	Scan(dest ...any) error
}

// collect scans every row of a query.
func collect[T any](rows *sql.Rows, err error, scan func(row) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // a failure to read is in Err
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// list runs a query on the readers and scans every row.
func list[T any](ctx context.Context, s *Store, op string, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := s.reader.QueryContext(ctx, query, args...)
	all, err := collect(rows, err, scan)
	return all, s.wrap(op, err)
}

// get runs a query on the readers and scans its only row.
func get[T any](ctx context.Context, s *Store, op string, scan func(row) (T, error), query string, args ...any) (T, error) {
	one, err := scan(s.reader.QueryRowContext(ctx, query, args...))
	return one, s.wrap(op, err)
}

// timeOf returns the time of a column.
func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// microsOf returns the column of a time.
func microsOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// scopesColumn returns the column of scopes.
func scopesColumn(scopes []string) string {
	if len(scopes) == 0 {
		return "[]"
	}
	text, _ := json.Marshal(scopes) // texts can always be marshaled
	return string(text)
}

// scopesOf returns the scopes of a column, or nil if there are none. Scopes have
// no character that JSON escapes (RFC 6749 section 3.3), so it cuts the text that
// scopesColumn wrote; only a provider that breaks the rule takes the decoder.
func scopesOf(text string) ([]string, error) {
	if text == "[]" {
		return nil, nil
	}
	if len(text) > 4 && !strings.Contains(text, `\`) {
		return strings.Split(text[2:len(text)-2], `","`), nil
	}
	var scopes []string
	err := json.Unmarshal([]byte(text), &scopes)
	return scopes, err
}

// recordArgs are the columns key_space, key_version and sealed. A record that
// holds nothing is NULL.
func recordArgs(r tokenvault.SealedRecord) []any {
	if len(r.Blob) == 0 {
		return []any{"", int64(0), nil}
	}
	return []any{r.KeySpace, int64(r.KeyVersion), []byte(r.Blob)}
}
