//go:build linux

package chromium

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest"
)

func newBrowser(t *testing.T, opts Options) *Browser {
	t.Helper()
	opts.User = testUser()
	if opts.ProfileDir == "" {
		opts.ProfileDir = profileDir(t)
	}
	b, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if left := profilesIn(t, b.config.parent); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
	return b
}

// login is a provider whose login page a host has, and whose domain the host is.
func login(id, host, path string) tokenvault.BrowserRequest {
	return tokenvault.BrowserRequest{ID: id, Provider: tokenvault.Provider{ID: "bank", Login: &tokenvault.Login{
		URL: "http://" + host + path, Domains: []string{host}, Signs: []tokenvault.LoginSign{{Strategy: tokenvault.SignURLPattern, Pattern: `http://[^/]+/home.*`}},
	}}}
}

func openSession(t *testing.T, b *Browser, req tokenvault.BrowserRequest) tokenvault.BrowserSession {
	t.Helper()
	s, err := b.Open(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session is open", func() bool {
		st := statusOf(t, s)
		if st.Phase == tokenvault.BrowserEnded {
			t.Fatalf("the session ended: %s", st.End)
		}
		return st.Phase == tokenvault.BrowserOpen
	})
	return s
}

func statusOf(t *testing.T, s tokenvault.BrowserSession) tokenvault.BrowserStatus {
	t.Helper()
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func endsAs(t *testing.T, s tokenvault.BrowserSession, want tokenvault.BrowserEnd) {
	t.Helper()
	eventually(t, "the session ends", func() bool { return statusOf(t, s).Phase == tokenvault.BrowserEnded })
	if got := statusOf(t, s).End; got != want {
		t.Errorf("it ended by %q, want %q", got, want)
	}
}

// pidOf returns the browser's process.
func pidOf(t *testing.T, b *Browser) int {
	t.Helper()
	b.watch.mu.Lock()
	defer b.watch.mu.Unlock()
	for m := range b.watch.machines {
		return m.process.cmd.Process.Pid
	}
	t.Fatal("no browser runs")
	return 0
}

// B5: the browser dies; the session says so, and nothing is left.
func TestB5SessionOfAKilledBrowser(t *testing.T) {
	host := site(t, page("<title>login</title>"))
	b := newBrowser(t, Options{AllowHosts: []string{host}})
	s := openSession(t, b, login("a", host, "/"))
	killGroup(pidOf(t, b))
	endsAs(t, s, tokenvault.BrowserEndCrashed)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := profilesIn(t, b.config.parent); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if _, err := b.Attach(t.Context(), "a"); !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("Attach: %v", err)
	}
	openSession(t, b, login("b", host, "/")) // the next one works
}

// A page that takes more memory than it may, in whatever way, ends its own session
// only.
func TestMemoryIsBounded(t *testing.T) {
	for name, script := range map[string]string{
		"arrays":          `const kept = []; setInterval(() => { for (let i = 0; i < 4; i++) kept.push(new Uint8Array(8 << 20).fill(1)) }, 20)`,
		"storage":         `(async () => { const cache = await caches.open('x'); for (let i = 0; ; i++) await cache.put('/' + i, new Response(new Uint8Array(8 << 20).fill(i))) })()`,
		"a huge document": `setInterval(() => { for (let i = 0; i < 20000; i++) { const p = document.createElement('p'); p.textContent = 'x'.repeat(100) + i; document.body.append(p) } }, 10)`,
	} {
		t.Run(name, func(t *testing.T) {
			host := site(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/hungry" {
					page("<body><script>"+script+"</script>")(w, r)
					return
				}
				page("<title>modest</title>")(w, r)
			})
			b := newBrowser(t, Options{AllowHosts: []string{host}, MaxMemory: 512 << 20})
			modest := openSession(t, b, login("modest", host, "/"))
			hungry, err := b.Open(t.Context(), login("hungry", host, "/hungry"))
			if err != nil {
				t.Fatal(err)
			}
			endsAs(t, hungry, tokenvault.BrowserEndCrashed)
			if st := statusOf(t, modest); st.Phase != tokenvault.BrowserOpen {
				t.Errorf("the other session: %+v", st)
			}
		})
	}
}

// B4: two people at the same service share nothing.
func TestB4NothingBleedsBetweenSessions(t *testing.T) {
	host := site(t, func(w http.ResponseWriter, r *http.Request) {
		who := ""
		if c, err := r.Cookie("who"); err == nil {
			who = c.Value
		}
		if name := r.URL.Query().Get("as"); name != "" {
			http.SetCookie(w, &http.Cookie{Name: "who", Value: who + name, Path: "/", MaxAge: 3600})
			page("<script>localStorage.who = (localStorage.who ?? '') + '"+name+"'; location = '/home?' + localStorage.who + document.cookie</script>")(w, r)
			return
		}
		page("<title>home</title>")(w, r)
	})
	b := newBrowser(t, Options{AllowHosts: []string{host}, MaxSessions: 2})
	sessions := map[string]tokenvault.BrowserSession{}
	for _, name := range []string{"alice", "bob"} {
		sessions[name] = openSession(t, b, login(name, host, "/?as="+name))
	}
	check := func(name string) {
		t.Helper()
		if err := sessions[name].Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		state, err := sessions[name].Capture(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{"alice", "bob"} {
			if got := strings.Contains(state.StorageState.Reveal(), other); got != (other == name) {
				t.Errorf("the state of %s says %t of %s", name, got, other)
			}
		}
	}
	check("alice")
	check("bob")
	if err := sessions["alice"].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	sessions["alice"] = openSession(t, b, login("alice again", host, "/?as=alice")) // nothing is left of the first one either
	check("alice")
}

// Ten at once, on however few cores: each is served.
func TestTenSessionsAtOnce(t *testing.T) {
	var seen sync.Map
	host := site(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.URL.RawQuery, true)
		page("<title>login</title><script>location = '/home?' + location.search.slice(1)</script>")(w, r)
	})
	b := newBrowser(t, Options{AllowHosts: []string{host}, MaxSessions: 6})
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			s, err := b.Open(ctx, login(fmt.Sprintf("s%d", i), host, fmt.Sprintf("/home?%d", i)))
			if err == nil {
				err = errors.Join(awaitOpen(ctx, s), s.Await(ctx), s.Close(ctx))
			}
			if err != nil {
				t.Errorf("session %d: %v", i, err)
			}
		})
	}
	all.Wait()
	for i := range 10 {
		if _, ok := seen.Load(fmt.Sprint(i)); !ok {
			t.Errorf("session %d did not get to its page", i)
		}
	}
}

func awaitOpen(ctx context.Context, s tokenvault.BrowserSession) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := s.Status(ctx)
		if err != nil || st.Phase == tokenvault.BrowserOpen || st.Phase == tokenvault.BrowserEnded {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A login page that does its worst: the session goes on, the machine is not harmed,
// and the person can leave it.
func TestHostilePages(t *testing.T) {
	for name, script := range map[string]string{
		"windows":   `setInterval(() => { for (let i = 0; i < 100; i++) window.open('/window?' + i) }, 100)`,
		"dialogs":   `for (;;) { fetch('/tick'); alert('again') }`,
		"downloads": `setInterval(() => { const a = document.createElement('a'); a.href = '/file'; a.download = 'evil.sh'; document.body.append(a); a.click() }, 50)`,
		"loop":      `for (;;) {}`,
		"printing":  `setInterval(() => print(), 50)`,
		"files":     `location = 'file:///etc/passwd'; setTimeout(() => { location = 'chrome://version' }, 50); window.open('file:///etc/passwd')`,
	} {
		t.Run(name, func(t *testing.T) {
			var ticks atomic.Int32
			host := site(t, func(w http.ResponseWriter, r *http.Request) {
				ticks.Add(1)
				switch r.URL.Path {
				case "/":
					page("<title>hostile</title><body><script>fetch('/tick'); setTimeout(() => { "+script+" }, 0)</script>")(w, r)
				case "/file":
					w.Header().Set("Content-Disposition", "attachment; filename=evil.sh")
					_, _ = fmt.Fprint(w, "#!/bin/sh")
				default:
					page("<title>window</title>")(w, r)
				}
			})
			b := newBrowser(t, Options{AllowHosts: []string{host}})
			s := openSession(t, b, login("a", host, "/"))
			eventually(t, "the page has begun", func() bool { return ticks.Load() >= 2 })
			if st := statusOf(t, s); st.Phase != tokenvault.BrowserOpen || !strings.HasPrefix(st.CurrentURL, "http://"+host) && st.CurrentURL != "" {
				t.Errorf("status = %+v", st)
			}
			found, err := filepath.Glob(filepath.Join(b.config.parent, "*", "*evil*"))
			if err != nil || len(found) > 0 {
				t.Errorf("downloaded: %q, %v", found, err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Errorf("it cannot be left: %v", err)
			}
		})
	}
}

func TestKeptFilesAreReadableAndGo(t *testing.T) {
	c := newConfig(t, Options{})
	p, err := newProfile(c.parent, c.account)
	if err != nil {
		t.Fatal(err)
	}
	first, err := p.keep("id.png", []byte("x"), c.account)
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.keep("id.png", []byte("y"), c.account)
	if err != nil || filepath.Base(first) != "id.png" || first == second {
		t.Errorf("kept as %q and %q, %v", first, second, err)
	}
	info, err := os.Stat(first)
	if err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("mode %v, %v; want it closed to others", info.Mode(), err)
	}
	if outside, err := p.keep("../../../evil", nil, c.account); err != nil || !strings.HasPrefix(outside, p.dir) {
		t.Errorf("kept as %q, %v", outside, err)
	}
	if err := p.wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := profilesIn(t, c.parent); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestSuites(t *testing.T) {
	a := browsertest.Adapter{New: func(t *testing.T, allow []string) tokenvault.Browser {
		return newBrowser(t, Options{AllowHosts: allow})
	}}
	browsertest.Sessions(t, a)
	browsertest.Logins(t, a)
}

// A browser that crashes before it has answered is started again, once.
func TestACrashAtTheStart(t *testing.T) {
	for _, crashes := range []int{1, 2} {
		dir, err := os.MkdirTemp("", "tv-crash-") //nolint:usetesting // for the browser's user to reach
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o777); err != nil { // that user writes here
			t.Fatal(err)
		}
		path := filepath.Join(dir, "chromium")
		script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" != --version ] || exec %[3]s \"$@\"\necho >>%[1]s/starts\n[ $(wc -l <%[1]s/starts) -le %[2]d ] && kill -SEGV $$\nexec %[3]s \"$@\"\n", dir, crashes, newConfig(t, Options{}).path)
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		host := site(t, page("<title>login</title>"))
		s, err := newBrowser(t, Options{AllowHosts: []string{host}, Path: path}).Open(t.Context(), login("a", host, "/"))
		if err != nil {
			t.Fatal(err)
		}
		var phase tokenvault.BrowserPhase
		eventually(t, "the session is open or has ended", func() bool {
			phase = statusOf(t, s).Phase
			return phase == tokenvault.BrowserOpen || phase == tokenvault.BrowserEnded
		})
		if opened := phase == tokenvault.BrowserOpen; opened != (crashes == 1) {
			t.Errorf("after %d crashes the session is %s", crashes, phase)
		}
		starts, err := os.ReadFile(filepath.Join(dir, "starts"))
		if err != nil || len(starts) != 2 {
			t.Errorf("%d starts, %v, want 2", len(starts), err)
		}
	}
}
