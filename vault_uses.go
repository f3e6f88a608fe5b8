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

// take returns all that was collected, and forgets it.
func (u *uses) take() map[string]string {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.agents
	u.agents = nil
	return taken
}

// giveBack collects again what was taken, unless it was used since.
func (u *uses) giveBack(taken map[string]string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.Copy(taken, u.agents) // used since
	u.agents = taken
}

// noteUses writes down when keys and connections were used last. What cannot be
// written is kept for the next time.
func (v *Vault) noteUses(ctx context.Context) {
	v.note(ctx, &v.keyUses, "API keys", func(ids []string, _ map[string]string) error {
		return v.store.TouchAPIKeys(ctx, v.opts.Tenant, ids)
	})
	v.note(ctx, &v.connectionUses, "connections", func(ids []string, agents map[string]string) error {
		list := make([]ConnectionUse, len(ids))
		for i, id := range ids {
			list[i] = ConnectionUse{ID: id, AgentID: agents[id]}
		}
		return v.store.TouchConnections(ctx, v.opts.Tenant, list, leastLately)
	})
}

// note writes down what was collected until now, a batch at a time: what is used
// meanwhile waits for the next time, however much it is.
func (v *Vault) note(ctx context.Context, u *uses, what string, touch func(ids []string, agents map[string]string) error) {
	taken := u.take()
	for ids := range slices.Chunk(slices.Collect(maps.Keys(taken)), usesBatch) {
		if err := touch(ids, taken); err != nil {
			u.giveBack(taken)
			if ctx.Err() == nil {
				v.log.Warn("what was used last cannot be noted now", slog.String("what", what), slog.Any("error", err))
			}
			return
		}
		for _, id := range ids {
			delete(taken, id)
		}
	}
}
