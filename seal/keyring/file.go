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
	"time"

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
// it. oldKey, if there is one, is what the environment held before rootKey.
func Load(path string, rootKey, oldKey tokenvault.Secret, storeHasData bool) (kr *Keyring, created bool, err error) {
	_, err = os.Lstat(path)
	exists := err == nil
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, false, fmt.Errorf("key file: %w", err)
	}
	switch {
	case rootKey.IsZero() && !oldKey.IsZero():
		return nil, false, errors.New("TOKENVAULT_ROOT_KEY_OLD is set without TOKENVAULT_ROOT_KEY: set the new key too, or unset the old one")
	case !rootKey.IsZero() && exists:
		return nil, false, fmt.Errorf("both TOKENVAULT_ROOT_KEY and the key file %s are there: unset the one, or move the other away", path)
	case !rootKey.IsZero():
		var old []tokenvault.Secret
		if !oldKey.IsZero() {
			old = append(old, oldKey)
		}
		kr, err = FromKey(rootKey, old...)
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
	text, err := file{Keys: []fileKey{{ID: 1, Alg: algorithm, Key: key, State: statePrimary}}}.marshal()
	if err != nil {
		return nil, err
	}
	if err := writeNew(path, text); err != nil {
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
	return syncDir(path)
}

// syncDir makes the name of a file durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Open reads a key file. It refuses one that others may read or write, unless its
// mode is 0440, and one that is not whole; no error holds anything of its content.
func Open(path string) (*Keyring, error) {
	f, seen, err := read(path)
	if err != nil {
		return nil, err
	}
	r, err := f.ring()
	if err != nil {
		return nil, damaged(path, err)
	}
	return &Keyring{path: path, ring: r, seen: seen, looked: time.Now()}, nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("key file %s: %w: restore it from your backup", path, err)
}

// A stamp tells one content of a file from the next.
type stamp struct {
	size, modified int64
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.Size(), info.ModTime().UnixNano()}, nil
}

// read returns a file whose form was checked.
func read(path string) (f file, seen stamp, err error) {
	text, seen, err := readText(path)
	if err != nil {
		return file{}, seen, fmt.Errorf("key file: %w", err)
	}
	if f, err = parse(text); err != nil {
		return file{}, seen, damaged(path, err)
	}
	return f, seen, nil
}

// handedOver is the mode of a file that nobody may write and one group, or one user
// by an access control list, may read: systemd hands credentials over so, and
// Kubernetes the files of a secret.
const handedOver = 0o440

func readText(path string) (text []byte, seen stamp, err error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, seen, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, seen, err
	case !info.Mode().IsRegular():
		return nil, seen, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0 && info.Mode().Perm() != handedOver:
		return nil, seen, fmt.Errorf("%s can be read or written by others: run 'chmod 600 %s'", path, path)
	}
	text, err = io.ReadAll(io.LimitReader(f, maxFile))
	return text, stamp{info.Size(), info.ModTime().UnixNano()}, err
}

// parse checks the form, and that nothing was altered.
func parse(text []byte) (file, error) {
	var f file
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil || dec.More() {
		return file{}, errors.New("is not a key file, or is damaged")
	}
	ids, primary := map[uint32]bool{}, fileKey{}
	for _, k := range f.Keys {
		switch {
		case k.ID == 0 || ids[k.ID]:
			return file{}, errors.New("has a missing or repeated key id")
		case k.Alg != algorithm:
			return file{}, errors.New("has a key of an unknown algorithm: a newer version may have written it")
		case k.State == statePrimary && primary.ID != 0:
			return file{}, errors.New("has two primary keys")
		case k.State == statePrimary:
			primary = k
		case k.State != stateOld:
			return file{}, errors.New("has a key in an unknown state")
		}
		ids[k.ID] = true
	}
	if primary.ID == 0 {
		return file{}, errors.New("has no primary key")
	}
	want, err := f.sum(primary.Key)
	if err != nil {
		return file{}, err
	}
	if !hmac.Equal(want, f.MAC) {
		return file{}, errors.New("was altered or cut short: its checksum does not fit")
	}
	return f, nil
}

func (f file) primary() fileKey {
	for _, k := range f.Keys {
		if k.State == statePrimary {
			return k
		}
	}
	return fileKey{}
}

func (f file) ring() (*ring, error) {
	keys := map[uint32][]byte{}
	for _, k := range f.Keys {
		keys[k.ID] = k.Key
	}
	return newRing(f.primary().ID, keys)
}

// marshal returns the text of the file, with its MAC.
func (f file) marshal() ([]byte, error) {
	var err error
	if f.MAC, err = f.sum(f.primary().Key); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(f, "", "  ")
	return append(text, '\n'), err
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
