package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// writer is the one writer of every chain: the lock orders all.
const writer = "memory"

// write appends the events of a command. One without a kind stands for none.
func (s *Store) write(now time.Time, events ...tokenvault.Event) {
	for _, e := range events {
		if e.Kind == "" {
			continue
		}
		s.written++
		end := s.ends[e.Tenant]
		e.ID, e.At = fmt.Sprintf("ev_%016d", s.written), now
		e.Writer, e.Position = writer, end.Position+1
		e.Hash = e.ChainHash(end.Hash)
		s.events = append(s.events, e)
		s.ends[e.Tenant] = e
	}
}

// AppendAudit implements [tokenvault.AuditStore].
func (s *Store) AppendAudit(ctx context.Context, events []tokenvault.Event) error {
	now, unlock, err := s.lock(ctx, "append audit")
	if err != nil {
		return err
	}
	defer unlock()
	s.write(now, events...)
	return nil
}

// ListAudit implements [tokenvault.AuditStore].
func (s *Store) ListAudit(ctx context.Context, tenant string, q tokenvault.EventQuery) ([]tokenvault.Event, error) {
	_, unlock, err := s.lock(ctx, "list audit")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var events []tokenvault.Event
	for _, e := range s.events {
		if e.Tenant == tenant && wanted(e, q) {
			events = append(events, e)
		}
	}
	if !q.Newest {
		return paged(events, eventID, q.Page), nil
	}
	if q.After != "" {
		events = slices.DeleteFunc(events, func(e tokenvault.Event) bool { return e.ID >= q.After })
	}
	slices.Reverse(events)
	return events[:min(len(events), limited(q.Limit))], nil
}

func eventID(e tokenvault.Event) string { return e.ID }

func wanted(e tokenvault.Event, q tokenvault.EventQuery) bool {
	agent := tokenvault.Actor{Kind: e.ActorKind}.IsAgent()
	return (q.Kind == "" || e.Kind == q.Kind) &&
		(q.AgentID == "" || agent && e.ActorID == q.AgentID) &&
		(q.UserID == "" || e.Owner.UserID == q.UserID || e.ForUserID == q.UserID) &&
		(q.OrganizationID == "" || e.Owner.OrganizationID == q.OrganizationID) &&
		(q.ConnectionID == "" || e.ConnectionID == q.ConnectionID) &&
		!e.At.Before(q.Since)
}

// UnsignedAudit implements [tokenvault.AuditHeadStore].
func (s *Store) UnsignedAudit(ctx context.Context, tenant string) ([]tokenvault.AuditHead, error) {
	_, unlock, err := s.lock(ctx, "unsigned audit")
	if err != nil {
		return nil, err
	}
	defer unlock()
	end, ok := s.ends[tenant]
	if !ok || slices.ContainsFunc(s.heads, func(h tokenvault.AuditHead) bool { return h.Tenant == tenant && h.Position >= end.Position }) {
		return nil, nil
	}
	return []tokenvault.AuditHead{{
		Tenant: tenant, Writer: writer, Position: end.Position, Hash: end.Hash, EventID: end.ID, At: end.At,
	}}, nil
}

// SignAudit implements [tokenvault.AuditHeadStore].
func (s *Store) SignAudit(ctx context.Context, heads []tokenvault.AuditHead) error {
	_, unlock, err := s.lock(ctx, "sign audit")
	if err != nil {
		return err
	}
	defer unlock()
	var added []tokenvault.AuditHead
	for _, h := range heads {
		if s.headAt(h.Tenant, h.Writer, h.Position) >= 0 {
			continue
		}
		i := slices.IndexFunc(s.events, func(e tokenvault.Event) bool {
			return e.Tenant == h.Tenant && e.Writer == h.Writer && e.Position == h.Position && e.Hash == h.Hash
		})
		if i < 0 {
			return failed("sign audit", tokenvault.ErrNotFound)
		}
		h.EventID, h.At, h.MAC, h.Cut = s.events[i].ID, s.events[i].At, slices.Clone(h.MAC), nil
		added = append(added, h)
	}
	s.heads = append(s.heads, added...)
	return nil
}

// headAt returns the index of a head, or -1.
func (s *Store) headAt(tenant, writer string, position int64) int {
	return slices.IndexFunc(s.heads, func(h tokenvault.AuditHead) bool {
		return h.Tenant == tenant && h.Writer == writer && h.Position == position
	})
}

// ListAuditHeads implements [tokenvault.AuditHeadStore].
func (s *Store) ListAuditHeads(ctx context.Context, tenant string, page tokenvault.Page) ([]tokenvault.AuditHead, error) {
	_, unlock, err := s.lock(ctx, "list audit heads")
	if err != nil {
		return nil, err
	}
	defer unlock()
	heads := paged(s.headsOf(tenant), func(h tokenvault.AuditHead) string { return h.EventID }, page)
	for i, h := range heads {
		heads[i].MAC, heads[i].Cut = slices.Clone(h.MAC), slices.Clone(h.Cut)
	}
	return heads, nil
}

func (s *Store) headsOf(tenant string) []tokenvault.AuditHead {
	return slices.DeleteFunc(slices.Clone(s.heads), func(h tokenvault.AuditHead) bool { return h.Tenant != tenant })
}

// PrunableAudit implements [tokenvault.AuditHeadStore].
func (s *Store) PrunableAudit(ctx context.Context, tenant string, age time.Duration, limit int64) ([]tokenvault.AuditHead, error) {
	now, unlock, err := s.lock(ctx, "prunable audit")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var cut int64 // where the chain was cut last
	heads := s.headsOf(tenant)
	for _, h := range heads {
		if len(h.Cut) > 0 {
			cut = max(cut, h.Position)
		}
	}
	var best []tokenvault.AuditHead
	for _, h := range heads { // in ascending order of position
		old := !h.At.After(now.Add(-age))
		if old && h.Position > cut && (best == nil || h.Position <= cut+limit) {
			best = []tokenvault.AuditHead{h}
		}
	}
	return best, nil
}

// PruneAudit implements [tokenvault.AuditHeadStore].
func (s *Store) PruneAudit(ctx context.Context, cmd tokenvault.AuditPruning) (int64, error) {
	now, unlock, err := s.lock(ctx, "prune audit")
	if err != nil {
		return 0, err
	}
	defer unlock()
	h := cmd.Head
	at := s.headAt(h.Tenant, h.Writer, h.Position)
	if at < 0 || s.heads[at].Hash != h.Hash || len(s.heads[at].Cut) > 0 {
		return 0, failed("prune audit", tokenvault.ErrConflict)
	}
	s.write(now, cmd.Event)
	s.heads[at].Cut = slices.Clone(h.Cut)
	before := len(s.events)
	s.events = slices.DeleteFunc(s.events, func(e tokenvault.Event) bool {
		return e.Tenant == h.Tenant && e.Writer == h.Writer && e.Position <= h.Position
	})
	return int64(before - len(s.events)), nil
}
