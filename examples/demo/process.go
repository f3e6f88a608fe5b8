package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// killAfter is how long a process may take to end after it was asked to.
const killAfter = 20 * time.Second

// A process is a child that the demo cannot do without.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Scanner
	ended chan struct{}
	err   error // set before ended is closed
}

// launch starts a process whose standard error goes to a file. The caller reads
// its first lines from out, and then calls watch.
func launch(name, logFile string, cmd *exec.Cmd) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // in our own temporary directory
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &process{name: name, cmd: cmd, stdin: stdin, out: bufio.NewScanner(stdout), ended: make(chan struct{})}, nil
}

// line returns the next line of standard output that begins with prefix.
func (p *process) line(prefix string) (string, error) {
	for p.out.Scan() {
		if rest, ok := strings.CutPrefix(p.out.Text(), prefix); ok {
			return rest, nil
		}
	}
	return "", fmt.Errorf("%s ended before it was ready", p.name)
}

// watch waits for the end of the process and ends the demo if that comes early.
func (p *process) watch(ctx context.Context, fail context.CancelCauseFunc) {
	go func() {
		for p.out.Scan() {
			continue
		}
		p.err = p.cmd.Wait()
		close(p.ended)
		if ctx.Err() == nil {
			fail(fmt.Errorf("%s ended: the demo cannot go on without it", p.name))
		}
	}()
}

// stop asks the process to end, and makes it if it does not.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return nil
	case <-time.After(killAfter):
	}
	return errors.Join(fmt.Errorf("%s did not end in time", p.name), p.cmd.Process.Kill())
}
