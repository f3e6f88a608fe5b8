package tokenvault

import (
	"context"
	"log/slog"
	"time"
)

const (
	pruneEvery = time.Hour
	pruneBatch = 1000
)

// prune forgets what was told, and what was settled, long ago.
func (v *Vault) prune(ctx context.Context) {
	v.pruneOld(ctx, "webhook deliveries", v.opts.WebhookRetention, v.store.PruneDeliveries)
	v.pruneOld(ctx, "auth requests", v.opts.RequestRetention, v.store.PruneAuthRequests)
}

func (v *Vault) pruneOld(ctx context.Context, what string, age time.Duration, prune func(ctx context.Context, tenant string, age time.Duration, limit int) (int, error)) {
	for ctx.Err() == nil {
		n, err := prune(ctx, v.opts.Tenant, age, pruneBatch)
		if err != nil {
			if ctx.Err() == nil {
				v.log.Error("what is old cannot be deleted", slog.String("what", what), slog.Any("error", err))
			}
			return
		}
		if n < pruneBatch {
			return
		}
	}
}
