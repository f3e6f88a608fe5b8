package keyring_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/seal/sealtest"
)

func create(t *testing.T) (*keyring.Keyring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root-key.json")
	kr, err := keyring.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return kr, path
}

func TestKeyring(t *testing.T) {
	sealtest.Run(t, func(t *testing.T) (a, b tokenvault.Sealer) {
		t.Helper()
		first, _ := create(t)
		second, _ := create(t)
		return first, second
	})
}

func TestAKeyFileIsItsOwnersAlone(t *testing.T) {
	_, path := create(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
	if _, err := keyring.Create(path); err == nil {
		t.Error("Create replaced a file")
	}
	for _, mode := range []os.FileMode{0o604, 0o640, 0o602, 0o620, 0o444, 0o460} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keyring.Open(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: err = %v, want the command to run", mode, err)
		}
	}
	if err := os.Chmod(path, 0o440); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Open(path); err != nil {
		t.Errorf("a file as service managers hand it over: %v", err)
	}
}

func TestWeakKeysAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"passphrase": "correct horse battery staple", "empty": " ", "short": "c2hvcnQ=",
		"zeros":    strings.Repeat("00", 32),
		"sequence": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"repeated": strings.Repeat("a1b2c3d4", 8), "31 bytes": strings.Repeat("a7", 31), "33 bytes": strings.Repeat("a7", 33),
	} {
		_, err := keyring.FromKey(tokenvault.NewSecret(text))
		if err == nil || !strings.Contains(err.Error(), "openssl rand") || strings.Contains(err.Error(), text) && text != " " {
			t.Errorf("%s: err = %v, want a refusal with the command to run", name, err)
		}
	}
	if _, err := keyring.FromKey(tokenvault.NewSecret("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n")); err != nil {
		t.Errorf("a good key: %v", err)
	}
}

func TestADamagedFileIsRefused(t *testing.T) {
	_, path := create(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var parsed map[string][]map[string]any
	_ = json.Unmarshal(good, &parsed)
	key, _ := parsed["keys"][0]["k"].(string)
	for name, text := range map[string]string{
		"empty": "", "cut short": string(good[:len(good)/2]), "not JSON": "root key",
		"unknown field": strings.Replace(string(good), `"alg"`, `"x": 1, "alg"`, 1),
		"other alg":     strings.Replace(string(good), "A256GCM", "A128GCM", 1),
		"no primary":    strings.Replace(string(good), "primary", "decrypt-only", 1),
		"other id":      strings.Replace(string(good), `"id": 1`, `"id": 2`, 1),
		"trailing":      string(good) + "{}",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := keyring.Open(path)
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), key) {
			t.Errorf("%s: err = %v, want one that names the file and no key", name, err)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root-key.json")
	good := tokenvault.NewSecret("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
	if _, _, err := keyring.Load(path, tokenvault.Secret{}, tokenvault.Secret{}, true); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("no key over data: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("a key was minted over existing data")
	}
	if _, created, err := keyring.Load(path, good, tokenvault.Secret{}, true); created || err != nil {
		t.Errorf("key of the environment: created = %t, %v", created, err)
	}
	if _, created, err := keyring.Load(path, tokenvault.Secret{}, tokenvault.Secret{}, false); !created || err != nil {
		t.Errorf("first start: created = %t, %v", created, err)
	}
	if _, created, err := keyring.Load(path, tokenvault.Secret{}, tokenvault.Secret{}, true); created || err != nil {
		t.Errorf("second start: created = %t, %v", created, err)
	}
	if _, _, err := keyring.Load(path, good, tokenvault.Secret{}, true); err == nil {
		t.Error("two root keys: want an error")
	}
}

func TestAKeyringPrintsNoKey(t *testing.T) {
	kr, path := create(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Keys []struct{ K []byte } }
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s", kr, kr, kr, kr)
	if strings.Contains(printed, fmt.Sprintf("%v", f.Keys[0].K)) || strings.Contains(printed, string(f.Keys[0].K)) {
		t.Error("a key was printed")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"keys":[{"id":1,"alg":"A256GCM","k":"AAAA","state":"primary"}],"mac":"AAAA"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if kr, err := keyring.Open(path); err == nil {
			t.Errorf("opened a file without a fitting checksum: %v", kr)
		}
	})
}
