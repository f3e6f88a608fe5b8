package limit

import "sync"

// Open bounds how much each key may have under way at once. It is safe for
// concurrent use; a nil Open allows everything. It remembers only what is under way.
type Open struct {
	most int

	mu    sync.Mutex     // protects count
	count map[string]int // none is 0
}

// NewOpen returns a limit of most at once for each key; nil if most is not positive.
func NewOpen(most int) *Open {
	if most <= 0 {
		return nil
	}
	return &Open{most: most, count: make(map[string]int)}
}

// Begin counts one more of the key, until end is called, once; ok is false, and
// there is no end, if the key has as many as it may.
func (o *Open) Begin(key string) (end func(), ok bool) {
	if o == nil {
		return func() {}, true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count[key] >= o.most {
		return nil, false
	}
	o.count[key]++
	return func() { o.end(key) }, true
}

func (o *Open) end(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count[key]--; o.count[key] == 0 {
		delete(o.count, key)
	}
}
