package tokenvault

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	usesEvery = time.Minute
	usesBatch = 500
)

// uses collects which keys or connections were used, and by which agent last, so
// that no call has to write it down.
type uses struct {
	mu     sync.Mutex
	agents map[string]string // by the id of what was used
}

func (u *uses) add(id, agent string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.agents == nil {
		u.agents = make(map[string]string)
	}
	u.agents[id] = agent
}

// take returns some of what was collected, and forgets it.
func (u *uses) take() map[string]string {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := make(map[string]string, min(len(u.agents), usesBatch))
	for id, agent := range u.agents {
		if len(taken) == usesBatch {
			break
		}
		taken[id] = agent
		delete(u.agents, id)
	}
	return taken
}

// giveBack collects again what was taken, unless it was used since.
func (u *uses) giveBack(taken map[string]string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, agent := range taken {
		if _, again := u.agents[id]; !again {
			u.agents[id] = agent
		}
	}
}

// noteUses writes down when keys and connections were used last. What cannot be
// written is kept for the next time.
func (v *Vault) noteUses(ctx context.Context) {
	v.note(ctx, &v.keyUses, "API keys", func(taken map[string]string) error {
		return v.store.TouchAPIKeys(ctx, v.opts.Tenant, slices.Collect(maps.Keys(taken)))
	})
	v.note(ctx, &v.connectionUses, "connections", func(taken map[string]string) error {
		list := make([]ConnectionUse, 0, len(taken))
		for id, agent := range taken {
			list = append(list, ConnectionUse{ID: id, AgentID: agent})
		}
		return v.store.TouchConnections(ctx, v.opts.Tenant, list, leastLately)
	})
}

func (v *Vault) note(ctx context.Context, u *uses, what string, touch func(taken map[string]string) error) {
	for taken := u.take(); len(taken) > 0; taken = u.take() {
		if err := touch(taken); err != nil {
			u.giveBack(taken)
			if ctx.Err() == nil {
				v.log.Warn("what was used last cannot be noted now", slog.String("what", what), slog.Any("error", err))
			}
			return
		}
	}
}
