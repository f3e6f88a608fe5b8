package storetest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
)

// CheckNoPlaintext fails the test if a file holds the canary: as it is, or in
// base64, hexadecimal or URL encoding, at any place in a longer text. The canary
// should be at least 16 random characters. A file that cannot be read is a
// failure, since nothing was proven about it.
func CheckNoPlaintext(t *testing.T, canary string, files ...string) {
	t.Helper()
	if len(canary) < 8 {
		t.Fatal("the canary is too short to be found by accident only")
	}
	for _, file := range files {
		content, err := os.ReadFile(file) //nolint:gosec // the test names the files
		if err != nil {
			t.Fatal(err)
		}
		for _, encoding := range leaks(content, canary) {
			t.Errorf("%s holds the canary %s", file, encoding)
		}
	}
}

// leaks returns how content holds canary.
func leaks(content []byte, canary string) (encodings []string) {
	lower := bytes.ToLower(content)
	for name, form := range forms(canary) {
		if bytes.Contains(content, []byte(form)) {
			encodings = append(encodings, name)
		}
	}
	// These two are written in either case.
	hexed := hex.EncodeToString([]byte(canary))
	var percent strings.Builder
	for _, b := range []byte(canary) {
		fmt.Fprintf(&percent, "%%%02x", b)
	}
	if bytes.Contains(lower, []byte(hexed)) {
		encodings = append(encodings, "in hexadecimal")
	}
	if bytes.Contains(lower, []byte(percent.String())) {
		encodings = append(encodings, "with every byte URL-encoded")
	}
	return encodings
}

func forms(canary string) map[string]string {
	all := map[string]string{"as it is": canary}
	if q := url.QueryEscape(canary); q != canary {
		all["URL-encoded as a query"] = q
	}
	if p := url.PathEscape(canary); p != canary {
		all["URL-encoded as a path"] = p
	}
	for shift := range 3 {
		all[fmt.Sprintf("in base64 at offset %d", shift)] = base64Core(base64.RawStdEncoding, canary, shift)
		all[fmt.Sprintf("in base64url at offset %d", shift)] = base64Core(base64.RawURLEncoding, canary, shift)
	}
	return all
}

// base64Core returns the characters of the base64 text that depend on the canary
// alone, if shift bytes modulo 3 stand before it.
func base64Core(enc *base64.Encoding, canary string, shift int) string {
	text := enc.EncodeToString(append(make([]byte, shift), canary...))
	if (shift+len(canary))%3 != 0 {
		text = text[:len(text)-1] // shared with what follows
	}
	return text[(shift*8+5)/6:] // the first ones are shared with what stands before
}
