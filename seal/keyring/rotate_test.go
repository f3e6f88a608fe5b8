package keyring_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
)

func sealed(t *testing.T, kr *keyring.Keyring) tokenvault.Sealed {
	t.Helper()
	s, err := kr.Seal(t.Context(), []byte("data key"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func opens(t *testing.T, kr *keyring.Keyring, s tokenvault.Sealed) error {
	t.Helper()
	got, err := kr.Open(t.Context(), s, []byte("aad"))
	if err == nil && string(got) != "data key" {
		t.Errorf("opened %q", got)
	}
	return err
}

func TestANewPrimaryKeySealsAndTheOldOneOpens(t *testing.T) {
	kr, path := create(t)
	running, err := keyring.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	old := sealed(t, running)
	id, err := kr.Rotate(t.Context())
	if err != nil || id != 2 {
		t.Fatalf("Rotate = %d, %v", id, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
	fresh := sealed(t, kr)
	if got, err := keyring.KeyID(fresh); got != 2 || err != nil || !kr.Outdated(old) || kr.Outdated(fresh) {
		t.Errorf("the new value is sealed by key %d, %v", got, err)
	}
	for name, held := range map[string]*keyring.Keyring{"rotated": kr, "running": running} {
		for _, s := range []tokenvault.Sealed{old, fresh} {
			if err := opens(t, held, s); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	want := []keyring.Key{{ID: 1}, {ID: 2, Primary: true}}
	if diff := cmp.Diff(want, running.Keys()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if got := sealed(t, running); kr.Outdated(got) {
		t.Error("the running process still seals by the old key")
	}
}

func TestARetiredKeyOpensNothing(t *testing.T) {
	kr, path := create(t)
	old := sealed(t, kr)
	if err := kr.Retire(t.Context(), 1); !errors.Is(err, tokenvault.ErrConflict) {
		t.Errorf("retire the primary key: %v, want ErrConflict", err)
	}
	if _, err := kr.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := kr.Retire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := kr.Retire(t.Context(), 1); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("retire twice: %v, want ErrNotFound", err)
	}
	if err := opens(t, kr, old); !errors.Is(err, tokenvault.ErrUnsealable) {
		t.Errorf("what the retired key sealed: %v, want ErrUnsealable", err)
	}
	if id, err := kr.Rotate(t.Context()); id != 3 || err != nil {
		t.Errorf("Rotate = %d, %v; want an id that was never used", id, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".root-key-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Of keys that are added at once none is lost.
func TestConcurrentRotationsLoseNoKey(t *testing.T) {
	_, path := create(t)
	const rotations = 8
	sealedBy := make([]tokenvault.Sealed, rotations)
	var wg sync.WaitGroup
	for i := range rotations {
		wg.Go(func() {
			kr, err := keyring.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := kr.Rotate(t.Context()); err != nil {
				t.Error(err)
				return
			}
			sealedBy[i] = sealed(t, kr)
		})
	}
	wg.Wait()
	kr, err := keyring.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(kr.Keys()); n != rotations+1 {
		t.Errorf("%d keys, want %d", n, rotations+1)
	}
	for i, s := range sealedBy {
		if err := opens(t, kr, s); err != nil {
			t.Errorf("rotation %d: %v", i, err)
		}
	}
}

// A file that is damaged while a process runs does not stop the process.
func TestAFileThatIsDamagedMeanwhileChangesNothing(t *testing.T) {
	kr, path := create(t)
	s := sealed(t, kr)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(kr.Keys()) != 1 || opens(t, kr, s) != nil {
		t.Error("the keys that were read do not serve any more")
	}
	if _, err := kr.Rotate(t.Context()); err == nil {
		t.Error("a damaged file was replaced")
	}
	if text, _ := os.ReadFile(path); string(text) != "{" {
		t.Error("a damaged file was changed")
	}
}

func TestKeysOfTheEnvironment(t *testing.T) {
	first := tokenvault.NewSecret("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
	second := tokenvault.NewSecret("5cD0qv1F0mJmJ5m0mGQWq3m0bX8h4mFqk3m7eS3c2mM=")
	before, err := keyring.FromKey(first)
	if err != nil {
		t.Fatal(err)
	}
	old := sealed(t, before)
	if _, err := before.Rotate(t.Context()); err == nil || !before.FromEnvironment() {
		t.Error("a key of the environment was rotated")
	}
	path := filepath.Join(t.TempDir(), "root-key.json")
	both, _, err := keyring.Load(path, second, first, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := opens(t, both, old); err != nil || !both.Outdated(old) {
		t.Errorf("with the old key beside it: %v", err)
	}
	after, err := keyring.FromKey(second)
	if err != nil {
		t.Fatal(err)
	}
	if err := opens(t, after, sealed(t, both)); err != nil {
		t.Errorf("what both sealed, by the new key alone: %v", err)
	}
	if err := opens(t, after, old); !errors.Is(err, tokenvault.ErrUnsealable) {
		t.Errorf("the old value by the new key alone: %v", err)
	}
	if _, _, err := keyring.Load(path, tokenvault.Secret{}, first, true); err == nil {
		t.Error("an old key without a new one was taken")
	}
}
