package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

const bankState = `{"cookies":[{"name":"sid","value":"state-canary","domain":"bank.example","path":"/","expires":-1,"httpOnly":true,"secure":true,"sameSite":"Lax"}],` +
	`"origins":[],"x_sessionStorage":[{"origin":"https://bank.example","localStorage":[{"name":"k","value":"tab-canary"}]}]}`

// browsers is a flow whose browsers do as they are told: what is tested here is what
// goes over HTTP.
type browsers struct {
	mu       sync.Mutex
	sessions map[string]*session
	denied   bool // nobody is signed in
}

func (*browsers) Begin(context.Context, tokenvault.BeginInput) (tokenvault.Step, error) {
	return tokenvault.Step{}, nil
}

func (b *browsers) Open(_ context.Context, req tokenvault.BrowserRequest) (tokenvault.BrowserSession, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &session{
		id: req.ID, signed: make(chan struct{}), ended: make(chan struct{}),
		inputs: make(chan tokenvault.ViewInput, 16), updates: make(chan tokenvault.ViewUpdate, 16), calls: make(chan []byte, 16),
	}
	b.sessions[req.ID] = s
	return s, nil
}

func (b *browsers) Attach(_ context.Context, id string) (tokenvault.BrowserSession, error) {
	if s := b.session(id); s != nil {
		return s, nil
	}
	return nil, tokenvault.ErrNotFound
}

func (b *browsers) session(id string) *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[id]
}

func (b *browsers) Capture(context.Context, tokenvault.BrowserSession, tokenvault.Provider) (tokenvault.Completed, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.denied {
		return tokenvault.Completed{}, fmt.Errorf("nobody is signed in: %w", tokenvault.ErrDenied)
	}
	return tokenvault.Completed{
		Credential: tokenvault.Credential{AuthMethod: tokenvault.AuthBrowserLogin, Browser: tokenvault.BrowserState{
			StorageState: tokenvault.NewSecret(bankState), UserAgent: "Mozilla/5.0", Width: 1280, Height: 800,
		}},
		Account: tokenvault.Account{ID: "1", Label: "alice"},
	}, nil
}

func (b *browsers) deny(denied bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.denied = denied
}

type session struct {
	id      string
	signed  chan struct{}
	ended   chan struct{}
	inputs  chan tokenvault.ViewInput
	updates chan tokenvault.ViewUpdate
	calls   chan []byte

	mu   sync.Mutex
	why  tokenvault.BrowserEnd
	view *view
}

func (s *session) ID() string                     { return s.id }
func (s *session) LiveViewURL() tokenvault.Secret { return tokenvault.Secret{} }

func (s *session) Status(context.Context) (tokenvault.BrowserStatus, error) {
	if s.over() != nil {
		return tokenvault.BrowserStatus{}, s.over()
	}
	return tokenvault.BrowserStatus{Phase: tokenvault.BrowserOpen, CurrentURL: "https://bank.example/login", EndsAt: time.Now().Add(time.Minute)}, nil
}

func (s *session) over() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == "" {
		return nil
	}
	return &tokenvault.BrowserError{End: s.why}
}

func (s *session) end(why tokenvault.BrowserEnd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == "" {
		s.why = why
		close(s.ended)
	}
}

func (s *session) Await(ctx context.Context) error {
	select {
	case <-s.ended:
		return s.over()
	case <-s.signed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) Capture(context.Context) (tokenvault.BrowserState, error) {
	return tokenvault.BrowserState{}, s.over()
}

func (s *session) Close(context.Context) error {
	s.end(tokenvault.BrowserEndClosed)
	return nil
}

// view is one of a session; a new one takes its place.
type view struct {
	*session
	replaced chan struct{}
}

func (s *session) View(context.Context) (tokenvault.LiveView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != nil {
		close(s.view.replaced)
	}
	s.view = &view{s, make(chan struct{})}
	return s.view, nil
}

func (v *view) Next(ctx context.Context) (tokenvault.ViewUpdate, error) {
	select {
	case <-v.replaced:
		return tokenvault.ViewUpdate{}, tokenvault.ErrConflict
	case u := <-v.updates:
		return u, nil
	case <-v.ended:
		return tokenvault.ViewUpdate{}, v.over()
	case <-ctx.Done():
		return tokenvault.ViewUpdate{}, ctx.Err()
	}
}

func (v *view) Do(_ context.Context, in tokenvault.ViewInput) error {
	if in.Kind == tokenvault.ViewTouch {
		return &tokenvault.FieldError{Field: "kind", Reason: "must be one"}
	}
	v.inputs <- in
	return nil
}

func (v *view) Close() error { return nil }

func (s *session) Drive(context.Context) (tokenvault.Wire, error) { return echo{s}, nil }

// echo answers each call with itself.
type echo struct{ *session }

func (e echo) Send(_ context.Context, call []byte) error {
	e.calls <- call
	return nil
}

func (e echo) Receive(ctx context.Context) ([]byte, error) {
	select {
	case call := <-e.calls:
		return call, nil
	case <-e.ended:
		return nil, e.over()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e echo) Close() error { return nil }

// A loginRig is a rig with a bank that is connected in a browser, and a server in
// front of it, since WebSockets need one.
type loginRig struct {
	*rig
	flow   *browsers
	server *httptest.Server
}

func newLoginRig(t testing.TB, change ...func(*tokenvault.Options)) *loginRig {
	t.Helper()
	r := &loginRig{flow: &browsers{sessions: make(map[string]*session)}}
	mux := http.NewServeMux()
	r.server = httptest.NewServer(mux)
	t.Cleanup(r.server.Close)
	r.rig = newLoginVault(t, &watched{Store: memory.New(nil)}, r.flow, append([]func(*tokenvault.Options){
		func(o *tokenvault.Options) { o.PublicURL = r.server.URL },
	}, change...)...)
	mux.Handle("/v1/", r.v1)
	mux.Handle("/", r.browser)
	return r
}

// newLoginVault returns a rig on a store of its own or another's.
func newLoginVault(t testing.TB, store *watched, flow tokenvault.Flow, change ...func(*tokenvault.Options)) *rig {
	t.Helper()
	bank := func(id string, mode tokenvault.UsageMode) tokenvault.Provider {
		return tokenvault.Provider{
			ID: id, Name: "Bank", Service: "bank", AuthMethod: tokenvault.AuthBrowserLogin, UsageMode: mode, Hosts: []string{"bank.example"},
			Login: &tokenvault.Login{
				URL: "https://bank.example/login", Domains: []string{"bank.example"},
				Signs: []tokenvault.LoginSign{
					{Strategy: tokenvault.SignCookie, Pattern: "sid"}, {Strategy: tokenvault.SignURLPattern, Pattern: "https://bank\\.example/home"},
				},
			},
		}
	}
	cat, err := tokenvault.NewCatalog(bank("bank", tokenvault.UsageToken), bank("driven", tokenvault.UsageSession), deskProvider())
	if err != nil {
		t.Fatal(err)
	}
	opts := &tokenvault.Options{
		Origins: []string{"https://app.example"},
		Flows:   map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthBrowserLogin: flow},
	}
	for _, f := range change {
		f(opts)
	}
	r := &rig{store: store}
	if r.Vault, err = tokenvault.New(store, rootKey(t), cat, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r.browser, r.v1 = NewHandler(r.Vault, headerAuth{}, nil), NewV1Handler(r.Vault, nil)
	return r
}

// start starts a login of a user's own accord.
func (r *loginRig) start(t *testing.T, user, provider string) (id string, s *session) {
	t.Helper()
	res := r.as(user, "POST", "/browser-login/start", `{"providerId":"`+provider+`"}`)
	res.want(t, http.StatusOK, "")
	id, _ = res.json(t, "sessionId").(string)
	return id, r.flow.session(id)
}

// ticket returns what a page of the vault's own origin asks for.
func (r *loginRig) ticket(t *testing.T, user, id string) (ticket, url string) {
	t.Helper()
	res := r.as(user, "POST", "/browser-login/"+id+"/ticket", "", header("Origin", r.server.URL))
	res.want(t, http.StatusOK, "")
	ticket, _ = res.json(t, "ticket").(string)
	url, _ = res.json(t, "viewUrl").(string)
	return ticket, url
}

// dial opens a WebSocket as a page of the origin.
func dial(t *testing.T, url, origin string, edit ...func(http.Header)) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	h := http.Header{}
	if origin != "" {
		h.Set("Origin", origin)
	}
	for _, f := range edit {
		f(h)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: h})
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, res, err
}

// view opens a live view with a ticket.
func (r *loginRig) view(t *testing.T, url, ticket string) *websocket.Conn {
	t.Helper()
	conn, _, err := dial(t, url, r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, map[string]string{"ticket": ticket})
	return conn
}

func say(t *testing.T, conn *websocket.Conn, message any) {
	t.Helper()
	text, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Write(t.Context(), websocket.MessageText, text); err != nil {
		t.Fatal(err)
	}
}

// hear returns the next message, or with which code the peer closed.
func hear(t *testing.T, conn *websocket.Conn) (websocket.MessageType, string, websocket.StatusCode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	kind, message, err := conn.Read(ctx)
	if err != nil {
		return 0, err.Error(), websocket.CloseStatus(err)
	}
	return kind, string(message), 0
}
