package postgres

import (
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

// A transaction that began first and writes last continues no chain that a later
// one moved on: readers, who go by transactions' numbers, would see it turn back.
func TestAChainGoesForwardInTheOrderOfTransactions(t *testing.T) {
	s := newTemplate(t).open(t, nil)
	event := tokenvault.Event{Kind: tokenvault.EventReleased, Tenant: "t1", ActorKind: tokenvault.ActorSystem}
	add := func() error { return s.AppendAudit(t.Context(), []tokenvault.Event{event}) }
	if err := add(); err != nil {
		t.Fatal(err)
	}
	err := s.write(t.Context(), "test", "t1", func(tx *tx) error {
		if err := add(); err != nil { // a later transaction, in the midst of this one
			return err
		}
		tx.appendEvents(event)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	events, err := s.ListAudit(t.Context(), "t1", tokenvault.EventQuery{})
	if err != nil || len(events) != 3 {
		t.Fatalf("%d entries, %v, want 3", len(events), err)
	}
	last := map[string]int64{}
	for _, e := range events {
		if e.Position != last[e.Writer]+1 {
			t.Errorf("%s: position %d of %s comes after %d", e.ID, e.Position, e.Writer, last[e.Writer])
		}
		last[e.Writer] = e.Position
	}
}
