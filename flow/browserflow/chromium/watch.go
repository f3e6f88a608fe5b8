package chromium

import (
	"sync"
	"time"
)

// watchEvery is how often the browsers' memory is looked at.
const watchEvery = time.Second

// A watch kills browsers that hold too much memory. Their sessions end as crashed.
type watch struct {
	limit int64 // bytes; none below 1
	done  chan struct{}
	once  sync.Once
	work  sync.WaitGroup

	mu       sync.Mutex
	machines map[*machine]bool
}

func startWatch(limit int64, every time.Duration) *watch {
	w := &watch{limit: limit, done: make(chan struct{}), machines: make(map[*machine]bool)}
	if limit < 1 {
		return w
	}
	w.work.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.look()
			case <-w.done:
				return
			}
		}
	})
	return w
}

func (w *watch) stop() {
	w.once.Do(func() { close(w.done) })
	w.work.Wait()
}

func (w *watch) add(m *machine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.machines[m] = true
}

func (w *watch) remove(m *machine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.machines, m)
}

// look kills what is over the limit.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.machines) == 0 {
		return
	}
	held := memory()
	for m := range w.machines {
		pid := m.process.cmd.Process.Pid
		if held[pid]+m.profile.size() > w.limit {
			killGroup(pid)
			delete(w.machines, m)
		}
	}
}
