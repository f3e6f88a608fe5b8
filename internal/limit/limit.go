// Package limit bounds how often things happen that are told apart by a key: calls
// of an API key, failures of a client's address, requests to a provider's host.
//
// Limits hold within one process. Memory is bounded: the keys that were not seen
// for longest are forgotten first, and begin anew.
package limit

import (
	"container/list"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	shards      = 16
	keysOfShard = 1024
)

// Keyed allows each key so many events a second. It is safe for concurrent use; a
// nil Keyed allows everything.
type Keyed struct {
	perSecond rate.Limit
	burst     int
	seed      maphash.Seed
	shards    [shards]shard
}

type shard struct {
	mu   sync.Mutex // held for a look-up only
	keys map[string]*list.Element
	seen list.List // of limited, the last seen first
}

type limited struct {
	key     string
	limiter *rate.Limiter
}

// New returns limits of perSecond events a second for each key, and of burst events
// at once; nil if perSecond is not positive.
func New(perSecond float64, burst int) *Keyed {
	if perSecond <= 0 {
		return nil
	}
	k := &Keyed{perSecond: rate.Limit(perSecond), burst: max(burst, 1), seed: maphash.MakeSeed()}
	for i := range k.shards {
		k.shards[i].keys = make(map[string]*list.Element)
	}
	return k
}

// Take counts an event of the key. It returns 0 if the event is within the limit,
// else how long to wait before the next try; that try is not counted.
func (k *Keyed) Take(key string) (wait time.Duration) {
	if k == nil {
		return 0
	}
	now, limiter := time.Now(), k.limiter(key, true)
	if limiter.AllowN(now, 1) {
		return 0
	}
	return k.waitFor(limiter, now)
}

// Spent returns what Take would, and counts nothing.
func (k *Keyed) Spent(key string) (wait time.Duration) {
	if k == nil {
		return 0
	}
	limiter := k.limiter(key, false)
	if limiter == nil {
		return 0
	}
	return k.waitFor(limiter, time.Now())
}

func (k *Keyed) waitFor(limiter *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - limiter.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(k.perSecond) * float64(time.Second))
}

// limiter returns the key's limiter; nil if there is none and none is to be made.
func (k *Keyed) limiter(key string, create bool) *rate.Limiter {
	s := &k.shards[maphash.String(k.seed, key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.keys[key]; ok {
		s.seen.MoveToFront(at)
		return at.Value.(limited).limiter //nolint:errcheck,forcetypeassert // nothing else is in the list
	}
	if !create {
		return nil
	}
	if s.seen.Len() >= keysOfShard {
		oldest := s.seen.Remove(s.seen.Back()).(limited) //nolint:errcheck,forcetypeassert // nothing else is in the list
		delete(s.keys, oldest.key)
	}
	made := limited{key, rate.NewLimiter(k.perSecond, k.burst)}
	s.keys[key] = s.seen.PushFront(made)
	return made.limiter
}

// Address returns by which key a client is limited whose connection comes from
// remote, an address with a port: the address, or of IPv6 the /64, since a client
// commands a whole one.
func Address(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return remote
	}
	return prefix.String()
}

// User returns by which key a user is limited: by organization and id, or by the
// address of somebody whose id is not known.
func User(organizationID, userID, remote string) string {
	if userID == "" {
		return "address " + Address(remote)
	}
	return "user " + organizationID + "\x00" + userID
}
