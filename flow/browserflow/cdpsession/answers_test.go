package cdpsession

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

func TestFileName(t *testing.T) {
	for name, want := range map[string]string{
		"passport.pdf": "passport.pdf", "Zeugnis ü 1.pdf": "Zeugnis ü 1.pdf", "../../etc/passwd": "passwd", `C:\Users\a\b.txt`: "b.txt",
		"": "file", ".": "file", "..": "file", "/": "file", ".bashrc": "bashrc", "a\x00b\n.txt": "ab.txt", strings.Repeat("x", 300): "file",
	} {
		if got := fileName(name); got != want {
			t.Errorf("fileName(%q) = %q, want %q", name, got, want)
		}
	}
}

// Whatever a viewer calls a file, it stays in the directory that it is put in.
func FuzzFileName(f *testing.F) {
	for _, name := range []string{"a.txt", "../a", `..\a`, "a/..", "\x00", "..."} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := fileName(name)
		if got == "" || len(got) > 200 || strings.ContainsFunc(got, unicode.IsControl) || filepath.Dir(filepath.Join("/profile", got)) != "/profile" {
			t.Errorf("fileName(%q) = %q", name, got)
		}
	})
}
