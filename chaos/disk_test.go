package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// K8: on a disk that is really full nothing is released, and health says so; once
// there is room again all heals by itself.
func TestK8AFullDiskReleasesNothing(t *testing.T) {
	disk, again := smallDisk(t)
	if again {
		return
	}
	w := newWorld(t, filepath.Join(disk.dir, "data"))
	w.connect(t, "ada")
	p := w.serve(t)
	var n tally
	for round := range rounds() {
		n.faults++
		f := w.failing(t, p, fmt.Sprintf("round-%d", round))
		f.released(t)
		disk.fill(t, p)
		// What the log has room for is still written, and released.
		for f.ask(t) == http.StatusOK {
			continue
		}
		f.refused(t)
		disk.free(t, p)
		f.heals(t, &n)
	}
	w.verify(t, &n)
	n.report(t, "disk-full")
}

// K8: while another process holds the database's lock nothing is released, and
// health says so; once it lets go all heals by itself.
func TestK8ABlockedWriterReleasesNothing(t *testing.T) {
	w := newWorld(t, filepath.Join(t.TempDir(), "data"))
	w.connect(t, "ada")
	p := w.serve(t)
	n := tally{faults: 1}
	f := w.failing(t, p, "blocked")
	f.released(t)
	holder, err := w.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Close() }()
	if _, err := holder.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { f.refused(t) })
	}
	wg.Wait()
	if _, err := holder.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	f.heals(t, &n)
	w.verify(t, &n)
	n.report(t, "writer-blocked")
}

// A disk is where a database lives, and can be made full.
type disk struct {
	dir     string
	limited bool // there is no disk of our own: the server may not write files instead
}

const inNamespace = "TOKENVAULT_CHAOS_NAMESPACE"

// smallDisk returns a file system of its own. Mounting one takes a namespace, in
// which the test is run again if need be; again is true then, and all is done.
func smallDisk(t *testing.T) (d disk, again bool) {
	t.Helper()
	switch {
	case os.Getenv(inNamespace) != "":
		dir := t.TempDir()
		command(t, "mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", dir)
		t.Cleanup(func() { _ = exec.CommandContext(context.Background(), "umount", "--lazy", dir).Run() })
		return disk{dir: dir}, false
	case exec.CommandContext(t.Context(), "unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", t.TempDir()).Run() != nil:
		return disk{dir: t.TempDir(), limited: true}, false
	}
	test := exec.CommandContext(t.Context(), "unshare", "-rm", os.Args[0], "-test.count=1", "-test.run=^"+t.Name()+"$")
	test.Env = append(os.Environ(), inNamespace+"=1")
	out, err := test.CombinedOutput()
	_, _ = os.Stdout.Write(out)
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("in a namespace: %v", err)
	}
	return disk{}, true
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (d disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill leaves no byte free for the server.
func (d disk) fill(t *testing.T, p *process) {
	t.Helper()
	if d.limited {
		command(t, "prlimit", "--pid", strconv.Itoa(p.Process.Pid), "--fsize=0:")
		return
	}
	f, err := os.Create(d.filler())
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 16; size > 0; { // down to the last byte
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	_ = f.Close() // its error tells that the disk is full
}

func (d disk) free(t *testing.T, p *process) {
	t.Helper()
	if d.limited {
		command(t, "prlimit", "--pid", strconv.Itoa(p.Process.Pid), "--fsize=unlimited:")
		return
	}
	if err := os.Remove(d.filler()); err != nil {
		t.Fatal(err)
	}
}

// A failing is a server whose audit log cannot be written for a while, and what
// its callers were told.
type failing struct {
	w    *world
	p    *process
	name string

	mu      sync.Mutex
	asked   int
	refusal []string // runs
}

func (w *world) failing(t *testing.T, p *process, name string) *failing {
	t.Helper()
	return &failing{w: w, p: p, name: name}
}

// ask resolves and returns the status of the answer.
func (f *failing) ask(t *testing.T) int {
	t.Helper()
	f.mu.Lock()
	f.asked++
	run := fmt.Sprintf("%s-%d", f.name, f.asked)
	f.mu.Unlock()
	res, text := f.w.post(t, f.p, `{"owner":{"userId":"ada"},"release":"token","runId":"`+run+`"}`)
	if res.StatusCode == http.StatusOK {
		return res.StatusCode
	}
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || strings.Contains(text, "accessToken") {
		t.Errorf("refused with %d, Retry-After %q: %s", res.StatusCode, res.Header.Get("Retry-After"), text)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusal = append(f.refusal, run)
	return res.StatusCode
}

func (w *world) post(t *testing.T, p *process, body string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/v1/credentials/"+providerID+"/resolve", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.key.Reveal())
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// released expects a release and green health.
func (f *failing) released(t *testing.T) {
	t.Helper()
	if status := f.ask(t); status != http.StatusOK {
		t.Errorf("status %d, want a release", status)
	}
	if status := f.ready(t); status != http.StatusOK {
		t.Errorf("readyz: %d, want 200", status)
	}
}

// refused expects a refusal and red health.
func (f *failing) refused(t *testing.T) {
	t.Helper()
	if status := f.ask(t); status != http.StatusServiceUnavailable {
		t.Errorf("status %d, want a refusal", status)
	}
	if status := f.ready(t); status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d, want 503", status)
	}
}

func (f *failing) ready(t *testing.T) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.p.url+"/readyz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// heals waits until health is green again, which takes no call of anybody else,
// and expects releases then. What was refused is not in the log as released.
func (f *failing) heals(t *testing.T, n *tally) {
	t.Helper()
	deadline, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for f.ready(t) != http.StatusOK {
		select {
		case <-poll.C:
		case <-deadline.Done():
			t.Fatal("health does not return")
		}
	}
	f.released(t)
	for _, run := range f.refusal {
		if slices.Contains(f.w.releasedRuns(t), run) {
			n.unexplained++
			t.Errorf("%s was refused, and recorded as released", run)
		}
	}
}

func (w *world) releasedRuns(t *testing.T) (runs []string) {
	t.Helper()
	v := w.opened.Vault
	q := tokenvault.EventQuery{Kind: tokenvault.EventReleased}
	for {
		page, err := v.Events(t.Context(), w.opened.Admin(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return runs
		}
		for _, e := range page {
			runs, q.After = append(runs, e.RunID), e.ID
		}
	}
}

// verify expects a whole audit log, which tells of each time that it could not be
// written.
func (w *world) verify(t *testing.T, n *tally) {
	t.Helper()
	w.verified(t, n)
	resumed, err := w.opened.Vault.Events(t.Context(), w.opened.Admin(), tokenvault.EventQuery{Kind: tokenvault.EventAuditResumed})
	if err != nil || len(resumed) != n.faults {
		t.Errorf("the log resumed %d times, %v, want %d", len(resumed), err, n.faults)
	}
}
