package tokenvault

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

const dataKeyTTL = 10 * time.Minute

// tenantSpace is the key space of what belongs to a tenant as a whole.
const tenantSpace = "tenant"

// keySpace returns whose data key seals what belongs to owner.
func keySpace(owner Owner) string {
	switch {
	case owner.OrganizationID != "":
		return "org:" + owner.OrganizationID
	case owner.UserID != "":
		sum := sha256.Sum256([]byte(owner.UserID))
		return "user:" + hex.EncodeToString(sum[:1])
	}
	return tenantSpace
}

// A place is where a sealed value belongs. It is bound to the value.
type place struct {
	table   string
	owner   Owner
	row     string
	field   string
	version int64
}

func connectionPlace(c Connection, version int64) place {
	return place{table: "connection", owner: c.Owner, row: c.ID, field: "credential", version: version}
}

func (p place) aad(keyVersion uint32) []byte {
	b := envelope.AAD(p.table, p.owner.Tenant, p.owner.OrganizationID, p.owner.UserID, p.row, p.field)
	b = binary.BigEndian.AppendUint64(b, uint64(p.version)) //nolint:gosec // versions count from 1
	return binary.BigEndian.AppendUint32(b, keyVersion)
}

type keyRef struct {
	tenant, space string
	version       uint32 // 0: the newest
}

type cachedKey struct {
	aead    cipher.AEAD
	raw     []byte // for the tenant's key, which also keys MACs
	version uint32
	until   time.Time
}

// dataKeys opens data keys through the sealer, keeps them for at most ten
// minutes, and seals and opens records with them.
type dataKeys struct {
	store  DataKeyStore
	sealer Sealer
	watch  observing

	mu    sync.RWMutex // protects cache; held for map look-ups only
	cache map[keyRef]cachedKey
}

func newDataKeys(store DataKeyStore, sealer Sealer, watch observing) *dataKeys {
	return &dataKeys{store: store, sealer: sealer, watch: watch, cache: make(map[keyRef]cachedKey)}
}

// check opens some data key, so that a root key that does not fit the data is
// noticed before anything is sealed under it.
func (k *dataKeys) check(ctx context.Context) error {
	key, err := k.store.AnyDataKey(ctx)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := k.unwrap(ctx, key); err != nil {
		return fmt.Errorf("the root key does not open this store's data: use the key that the data was sealed with: %w", err)
	}
	return nil
}

// seal seals plaintext for its place under the newest data key of its owner.
func (k *dataKeys) seal(ctx context.Context, at place, plaintext []byte) (SealedRecord, error) {
	space := keySpace(at.owner)
	key, err := k.newest(ctx, at.owner.Tenant, space)
	if err != nil {
		return SealedRecord{}, err
	}
	blob := envelope.Seal(key.aead, key.version, plaintext, at.aad(key.version))
	return SealedRecord{KeySpace: space, KeyVersion: key.version, Blob: blob}, nil
}

// open opens rec, which was found at its place. wrapped is its data key if the
// store sent it along, else nil. The error wraps [ErrUnsealable] or is the store's.
func (k *dataKeys) open(ctx context.Context, at place, rec SealedRecord, wrapped Sealed) ([]byte, error) {
	if rec.KeySpace != keySpace(at.owner) {
		return nil, fmt.Errorf("%s record of another key space: %w", at.table, ErrUnsealable)
	}
	key, err := k.get(ctx, keyRef{at.owner.Tenant, rec.KeySpace, rec.KeyVersion}, wrapped)
	if err != nil {
		return nil, err
	}
	plaintext, err := envelope.Open(key.aead, rec.Blob, at.aad(rec.KeyVersion))
	if err != nil {
		return nil, fmt.Errorf("%s record: %w", at.table, ErrUnsealable)
	}
	return plaintext, nil
}

func (k *dataKeys) get(ctx context.Context, ref keyRef, wrapped Sealed) (cachedKey, error) {
	if key, ok := k.cached(ref); ok {
		return key, nil
	}
	stored := DataKey{Tenant: ref.tenant, Space: ref.space, Version: ref.version, Wrapped: wrapped}
	if len(wrapped) == 0 {
		var err error
		if stored, err = k.store.GetDataKey(ctx, ref.tenant, ref.space, ref.version); err != nil {
			return cachedKey{}, fmt.Errorf("data key: %w", err)
		}
	}
	return k.unwrapAndKeep(ctx, stored, ref)
}

func (k *dataKeys) newest(ctx context.Context, tenant, space string) (cachedKey, error) {
	ref := keyRef{tenant, space, 0}
	if key, ok := k.cached(ref); ok {
		return key, nil
	}
	stored, err := k.store.GetDataKey(ctx, tenant, space, 0)
	if errors.Is(err, ErrNotFound) {
		stored, err = k.create(ctx, tenant, space)
	}
	if err != nil {
		return cachedKey{}, fmt.Errorf("data key: %w", err)
	}
	return k.unwrapAndKeep(ctx, stored, ref)
}

func (k *dataKeys) create(ctx context.Context, tenant, space string) (DataKey, error) {
	raw := make([]byte, envelope.KeySize)
	_, _ = rand.Read(raw) // never fails: see package crypto/rand
	key := DataKey{Tenant: tenant, Space: space, Version: 1}
	wrapped, err := k.sealer.Seal(ctx, raw, dataKeyAAD(key))
	if err != nil {
		return DataKey{}, err
	}
	key.Wrapped = wrapped
	event := Event{Kind: EventDataKeyCreated, Tenant: tenant, ActorKind: ActorSystem}
	return k.store.CreateDataKey(ctx, key, event)
}

func dataKeyAAD(key DataKey) []byte {
	return binary.BigEndian.AppendUint32(envelope.AAD("data_key", key.Tenant, key.Space), key.Version)
}

func (k *dataKeys) unwrap(ctx context.Context, key DataKey) (cachedKey, error) {
	nested, end := k.watch.begin(ctx, Operation{Kind: OpKeyUnwrap})
	raw, err := k.sealer.Open(nested, key.Wrapped, dataKeyAAD(key))
	end(OutcomeOf(err))
	if err != nil {
		return cachedKey{}, err
	}
	aead, err := envelope.NewAEAD(raw)
	if err != nil {
		return cachedKey{}, fmt.Errorf("data key: %w", ErrUnsealable)
	}
	opened := cachedKey{aead: aead, version: key.Version, until: time.Now().Add(dataKeyTTL)}
	if key.Space == tenantSpace {
		opened.raw = raw
	}
	return opened, nil
}

func (k *dataKeys) unwrapAndKeep(ctx context.Context, stored DataKey, ref keyRef) (cachedKey, error) {
	key, err := k.unwrap(ctx, stored)
	if err != nil {
		return cachedKey{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cache[ref] = key
	return key, nil
}

func (k *dataKeys) cached(ref keyRef) (cachedKey, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, ok := k.cache[ref]
	return key, ok && time.Now().Before(key.until)
}
