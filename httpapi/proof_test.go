package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

// revokedFor is how soon an answer ends after its caller was revoked elsewhere, at most.
const revokedFor = 20 * time.Second

var streams = header("Accept", "text/event-stream")

// begin begins a call whose answer takes its time, and returns how to get it, with
// how long it took.
func begin(call func() answer) (end func() (answer, time.Duration)) {
	begun, done := time.Now(), make(chan answer, 1)
	go func() { done <- call() }()
	synctest.Wait()
	return func() (answer, time.Duration) {
		a := <-done
		return a, time.Since(begun)
	}
}

// wantPending checks that a stream told what it began with, and nothing of its end.
func wantPending(t *testing.T, a answer) {
	t.Helper()
	if a.StatusCode != http.StatusOK || strings.Count(a.text, "event: auth_request") != 1 || !strings.Contains(a.text, `"status":"pending"`) {
		t.Errorf("status %d: %s", a.StatusCode, a.text)
	}
}

func (r *rig) newKey(t *testing.T, in tokenvault.APIKeyInput) (id, text string) {
	t.Helper()
	in.Name, in.Kind, in.Owner = "assistant", tokenvault.ActorAgent, owner("alice")
	key, secret, err := r.CreateAPIKey(t.Context(), admin, in)
	if err != nil {
		t.Fatal(err)
	}
	return key.ID, secret.Reveal()
}

// A key that any process revokes hears nothing more of a request after some seconds,
// and is refused when it asks again.
func TestA5AnAnswerEndsWithTheRevokedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		req := r.ask(t, "alice")
		path := "/v1/auth-requests/" + req.ID
		id, key := r.newKey(t, tokenvault.APIKeyInput{})
		stream := begin(func() answer { return r.with(key, "GET", path, "", streams) })
		<-time.After(time.Minute) // the same key goes on as long as it is valid
		poll := begin(func() answer { return r.with(key, "GET", path+"?wait=50s", "") })
		revoked := time.Now()
		if err := r.store.RevokeAPIKey(t.Context(), "default", id, tokenvault.Event{Tenant: "default"}); err != nil {
			t.Fatal(err)
		}
		told, _ := stream()
		if after := time.Since(revoked); after > revokedFor {
			t.Errorf("the stream ends %s after the key", after)
		}
		refused, took := poll()
		if took > revokedFor {
			t.Errorf("the long poll ends %s after the key", took)
		}
		refused.want(t, http.StatusUnauthorized, "unauthenticated")
		if _, err := r.Decline(t.Context(), person("alice"), req.ID); err != nil {
			t.Fatal(err)
		}
		wantPending(t, told)
		r.with(key, "GET", path, "", streams).want(t, http.StatusUnauthorized, "unauthenticated")
	})
}

// Whose end is known goes on until then, and no moment longer: keys that expire or
// were rotated, sessions of pages.
func TestAnAnswerEndsAtTheEndOfItsProof(t *testing.T) {
	const end = 40 * time.Second
	for name, proof := range map[string]func(*testing.T, *rig) func(path string, edit ...func(*http.Request)) answer{
		"a key that expires": func(t *testing.T, r *rig) func(string, ...func(*http.Request)) answer {
			_, key := r.newKey(t, tokenvault.APIKeyInput{TTL: end})
			return func(path string, edit ...func(*http.Request)) answer {
				return r.with(key, "GET", "/v1"+path, "", edit...)
			}
		},
		"a key that was rotated": func(t *testing.T, r *rig) func(string, ...func(*http.Request)) answer {
			id, key := r.newKey(t, tokenvault.APIKeyInput{})
			if _, _, err := r.RotateAPIKey(t.Context(), admin, id, end); err != nil {
				t.Fatal(err)
			}
			return func(path string, edit ...func(*http.Request)) answer {
				return r.with(key, "GET", "/v1"+path, "", edit...)
			}
		},
		"a session of a page": func(t *testing.T, r *rig) func(string, ...func(*http.Request)) answer {
			backend := tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "app", Owner: owner("alice"), Scopes: tokenvault.NewKeyScopes(tokenvault.ScopeSessions)}
			s, err := r.CreateSession(t.Context(), backend, tokenvault.SessionInput{Origin: "https://app.example", TTL: end})
			if err != nil {
				t.Fatal(err)
			}
			return func(path string, edit ...func(*http.Request)) answer {
				edit = append(edit, header("Authorization", "Bearer "+s.Token.Reveal()), header("Origin", "https://app.example"))
				return request(r.browser, "GET", r.Mount()+path, "", edit...)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				path := "/auth-requests/" + r.ask(t, "alice").ID
				get := proof(t, r)
				stream := begin(func() answer { return get(path, streams) })
				poll := begin(func() answer { return get(path + "?wait=50s") })
				last, took := poll()
				if last.json(t, "status") != "pending" || took != end {
					t.Errorf("the long poll ends after %s: %s", took, last.text)
				}
				told, took := stream()
				if took != end {
					t.Errorf("the stream ends after %s, want %s", took, end)
				}
				wantPending(t, told)
				get(path).want(t, http.StatusUnauthorized, "unauthenticated")
			})
		})
	}
}

// A key that is rotated while a stream is open ends the stream with its overlap.
func TestAStreamEndsWithTheOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		id, key := r.newKey(t, tokenvault.APIKeyInput{})
		path := "/v1/auth-requests/" + r.ask(t, "alice").ID
		stream := begin(func() answer { return r.with(key, "GET", path, "", streams) })
		if _, _, err := r.RotateAPIKey(t.Context(), admin, id, time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, took := stream(); took != time.Minute {
			t.Errorf("the stream ends after %s", took)
		}
	})
}

// hostAuth is a host's authenticator, whose users can sign out.
type hostAuth struct {
	headerAuth
	asked atomic.Int32
	now   atomic.Pointer[func() (tokenvault.Actor, error)] // nil: as the header says
}

func (h *hostAuth) Authenticate(r *http.Request) (tokenvault.Actor, error) {
	h.asked.Add(1)
	if now := h.now.Load(); now != nil {
		return (*now)()
	}
	return h.headerAuth.Authenticate(r)
}

// The host is asked once for each look, and a user who signed out, or is another one
// now, hears no more. So is a user whom the host cannot tell: who asks again is told.
func TestAStreamEndsWithTheHostsSession(t *testing.T) {
	for name, tc := range map[string]struct {
		now    func() (tokenvault.Actor, error)
		status int
	}{
		"signed out":      {func() (tokenvault.Actor, error) { return tokenvault.Actor{}, tokenvault.ErrUnauthenticated }, http.StatusUnauthorized},
		"another user":    {func() (tokenvault.Actor, error) { return person("eve"), nil }, http.StatusNotFound},
		"the host is out": {func() (tokenvault.Actor, error) { return tokenvault.Actor{}, tokenvault.ErrUnavailable }, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, host := newRig(t), &hostAuth{}
				r.browser = NewHandler(r.Vault, host, &Options{Limits: Limits{PerUser: 0.001}}) // two calls
				path := "/auth-requests/" + r.ask(t, "alice").ID
				stream := begin(func() answer { return r.as("alice", "GET", path, "", streams) })
				<-time.After(10*lookAgain + time.Second)
				if asked := host.asked.Load(); asked != 11 {
					t.Errorf("the host was asked %d times", asked)
				}
				host.now.Store(&tc.now)
				ended := time.Now()
				told, _ := stream()
				if after := time.Since(ended); after > lookAgain {
					t.Errorf("the stream ends %s after the session", after)
				}
				wantPending(t, told)
				r.browser = NewHandler(r.Vault, host, nil)
				r.as("alice", "GET", path, "", streams).want(t, tc.status, "")
			})
		})
	}
}

// once is an authenticator whose proofs are spent, but can be looked at again.
type once struct {
	headerAuth
	until time.Time
	spent atomic.Int32
}

func (o *once) Authenticate(r *http.Request) (tokenvault.Actor, error) {
	o.spent.Add(1)
	return o.headerAuth.Authenticate(r)
}

func (o *once) Recheck(r *http.Request) (tokenvault.Actor, time.Time, error) {
	actor, err := o.headerAuth.Authenticate(r)
	return actor, o.until, err
}

func TestAProofThatIsSpentIsNotSpentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, auth := newRig(t), &once{until: time.Now().Add(50 * time.Second)}
		r.browser = NewHandler(r.Vault, auth, nil)
		path := "/auth-requests/" + r.ask(t, "alice").ID
		stream := begin(func() answer { return r.as("alice", "GET", path, "", streams) })
		told, took := stream()
		if took != 50*time.Second || auth.spent.Load() != 1 {
			t.Errorf("the stream ends after %s, and its proof was taken %d times", took, auth.spent.Load())
		}
		wantPending(t, told)
	})
}

// However many streams a key has, it is looked up once in each round of looks, unless
// they look in the very same instant.
func TestLooksAreCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		_, key := r.newKey(t, tokenvault.APIKeyInput{TTL: 10*lookAgain + time.Second})
		path := "/v1/auth-requests/" + r.ask(t, "alice").ID
		before := r.store.keyReads.Load()
		var ends []func() (answer, time.Duration)
		for range 20 {
			<-time.After(100 * time.Millisecond)
			ends = append(ends, begin(func() answer { return r.with(key, "GET", path, "", streams) }))
		}
		for _, end := range ends {
			end()
		}
		if reads := r.store.keyReads.Load() - before; reads > 11 {
			t.Errorf("the key was looked up %d times in ten rounds", reads)
		}
	})
}

// Who asks while a key is looked up waits for that, so that a slow store is not asked by
// each stream. A key that was ended meanwhile is looked up again.
func TestLooksAtOnceAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		id, key := r.newKey(t, tokenvault.APIKeyInput{})
		path := "/v1/auth-requests/" + r.ask(t, "alice").ID
		r.store.slow.Store(int64(time.Second))
		before := r.store.keyReads.Load()
		var ends []func() (answer, time.Duration)
		for range 20 {
			ends = append(ends, begin(func() answer { return r.with(key, "GET", path, "", streams) }))
		}
		<-time.After(lookAgain + 3*time.Second/2) // in the middle of the looks
		if reads := r.store.keyReads.Load() - before; reads != 2 {
			t.Errorf("the key was looked up %d times for the first look of 20 streams, want 1", reads-1)
		}
		if err := r.RevokeAPIKey(t.Context(), admin, id); err != nil {
			t.Fatal(err)
		}
		r.with(key, "GET", path, "").want(t, http.StatusUnauthorized, "unauthenticated")
		for _, end := range ends {
			if told, took := end(); took > 3*lookAgain {
				t.Errorf("a stream ends after %s: %s", took, told.text)
			}
		}
	})
}

// A store that does not answer lets nobody hear more than an answering one would, and
// what waits is told that it may come again.
func TestALookThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const end = 2*lookAgain + time.Second
		r := newRig(t)
		_, key := r.newKey(t, tokenvault.APIKeyInput{TTL: end})
		path := "/v1/auth-requests/" + r.ask(t, "alice").ID
		stream := begin(func() answer { return r.with(key, "GET", path, "", streams) })
		poll := begin(func() answer { return r.with(key, "GET", path+"?wait=50s", "") })
		<-time.After(lookAgain + time.Second)
		r.store.slow.Store(int64(time.Hour))
		refused, _ := poll()
		refused.want(t, http.StatusServiceUnavailable, "unavailable")
		told, took := stream()
		if took > end {
			t.Errorf("the stream ends after %s, and its key after %s", took, end)
		}
		wantPending(t, told)
		<-time.After(lookTimeout) // the last look is given up
	})
}

// Who signs out, at whichever process, ends the streams of that session and of no other.
func TestSigningOutEndsTheStreamsOfTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		path := "/auth-requests/" + r.ask(t, "alice").ID
		signedIn := func() (tokenvault.Secret, func() (answer, time.Duration)) {
			s, err := r.SignIn(t.Context(), person("alice"), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			return s.Token, begin(func() answer {
				return request(r.browser, "GET", r.Mount()+path, "", streams,
					header("Authorization", "Bearer "+s.Token.Reveal()), header("Origin", r.PublicURL()))
			})
		}
		mine, end := signedIn()
		_, other := signedIn()
		<-time.After(time.Minute)
		if err := r.SignOut(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		if _, took := end(); took > time.Minute+lookAgain {
			t.Errorf("the stream ends after %s", took)
		}
		if _, took := other(); took != time.Hour {
			t.Errorf("the stream of another session ends after %s", took)
		}
	})
}

// changing is an authenticator whose session is another user's by the time it is looked at.
type changing struct{ headerAuth }

func (changing) Recheck(*http.Request) (tokenvault.Actor, time.Time, error) {
	return person("eve"), time.Time{}, nil
}

func TestAProofIsOfWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.browser = NewHandler(r.Vault, changing{}, nil)
		path := "/auth-requests/" + r.ask(t, "alice").ID
		stream := begin(func() answer { return r.as("alice", "GET", path, "", streams) })
		told, took := stream()
		told.want(t, http.StatusUnauthorized, "unauthenticated")
		if took > 0 {
			t.Errorf("it takes %s", took)
		}
	})
}

// pipes serves h in memory, where time is the test's, and returns a client of it.
func pipes(t *testing.T, h http.Handler) *http.Client {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		l.conns <- far
		return near, nil
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return &http.Client{Transport: transport}
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.closed)
	return nil
}

func (*pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// An agent whose key is revoked drives no browser for longer than some seconds.
func TestABrowserIsNotDrivenWithoutAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flow := &browsers{sessions: make(map[string]*session)}
		r := newLoginVault(t, &watched{Store: memory.New(nil)}, flow, func(o *tokenvault.Options) { o.PublicURL = origin })
		id, key := r.newKey(t, tokenvault.APIKeyInput{})
		asked := r.with(key, "POST", "/v1/credentials/driven/resolve", `{}`)
		begun := r.as("alice", "POST", fmt.Sprint("/auth-requests/", asked.json(t, "authRequest.authRequestId"), "/browser-login"), `{}`)
		done := r.as("alice", "POST", fmt.Sprint("/browser-login/", begun.json(t, "sessionId"), "/finish"), "")
		conn, res, err := websocket.Dial(t.Context(), fmt.Sprint("ws://vault.example/v1/browser-sessions/", done.json(t, "credentialId"), "/cdp"),
			&websocket.DialOptions{HTTPClient: pipes(t, r.v1), HTTPHeader: http.Header{"Authorization": {"Bearer " + key}}})
		if err != nil {
			t.Fatalf("%v, %v", err, res)
		}
		defer func() { _ = conn.CloseNow() }()
		revoked := time.Now()
		if err := r.store.RevokeAPIKey(t.Context(), "default", id, tokenvault.Event{Tenant: "default"}); err != nil {
			t.Fatal(err)
		}
		_, _, err = conn.Read(t.Context())
		if code := websocket.CloseStatus(err); code != closeRefused {
			t.Errorf("closed with %d (%v), want %d", code, err, closeRefused)
		}
		if after := time.Since(revoked); after > revokedFor {
			t.Errorf("the browser is driven for %s after the key", after)
		}
	})
}

// watch opens a live view of a login of a user's over client, with headers of the page.
func (r *loginRig) watch(t *testing.T, client *http.Client, user string, page http.Header) (id string, view *websocket.Conn) {
	t.Helper()
	id, _ = r.start(t, user, "bank")
	ticket := r.as(user, "POST", "/browser-login/"+id+"/ticket", "", header("Origin", page.Get("Origin")))
	url, _ := ticket.json(t, "viewUrl").(string)
	conn, _, err := websocket.Dial(t.Context(), strings.Replace(url, "wss:", "ws:", 1), &websocket.DialOptions{HTTPClient: client, HTTPHeader: page})
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, map[string]any{"ticket": ticket.json(t, "ticket")})
	synctest.Wait()
	return id, conn
}

// A browser is not shown to a user who signed out: where the WebSocket came with what
// proves them. A page that sends tokens has proven them with the ticket.
func TestALiveViewEndsWithTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flow, host := &browsers{sessions: make(map[string]*session)}, &hostAuth{}
		r := &loginRig{flow: flow, rig: newLoginVault(t, &watched{Store: memory.New(nil)}, flow, func(o *tokenvault.Options) { o.PublicURL = origin })}
		r.browser = NewHandler(r.Vault, host, nil)
		client := pipes(t, r.browser)
		_, near := r.watch(t, client, "alice", http.Header{"Origin": {origin}, "Test-User": {"alice"}})
		defer func() { _ = near.CloseNow() }()
		id, far := r.watch(t, client, "bob", http.Header{"Origin": {"https://app.example"}})
		defer func() { _ = far.CloseNow() }()
		farEnds := make(chan error, 1)
		go func() {
			_, _, err := far.Read(t.Context())
			farEnds <- err
		}()
		out := func() (tokenvault.Actor, error) { return tokenvault.Actor{}, tokenvault.ErrUnauthenticated }
		go func() {
			<-time.After(time.Minute)
			host.now.Store(&out)
		}()
		begun := time.Now()
		_, _, err := near.Read(t.Context())
		if code, took := websocket.CloseStatus(err), time.Since(begun); code != closeRefused || took < time.Minute || took > time.Minute+lookAgain {
			t.Errorf("closed with %d after %s: %v", code, took, err)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		select {
		case err := <-farEnds:
			t.Errorf("the page with tokens is shown no more: %v", err)
		default:
		}
		r.flow.session(id).end(tokenvault.BrowserEndClosed)
		if code := websocket.CloseStatus(<-farEnds); code != closeEnded {
			t.Errorf("closed with %d, want %d", code, closeEnded)
		}
	})
}
