package tokenvault

import (
	"context"
	"time"
)

// A JobState says what becomes of a job. One that is done is not kept.
type JobState string

// The states of a job.
const (
	JobReady  JobState = "ready"  // it waits until it is due
	JobLeased JobState = "leased" // a turn is under way
	JobDead   JobState = "dead"   // it is not handed out any more, until somebody retries it
)

// JobListStore shows background work to people.
type JobListStore interface {
	// ListJobs returns the tenant's jobs, without their records.
	ListJobs(ctx context.Context, tenant string, q JobQuery) ([]JobRow, error)
	// RetryJob has a job that is ready or dead handed out at once. Its turns are
	// counted on. It returns [ErrConflict] while a turn is under way.
	RetryJob(ctx context.Context, tenant, id string, event Event) error
}

// A JobQuery asks for one page of a tenant's jobs. What is empty does not
// restrict.
type JobQuery struct {
	Page

	State JobState
	Kind  JobKind
}

// A JobRow is a job as people see it.
type JobRow struct {
	Job
	State JobState
	DueAt time.Time // leased: when the lease runs out; dead: when it died
	Error string    // the code of the last failure; empty: there was none
}

// UpkeepStore says which connections background work should look at. Nothing but
// these commands changes that, beside that a connection is due from when it is
// stored first.
type UpkeepStore interface {
	// ClaimConnections returns up to limit of the tenant's active connections that
	// are due, in any order, and puts each off for the pause. Of concurrent calls one
	// gets a connection.
	ClaimConnections(ctx context.Context, tenant string, limit int, pause time.Duration) ([]DueConnection, error)
	// PutOffConnections says when connections are due next. One that is due at
	// another time than Claimed by now is passed over.
	PutOffConnections(ctx context.Context, tenant string, next []NextLook) error
	// TouchConnections notes that connections were used just now, each once at most,
	// and by whom. One that was not used for as long as idle before is due at once.
	// Unknown ids are passed over.
	TouchConnections(ctx context.Context, tenant string, uses []ConnectionUse, idle time.Duration) error
}

// A DueConnection is a connection to look at.
type DueConnection struct {
	SealedConnection
	Claimed time.Time // when it is due again, unless it is put off
	Now     time.Time // the store's clock
}

// A ConnectionUse says who used a connection last.
type ConnectionUse struct {
	ID      string // of the connection
	AgentID string
}

// A NextLook says when a connection is due next.
type NextLook struct {
	ID      string
	Claimed time.Time // of the DueConnection
	In      time.Duration
}
