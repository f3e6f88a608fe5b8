package tokenvault

import "context"

// AttemptReader reads attempts for those who began them. It writes nothing.
type AttemptReader interface {
	// GetAttempt returns an attempt of exactly this owner, in any state, whose time
	// is not over.
	GetAttempt(ctx context.Context, owner Owner, id string) (Attempt, error)
	// LatestAttempt returns the attempt of a request of exactly this owner that was
	// begun last, whose time is not over; of those begun at once, one in state begun,
	// then the one with the greatest id.
	LatestAttempt(ctx context.Context, owner Owner, authRequestID string) (Attempt, error)
}

// NoticeStore keeps what the latest attempt at an auth request came to.
// AttemptStore.BeginAttempt takes it away.
type NoticeStore interface {
	// NoteAuthRequest gives a pending request of exactly this owner a notice, in place
	// of an earlier one, and the time. It fails as AuthRequestStore.Settle does. A
	// request has none once it is settled, or its time is over.
	NoteAuthRequest(ctx context.Context, owner Owner, id string, notice AuthNotice) (AuthRequest, error)
}
