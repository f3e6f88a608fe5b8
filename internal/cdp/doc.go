// Package cdp speaks the Chrome DevTools Protocol with a browser, over a pipe or a
// WebSocket, in flat sessions: one connection carries the messages of the browser
// itself and of every target that is attached, each with its session's id.
//
// Pictures of a screencast are by far the most of what is read, so that they have
// a way of their own: see [Conn.HandleFrames].
//
// The protocol: https://chromedevtools.github.io/devtools-protocol/
package cdp

import (
	"errors"
	"fmt"
)

// ErrClosed reports a connection that has ended.
var ErrClosed = errors.New("cdp: the connection to the browser has ended")

// An Error is a browser's refusal of a command. It prints without the browser's
// words, which may quote a page.
type Error struct {
	Method  string
	Code    int
	Message string // for comparing only
}

// Error names the command and the code.
func (e *Error) Error() string { return fmt.Sprintf("cdp: %s was refused (%d)", e.Method, e.Code) }

// A Transport carries whole messages. Read is called by one goroutine, Write by one
// at a time; Close may be called at any time and ends both.
type Transport interface {
	// Read returns the next message, which is valid until Read is called again.
	Read() ([]byte, error)
	// Write sends a message. It may append to the slice, and does not keep it.
	Write(message []byte) error
	Close() error
}

// An Event is what a browser tells unasked.
type Event struct {
	Session string // empty: of the browser itself
	Method  string
	Params  []byte // JSON; the handler may keep it
}

// maxMessage bounds one message from a browser. A large state is read in some
// megabytes.
const maxMessage = 64 << 20
