package spool_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/spool"
)

func TestWhatIsPutIsThereUntilRemoved(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "spool")
	first, err := spool.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, put := range [][2]string{{"cn_a", "old"}, {"cn_a", "new"}, {"cn_b", ""}} {
		if err := first.Put(ctx, put[0], []byte(put[1])); err != nil {
			t.Fatal(err)
		}
	}
	second, err := spool.Open(path) // as another process does
	if err != nil {
		t.Fatal(err)
	}
	names, err := second.Names(ctx)
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"cn_a", "cn_b"}) {
		t.Errorf("Names = %v, %v", names, err)
	}
	if got, err := second.Get(ctx, "cn_a"); err != nil || string(got) != "new" {
		t.Errorf("Get = %q, %v", got, err)
	}
	for range 2 {
		if err := second.Remove(ctx, "cn_a"); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	if _, err := first.Get(ctx, "cn_a"); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("Get after Remove: %v", err)
	}
	info, err := os.Stat(filepath.Join(path, "cn_b.spooled"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestBadNamesAndOpenDirectoriesAreRefused(t *testing.T) {
	d, err := spool.Open(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "../x", "a/b", "A", "a.b", strings.Repeat("a", 65)} {
		if err := d.Put(t.Context(), name, nil); !errors.Is(err, tokenvault.ErrInvalid) {
			t.Errorf("Put(%q): %v", name, err)
		}
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(open); err == nil {
		t.Error("a directory that others can enter was accepted")
	}
}
