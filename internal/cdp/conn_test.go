package cdp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// A peer plays the browser's end of a pipe.
type peer struct {
	t  *testing.T
	in *bufio.Reader
	w  io.WriteCloser
}

type command struct {
	ID      int64           `json:"id"`
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// connect returns a connection to a peer.
func connect(t *testing.T) (*Conn, *peer) {
	commands, toPeer := io.Pipe()
	fromPeer, answers := io.Pipe()
	conn := New(Pipe(fromPeer, toPeer))
	p := &peer{t: t, in: bufio.NewReader(commands), w: answers}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		<-conn.Done()
	})
	return conn, p
}

func (p *peer) receive() command {
	p.t.Helper()
	text, err := p.in.ReadBytes(0)
	if err != nil {
		p.t.Fatal(err)
	}
	var c command
	if err := json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &c); err != nil {
		p.t.Fatalf("%q: %v", text, err)
	}
	return c
}

func (p *peer) write(text string) {
	p.t.Helper()
	if _, err := p.w.Write(append([]byte(text), 0)); err != nil {
		p.t.Error(err)
	}
}

func (p *peer) answer(id int64, rest string) {
	p.t.Helper()
	encoded, _ := json.Marshal(id)
	p.write(`{"id":` + string(encoded) + `,` + rest + `}`)
}

func TestCallAnswersInAnyOrder(t *testing.T) {
	conn, p := connect(t)
	type result struct{ Value int }
	first, second := make(chan result, 1), make(chan result, 1)
	call := func(session string, into chan result) {
		var r result
		if err := conn.Call(t.Context(), session, "A.b", map[string]any{"x": "é<\""}, &r); err != nil {
			t.Error(err)
		}
		into <- r
	}
	go call("", first)
	one := p.receive()
	go call("S2", second)
	two := p.receive()
	if one.Session != "" || two.Session != "S2" || one.Method != "A.b" || one.ID == two.ID {
		t.Fatalf("sent %+v and %+v", one, two)
	}
	var params struct{ X string }
	if err := json.Unmarshal(one.Params, &params); err != nil || params.X != "é<\"" {
		t.Errorf("params %s: %v", one.Params, err)
	}
	p.answer(two.ID, `"result":{"Value":2},"sessionId":"S2"`)
	p.answer(one.ID, `"result":{"Value":1}`)
	if a, b := <-first, <-second; a.Value != 1 || b.Value != 2 {
		t.Errorf("got %v and %v", a, b)
	}
}

func TestCallRefused(t *testing.T) {
	conn, p := connect(t)
	failed := make(chan error, 1)
	go func() { failed <- conn.Call(t.Context(), "", "A.b", nil, nil) }()
	p.answer(p.receive().ID, `"error":{"code":-32000,"message":"no such https://example.com/?token=1"}`)
	err := <-failed
	var refusal *Error
	if !errors.As(err, &refusal) || !IsRefusal(err) || refusal.Code != -32000 || refusal.Method != "A.b" || refusal.Message == "" {
		t.Errorf("got %#v", err)
	}
	if strings.Contains(err.Error(), "token") {
		t.Errorf("the error quotes the browser: %v", err)
	}
}

func TestCallGivenUp(t *testing.T) {
	conn, p := connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- conn.Call(ctx, "", "A.slow", nil, nil) }()
	slow := p.receive()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	p.answer(slow.ID, `"result":{}`) // too late: nobody is confused
	go func() { failed <- conn.Call(t.Context(), "", "A.next", nil, nil) }()
	p.answer(p.receive().ID, `"result":{}`)
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func TestCloseAnswersEverything(t *testing.T) {
	conn, p := connect(t)
	failed := make(chan error, 2)
	go func() { failed <- conn.Call(t.Context(), "", "A.b", nil, nil) }()
	p.receive()
	if err := p.w.Close(); err != nil { // the browser dies
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, ErrClosed) {
		t.Errorf("pending: %v", err)
	}
	<-conn.Done()
	conn.Start("", "A.b", nil, func(_ []byte, err error) { failed <- err })
	if err := <-failed; !errors.Is(err, ErrClosed) {
		t.Errorf("later: %v", err)
	}
	if err := conn.Call(t.Context(), "", "A.b", nil, nil); !errors.Is(err, ErrClosed) || IsRefusal(err) {
		t.Errorf("later: %v", err)
	}
}

func TestParametersThatCannotBeEncoded(t *testing.T) {
	conn, _ := connect(t)
	err := conn.Call(t.Context(), "", "A.b", map[string]any{"f": func() {}}, nil)
	if err == nil || errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestEventsGoToTheirSession(t *testing.T) {
	conn, p := connect(t)
	events := make(chan Event, 10)
	conn.Handle("", func(e Event) {
		events <- e
		// What a handler registers is there before the next event is read.
		conn.Handle("S1", func(e Event) { events <- e })
	})
	p.write(`{"method":"T.attached","params":{"a":1}}`)
	p.write(`{"method":"P.one","params":{},"sessionId":"S1"}`)
	p.write(`{"method":"P.dropped","params":{},"sessionId":"S9"}`)
	p.write(`not JSON`)
	p.write(`{"method":"P.two","sessionId":"S1"}`)
	for _, want := range []string{" T.attached", "S1 P.one", "S1 P.two"} {
		if e := <-events; e.Session+" "+e.Method != want {
			t.Errorf("got %s %s, want %s", e.Session, e.Method, want)
		}
	}
	conn.Handle("S1", nil)
	p.write(`{"method":"P.three","sessionId":"S1"}`)
	p.write(`{"method":"T.last"}`)
	if e := <-events; e.Method != "T.last" {
		t.Errorf("got %s after the handler was taken away", e.Method)
	}
}

func TestLongMessages(t *testing.T) {
	conn, p := connect(t)
	events := make(chan Event, 1)
	conn.Handle("", func(e Event) { events <- e })
	long := `{"text":"` + strings.Repeat("x", 3*pipeBuffer) + `"}`
	go p.write(`{"method":"A.long","params":` + long + `}`)
	if e := <-events; string(e.Params) != long {
		t.Errorf("got %d bytes, want %d", len(e.Params), len(long))
	}
	go p.write(`{"method":"A.short","params":{}}`)
	if e := <-events; e.Method != "A.short" {
		t.Errorf("got %s", e.Method)
	}
}

func TestTooLongMessagesEndTheConnection(t *testing.T) {
	conn := New(Pipe(io.NopCloser(endless{}), nopWriteCloser{io.Discard}))
	<-conn.Done()
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }

func TestNewPipe(t *testing.T) {
	transport, files, err := NewPipe()
	if err != nil {
		t.Fatal(err)
	}
	conn := New(transport)
	p := &peer{t: t, in: bufio.NewReader(files[0]), w: files[1]}
	answered := make(chan error, 1)
	go func() { answered <- conn.Call(t.Context(), "", "A.b", nil, nil) }()
	p.answer(p.receive().ID, `"result":{}`)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil { // while the reader waits
		t.Error(err)
	}
	<-conn.Done()
	if err := errors.Join(files[0].Close(), files[1].Close()); err != nil {
		t.Error(err)
	}
}

func TestWebSocket(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer k" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow() //nolint:errcheck // the test is over then
		_, text, err := ws.Read(r.Context())
		if err != nil {
			t.Error(err)
			return
		}
		var c command
		if err := json.Unmarshal(text, &c); err != nil {
			t.Error(err)
		}
		encoded, _ := json.Marshal(map[string]any{"id": c.ID, "result": map[string]any{"text": strings.Repeat("y", 1<<20)}})
		if err := ws.Write(r.Context(), websocket.MessageText, encoded); err != nil {
			t.Error(err)
		}
		_, _, _ = ws.Read(r.Context()) // until the other end closes
	}))
	defer server.Close()
	url := "ws" + strings.TrimPrefix(server.URL, "http") + "/devtools?token=hush"
	if _, err := Dial(t.Context(), url, nil); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("without a key: %v", err)
	}
	transport, err := Dial(t.Context(), url, &DialOptions{Header: http.Header{"Authorization": {"Bearer k"}}})
	if err != nil {
		t.Fatal(err)
	}
	conn := New(transport)
	var r struct{ Text string }
	if err := conn.Call(t.Context(), "", "A.b", nil, &r); err != nil || len(r.Text) != 1<<20 {
		t.Errorf("got %d bytes: %v", len(r.Text), err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	<-conn.Done()
}
