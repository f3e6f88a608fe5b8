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
	"maps"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

const (
	dataKeyTTL = 10 * time.Minute
	newestTTL  = 5 * time.Second // what is taken for the newest key of a space
	// spareTTL is how much longer a key seals if no other can be had: what a
	// provider has just issued must be kept.
	spareTTL = time.Minute
)

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

// space returns whose data key seals what belongs there. What is to be done at a
// provider is the tenant's, so that it can be done after its owner was deleted.
func (p place) space() string {
	if p.table == string(SealedJobs) {
		return tenantSpace
	}
	return keySpace(p.owner)
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
	version       uint32
}

type cachedKey struct {
	aead    cipher.AEAD
	raw     []byte // for the tenant's key, which also keys MACs
	version uint32
	until   time.Time
}

// A newestKey is the version that was the newest of its space when it was looked up.
type newestKey struct {
	version uint32
	until   time.Time
}

// dataKeys opens data keys through the sealer, keeps them for at most ten
// minutes, and seals and opens records with them.
type dataKeys struct {
	store  DataKeyStore
	sealer Sealer
	watch  observing

	mu     sync.RWMutex // protects all below; held for map look-ups only
	cache  map[keyRef]cachedKey
	latest map[keyRef]newestKey // by key reference without a version
}

func newDataKeys(store DataKeyStore, sealer Sealer, watch observing) *dataKeys {
	return &dataKeys{store: store, sealer: sealer, watch: watch, cache: make(map[keyRef]cachedKey), latest: make(map[keyRef]newestKey)}
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

// seal seals plaintext for its place under the newest data key of its space.
func (k *dataKeys) seal(ctx context.Context, at place, plaintext []byte) (SealedRecord, error) {
	key, err := k.newest(ctx, at.owner.Tenant, at.space())
	if err != nil {
		return SealedRecord{}, err
	}
	return key.seal(at, plaintext), nil
}

func (key cachedKey) seal(at place, plaintext []byte) SealedRecord {
	blob := envelope.Seal(key.aead, key.version, plaintext, at.aad(key.version))
	return SealedRecord{KeySpace: at.space(), KeyVersion: key.version, Blob: blob}
}

// open opens rec, which was found at its place. wrapped is its data key if the
// store sent it along, else nil. The error wraps [ErrUnsealable] or is the store's.
func (k *dataKeys) open(ctx context.Context, at place, rec SealedRecord, wrapped Sealed) ([]byte, error) {
	if rec.KeySpace != at.space() {
		return nil, fmt.Errorf("%s record of another key space: %w", at.table, ErrUnsealable)
	}
	if version, err := envelope.KeyVersion(rec.Blob); err != nil || version != rec.KeyVersion {
		return nil, fmt.Errorf("%s record: %w", at.table, ErrUnsealable)
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
	return k.unwrapAndKeep(ctx, stored)
}

// newest returns the key that seals what is new in a space, as it was at most
// five seconds ago. If store or sealer cannot be asked, it is the one of before.
func (k *dataKeys) newest(ctx context.Context, tenant, space string) (cachedKey, error) {
	ref := keyRef{tenant: tenant, space: space}
	if version, ok := k.knownNewest(ref, false); ok {
		if key, ok := k.cached(keyRef{tenant, space, version}); ok {
			return key, nil
		}
	}
	key, err := k.askNewest(ctx, ref)
	if err != nil && !errors.Is(err, ErrUnsealable) {
		if spare, ok := k.spare(ref); ok {
			return spare, nil
		}
	}
	return key, err
}

func (k *dataKeys) askNewest(ctx context.Context, ref keyRef) (cachedKey, error) {
	stored, err := k.store.GetDataKey(ctx, ref.tenant, ref.space, 0)
	switch {
	case errors.Is(err, ErrNotFound):
		stored, err = k.create(ctx, DataKey{Tenant: ref.tenant, Space: ref.space, Version: 1})
	case err == nil && len(stored.Wrapped) == 0: // destroyed with its owner, who is here again
		stored, err = k.create(ctx, DataKey{Tenant: ref.tenant, Space: ref.space, Version: stored.Version + 1})
	}
	if err != nil {
		return cachedKey{}, fmt.Errorf("data key: %w", err)
	}
	key, ok := k.cached(keyRef{ref.tenant, ref.space, stored.Version})
	if !ok {
		if key, err = k.unwrapAndKeep(ctx, stored); err != nil {
			return cachedKey{}, err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.latest[ref] = newestKey{stored.Version, time.Now().Add(newestTTL)}
	return key, nil
}

func (k *dataKeys) knownNewest(ref keyRef, old bool) (uint32, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	n, ok := k.latest[ref]
	return n.version, ok && (old || time.Now().Before(n.until))
}

// spare returns the newest key that was known, for as long as one is kept.
func (k *dataKeys) spare(ref keyRef) (cachedKey, bool) {
	version, ok := k.knownNewest(ref, true)
	if !ok {
		return cachedKey{}, false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, ok := k.cache[keyRef{ref.tenant, ref.space, version}]
	return key, ok && time.Now().Before(key.until.Add(spareTTL))
}

// forget makes the next seal look up which key is the newest.
func (k *dataKeys) forget(tenant, space string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.latest, keyRef{tenant: tenant, space: space})
}

// destroyed forgets the keys of a space that were destroyed.
func (k *dataKeys) destroyed(tenant, space string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.latest, keyRef{tenant: tenant, space: space})
	maps.DeleteFunc(k.cache, func(ref keyRef, _ cachedKey) bool { return ref.tenant == tenant && ref.space == space })
}

// create stores a random key, or returns the one that is there already.
func (k *dataKeys) create(ctx context.Context, key DataKey) (DataKey, error) {
	raw := make([]byte, envelope.KeySize)
	_, _ = rand.Read(raw) // never fails: see package crypto/rand
	wrapped, err := k.wrap(ctx, key, raw)
	if err != nil {
		return DataKey{}, err
	}
	key.Wrapped = wrapped
	event := Event{Kind: EventDataKeyCreated, Tenant: key.Tenant, ActorKind: ActorSystem}
	return k.store.CreateDataKey(ctx, key, event)
}

func (k *dataKeys) wrap(ctx context.Context, key DataKey, raw []byte) (Sealed, error) {
	wrapped, err := k.sealer.Seal(ctx, raw, dataKeyAAD(key))
	return wrapped, sealerError(err)
}

// sealerError tells a root key that cannot be used for now from one that does not
// fit.
func sealerError(err error) error {
	if err == nil || errors.Is(err, ErrUnsealable) || errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("the root key cannot be used: %w: %w", ErrUnavailable, err)
}

func dataKeyAAD(key DataKey) []byte {
	return binary.BigEndian.AppendUint32(envelope.AAD("data_key", key.Tenant, key.Space), key.Version)
}

func (k *dataKeys) unwrap(ctx context.Context, key DataKey) (cachedKey, error) {
	if len(key.Wrapped) == 0 {
		return cachedKey{}, fmt.Errorf("the data key was destroyed: %w", ErrUnsealable)
	}
	nested, end := k.watch.begin(ctx, Operation{Kind: OpKeyUnwrap})
	raw, err := k.sealer.Open(nested, key.Wrapped, dataKeyAAD(key))
	end(OutcomeOf(err))
	if err != nil {
		return cachedKey{}, sealerError(err)
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

// unwrapAndKeep opens a key, keeps it, and forgets those whose time is over.
func (k *dataKeys) unwrapAndKeep(ctx context.Context, stored DataKey) (cachedKey, error) {
	key, err := k.unwrap(ctx, stored)
	if err != nil {
		return cachedKey{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(k.cache, func(_ keyRef, old cachedKey) bool { return now.After(old.until.Add(spareTTL)) })
	k.cache[keyRef{stored.Tenant, stored.Space, stored.Version}] = key
	return key, nil
}

func (k *dataKeys) cached(ref keyRef) (cachedKey, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, ok := k.cache[ref]
	return key, ok && time.Now().Before(key.until)
}
