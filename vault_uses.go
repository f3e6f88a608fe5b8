package tokenvault

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	usesEvery = time.Minute
	usesBatch = 500
)

// uses collects which keys or connections were used, so that no call has to write
// it down.
type uses struct {
	mu  sync.Mutex
	ids map[string]struct{}
}

func (u *uses) add(ids ...string) {
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
func (u *uses) take() (ids []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id := range u.ids {
		if len(ids) == usesBatch {
			break
		}
		ids = append(ids, id)
		delete(u.ids, id)
	}
	return ids
}

// noteUses writes down when keys and connections were used last. What cannot be
// written is kept for the next time.
func (v *Vault) noteUses(ctx context.Context) {
	v.note(ctx, &v.keyUses, "API keys", func(ids []string) error { return v.store.TouchAPIKeys(ctx, v.opts.Tenant, ids) })
	v.note(ctx, &v.connectionUses, "connections", func(ids []string) error {
		return v.store.TouchConnections(ctx, v.opts.Tenant, ids, leastLately)
	})
}

func (v *Vault) note(ctx context.Context, u *uses, what string, touch func(ids []string) error) {
	for ids := u.take(); len(ids) > 0; ids = u.take() {
		if err := touch(ids); err != nil {
			u.add(ids...)
			if ctx.Err() == nil {
				v.log.Warn("what was used last cannot be noted now", slog.String("what", what), slog.Any("error", err))
			}
			return
		}
	}
}
