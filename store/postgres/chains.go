package postgres

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A chainEnd is how far a chain of audit entries has come. Its writer is this
// process under one of its names.
type chainEnd struct {
	writer   string
	position int64
	hash     string
	xid      int64 // the transaction of its last entry
}

// chains are the chains of this process. A transaction that writes entries holds
// one of its tenant until it ends, so that transactions do not wait for each other:
// there are as many as ever ran at once. What the database does not say is kept
// here, which is why a name is never used by two processes.
type chains struct {
	name string // of the process; new for each

	mu    sync.Mutex // protects both below; held for a moment only
	count int
	free  map[string][]chainEnd // by tenant; the last one given back is taken first
}

func newChains() *chains {
	return &chains{name: strings.ToLower(rand.Text()[:13]), free: make(map[string][]chainEnd)}
}

// take returns a free chain for the transaction xid, or a new one. Readers follow a
// chain in the order of transactions' numbers: one that a later transaction moved on
// is none for an earlier one, which may come to write after it.
func (c *chains) take(tenant string, xid int64) chainEnd {
	c.mu.Lock()
	defer c.mu.Unlock()
	free := c.free[tenant]
	for i, end := range slices.Backward(free) {
		if end.xid < xid {
			c.free[tenant] = slices.Delete(free, i, i+1)
			return end
		}
	}
	c.count++
	return chainEnd{writer: fmt.Sprintf("%s-%d", c.name, c.count)}
}

func (c *chains) give(tenant string, end chainEnd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free[tenant] = append(c.free[tenant], end)
}

// A heldChain is a chain in the hands of a transaction.
type heldChain struct{ before, now chainEnd }

// chain returns the end of a chain of the tenant, which the caller moves on.
func (t *tx) chain(tenant string) *chainEnd {
	held, ok := t.held[tenant]
	if !ok {
		end := t.store.chains.take(tenant, t.xid)
		before := end
		end.xid = t.xid
		held = &heldChain{before: before, now: end}
		if t.held == nil {
			t.held = make(map[string]*heldChain)
		}
		t.held[tenant] = held
	}
	return &held.now
}

// An ending is how a transaction ended.
type ending int

const (
	rolledBack ending = iota
	committed
	unknown // the answer to the commit was lost
)

// release gives back the chains. One of which nobody knows how far it came is
// never used again.
func (t *tx) release(how ending) {
	for tenant, held := range t.held {
		switch how {
		case rolledBack:
			if held.before.position > 0 {
				t.store.chains.give(tenant, held.before)
			}
		case committed:
			t.store.chains.give(tenant, held.now)
		case unknown:
		}
	}
	t.held = nil
}
