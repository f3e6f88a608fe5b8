package pool

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

// A mute browser is one that never answers, and takes a second to go.
type mute struct {
	conn   *cdp.Conn
	closed chan struct{}
	once   sync.Once
	rig    *rig
	ends   int
}

func (m *mute) Read() ([]byte, error)                   { <-m.closed; return nil, io.EOF }
func (m *mute) Write([]byte) error                      { return nil }
func (m *mute) Close() error                            { m.once.Do(func() { close(m.closed) }); return nil }
func (m *mute) Conn() *cdp.Conn                         { return m.conn }
func (m *mute) KeepFile(string, []byte) (string, error) { return "", errors.ErrUnsupported }

func (m *mute) LiveViewURL() tokenvault.Secret { return tokenvault.NewSecret("https://view.example/a") }

func (m *mute) End(context.Context) error {
	time.Sleep(time.Second)
	m.rig.mu.Lock()
	defer m.rig.mu.Unlock()
	m.ends++
	m.rig.running--
	return nil
}

// A rig is a pool of mute browsers.
type rig struct {
	*Pool
	t   *testing.T
	log strings.Builder

	mu       sync.Mutex
	browsers map[string]*mute
	running  int
	most     int
}

func newRig(t *testing.T, opts Options) *rig {
	t.Helper()
	r := &rig{t: t, browsers: map[string]*mute{}}
	if opts.Start == nil {
		opts.Start = r.start
	}
	opts.Logger = slog.New(slog.NewTextHandler(&r.log, nil))
	r.Pool = New(opts)
	return r
}

func (r *rig) start(_ context.Context, req tokenvault.BrowserRequest) (Browser, error) {
	m := &mute{closed: make(chan struct{}), rig: r}
	m.conn = cdp.New(m)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.browsers[req.ID] = m
	r.running++
	r.most = max(r.most, r.running)
	return m, nil
}

func (r *rig) open(id string) tokenvault.BrowserSession {
	r.t.Helper()
	s, err := r.Open(r.t.Context(), request(id))
	if err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	return s
}

func request(id string) tokenvault.BrowserRequest {
	return tokenvault.BrowserRequest{ID: id, Provider: tokenvault.Provider{ID: "bank", Login: &tokenvault.Login{URL: "https://example.com/login"}}}
}

func status(t *testing.T, s tokenvault.BrowserSession) tokenvault.BrowserStatus {
	t.Helper()
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestLineIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{MaxSessions: 2, Queue: 3})
		var all []tokenvault.BrowserSession
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			all = append(all, r.open(id))
		}
		if _, err := r.Open(t.Context(), request("f")); !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Fatalf("a full queue: %v", err)
		}
		positions := func() (got [5]int) {
			for i, s := range all {
				got[i] = status(t, s).Position
			}
			return got
		}
		if got := positions(); got != [5]int{0, 0, 1, 2, 3} {
			t.Fatalf("positions = %v", got)
		}
		if err := all[2].Close(t.Context()); err != nil { // gives up in the line
			t.Fatal(err)
		}
		if got := positions(); got != [5]int{0, 0, 0, 1, 2} {
			t.Fatalf("positions after one left = %v", got)
		}
		if err := all[0].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := positions(); got != [5]int{0, 0, 0, 0, 1} || status(t, all[3]).Phase != tokenvault.BrowserStarting {
			t.Fatalf("positions after one ended = %v; the next is %s", got, status(t, all[3]).Phase)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if r.most != 2 || r.running != 0 {
			t.Errorf("%d browsers ran at once, want 2; %d are left, want none", r.most, r.running)
		}
		if r.browsers["c"] != nil {
			t.Error("a browser was started for who had left")
		}
		if st := status(t, all[4]); st.End != tokenvault.BrowserEndClosed {
			t.Errorf("the last in the line: %+v, want it closed", st)
		}
	})
}

// A slot is free when the browser is gone, not when that was asked for. Meanwhile,
// nobody finds the session.
func TestSlotWaitsForTheBrowsersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{MaxSessions: 1})
		first := r.open("a")
		second := r.open("b")
		if _, err := r.Attach(t.Context(), "a"); err != nil {
			t.Errorf("Attach: %v", err)
		}
		go func() { _ = first.Close(context.Background()) }()
		synctest.Wait()
		if got := status(t, second).Phase; got != tokenvault.BrowserQueued {
			t.Errorf("the next is %s while the browser before is ending", got)
		}
		if _, err := r.Attach(t.Context(), "a"); !errors.Is(err, tokenvault.ErrNotFound) {
			t.Errorf("Attach to what ended: %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := status(t, second).Phase; got != tokenvault.BrowserStarting {
			t.Errorf("the next is %s", got)
		}
		_ = r.Close()
		if r.browsers["a"].ends != 1 {
			t.Errorf("the browser was ended %d times, want once", r.browsers["a"].ends)
		}
	})
}

// Whatever happens while a browser starts, none is left.
func TestEndsWhileStarting(t *testing.T) {
	for name, how := range map[string]func(r *rig, s tokenvault.BrowserSession) tokenvault.BrowserEnd{
		"closed": func(_ *rig, s tokenvault.BrowserSession) tokenvault.BrowserEnd {
			_ = s.Close(context.Background())
			return tokenvault.BrowserEndClosed
		},
		"its browser dies": func(r *rig, _ tokenvault.BrowserSession) tokenvault.BrowserEnd {
			_ = r.browsers["a"].Close()
			return "" // crashed, or failed: whoever notices first
		},
		"its browser hangs": func(*rig, tokenvault.BrowserSession) tokenvault.BrowserEnd {
			time.Sleep(time.Minute)
			return tokenvault.BrowserEndFailed
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Options{})
				s := r.open("a")
				want := how(r, s)
				synctest.Wait()
				if st := status(t, s); st.Phase != tokenvault.BrowserEnded || want != "" && st.End != want {
					t.Errorf("status = %+v, want the end %q", st, want)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if r.running != 0 || r.browsers["a"].ends != 1 {
					t.Errorf("%d browsers are left; it was ended %d times", r.running, r.browsers["a"].ends)
				}
				_ = r.Close()
			})
		})
	}
}

func TestFailedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{MaxSessions: 1, Start: func(ctx context.Context, req tokenvault.BrowserRequest) (Browser, error) {
			if req.ID == "slow" {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			return nil, errors.New("no such program")
		}})
		if st := status(t, r.open("a")); st.End != tokenvault.BrowserEndFailed {
			t.Errorf("status = %+v", st)
		}
		if !strings.Contains(r.log.String(), "no such program") {
			t.Errorf("log = %q, want why", &r.log)
		}
		slow := r.open("slow")
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := status(t, slow); st.End != tokenvault.BrowserEndFailed {
			t.Errorf("status = %+v", st)
		}
		stopped := r.open("slow")
		if err := stopped.Close(t.Context()); err != nil { // while it starts
			t.Fatal(err)
		}
		if st := status(t, stopped); st.End != tokenvault.BrowserEndClosed {
			t.Errorf("status = %+v", st)
		}
		_ = r.Close()
	})
}

// Who waits too long without looking is idle too, and time runs in the line.
func TestLimitsInTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{MaxSessions: 1, Start: func(ctx context.Context, _ tokenvault.BrowserRequest) (Browser, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}, StartLimit: time.Hour})
		long := request("a")
		long.IdleLimit, long.TimeLimit = time.Hour, time.Hour
		if _, err := r.Open(t.Context(), long); err != nil {
			t.Fatal(err)
		}
		idle := r.open("idle")
		timed := request("timed")
		timed.IdleLimit, timed.TimeLimit = time.Hour, 10*time.Minute
		limited, err := r.Open(t.Context(), timed)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if st := status(t, idle); st.End != tokenvault.BrowserEndIdle {
			t.Errorf("status = %+v, want idle", st)
		}
		if st := status(t, limited); st.Position != 1 {
			t.Errorf("status = %+v, want the first in the line", st)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if st := status(t, limited); st.End != tokenvault.BrowserEndTimeout {
			t.Errorf("status = %+v, want its time over", st)
		}
		_ = r.Close()
	})
}

func TestWhatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{MaxSessions: 1, Queue: -1})
		r.open("a")
		refusing := request("b")
		refusing.Provider.Login = &tokenvault.Login{Refuses: "use OAuth"}
		huge, negative, plain := request("c"), request("d"), request("e")
		huge.Width, negative.TimeLimit, plain.Provider.Login = 5000, -1, nil
		for name, req := range map[string]tokenvault.BrowserRequest{
			"open already": request("a"), "no id": request(""), "refusing": refusing, "huge": huge, "negative": negative, "no login": plain,
		} {
			if _, err := r.Open(t.Context(), req); !errors.Is(err, tokenvault.ErrInvalid) {
				t.Errorf("%s: err = %v, want ErrInvalid", name, err)
			}
		}
		if _, err := r.Open(t.Context(), request("f")); !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("no queue: %v", err)
		}
		_ = r.Close()
		if _, err := r.Open(t.Context(), request("g")); !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{Elsewhere: true, MaxSessions: 1})
		s := r.open("a")
		if _, ok := s.(tokenvault.Viewable); ok {
			t.Error("a session that is shown elsewhere can be viewed here")
		}
		if _, ok := s.(tokenvault.Drivable); !ok {
			t.Error("a session that is shown elsewhere cannot be driven")
		}
		if s.LiveViewURL().Reveal() != "https://view.example/a" {
			t.Error("the live view's URL did not come through")
		}
		if waiting := r.open("b"); !waiting.LiveViewURL().IsZero() {
			t.Error("a session in the line has a live view's URL")
		}
		_ = r.Close()
	})
}
