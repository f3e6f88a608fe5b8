package cdp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	pipeBuffer  = 512 << 10        // holds a picture whole, so that none is copied
	writeWithin = 20 * time.Second // a browser that does not read for so long is dead
)

// pipe is the transport of --remote-debugging-pipe: messages end with a NUL.
type pipe struct {
	in   io.ReadCloser
	out  io.WriteCloser
	r    *bufio.Reader
	long []byte // a message that did not fit into r's buffer
}

// Pipe returns the transport over a pair of pipes to a browser.
func Pipe(in io.ReadCloser, out io.WriteCloser) Transport {
	return &pipe{in: in, out: out, r: bufio.NewReaderSize(in, pipeBuffer)}
}

// NewPipe returns a transport, and the files that a browser started with
// --remote-debugging-pipe needs as its descriptors 3 and 4, in this order. The
// caller closes both files once the browser has started.
func NewPipe() (Transport, []*os.File, error) {
	commands, toBrowser, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("cdp: %w", err)
	}
	fromBrowser, answers, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cdp: %w", err), commands.Close(), toBrowser.Close())
	}
	widen(answers)
	return Pipe(fromBrowser, toBrowser), []*os.File{commands, answers}, nil
}

func (p *pipe) Read() ([]byte, error) {
	p.long = p.long[:0]
	for {
		chunk, err := p.r.ReadSlice(0)
		switch {
		case err == nil && len(p.long) == 0:
			return chunk[:len(chunk)-1], nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(p.long)+len(chunk) > maxMessage:
			return nil, errors.New("cdp: a message is too long")
		}
		p.long = append(p.long, chunk...)
		if err == nil {
			return p.long[:len(p.long)-1], nil
		}
	}
}

func (p *pipe) Write(message []byte) error {
	if file, ok := p.out.(*os.File); ok {
		if err := file.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
			return err
		}
	}
	_, err := p.out.Write(append(message, 0))
	return err
}

func (p *pipe) Close() error { return errors.Join(p.out.Close(), p.in.Close()) }
