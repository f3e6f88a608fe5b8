package memory_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/memory"
	"github.com/ai-token-vault/tokenvault/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, clock func() time.Time) tokenvault.Store {
		s := memory.New(&memory.Options{Clock: clock})
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}

func TestDefaultClockInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(nil)
		owner := tokenvault.Owner{Tenant: tokenvault.DefaultTenant, UserID: "alice"}
		req := tokenvault.AuthRequest{ID: "ar_1", Owner: owner, ProviderID: "mail"}
		if _, _, err := s.OpenOrJoin(t.Context(), tokenvault.NewAuthRequest{Request: req, TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		got, err := s.GetAuthRequest(t.Context(), owner, req.ID)
		if err != nil || got.Status != tokenvault.AuthExpired {
			t.Errorf("status = %s, %v after the bubble's clock passed its time, want expired", got.Status, err)
		}
	})
}
