// Package memory is a [tokenvault.Store] that forgets: it keeps everything in
// this process and loses it on exit. It is for tests and for trying things out.
//
// It holds to the same contract as the durable stores, and is the shortest way
// to read it: every method takes one lock, checks all its conditions, and only
// then changes anything. Nothing waits, so that it works in the bubbles of
// package testing/synctest.
//
// Times are cut to microseconds, which is what databases keep.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// Options configures [New]. The zero Options works.
type Options struct {
	// Clock is the store's clock. Nil: [time.Now].
	Clock func() time.Time
}

// A Store is a [tokenvault.Store] in memory. Make one with [New].
type Store struct {
	clock func() time.Time

	mu          sync.Mutex // protects all below
	closed      bool
	connections map[rowID]connection
	permissions map[rowID]tokenvault.Permission
	requests    map[rowID]tokenvault.AuthRequest
	attempts    map[string]tokenvault.Attempt // by state hash
	apps        map[rowID]tokenvault.SealedApp
	providers   map[providerID]tokenvault.SealedProvider
	dataKeys    map[keyID]tokenvault.DataKey
	apiKeys     map[string]tokenvault.APIKey // by id
	jobs        map[string]job               // by id
	events      []tokenvault.Event           // in the order of writing
	written     int                          // events, with those that were dropped
	ends        map[string]tokenvault.Event  // by tenant: the newest event
	heads       []tokenvault.AuditHead       // in the order of signing
	nonces      map[rowID]time.Time          // when each may be forgotten
	webhooks    map[rowID]tokenvault.SealedWebhook
	deliveries  map[rowID]tokenvault.WebhookDelivery // without what their jobs say
}

var _ tokenvault.Store = (*Store)(nil)

// A rowID is the key of a row: an id means nothing outside its tenant.
type rowID struct{ tenant, id string }

// New returns an empty store. A nil opts stands for the zero Options.
func New(opts *Options) *Store {
	s := &Store{
		clock:       time.Now,
		connections: make(map[rowID]connection),
		permissions: make(map[rowID]tokenvault.Permission),
		requests:    make(map[rowID]tokenvault.AuthRequest),
		attempts:    make(map[string]tokenvault.Attempt),
		apps:        make(map[rowID]tokenvault.SealedApp),
		providers:   make(map[providerID]tokenvault.SealedProvider),
		dataKeys:    make(map[keyID]tokenvault.DataKey),
		apiKeys:     make(map[string]tokenvault.APIKey),
		jobs:        make(map[string]job),
		ends:        make(map[string]tokenvault.Event),
		nonces:      make(map[rowID]time.Time),
		webhooks:    make(map[rowID]tokenvault.SealedWebhook),
		deliveries:  make(map[rowID]tokenvault.WebhookDelivery),
	}
	if opts != nil && opts.Clock != nil {
		s.clock = opts.Clock
	}
	return s
}

// Ping fails with [tokenvault.ErrUnavailable] once the store is closed.
func (s *Store) Ping(ctx context.Context) error {
	_, unlock, err := s.lock(ctx, "ping")
	if err != nil {
		return err
	}
	unlock()
	return nil
}

// Close makes every later call fail with [tokenvault.ErrUnavailable]. Closing
// twice is no error.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// lock takes the lock and reads the clock, once for each command. It takes
// nothing if it fails.
func (s *Store) lock(ctx context.Context, op string) (now time.Time, unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, nil, failed(op, err)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return time.Time{}, nil, failed(op, tokenvault.ErrUnavailable)
	}
	return s.clock().UTC().Truncate(time.Microsecond), s.mu.Unlock, nil
}

// failed says which operation failed. It names no row, so that a foreign one
// looks like a missing one.
func failed(op string, err error) error { return fmt.Errorf("memory: %s: %w", op, err) }

// over reports whether something that ends at end is over at now. A zero end
// never comes.
func over(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }

// expiry returns when something that lasts d from now ends, or zero if d is
// unknown.
func expiry(now time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return now.Add(d)
}

// paged sorts rows by id and returns those of the page.
func paged[T any](rows []T, id func(T) string, page tokenvault.Page) []T {
	slices.SortFunc(rows, func(a, b T) int { return cmp.Compare(id(a), id(b)) })
	start, found := slices.BinarySearchFunc(rows, page.After, func(row T, after string) int { return cmp.Compare(id(row), after) })
	if found {
		start++
	}
	rows = rows[start:]
	return rows[:min(len(rows), limited(page.Limit))]
}

// limited returns limit, or the most that a page may have if it is none.
func limited(limit int) int {
	const most = 1000
	if limit < 1 || limit > most {
		return most
	}
	return limit
}

// copyRecord returns a record that shares nothing with r. One without a blob
// holds nothing.
func copyRecord(r tokenvault.SealedRecord) tokenvault.SealedRecord {
	if len(r.Blob) == 0 {
		return tokenvault.SealedRecord{}
	}
	r.Blob = slices.Clone(r.Blob)
	return r
}
