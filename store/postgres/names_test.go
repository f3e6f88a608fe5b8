package postgres

import (
	"strings"
	"testing"
)

// The patterns of names count nothing, so that their lengths are checked here.
func TestNamesHaveALength(t *testing.T) {
	for name, fits := range map[string]func(n int) bool{
		"a schema": func(n int) bool {
			_, err := prefixOf(strings.Repeat("a", n))
			return err == nil
		},
		"an event's id": func(n int) bool { return checkEventID("ev_"+strings.Repeat("1", n-len("ev_"))) == nil },
		"a host's name": func(n int) bool { return validName(strings.Repeat("a", n)) },
	} {
		most := map[string]int{"a schema": 40, "an event's id": 33, "a host's name": 63}[name]
		if !fits(most) || fits(most+1) {
			t.Errorf("%s: of %d: %t, of %d: %t", name, most, fits(most), most+1, fits(most+1))
		}
	}
	if checkEventID("ev_"+strings.Repeat("1", 29)) == nil {
		t.Error("an event's id that is too short is taken")
	}
}
