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
