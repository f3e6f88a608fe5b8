package sqlite

import (
	"bytes"
	"fmt"
)

// text, number and blob scan a column that may be NULL into its zero value. They
// are faster than database/sql's own conversions, which reflect.
type (
	text   string
	number int64
	blob   []byte
)

// Scan implements [database/sql.Scanner].
func (t *text) Scan(src any) error {
	switch v := src.(type) {
	case string:
		*t = text(v)
	case nil:
		*t = ""
	default:
		return fmt.Errorf("column of type %T is no text", src)
	}
	return nil
}

// Scan implements [database/sql.Scanner].
func (n *number) Scan(src any) error {
	switch v := src.(type) {
	case int64:
		*n = number(v)
	case nil:
		*n = 0
	default:
		return fmt.Errorf("column of type %T is no integer", src)
	}
	return nil
}

// Scan implements [database/sql.Scanner].
func (b *blob) Scan(src any) error {
	switch v := src.(type) {
	case []byte:
		*b = bytes.Clone(v)
	case nil:
		*b = nil
	default:
		return fmt.Errorf("column of type %T is no blob", src)
	}
	return nil
}
