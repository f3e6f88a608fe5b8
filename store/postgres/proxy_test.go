package postgres

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// A proxy stands before the server and reads what it answers.
type proxy struct {
	dsn    string
	trips  atomic.Int64 // answers that end a round trip
	losing atomic.Bool  // the next answer to a COMMIT is lost, and its connection with it
}

func newProxy(t *testing.T, dsn string) *proxy {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	server := u.Host
	u.Host, u.RawQuery = listener.Addr().String(), "sslmode=disable"
	p := &proxy{dsn: u.String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			behind, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() { _, _ = io.Copy(behind, client); _ = behind.Close() }()
			go func() { p.answer(client, behind); _ = client.Close(); _ = behind.Close() }()
		}
	}()
	return p
}

// answer passes the server's messages on: a type, a length, and the rest.
func (p *proxy) answer(client io.Writer, server io.Reader) {
	for {
		var head [5]byte
		if _, err := io.ReadFull(server, head[:]); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, rest); err != nil {
			return
		}
		switch {
		case head[0] == 'Z':
			p.trips.Add(1)
		case head[0] == 'C' && strings.HasPrefix(string(rest), "COMMIT") && p.losing.Swap(false):
			return
		}
		if _, err := client.Write(append(head[:], rest...)); err != nil {
			return
		}
	}
}
