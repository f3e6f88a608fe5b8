package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a server under measure.
type process struct {
	cmd    *exec.Cmd
	base   string // its URL
	out    io.Reader
	stderr bytes.Buffer
}

// launch starts a server and returns when it has printed its address.
func launch(ctx context.Context, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, name, args...)} //nolint:gosec // our own programs
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if base, ok := strings.CutPrefix(lines.Text(), "Serving "); ok {
			p.base = base
			return p, nil
		}
	}
	return nil, fmt.Errorf("the server did not start: %w\n%s", p.cmd.Wait(), &p.stderr)
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_, _ = io.Copy(io.Discard, p.out)
	_ = p.cmd.Wait()
}

const clockTick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on

// cpu returns what the process has used, of user and system time.
func (p *process) cpu() (time.Duration, error) {
	used, _, err := processTimes(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	return used, err
}

// processTimes reads what a process has used, and its parent, from its stat file.
func processTimes(file string) (used time.Duration, parent int, err error) {
	text, err := os.ReadFile(file) //nolint:gosec // of /proc
	if err != nil {
		return 0, 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name, which may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, 0, errors.New("/proc tells less than expected")
	}
	parent, err0 := strconv.Atoi(fields[1])
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * clockTick, parent, errors.Join(err0, err1, err2)
}

// rss returns the resident memory in MiB.
func (p *process) rss() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if size, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
			return float64(kib) / 1024, err
		}
	}
	return 0, errors.New("/proc tells no VmRSS")
}
