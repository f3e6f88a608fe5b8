package record

import (
	"bytes"
	"errors"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	var w Writer
	w.String(1, "one")
	w.String(2, "")
	w.String(3, string([]byte{0, 1, 2}))
	got := map[byte]string{}
	if err := Each(w.Bytes(), func(tag byte, v []byte) { got[tag] = string(v) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[1] != "one" || got[3] != "\x00\x01\x02" {
		t.Errorf("got %q", got)
	}
}

func TestCutShortAtEveryByte(t *testing.T) {
	var w Writer
	w.String(1, "one")
	full := w.Bytes()
	for n := range full {
		if n == 1 { // the empty record
			continue
		}
		if err := Each(full[:n], func(byte, []byte) {}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d of %d bytes: err = %v, want ErrMalformed", n, len(full), err)
		}
	}
}

func FuzzEach(f *testing.F) {
	var w Writer
	w.String(7, "seven")
	f.Add(w.Bytes())
	f.Add([]byte{1, 7, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var again Writer
		empty := false
		err := Each(b, func(tag byte, v []byte) { again.String(tag, string(v)); empty = empty || len(v) == 0 })
		if err == nil && !empty && !bytes.Equal(again.Bytes(), b) {
			t.Errorf("decoding and encoding %x gave %x", b, again.Bytes())
		}
	})
}
