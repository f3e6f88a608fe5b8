package cdp

import (
	"bytes"
	"context"
	"errors"
	"net/http"

	"github.com/coder/websocket"
)

// socket is the transport of a remote browser.
type socket struct {
	conn   *websocket.Conn
	ctx    context.Context //nolint:containedctx // of the connection's whole life
	cancel context.CancelFunc
	buffer bytes.Buffer
}

// DialOptions says how a remote browser is reached.
type DialOptions struct {
	Client *http.Client // nil: the default client
	Header http.Header  // sent with the handshake
}

// Dial connects to the WebSocket of a remote browser, whose URL is often a secret:
// no error holds it.
func Dial(ctx context.Context, url string, opts *DialOptions) (Transport, error) {
	if opts == nil {
		opts = &DialOptions{}
	}
	conn, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: opts.Client, HTTPHeader: opts.Header})
	if answer != nil && answer.Body != nil {
		_ = answer.Body.Close()
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, errors.New("cdp: the remote browser could not be reached")
	}
	return Socket(conn), nil
}

// Socket returns the transport over an open WebSocket.
func Socket(conn *websocket.Conn) Transport {
	conn.SetReadLimit(maxMessage)
	s := &socket{conn: conn}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *socket) Read() ([]byte, error) {
	_, r, err := s.conn.Reader(s.ctx)
	if err != nil {
		return nil, err
	}
	s.buffer.Reset()
	_, err = s.buffer.ReadFrom(r)
	return s.buffer.Bytes(), err
}

func (s *socket) Write(message []byte) error {
	ctx, cancel := context.WithTimeout(s.ctx, writeWithin)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, message)
}

func (s *socket) Close() error {
	s.cancel()
	return s.conn.CloseNow()
}
