package keyring

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

const (
	algorithm    = "A256GCM"
	statePrimary = "primary"
	stateOld     = "decrypt-only"
	maxFile      = 1 << 20
)

// file is the form of a key file. The MAC, keyed by the primary key, covers the
// list, so that a file that was cut short or edited by hand is noticed.
type file struct {
	Keys []fileKey `json:"keys"`
	MAC  []byte    `json:"mac"`
}

type fileKey struct {
	ID    uint32 `json:"id"`
	Alg   string `json:"alg"`
	Key   []byte `json:"k"`
	State string `json:"state"`
}

// Load returns the keyring that a server starts with. A key from the environment
// and a key file exclude each other. A missing file is created if the store is
// empty; over existing data a new key is never made, since it could open none of
// it.
func Load(path string, rootKey tokenvault.Secret, storeHasData bool) (kr *Keyring, created bool, err error) {
	_, err = os.Lstat(path)
	exists := err == nil
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, false, fmt.Errorf("key file: %w", err)
	}
	switch {
	case !rootKey.IsZero() && exists:
		return nil, false, fmt.Errorf("both TOKENVAULT_ROOT_KEY and the key file %s are there: unset the one, or move the other away", path)
	case !rootKey.IsZero():
		kr, err = FromKey(rootKey)
		return kr, false, err
	case exists:
		kr, err = Open(path)
		return kr, false, err
	case storeHasData:
		return nil, false, fmt.Errorf("key file %s is missing, and the store holds data that was sealed with it: restore it from your backup (a new key could open none of it): %w",
			path, tokenvault.ErrUnsealable)
	}
	kr, err = Create(path)
	return kr, err == nil, err
}

// Create makes a key file with one random key, for its owner alone. It never
// replaces a file.
func Create(path string) (*Keyring, error) {
	key := make([]byte, envelope.KeySize)
	_, _ = rand.Read(key) // never fails: see package crypto/rand
	f := file{Keys: []fileKey{{ID: 1, Alg: algorithm, Key: key, State: statePrimary}}}
	mac, err := f.sum(key)
	if err != nil {
		return nil, err
	}
	f.MAC = mac
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := writeNew(path, append(text, '\n')); err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return Open(path)
}

// writeNew writes a file that did not exist, and returns once it is durable.
func writeNew(path string, text []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Open reads a key file. It refuses one that others may read or write, and one
// that is not whole; no error holds anything of its content.
func Open(path string) (*Keyring, error) {
	text, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	kr, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w: restore it from your backup", path, err)
	}
	return kr, nil
}

func read(path string) (_ []byte, err error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s can be read or written by others: run 'chmod 600 %s'", path, path)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func parse(text []byte) (*Keyring, error) {
	var f file
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil || dec.More() {
		return nil, errors.New("is not a key file, or is damaged")
	}
	keys := map[uint32][]byte{}
	var primary uint32
	for _, k := range f.Keys {
		_, twice := keys[k.ID]
		switch {
		case k.ID == 0 || twice:
			return nil, errors.New("has a missing or repeated key id")
		case k.Alg != algorithm:
			return nil, errors.New("has a key of an unknown algorithm: a newer version may have written it")
		case k.State == statePrimary && primary != 0:
			return nil, errors.New("has two primary keys")
		case k.State == statePrimary:
			primary = k.ID
		case k.State != stateOld:
			return nil, errors.New("has a key in an unknown state")
		}
		keys[k.ID] = k.Key
	}
	if primary == 0 {
		return nil, errors.New("has no primary key")
	}
	kr, err := newKeyring(primary, keys)
	if err != nil {
		return nil, err
	}
	want, err := f.sum(keys[primary])
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(want, f.MAC) {
		return nil, errors.New("was altered or cut short: its checksum does not fit")
	}
	return kr, nil
}

// sum returns the MAC over the list of keys.
func (f file) sum(primary []byte) ([]byte, error) {
	macKey, err := hkdf.Key(sha256.New, primary, nil, "tokenvault key file", sha256.Size)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, macKey)
	for _, k := range f.Keys {
		var id [4]byte
		binary.BigEndian.PutUint32(id[:], k.ID)
		mac.Write(envelope.AAD(string(id[:]), k.Alg, string(k.Key), k.State))
	}
	return mac.Sum(nil), nil
}
