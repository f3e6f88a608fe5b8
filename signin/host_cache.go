package signin

import (
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

const maxCached = 1000

// An actorCache remembers for a short time whose cookies are whose. It holds
// hashes of them only.
type actorCache struct {
	keepFor time.Duration // 0: nothing is remembered

	mu     sync.Mutex // protects actors
	actors map[[sha256.Size]byte]cachedActor
}

type cachedActor struct {
	actor tokenvault.Actor
	until time.Time
}

func newActorCache(keepFor time.Duration) *actorCache {
	return &actorCache{keepFor: keepFor, actors: make(map[[sha256.Size]byte]cachedActor)}
}

// key is one for each list of cookies, in the order they were sent.
func (c *actorCache) key(cookies []*http.Cookie) [sha256.Size]byte {
	parts := make([]string, 0, 2*len(cookies))
	for _, cookie := range cookies {
		parts = append(parts, cookie.Name, cookie.Value)
	}
	return sha256.Sum256(envelope.AAD(parts...))
}

func (c *actorCache) get(key [sha256.Size]byte, now time.Time) (tokenvault.Actor, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hit, ok := c.actors[key]
	return hit.actor, ok && now.Before(hit.until)
}

func (c *actorCache) put(key [sha256.Size]byte, actor tokenvault.Actor, now time.Time) {
	if c.keepFor == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.actors) >= maxCached {
		clear(c.actors) // cheaper than finding the oldest, and rare
	}
	c.actors[key] = cachedActor{actor, now.Add(c.keepFor)}
}
