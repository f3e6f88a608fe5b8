package filelock_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ai-token-vault/tokenvault/internal/filelock"
)

func TestLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	for _, tc := range []struct {
		name          string
		first, second func(*os.File) (bool, error)
		want          bool
	}{
		{"alone, alone", filelock.Try, filelock.Try, false},
		{"alone, shared", filelock.Try, filelock.TryShared, false},
		{"shared, alone", filelock.TryShared, filelock.Try, false},
		{"shared, shared", filelock.TryShared, filelock.TryShared, true},
	} {
		a, b := open(), open()
		if locked, err := tc.first(a); !locked || err != nil {
			t.Fatalf("%s: the first has it: %t, %v", tc.name, locked, err)
		}
		if locked, err := tc.second(b); locked != tc.want || err != nil {
			t.Errorf("%s: the second has it: %t, %v", tc.name, locked, err)
		}
		_ = a.Close()
		if locked, err := tc.second(b); !locked || err != nil {
			t.Errorf("%s: after the first closed it: %t, %v", tc.name, locked, err)
		}
		_ = b.Close()
	}
}
