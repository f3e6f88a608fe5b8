// Package record is the binary form of small records that are sealed: a format
// byte, then fields of one tag byte, a four-byte big-endian length and the bytes.
// Empty fields are left out. Readers skip tags that they do not know.
package record

import (
	"encoding/binary"
	"errors"
)

const format = 0x01

// ErrMalformed reports bytes that are not a record.
var ErrMalformed = errors.New("malformed record")

// A Writer builds one record. The zero Writer is ready to use.
type Writer struct{ buf []byte }

// WriterOf returns a Writer that appends to a record.
func WriterOf(record []byte) Writer { return Writer{buf: record} }

// String appends a field, or nothing if value is empty.
func (w *Writer) String(tag byte, value string) {
	if len(w.buf) == 0 {
		w.buf = append(w.buf, format)
	}
	if value == "" {
		return
	}
	w.buf = append(w.buf, tag)
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(len(value))) //nolint:gosec // values are capped far below 4 GiB where they enter
	w.buf = append(w.buf, value...)
}

// Bytes returns the record.
func (w *Writer) Bytes() []byte {
	if len(w.buf) == 0 {
		return []byte{format}
	}
	return w.buf
}

// Each calls field for every field of b in order. It returns [ErrMalformed] if b
// is cut short, has bytes left over, or is of another format. The value is valid
// only during the call.
func Each(b []byte, field func(tag byte, value []byte)) error {
	if len(b) == 0 || b[0] != format {
		return ErrMalformed
	}
	b = b[1:]
	for len(b) > 0 {
		if len(b) < 5 {
			return ErrMalformed
		}
		n := int64(binary.BigEndian.Uint32(b[1:5]))
		if n > int64(len(b)-5) {
			return ErrMalformed
		}
		field(b[0], b[5:5+n])
		b = b[5+n:]
	}
	return nil
}
