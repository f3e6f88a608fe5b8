package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func noticeCases() []testCase {
	return []testCase{
		{"a request takes a notice, and its time", noticeTaken},
		{"the next attempt takes the notice away", noticeCleared},
		{"a settled request has no notice", noticeSettled},
		{"an expired request has no notice, before and after a sweep", noticeExpired},
		{"a request that is joined has its notice, and a new one has none", noticeJoined},
		{"a request that is over, or another's, takes no notice", noticeRefused},
	}
}

// note gives a request a notice.
func (f *fixture) note(t *testing.T, req tokenvault.AuthRequest) tokenvault.AuthRequest {
	t.Helper()
	noted, err := f.NoteAuthRequest(t.Context(), req.Owner, req.ID, tokenvault.NoticeOtherAccount)
	if err != nil {
		t.Fatalf("NoteAuthRequest: %v", err)
	}
	return noted
}

func noticeTaken(t *testing.T, f *fixture) {
	want := f.open(t, alice())
	for range 2 {
		f.advance(time.Minute)
		want.Notice, want.NoticedAt = tokenvault.NoticeOtherAccount, f.now()
		equal(t, "NoteAuthRequest", f.note(t, want), want)
		equal(t, "GetAuthRequest", f.getRequest(t, want), want)
	}
}

func noticeCleared(t *testing.T, f *fixture) {
	want := f.open(t, alice())
	f.note(t, want)
	if err := f.BeginAttempt(t.Context(), f.attempt(want)); err != nil {
		t.Fatalf("BeginAttempt: %v", err)
	}
	equal(t, "GetAuthRequest", f.getRequest(t, want), want)
}

func noticeSettled(t *testing.T, f *fixture) {
	want := f.open(t, alice())
	f.note(t, want)
	want.Status, want.SettledAt = tokenvault.AuthDeclined, f.now()
	cmd := f.connecting(want, nil)
	cmd.Status = tokenvault.AuthDeclined
	equal(t, "Settle", f.settle(t, cmd), want)
	equal(t, "GetAuthRequest", f.getRequest(t, want), want)
}

func noticeExpired(t *testing.T, f *fixture) {
	want := f.open(t, alice())
	f.note(t, want)
	f.advance(10 * time.Minute)
	want.Status, want.SettledAt = tokenvault.AuthExpired, f.now()
	equal(t, "GetAuthRequest", f.getRequest(t, want).NoticedAt, time.Time{})
	swept, err := f.ExpireAuthRequests(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ExpireAuthRequests", swept, []tokenvault.AuthRequest{want})
	equal(t, "GetAuthRequest", f.getRequest(t, want), want)
}

func noticeJoined(t *testing.T, f *fixture) {
	noted := f.note(t, f.open(t, alice()))
	got, joined := f.joins(t, noted)
	if !joined {
		t.Error("the same request was opened twice")
	}
	equal(t, "OpenOrJoin", got, noted)
	other := f.request(alice())
	other.Notice, other.NoticedAt = noted.Notice, noted.NoticedAt
	if got, joined := f.joins(t, other); joined || got.Notice != "" || !got.NoticedAt.IsZero() {
		t.Errorf("a new request has notice %q of %v", got.Notice, got.NoticedAt)
	}
}

func noticeRefused(t *testing.T, f *fixture) {
	refuses := func(want error, owner tokenvault.Owner, id string) {
		t.Helper()
		f.refuses(t, want, func() error {
			_, err := f.NoteAuthRequest(t.Context(), owner, id, tokenvault.NoticeOtherAccount)
			return err
		})
	}
	req := f.open(t, alice())
	refuses(tokenvault.ErrNotFound, bob(), req.ID)
	refuses(tokenvault.ErrNotFound, tokenvault.Owner{Tenant: "globex", UserID: "alice"}, req.ID)
	settled := f.settle(t, f.connecting(f.open(t, alice()), f.fresh(alice(), "acc")))
	refuses(tokenvault.ErrConflict, alice(), settled.ID)
	f.advance(10 * time.Minute)
	refuses(tokenvault.ErrExpired, alice(), req.ID)
}
