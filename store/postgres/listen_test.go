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

// That a request's notice came, and that the next attempt took it away, is told too.
func TestNoticesAreHeardElsewhere(t *testing.T) {
	dsn := newTemplate(t).dsn
	here, there := openAt(t, dsn, nil), openAt(t, dsn, nil)
	ctx, cancel := context.WithCancel(t.Context())
	heard, done := make(chan string, 100), make(chan struct{})
	go func() { defer close(done); _ = here.Listen(ctx, func(id string) { heard <- id }) }()
	defer func() { cancel(); <-done }()
	owner := tokenvault.Owner{Tenant: "t1", UserID: "alice"}
	req := pendingRequest(t, there, owner, 0)
	note := func() {
		if _, err := there.NoteAuthRequest(t.Context(), owner, req.ID, tokenvault.NoticeOtherAccount); err != nil {
			t.Fatal(err)
		}
	}
	for listens := false; !listens; {
		note()
		select {
		case <-heard:
			listens = true
		case <-time.After(50 * time.Millisecond):
		}
	}
	key := tokenvault.DataKey{Tenant: "t1", Space: "s", Version: 1, Wrapped: tokenvault.Sealed("wrapped")}
	if _, err := there.CreateDataKey(t.Context(), key, tokenvault.Event{}); err != nil {
		t.Fatal(err)
	}
	last := pendingRequest(t, there, owner, 1) // all that was told of the other one is heard before what is told of it
	if _, err := there.NoteAuthRequest(t.Context(), owner, last.ID, tokenvault.NoticeOtherAccount); err != nil {
		t.Fatal(err)
	}
	for id := range heard {
		if id == last.ID {
			break
		}
	}
	err := there.BeginAttempt(t.Context(), tokenvault.NewAttempt{TTL: time.Hour, Attempt: tokenvault.Attempt{
		ID: "at_1", AuthRequestID: req.ID, Owner: owner, ProviderID: "github", StateHash: "hash",
		Private: tokenvault.SealedRecord{KeySpace: "s", KeyVersion: 1, Blob: tokenvault.Sealed("sealed")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if id := <-heard; id != req.ID {
		t.Errorf("heard %s, want %s", id, req.ID)
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
