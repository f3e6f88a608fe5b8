package tokenvault

import (
	"crypto/sha256"
	"maps"
	"sync"
	"time"
)

const (
	// keyCacheTTL is how long a key that was found valid is believed. A key that
	// another process revokes works here for as long.
	keyCacheTTL = 5 * time.Second
	maxKeyCache = 16384
	// keyLookUpTimeout bounds a look-up, which goes on when one of its callers goes.
	keyLookUpTimeout = 10 * time.Second
)

// A cachedActor is whom a key stood for when it was last verified.
type cachedActor struct {
	actor Actor
	keyID string
	ends  time.Time // of the key; zero: no end
	until time.Time // believed before
}

// keyCache remembers keys that were found valid, by a hash of their text. What was
// refused is not remembered, so that guesses cannot fill it.
type keyCache struct {
	mu    sync.RWMutex // protects what follows; held for map look-ups only
	valid map[[sha256.Size]byte]cachedActor
	drops uint64 // keys that were ended here
}

func newKeyCache() *keyCache {
	return &keyCache{valid: make(map[[sha256.Size]byte]cachedActor)}
}

// get returns whom the key stands for, if that is known at now. If it is not,
// seen is for put.
func (c *keyCache) get(hash [sha256.Size]byte, now time.Time) (found cachedActor, seen uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found, ok = c.valid[hash]
	ok = ok && now.Before(found.until) && (found.ends.IsZero() || now.Before(found.ends))
	return found, c.drops, ok
}

// knows reports whether the key was valid when it was last verified, if that was
// not long ago.
func (c *keyCache) knows(hash [sha256.Size]byte) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.valid[hash]
	return ok
}

// forget forgets a key that was refused.
func (c *keyCache) forget(hash [sha256.Size]byte) {
	if c.knows(hash) {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.valid, hash)
	}
}

// put remembers a key that was verified after get said seen, unless a key was
// ended here in between: it may have been this one.
func (c *keyCache) put(hash [sha256.Size]byte, seen uint64, entry cachedActor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drops != seen {
		return
	}
	if _, known := c.valid[hash]; !known && len(c.valid) >= maxKeyCache {
		c.makeRoom(time.Now())
	}
	c.valid[hash] = entry
}

// makeRoom forgets what is not believed any more, or everything if that is little.
func (c *keyCache) makeRoom(now time.Time) {
	maps.DeleteFunc(c.valid, func(_ [sha256.Size]byte, entry cachedActor) bool { return !now.Before(entry.until) })
	if len(c.valid) > maxKeyCache/2 {
		clear(c.valid)
	}
}

// drop forgets a key that was ended.
func (c *keyCache) drop(keyID string) {
	c.dropIf(func(entry cachedActor) bool { return entry.keyID == keyID })
}

// dropOwner forgets the keys of an owner that was deleted.
func (c *keyCache) dropOwner(owner Owner) {
	c.dropIf(func(entry cachedActor) bool { return owner.Covers(entry.actor.Owner) })
}

func (c *keyCache) dropIf(ended func(cachedActor) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	maps.DeleteFunc(c.valid, func(_ [sha256.Size]byte, entry cachedActor) bool { return ended(entry) })
}
