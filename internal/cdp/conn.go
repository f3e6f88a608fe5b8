package cdp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
)

// A Conn is a connection to one browser. It is safe for concurrent use.
//
// One goroutine reads, and calls every handler and every callback itself, in the
// order in which the browser wrote: they must not block and must not wait for an
// answer, as none is read meanwhile.
type Conn struct {
	transport Transport
	done      chan struct{}

	writing sync.Mutex // one message at a time

	mu       sync.Mutex
	lastID   int64
	pending  map[int64]pending
	handlers map[string]func(Event)
	frames   map[string]frameHandler
	closed   bool
}

// A pending command waits for its answer.
type pending struct {
	method string
	done   func(result []byte, err error)
}

// New returns a connection over a transport, and reads from it until Close.
func New(transport Transport) *Conn {
	c := &Conn{
		transport: transport,
		done:      make(chan struct{}),
		pending:   make(map[int64]pending),
		handlers:  make(map[string]func(Event)),
		frames:    make(map[string]frameHandler),
	}
	go c.read()
	return c
}

// Done is closed when the connection has ended and every command was answered
// with [ErrClosed].
func (c *Conn) Done() <-chan struct{} { return c.done }

// Close ends the connection, and Done follows.
func (c *Conn) Close() error { return c.transport.Close() }

// Handle has the events of a session handled by f; nil drops them. An empty session
// is the browser itself.
func (c *Conn) Handle(session string, f func(Event)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f == nil {
		delete(c.handlers, session)
		return
	}
	c.handlers[session] = f
}

// Call sends a command and waits for its answer, which is decoded into result
// unless that is nil. It fails with an [*Error] if the browser refuses.
func (c *Conn) Call(ctx context.Context, session, method string, params, result any) error {
	type answer struct {
		result []byte
		err    error
	}
	answered := make(chan answer, 1)
	id := c.start(session, method, params, func(result []byte, err error) { answered <- answer{result, err} })
	select {
	case a := <-answered:
		if a.err != nil || result == nil {
			return a.err
		}
		if err := json.Unmarshal(a.result, result); err != nil {
			return fmt.Errorf("cdp: the answer to %s has another form", method)
		}
		return nil
	case <-ctx.Done():
		c.forget(id)
		return fmt.Errorf("cdp: %s: %w", method, ctx.Err())
	}
}

// Send sends a command whose answer nobody waits for.
func (c *Conn) Send(session, method string, params any) { c.start(session, method, params, nil) }

// Start sends a command. done gets its answer: the JSON of the result, or an
// [*Error], or [ErrClosed]. It is called once, and never by Start itself.
func (c *Conn) Start(session, method string, params any, done func(result []byte, err error)) {
	c.start(session, method, params, done)
}

func (c *Conn) start(session, method string, params any, done func([]byte, error)) int64 {
	if done == nil {
		done = func([]byte, error) {}
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		go done(nil, ErrClosed)
		return 0
	}
	c.lastID++
	id := c.lastID
	c.pending[id] = pending{method, done}
	c.mu.Unlock()

	message, err := encode(id, session, method, params)
	if err != nil {
		if c.forget(id) {
			go done(nil, err)
		}
		return id
	}
	c.writing.Lock()
	err = c.transport.Write(message)
	c.writing.Unlock()
	if err != nil {
		_ = c.transport.Close() // the reader ends, and answers what is pending
	}
	return id
}

// forget gives a command up, and reports whether it was still pending.
func (c *Conn) forget(id int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.pending[id]
	delete(c.pending, id)
	return ok
}

func encode(id int64, session, method string, params any) ([]byte, error) {
	b := make([]byte, 0, 256)
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, id, 10)
	b = append(b, `,"method":`...)
	b = appendText(b, method)
	if session != "" {
		b = append(b, `,"sessionId":`...)
		b = appendText(b, session)
	}
	if params != nil {
		encoded, err := json.Marshal(params)
		if err != nil {
			return nil, fmt.Errorf("cdp: the parameters of %s cannot be encoded", method)
		}
		b = append(b, `,"params":`...)
		b = append(b, encoded...)
	}
	return append(b, '}'), nil
}

func appendText(b []byte, text string) []byte {
	encoded, _ := json.Marshal(text) // text always can be
	return append(b, encoded...)
}

// A message is what a browser sends: an answer if it has an id, else an event.
type message struct {
	ID      int64           `json:"id"`
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func (c *Conn) read() {
	var err error
	for err == nil {
		var text []byte
		if text, err = c.transport.Read(); err == nil {
			c.dispatch(text)
		}
	}
	_ = c.transport.Close()
	c.mu.Lock()
	c.closed = true
	left := c.pending
	c.pending = nil
	c.mu.Unlock()
	for _, p := range left {
		p.done(nil, ErrClosed)
	}
	close(c.done)
}

// dispatch hands a message on. What is no message of the protocol is dropped.
func (c *Conn) dispatch(text []byte) {
	if bytes.HasPrefix(text, []byte(framePrefix)) && c.dispatchFrame(text) {
		return
	}
	var m message
	if json.Unmarshal(text, &m) != nil {
		return
	}
	if m.ID != 0 {
		c.answer(m)
		return
	}
	c.mu.Lock()
	handle, frames := c.handlers[m.Session], c.frames[m.Session]
	c.mu.Unlock()
	if m.Method == frameMethod && frames.handle != nil {
		if f, err := decodeFrame(m.Session, m.Params, frames.room); err == nil {
			frames.handle(f)
		}
		return
	}
	if handle != nil {
		handle(Event{Session: m.Session, Method: m.Method, Params: m.Params})
	}
}

func (c *Conn) answer(m message) {
	c.mu.Lock()
	p, ok := c.pending[m.ID]
	delete(c.pending, m.ID)
	c.mu.Unlock()
	switch {
	case !ok:
	case m.Error != nil:
		p.done(nil, &Error{Method: p.method, Code: m.Error.Code, Message: m.Error.Message})
	default:
		p.done(m.Result, nil)
	}
}

// IsRefusal reports whether a browser refused a command, rather than that it could
// not be asked.
func IsRefusal(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal)
}
