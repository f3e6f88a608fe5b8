package tokenvault

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An AuditMode says when an audit entry of a release, or of a check, is durable.
type AuditMode int

// The audit modes.
const (
	// AuditSync makes a release wait until its entry is committed. Entries that
	// come together share one commit.
	AuditSync AuditMode = iota
	// AuditAsync commits within 100 ms; a hard kill may lose those entries.
	AuditAsync
	// AuditOff writes no entry for releases and checks. Every other event is written
	// still.
	AuditOff
)

const (
	auditQueue    = 4096
	auditBatch    = 512
	auditYields   = 8 // before a commit, at most
	auditInterval = 50 * time.Millisecond
	auditTimeout  = 15 * time.Second
	auditRetry    = time.Second // between tries of a log that could not be written
)

type auditEntry struct {
	events []Event
	done   chan error // nil: nobody waits
}

// auditLog commits events in groups. A release whose event cannot be committed
// is refused, so the log fails closed. From a failed commit on, nothing is taken
// until one succeeds: nobody waits for a log that cannot be written. It tries by
// itself, with the events of releases that did not wait for it, and the commit
// that succeeds says so in the log.
type auditLog struct {
	store  AuditStore
	tenant string
	mode   AuditMode
	log    *slog.Logger
	watch  observing

	queue   chan auditEntry
	kept    []Event // of entries for which nobody waits, and whose commit failed
	failing atomic.Bool
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
}

func newAuditLog(store AuditStore, tenant string, mode AuditMode, log *slog.Logger, watch observing) *auditLog {
	a := &auditLog{
		store: store, tenant: tenant, mode: mode, log: log, watch: watch,
		queue: make(chan auditEntry, auditQueue), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go a.run()
	return a
}

// release records the release of a credential, or a check, as the mode says.
func (a *auditLog) release(ctx context.Context, event Event) error {
	switch a.mode {
	case AuditOff:
		return nil
	case AuditAsync:
		return a.enqueue(ctx, auditEntry{events: []Event{event}})
	case AuditSync:
	}
	return a.append(ctx, event)
}

// append commits the events and waits for it.
func (a *auditLog) append(ctx context.Context, events ...Event) (err error) {
	ctx, end := a.watch.begin(ctx, Operation{Kind: OpAuditWait})
	defer func() { end(OutcomeOf(err)) }()
	entry := auditEntry{events: events, done: make(chan error, 1)}
	if err := a.enqueue(ctx, entry); err != nil {
		return err
	}
	select {
	case err := <-entry.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("audit entry not confirmed: %w", ctx.Err())
	case <-a.stopped:
		select {
		case err := <-entry.done:
			return err
		default:
			return ErrClosed
		}
	}
}

func (a *auditLog) enqueue(ctx context.Context, entry auditEntry) error {
	select {
	case <-a.stop:
		return ErrClosed
	default:
	}
	if err := a.healthy(); err != nil {
		return err
	}
	select {
	case a.queue <- entry:
		return nil
	case <-a.stop:
		return ErrClosed
	case <-ctx.Done():
		if len(a.queue) < cap(a.queue) { // it was given up for another reason
			return fmt.Errorf("audit entry not written: %w", ctx.Err())
		}
		return fmt.Errorf("audit log is full: %w", ErrUnavailable)
	}
}

func (a *auditLog) healthy() error {
	if a.failing.Load() {
		return fmt.Errorf("audit log: %w", ErrUnavailable)
	}
	return nil
}

func (a *auditLog) run() {
	defer close(a.stopped)
	for {
		var retry <-chan time.Time
		if a.failing.Load() {
			retry = time.After(auditRetry)
		}
		select {
		case entry := <-a.queue:
			a.flush(a.gather(entry))
		case <-retry:
			a.flush(nil)
		case <-a.stop:
			for len(a.queue) > 0 || len(a.kept) > 0 {
				if !a.flush(a.drain()) {
					break
				}
			}
			if len(a.kept) > 0 {
				a.log.Error("audit entries of releases are lost: the log could not be written", slog.Int("entries", len(a.kept)))
			}
			return
		}
	}
}

// gather returns first and what else is queued, up to one batch. In AuditAsync it
// lets entries come together for a moment, unless somebody waits.
func (a *auditLog) gather(first auditEntry) []auditEntry {
	batch := []auditEntry{first}
	a.letArrive()
	var linger <-chan time.Time
	if a.mode == AuditAsync && first.done == nil {
		linger = time.After(auditInterval)
	}
	for len(batch) < auditBatch {
		select {
		case entry := <-a.queue:
			batch = append(batch, entry)
			if entry.done != nil {
				linger = nil
			}
			continue
		default:
		}
		if linger == nil {
			return batch
		}
		select {
		case entry := <-a.queue:
			batch = append(batch, entry)
		case <-linger:
			return batch
		case <-a.stop:
			return batch
		}
	}
	return batch
}

// letArrive gives way to who is about to bring an entry, for as long as entries
// arrive. On an idle machine it returns at once; on a busy one it makes one commit
// of many.
func (a *auditLog) letArrive() {
	for range auditYields {
		before := len(a.queue)
		if runtime.Gosched(); len(a.queue) == before {
			return
		}
	}
}

// drain returns what is queued now.
func (a *auditLog) drain() (batch []auditEntry) {
	for {
		select {
		case entry := <-a.queue:
			batch = append(batch, entry)
		default:
			return batch
		}
	}
}

// flush commits a batch, after what is kept, and reports whether it could. While
// the log fails, any commit proves that it does no longer, also that of an empty
// batch. If it cannot, those who wait are refused, in the queue too.
func (a *auditLog) flush(batch []auditEntry) bool {
	failing := a.failing.Load()
	events := a.kept
	if failing {
		events = append(slices.Clip(events), Event{
			Kind: EventAuditResumed, Tenant: a.tenant, ActorKind: ActorSystem, Owner: Owner{Tenant: a.tenant},
		})
	}
	for _, entry := range batch {
		events = append(events, entry.events...)
	}
	err := a.commit(events)
	a.failing.Store(err != nil)
	if err == nil {
		a.kept = nil
		if failing {
			a.log.Info("audit log can be written again")
		}
	} else {
		if !failing {
			a.log.Error("audit log cannot be written: credentials are not released", slog.Any("error", err))
		}
		err = a.healthy()
		batch = append(batch, a.drain()...)
	}
	for _, entry := range batch {
		if entry.done != nil {
			entry.done <- err
		} else if err != nil {
			a.kept = append(a.kept, entry.events...)
		}
	}
	return err == nil
}

func (a *auditLog) commit(events []Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), auditTimeout)
	defer cancel()
	ctx, end := a.watch.begin(ctx, Operation{Kind: OpAuditCommit, Entries: len(events)})
	err := a.store.AppendAudit(ctx, events)
	end(OutcomeOf(err))
	return err
}

func (a *auditLog) close() {
	a.once.Do(func() { close(a.stop) })
	<-a.stopped
}

// Events returns the tenant's audit entries that the query asks for, in the order
// they were written. Only an administrator may read them.
func (v *Vault) Events(ctx context.Context, actor Actor, q EventQuery) ([]Event, error) {
	if err := v.checkAuditor(actor); err != nil {
		return nil, err
	}
	q.Page = q.limited()
	return v.store.ListAudit(ctx, v.opts.Tenant, q)
}

func (v *Vault) checkAuditor(actor Actor) error {
	if err := v.checkActor(actor); err != nil {
		return err
	}
	if !actor.MayAdminister(v.opts.Tenant, "") {
		return fmt.Errorf("only an administrator of the tenant reads its audit log: %w", ErrDenied)
	}
	return nil
}

const maxPage = 1000

// limited returns p with a limit between 1 and 1000.
func (p Page) limited() Page {
	if p.Limit < 1 || p.Limit > maxPage {
		p.Limit = maxPage
	}
	return p
}
