package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// write appends the events of a command. One without a kind stands for none.
func (s *Store) write(now time.Time, events ...tokenvault.Event) {
	for _, e := range events {
		if e.Kind == "" {
			continue
		}
		e.ID, e.At = fmt.Sprintf("ev_%016d", len(s.events)+1), now
		s.events = append(s.events, e)
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
func (s *Store) ListAudit(ctx context.Context, tenant string, page tokenvault.Page) ([]tokenvault.Event, error) {
	_, unlock, err := s.lock(ctx, "list audit")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var events []tokenvault.Event
	for _, e := range s.events {
		if e.Tenant == tenant {
			events = append(events, e)
		}
	}
	return paged(events, func(e tokenvault.Event) string { return e.ID }, page), nil
}
