package postgres

import (
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// A row is what the scan functions read from: one row of a result. There is one
// scan function for each type of row, and one list of columns that it expects.
type row interface {
	Scan(dest ...any) error
}

// timeOf returns the time of a column that may be NULL.
func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// columnOf returns the column of a time: NULL if it is zero.
func columnOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// scopesColumn returns the column of scopes, which is never NULL.
func scopesColumn(scopes []string) []string { return append([]string{}, scopes...) }

// recordArgs are the columns key_space, key_version and sealed. A record that
// holds nothing is NULL.
func recordArgs(r tokenvault.SealedRecord) []any {
	if len(r.Blob) == 0 {
		return []any{"", int64(0), nil}
	}
	return []any{r.KeySpace, int64(r.KeyVersion), []byte(r.Blob)}
}
