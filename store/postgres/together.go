package postgres

import (
	"context"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/ai-token-vault/tokenvault"
)

// mostTogether bounds the hot reads of one round trip.
const mostTogether = 64

// hotReads lets hot reads share round trips when more come than there are
// connections. As long as one is free, a read is sent at once and alone; what comes
// while none is waits for the first that ends, and goes together: most of what a
// small read costs, on both sides, is its message. A read sees what was committed
// before it was sent, as it would alone.
type hotReads struct {
	mu      sync.Mutex
	free    int // round trips that may begin
	waiting []*hotRead
}

// A hotRead waits for a round trip.
type hotRead struct {
	query tokenvault.FindQuery
	done  chan struct{} // closed when the next two are set
	found tokenvault.Found
	err   error
}

// findTogether is find, in a round trip that others may share.
func (s *Store) findTogether(ctx context.Context, q tokenvault.FindQuery) (found tokenvault.Found, err error) {
	r := s.hot.begin(q)
	if r == nil {
		defer s.nextTogether()
		err = s.alive(ctx, func() (err error) {
			found, err = s.find(ctx, q)
			return err
		})
		return found, err
	}
	select {
	case <-r.done:
		return r.found, r.err
	case <-ctx.Done():
		s.hot.leave(r)
		return found, ctx.Err()
	}
}

// begin returns nil if the caller may read at once. It calls nextTogether after that.
func (h *hotReads) begin(q tokenvault.FindQuery) *hotRead {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.free > 0 {
		h.free--
		return nil
	}
	r := &hotRead{query: q, done: make(chan struct{})}
	h.waiting = append(h.waiting, r)
	return r
}

// leave takes back a read that was not sent yet.
func (h *hotReads) leave(r *hotRead) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.waiting, r); i >= 0 {
		h.waiting = slices.Delete(h.waiting, i, i+1)
	}
}

// next returns who goes next. If nobody waits, a round trip is free.
func (h *hotReads) next() []*hotRead {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(h.waiting), mostTogether)
	if n == 0 {
		h.free++
		return nil
	}
	reads := slices.Clone(h.waiting[:n])
	h.waiting = slices.Delete(h.waiting, 0, n)
	return reads
}

// nextTogether sends what waits. It belongs to no caller: each of them may give up.
func (s *Store) nextTogether() {
	if reads := s.hot.next(); reads != nil {
		go func() {
			defer s.nextTogether()
			ctx, cancel := context.WithTimeout(context.Background(), s.most)
			defer cancel()
			s.send(ctx, reads)
		}()
	}
}

// send answers reads in one round trip. If the database refuses one of them, which
// ends all that come after it, each is sent alone.
func (s *Store) send(ctx context.Context, reads []*hotRead) {
	err := s.alive(ctx, func() error { return s.findAll(ctx, reads) })
	for _, r := range reads {
		if err != nil && len(reads) > 1 && !dead(err) && ctx.Err() == nil {
			r.found, r.err = s.find(ctx, r.query)
		} else {
			r.err = err
		}
		close(r.done)
	}
}

func (s *Store) findAll(ctx context.Context, reads []*hotRead) error {
	var batch pgx.Batch
	for _, r := range reads {
		batch.Queue(s.sql(sqlFindUsable), s.findArgs(r.query)...).Query(func(rows pgx.Rows) (err error) {
			r.found, err = scanFound(rows, r.query)
			return err
		})
	}
	return s.pool.SendBatch(ctx, &batch).Close()
}
