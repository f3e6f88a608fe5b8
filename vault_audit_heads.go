package tokenvault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	auditHeadEvery = time.Minute
	auditPruneAge  = 24 * time.Hour // the least age
	auditPruneStep = 10_000         // entries, about, in one transaction
	headPurpose    = "audit_head"
	cutPurpose     = "audit_cut"
)

// signAudit signs the newest entry of each chain that moved since its last head.
func (v *Vault) signAudit(ctx context.Context) {
	if err := v.signHeads(ctx); err != nil && ctx.Err() == nil {
		v.log.Warn("the audit log is not signed now: it will be later", slog.Any("error", err))
	}
}

func (v *Vault) signHeads(ctx context.Context) error {
	heads, err := v.store.UnsignedAudit(ctx, v.opts.Tenant)
	if err != nil || len(heads) == 0 {
		return err
	}
	key, err := v.keys.newest(ctx, v.opts.Tenant, tenantSpace)
	if err != nil {
		return err
	}
	for i := range heads {
		heads[i].KeyVersion = key.version
		heads[i].MAC = key.sign(heads[i].signed(headPurpose))
	}
	return v.store.SignAudit(ctx, heads)
}

// sign returns the HMAC-SHA-256 of message under the tenant's key.
func (key cachedKey) sign(message []byte) []byte {
	mac := hmac.New(sha256.New, key.raw)
	mac.Write(message)
	return mac.Sum(nil)
}

// genuine reports whether the head, and its cut if it has one, were signed with
// the tenant's key that it names.
func (v *Vault) genuine(ctx context.Context, h AuditHead) (bool, error) {
	if h.KeyVersion == 0 || h.Tenant != v.opts.Tenant {
		return false, nil
	}
	key, err := v.keys.get(ctx, keyRef{h.Tenant, tenantSpace, h.KeyVersion}, nil)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnsealable) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ok := hmac.Equal(h.MAC, key.sign(h.signed(headPurpose)))
	if len(h.Cut) > 0 {
		ok = ok && hmac.Equal(h.Cut, key.sign(h.signed(cutPurpose)))
	}
	return ok, nil
}

// An AuditPruned is what [Vault.PruneAudit] dropped.
type AuditPruned struct {
	Entries int64
	// Through holds, for each chain, the head up to which its entries are gone.
	Through map[string]AuditHead // by writer
}

// PruneAudit drops audit entries in whole signed segments that are older than
// age, at least 24 hours, and keeps their heads, so that the rest can still be
// verified. Each step is recorded as an event. Verify and export the log first:
// what is dropped cannot be checked again. If it fails halfway, what was dropped
// until then is returned with the error, and calling it again goes on.
func (v *Vault) PruneAudit(ctx context.Context, actor Actor, age time.Duration) (AuditPruned, error) {
	pruned := AuditPruned{Through: make(map[string]AuditHead)}
	if err := v.checkAuditor(actor); err != nil {
		return pruned, err
	}
	if age < auditPruneAge {
		return pruned, invalid("olderThan", "must be at least 24h")
	}
	for {
		heads, err := v.store.PrunableAudit(ctx, v.opts.Tenant, age, auditPruneStep)
		if err != nil || len(heads) == 0 {
			return pruned, err
		}
		for _, head := range heads {
			n, err := v.cut(ctx, actor, head)
			if err != nil {
				return pruned, fmt.Errorf("prune the audit log: %w", err)
			}
			pruned.Entries += n
			pruned.Through[head.Writer] = head
		}
	}
}

func (v *Vault) cut(ctx context.Context, actor Actor, head AuditHead) (int64, error) {
	ok, err := v.genuine(ctx, head)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("the head of %s is not signed by this vault's key: verify the log: %w", head.EventID, ErrConflict)
	}
	key, err := v.keys.get(ctx, keyRef{head.Tenant, tenantSpace, head.KeyVersion}, nil)
	if err != nil {
		return 0, err
	}
	head.Cut = key.sign(head.signed(cutPurpose))
	event := v.event(EventAuditPruned, actor, actor.Owner)
	event.Detail = head.EventID
	return v.store.PruneAudit(ctx, AuditPruning{Head: head, Event: event})
}
