package tokenvault

import (
	"context"
	"time"
)

// A Viewable session can be shown by the vault itself, to the person who signs in.
type Viewable interface {
	// View begins to show the session. One view controls it at a time: a new one
	// ends the one before, whose Next then fails with [ErrConflict]. While nobody
	// views, nothing is drawn.
	View(ctx context.Context) (LiveView, error)
}

// A LiveView is what one person sees of a session and does in it. Next and Do may
// run at once. What a person types exists in memory only, and in no log.
type LiveView interface {
	// Next blocks until there is something new to show. Of pictures it is the
	// latest; who is slow misses some. The last one comes at once after View. It fails
	// with a *[BrowserError] at the session's end.
	Next(ctx context.Context) (ViewUpdate, error)
	// Do does what the person did. It fails with a [FieldError] for an input that
	// makes no sense, and the view goes on.
	Do(ctx context.Context, in ViewInput) error
	Close() error
}

// A ViewUpdate is a picture, or what is around it: one of the two is set.
type ViewUpdate struct {
	Frame []byte // see [FrameHeader]
	Scene *ViewScene
}

// FrameHeader is the length of what stands before the JPEG in [ViewUpdate.Frame]:
// a sequence number (uint32), then width and height of the picture in CSS pixels
// (uint16 each), big-endian.
const FrameHeader = 8

// A ViewScene is all that is shown beside the picture. It goes to the owner's own
// page only.
type ViewScene struct {
	Phase    BrowserPhase `json:"phase"`
	Position int          `json:"position,omitempty"` // in the queue, from 1
	// Origin is that of the active tab's page, as the browser itself says:
	// "https://example.com". Secure is false if the page came unprotected.
	Origin string    `json:"origin"`
	Secure bool      `json:"secure"`
	Tabs   []ViewTab `json:"tabs"`
	// CanGoBack says whether back leads anywhere.
	CanGoBack bool `json:"canGoBack"`
	Loading   bool `json:"loading"`
	// Dialog, Challenge and Chooser are what the page waits for; nil: nothing.
	Dialog    *ViewDialog    `json:"dialog,omitempty"`
	Challenge *ViewChallenge `json:"challenge,omitempty"`
	Chooser   *ViewChooser   `json:"chooser,omitempty"`
	// Cursor is the CSS cursor under the pointer, and Editable whether the focus is
	// in a text field, so that a soft keyboard opens.
	Cursor   string `json:"cursor,omitempty"`
	Editable bool   `json:"editable"`
	// Copied is what the page put on the clipboard by the person's own copy or cut;
	// told once.
	Copied string `json:"copied,omitempty"`
	// Blocked is the host that a navigation was refused to; told once.
	Blocked       string     `json:"blocked,omitempty"`
	Authenticated bool       `json:"authenticated"`
	EndsAt        time.Time  `json:"endsAt"`
	End           BrowserEnd `json:"end,omitempty"`
}

// A ViewTab is one tab or pop-up window.
type ViewTab struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Origin string `json:"origin"`
	Active bool   `json:"active"`
}

// A ViewDialog is a JavaScript dialog.
type ViewDialog struct {
	Kind    string `json:"kind"` // alert, confirm, prompt or beforeunload
	Origin  string `json:"origin"`
	Message string `json:"message"`
	Default string `json:"default,omitempty"`
}

// A ViewChallenge is a request for a name and password by the server itself (RFC
// 9110 §11).
type ViewChallenge struct {
	Origin string `json:"origin"`
	Realm  string `json:"realm"`
}

// A ViewChooser is a page's request for files.
type ViewChooser struct {
	Multiple bool `json:"multiple"`
}

// A ViewInputKind says what a person did.
type ViewInputKind string

// The kinds of input.
const (
	ViewMouse    ViewInputKind = "mouse"    // Action move, down or up at X, Y; Button, Buttons, Clicks, Modifiers
	ViewWheel    ViewInputKind = "wheel"    // at X, Y by DeltaX, DeltaY
	ViewTouch    ViewInputKind = "touch"    // Action start, move, end or cancel; Points
	ViewKey      ViewInputKind = "key"      // Action down or up; Key, Code, Modifiers, Repeat, Text
	ViewText     ViewInputKind = "text"     // Text is entered at once: paste, soft keyboard, end of a composition
	ViewCompose  ViewInputKind = "compose"  // Text is the composition so far (IME); SelectionStart, SelectionEnd
	ViewCopy     ViewInputKind = "copy"     // copy, or Action cut: the selection comes in ViewScene.Copied
	ViewResize   ViewInputKind = "resize"   // Width, Height; Touch if it is a touch screen
	ViewTabTo    ViewInputKind = "tab"      // Action activate or close; Tab
	ViewBack     ViewInputKind = "back"     // one step back in the active tab
	ViewReload   ViewInputKind = "reload"   // reload the active tab
	ViewAnswer   ViewInputKind = "answer"   // the dialog: Accept, Text
	ViewSignIn   ViewInputKind = "sign_in"  // the challenge: Name, Text is the password; not Accept: cancel
	ViewFiles    ViewInputKind = "files"    // the chooser: Files; none: cancel
	ViewShowing  ViewInputKind = "showing"  // Accept: the page is looked at; not: it is hidden, so that nothing is drawn
	ViewKeyframe ViewInputKind = "keyframe" // send the last picture and scene again
)

// A ViewInput is what a person did. Coordinates are CSS pixels of the picture.
type ViewInput struct {
	Kind           ViewInputKind `json:"kind"`
	Action         string        `json:"action,omitempty"`
	X              float64       `json:"x,omitempty"`
	Y              float64       `json:"y,omitempty"`
	DeltaX         float64       `json:"deltaX,omitempty"`
	DeltaY         float64       `json:"deltaY,omitempty"`
	Button         string        `json:"button,omitempty"`  // none, left, middle or right
	Buttons        int           `json:"buttons,omitempty"` // as MouseEvent.buttons
	Clicks         int           `json:"clicks,omitempty"`
	Modifiers      int           `json:"modifiers,omitempty"` // 1 Alt, 2 Ctrl, 4 Meta, 8 Shift
	Points         []ViewPoint   `json:"points,omitempty"`
	Key            Secret        `json:"key,omitzero"` // as KeyboardEvent.key and .code
	Code           Secret        `json:"code,omitzero"`
	Repeat         bool          `json:"repeat,omitempty"`
	Text           Secret        `json:"text,omitzero"`
	Name           Secret        `json:"name,omitzero"`
	SelectionStart int           `json:"selectionStart,omitempty"`
	SelectionEnd   int           `json:"selectionEnd,omitempty"`
	Width          int           `json:"width,omitempty"`
	Height         int           `json:"height,omitempty"`
	Touch          bool          `json:"touch,omitempty"`
	Tab            string        `json:"tab,omitempty"`
	Accept         bool          `json:"accept,omitempty"`
	Files          []ViewFile    `json:"files,omitempty"`
}

// A ViewPoint is a finger on the screen.
type ViewPoint struct {
	ID int     `json:"id"`
	X  float64 `json:"x"`
	Y  float64 `json:"y"`
}

// A ViewFile is a file that the person chose. It is kept in the session's profile,
// and goes with it.
type ViewFile struct {
	Name    string `json:"name"`
	Content []byte `json:"content"` // base64 in JSON
}
