package tokenvault

import "context"

// A Browser starts server-side browsers in which owners log in while they watch.
// Implementations must be safe for concurrent use.
type Browser interface {
	// Open starts a fresh browser for one attempt and navigates to its login page.
	Open(ctx context.Context, req BrowserRequest) (BrowserSession, error)
	// Attach returns a session that is still running, or [ErrNotFound].
	Attach(ctx context.Context, id string) (BrowserSession, error)
}

// A BrowserRequest says what a browser is started for.
type BrowserRequest struct {
	AttemptID string
	LoginURL  string   // fixed by the provider, never by an agent
	Domains   []string // registrable domains that may be read and kept
	Width     int      // CSS pixels; 0: 1280
	Height    int      // CSS pixels; 0: 800
}

// A BrowserSession is one running browser. Methods may be called from several
// goroutines.
type BrowserSession interface {
	ID() string
	// LiveViewURL is where a person sees and controls the browser; empty for a
	// window on the same machine.
	LiveViewURL() string
	Status(ctx context.Context) (BrowserStatus, error)
	// Capture returns the authenticated state of the request's domains only.
	Capture(ctx context.Context) (BrowserState, error)
	// Close ends the browser and wipes its profile. It is idempotent.
	Close(ctx context.Context) error
}

// A BrowserStatus is what can be seen of a login from outside.
type BrowserStatus struct {
	CurrentURL    string // without query and fragment
	Authenticated bool
}

// A BrowserState is captured state, in memory only.
type BrowserState struct {
	// StorageState is JSON in the form of Playwright's storageState.
	StorageState Secret
	UserAgent    string
}
