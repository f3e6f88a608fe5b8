package tokenvault

import (
	"context"
	"time"
)

// A Browser starts server-side browsers in which owners sign in while they watch.
// Implementations must be safe for concurrent use; flow/browserflow/browsertest
// proves what they promise.
type Browser interface {
	// Open starts a fresh browser for one attempt, which goes to its login page. It
	// returns at once: a session may have to wait in a queue before its browser
	// starts, and [BrowserSession.Status] tells its place. The session lives until
	// Close, its time limits or its browser's death, however long ctx does. Open
	// fails with [ErrInvalid] for a request that no browser could serve and
	// [ErrUnavailable] if no browser can be started here or the queue is full.
	Open(ctx context.Context, req BrowserRequest) (BrowserSession, error)
	// Attach returns a session that this process opened and that has not ended, or
	// [ErrNotFound].
	Attach(ctx context.Context, id string) (BrowserSession, error)
	// Check restores a state in a fresh browser and looks at the provider's probe
	// page, or at the login page if it has none. It returns who is signed in and
	// the state as it is then, or an error wrapping [ErrDenied] if nobody is, and
	// [ErrUnavailable] if that could not be told.
	Check(ctx context.Context, check BrowserCheck) (BrowserProof, error)
	// Close ends every session and whatever else runs.
	Close() error
}

// A BrowserRequest says what a browser is started for.
type BrowserRequest struct {
	// ID becomes the session's; the attempt's id. It is no secret.
	ID       string
	Provider Provider // with Login set: where to go, what may be visited, what counts as signed in
	// State is restored first: of an earlier login, so that a device that the
	// service remembers stays remembered. Zero: a fresh profile.
	State     BrowserState
	Width     int           // CSS pixels; 0: 1280
	Height    int           // CSS pixels; 0: 800
	IdleLimit time.Duration // without input or view; 0: the adapter's default
	TimeLimit time.Duration // in all; 0: the adapter's default
}

// A BrowserSession is one browser of one attempt. Methods may be called from
// several goroutines, and fail with [ErrNotFound] once the session has ended.
type BrowserSession interface {
	ID() string
	// LiveViewURL is where a remote browser's own service shows it to a person, and
	// a secret then. Empty: [Viewable] shows it, or it is a window on this machine.
	LiveViewURL() Secret
	Status(ctx context.Context) (BrowserStatus, error)
	// Await blocks until the provider's signs of a login are there and have settled,
	// and returns nil; or the session's end, as a *[BrowserError]; or ctx's. It may be
	// called again after it returned nil.
	Await(ctx context.Context) error
	// Capture returns the authenticated state of the provider's domains only.
	Capture(ctx context.Context) (BrowserState, error)
	// Close ends the browser and wipes its profile. It is idempotent.
	Close(ctx context.Context) error
}

// A BrowserPhase is where a session stands.
type BrowserPhase string

// The phases of a session.
const (
	BrowserQueued   BrowserPhase = "queued"   // waits for its turn
	BrowserStarting BrowserPhase = "starting" // the browser is being started
	BrowserOpen     BrowserPhase = "open"     // the owner can sign in
	BrowserEnded    BrowserPhase = "ended"
)

// A BrowserStatus is what can be seen of a session from outside.
type BrowserStatus struct {
	Phase      BrowserPhase
	Position   int    // in the queue, from 1; 0 if not queued
	CurrentURL string // of the active tab, without query and fragment
	// Authenticated is true while the provider's signs of a login are there.
	Authenticated bool
	EndsAt        time.Time // when the session ends at the latest
	End           BrowserEnd
}

// A BrowserEnd says why a session ended.
type BrowserEnd string

// The reasons why sessions end.
const (
	BrowserEndClosed  BrowserEnd = "closed"  // by Close
	BrowserEndIdle    BrowserEnd = "idle"    // nobody did anything
	BrowserEndTimeout BrowserEnd = "timeout" // its time was over
	BrowserEndCrashed BrowserEnd = "crashed" // the browser died, or was killed for what it used
	BrowserEndFailed  BrowserEnd = "failed"  // the browser could not be started
)

// A BrowserError reports a session that ended. It wraps [ErrNotFound] and holds no
// secret.
type BrowserError struct{ End BrowserEnd }

// Error says why.
func (e *BrowserError) Error() string { return "the browser session ended: " + string(e.End) }

// Unwrap returns [ErrNotFound].
func (e *BrowserError) Unwrap() error { return ErrNotFound }

// A BrowserState is captured state, in memory only.
type BrowserState struct {
	// StorageState is JSON in the form of Playwright's storageState, with
	// x_sessionStorage, x_partitionedLocalStorage and origins[].indexedDB beside.
	StorageState Secret
	UserAgent    string
	Width        int // CSS pixels of the viewport
	Height       int
}

// IsZero reports whether there is no state.
func (s BrowserState) IsZero() bool { return s.StorageState.IsZero() }

// A BrowserCheck asks whether a state is signed in.
type BrowserCheck struct {
	Provider Provider
	State    BrowserState
}

// A BrowserProof is the answer to a BrowserCheck.
type BrowserProof struct {
	Account Account      // zero if the provider says not where to read it
	State   BrowserState // with what the service renewed while it looked
}

// A Drivable session can be driven by a program, after the login.
type Drivable interface {
	// Drive opens a connection that speaks the Chrome DevTools Protocol with the
	// session's own browser, from its root: one JSON message each way at a time. It
	// ends with the session.
	Drive(ctx context.Context) (Wire, error)
}

// A Wire carries whole messages. Receive and Send may run at once.
type Wire interface {
	Receive(ctx context.Context) ([]byte, error)
	Send(ctx context.Context, message []byte) error
	Close() error
}
