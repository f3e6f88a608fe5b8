package netguard

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

// The classes of requests without an answer.
var (
	ErrTimeout     = errors.New("no answer in time")
	ErrUnreachable = errors.New("connection failed")
	ErrCanceled    = errors.New("given up")
)

// Class returns what an error of a request is, as a *[BlockedError] or one of this
// package's errors. A transport's own error may hold the URL, and must not be
// told.
func Class(err error) error {
	if blocked := (*BlockedError)(nil); errors.As(err, &blocked) {
		return blocked
	}
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return ErrTimeout
	}
	switch {
	case errors.Is(err, ErrTooLarge):
		return ErrTooLarge
	case errors.Is(err, context.Canceled):
		return ErrCanceled
	}
	return ErrUnreachable
}

// RetryAfter reads the header Retry-After: seconds or an HTTP date (RFC 9110
// §10.2.3), at most a day.
func RetryAfter(text string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), 24*time.Hour)
}
