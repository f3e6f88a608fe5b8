package tokenvault

import "time"

// A BrowserLogin is a login of an owner's in a server-side browser, of one attempt:
//
//	begun ──► queued ──► starting ──► open ──► signed in, and proven ──► connected
//	               │          │         │ └──► another account than before: nothing is kept, and the request stays open
//	               │          │         └────► cancelled by its owner ──► declined
//	               └──────────┴─────────┴────► ended for a reason ──► failed, with its code
//
// The reasons are the codes Fail… of a failed auth request. Whoever waits for the
// request is told, an agent too.
type BrowserLogin struct {
	// ID is the attempt's and the browser session's. It grants nothing.
	ID       string
	Request  AuthRequest
	Provider Provider
	// ConnectionID is what a new connection will be called; once connected, the one
	// that the login ended with.
	ConnectionID string
	ReturnURL    string // where the host wants the browser afterwards; empty: the result page
	// PermissionTTL is that of [StartConnect] with which the login was begun.
	PermissionTTL time.Duration
	// NodeURL is set if another process runs the browser: it is to be asked, and
	// what follows is not known here.
	NodeURL string
	Status  BrowserStatus
	// Viewable says whether [Vault.OpenView] shows the browser. If not, LiveViewURL
	// does, or it is a window on the machine of the vault.
	Viewable    bool
	LiveViewURL Secret
	Notice      LoginNotice
}

// A LoginNotice says what the owner should know about a login.
type LoginNotice string

// The notices.
const (
	LoginChecking     LoginNotice = "checking"         // the state is captured, and tried in a fresh browser
	LoginNotSignedIn  LoginNotice = "not_signed_in"    // nobody was signed in when that was looked at last
	LoginUnavailable  LoginNotice = "unavailable"      // it could not be told; it is tried again
	LoginOtherAccount LoginNotice = "account_mismatch" // over: another account was signed in than was connected before
)

// A StartLogin asks to start a browser for an owner to sign in with. An attempt
// under way for the same request is joined.
type StartLogin struct {
	StartConnect

	Again  bool // end the attempt under way, and begin anew
	Width  int  // CSS pixels of the viewport; 0: the default
	Height int
}

// A ViewTicket lets one view of a live browser be opened, once.
type ViewTicket struct {
	Ticket    Secret
	ExpiresAt time.Time
	// NodeURL is the [Options.NodeURL] of the process that runs the browser.
	NodeURL string
}
