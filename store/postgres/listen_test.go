package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// What is settled by one process is told to another.
func TestSettlementsAreHeardElsewhere(t *testing.T) {
	dsn := newTemplate(t).dsn
	here, there := openAt(t, dsn, nil), openAt(t, dsn, nil)
	ctx, cancel := context.WithCancel(t.Context())
	heard, done := make(chan string, 100), make(chan error, 1)
	go func() { done <- here.Listen(ctx, func(id string) { heard <- id }) }()
	owner := tokenvault.Owner{Tenant: "t1", UserID: "alice"}
	for n := 0; ; n++ { // until the other listens
		req := pendingRequest(t, there, owner, n)
		if _, err := there.Settle(t.Context(), tokenvault.Settlement{Owner: owner, AuthRequestID: req.ID, Status: tokenvault.AuthDeclined}); err != nil {
			t.Fatal(err)
		}
		select {
		case id := <-heard:
			if id != req.ID {
				continue // of an earlier round
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			return
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("nothing was heard")
		}
	}
}

func pendingRequest(t *testing.T, s *Store, owner tokenvault.Owner, n int) tokenvault.AuthRequest {
	t.Helper()
	req, _, err := s.OpenOrJoin(t.Context(), tokenvault.NewAuthRequest{TTL: time.Hour, Request: tokenvault.AuthRequest{
		ID: "ar_" + string(rune('a'+n%26)) + time.Now().Format("150405.000000"), Owner: owner, ProviderID: "github", AuthMethod: tokenvault.AuthOAuth2,
		Reason: tokenvault.ReasonMissing, Scopes: []string{"s" + time.Now().Format("150405.000000")}, Release: tokenvault.ReleaseInject,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return req
}
