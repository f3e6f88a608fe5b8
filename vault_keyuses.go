package tokenvault

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	keyUsesEvery = time.Minute
	keyUsesBatch = 500
)

// keyUses collects which keys were used, so that no call has to write it down.
type keyUses struct {
	mu  sync.Mutex
	ids map[string]struct{}
}

func (u *keyUses) add(ids ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ids == nil {
		u.ids = make(map[string]struct{})
	}
	for _, id := range ids {
		u.ids[id] = struct{}{}
	}
}

// take returns some of what was collected, and forgets it.
func (u *keyUses) take() (ids []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id := range u.ids {
		if len(ids) == keyUsesBatch {
			break
		}
		ids = append(ids, id)
		delete(u.ids, id)
	}
	return ids
}

// noteKeyUses writes down when keys were used last. What cannot be written is kept
// for the next time.
func (v *Vault) noteKeyUses(ctx context.Context) {
	for ids := v.keyUses.take(); len(ids) > 0; ids = v.keyUses.take() {
		if err := v.store.TouchAPIKeys(ctx, v.opts.Tenant, ids); err != nil {
			v.keyUses.add(ids...)
			if ctx.Err() == nil {
				v.log.Warn("the last use of API keys cannot be noted now", slog.Any("error", err))
			}
			return
		}
	}
}
