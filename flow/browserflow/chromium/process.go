package chromium

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

const (
	goneWithin  = 5 * time.Second
	goneEvery   = 10 * time.Millisecond
	headOfWords = 4 << 10 // of what a browser says on its standard error
)

// A process is one running Chromium with all processes that it started.
type process struct {
	cmd    *exec.Cmd
	dir    string
	exited chan struct{}
	words  *head
}

// launch starts Chromium in dir and returns it with the pipes to it.
func (c *config) launch(dir, proxy string, width, height int) (*process, cdp.Transport, error) {
	transport, ends, err := cdp.NewPipe()
	if err != nil {
		return nil, nil, err
	}
	defer closeAll(ends)
	said, saying, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, transport.Close())
	}
	defer func() { _ = saying.Close() }()
	p := &process{dir: dir, exited: make(chan struct{}), words: &head{}}
	p.cmd = exec.Command(c.path, c.flags(dir, proxy, width, height)...) //nolint:gosec,noctx // the configured program, ended by kill
	p.cmd.ExtraFiles = ends
	p.cmd.Stderr = saying
	p.cmd.Dir = dir
	p.cmd.Env = c.environment(dir)
	p.cmd.SysProcAttr = attributes(c.account)
	if err := p.start(); err != nil {
		return nil, nil, errors.Join(err, said.Close(), transport.Close())
	}
	go p.words.listen(said)
	return p, transport, nil
}

// start starts the process on a thread that lives as long as it does: the kernel
// tells the parent's death by that of the thread (PR_SET_PDEATHSIG).
func (p *process) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // that it was killed is no news
			close(p.exited)
		}
	}()
	return <-started
}

// kill ends all processes of the browser and waits until they are gone. There is
// nothing that they should save.
func (p *process) kill(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, goneWithin)
	defer cancel()
	killGroup(p.cmd.Process.Pid)
	select {
	case <-p.exited:
	case <-ctx.Done():
		return
	}
	for tick := time.NewTicker(goneEvery); killMarked(p.dir) || !groupGone(p.cmd.Process.Pid); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}

// why says why a browser that ended at once did so, by its own words.
func (p *process) why() string {
	words := p.words.text()
	if strings.Contains(words, "sandbox") {
		return "its sandbox cannot be set up: " + sandboxFix
	}
	for line := range strings.Lines(words) {
		if _, text, ok := strings.Cut(line, "] "); ok && !strings.Contains(line, "dbus") {
			return strings.TrimSpace(text)
		}
	}
	return "it said nothing"
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// A head keeps the beginning of what a browser says until it is told to forget it:
// later words may name what a person does.
type head struct {
	mu     sync.Mutex
	kept   bytes.Buffer
	closed bool
}

func (h *head) listen(from *os.File) {
	defer func() { _ = from.Close() }()
	chunk := make([]byte, headOfWords)
	for {
		n, err := from.Read(chunk)
		if err != nil {
			return
		}
		h.keep(chunk[:n])
	}
}

func (h *head) keep(words []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if room := headOfWords - h.kept.Len(); !h.closed && room > 0 {
		h.kept.Write(words[:min(room, len(words))])
	}
}

func (h *head) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept.String()
}

func (h *head) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.kept.Reset()
}
