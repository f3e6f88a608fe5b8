package tokenvault_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

// browsers is a flow whose browsers do as they are told: these tests are about the
// vault. What a real one does is shown in flow/browserflow.
type browsers struct {
	mu       sync.Mutex
	opened   []tokenvault.BrowserRequest
	sessions map[string]*fakeSession
	openErr  error
	account  tokenvault.Account
	captures int
	capture  func(n int) error // nil: signed in
	checks   int
	check    func(n int) tokenvault.RefreshOutcome
}

func (b *browsers) Begin(context.Context, tokenvault.BeginInput) (tokenvault.Step, error) {
	return tokenvault.Step{}, nil
}

func (b *browsers) Open(_ context.Context, req tokenvault.BrowserRequest) (tokenvault.BrowserSession, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.openErr != nil {
		return nil, b.openErr
	}
	s := &fakeSession{
		id: req.ID, signed: make(chan struct{}), ended: make(chan struct{}),
		status: tokenvault.BrowserStatus{Phase: tokenvault.BrowserOpen, CurrentURL: req.Provider.Login.URL},
	}
	b.opened = append(b.opened, req)
	b.sessions[req.ID] = s
	return s, nil
}

func (b *browsers) Attach(_ context.Context, id string) (tokenvault.BrowserSession, error) {
	if s := b.session(id); s != nil {
		return s, nil
	}
	return nil, tokenvault.ErrNotFound
}

func (b *browsers) session(id string) *fakeSession {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[id]
}

func (b *browsers) requests() []tokenvault.BrowserRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]tokenvault.BrowserRequest{}, b.opened...)
}

func (b *browsers) Capture(ctx context.Context, s tokenvault.BrowserSession, p tokenvault.Provider) (tokenvault.Completed, error) {
	if _, err := s.Capture(ctx); err != nil {
		return tokenvault.Completed{}, err
	}
	b.mu.Lock()
	b.captures++
	n, told, account := b.captures, b.capture, b.account
	b.mu.Unlock()
	if told != nil {
		if err := told(n); err != nil {
			return tokenvault.Completed{}, err
		}
	}
	return tokenvault.Completed{Credential: browserCredential(fmt.Sprint("captured-", n)), Account: account}, nil
}

func (b *browsers) Refresh(_ context.Context, in tokenvault.RefreshInput) tokenvault.RefreshOutcome {
	b.mu.Lock()
	b.checks++
	n, told := b.checks, b.check
	b.mu.Unlock()
	if told != nil {
		return told(n)
	}
	return tokenvault.Rotated{Credential: browserCredential(in.Credential.Browser.StorageState.Reveal() + "+")}
}

func (b *browsers) counts() (captures, checks int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.captures, b.checks
}

func browserCredential(state string) tokenvault.Credential {
	return tokenvault.Credential{AuthMethod: tokenvault.AuthBrowserLogin, Browser: tokenvault.BrowserState{
		StorageState: tokenvault.NewSecret(state), UserAgent: "Mozilla/5.0", Width: 1280, Height: 800,
	}}
}

// fakeSession is a browser without one.
type fakeSession struct {
	id     string
	signed chan struct{} // closed once the signs of a login are there
	sign   sync.Once

	mu     sync.Mutex
	status tokenvault.BrowserStatus
	ended  chan struct{}
	views  int
	driver *pipeWire
}

func (s *fakeSession) ID() string                     { return s.id }
func (s *fakeSession) LiveViewURL() tokenvault.Secret { return tokenvault.Secret{} }

func (s *fakeSession) Status(context.Context) (tokenvault.BrowserStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.Phase == tokenvault.BrowserEnded {
		return s.status, &tokenvault.BrowserError{End: s.status.End}
	}
	return s.status, nil
}

// signIn has the signs of a login there.
func (s *fakeSession) signIn() { s.sign.Do(func() { close(s.signed) }) }

func (s *fakeSession) end(why tokenvault.BrowserEnd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.Phase != tokenvault.BrowserEnded {
		s.status.Phase, s.status.End = tokenvault.BrowserEnded, why
		close(s.ended)
	}
}

func (s *fakeSession) why() tokenvault.BrowserEnd {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status.End
}

func (s *fakeSession) Await(ctx context.Context) error {
	select {
	case <-s.ended:
		return &tokenvault.BrowserError{End: s.why()}
	case <-s.signed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *fakeSession) Capture(context.Context) (tokenvault.BrowserState, error) {
	select {
	case <-s.ended:
		return tokenvault.BrowserState{}, &tokenvault.BrowserError{End: s.why()}
	default:
		return browserCredential("raw").Browser, nil
	}
}

func (s *fakeSession) Close(context.Context) error {
	s.end(tokenvault.BrowserEndClosed)
	return nil
}

func (s *fakeSession) View(context.Context) (tokenvault.LiveView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.views++
	return fakeView{s}, nil
}

type fakeView struct{ *fakeSession }

func (v fakeView) Next(ctx context.Context) (tokenvault.ViewUpdate, error) {
	select {
	case <-v.ended:
		return tokenvault.ViewUpdate{}, &tokenvault.BrowserError{End: v.why()}
	case <-ctx.Done():
		return tokenvault.ViewUpdate{}, ctx.Err()
	}
}
func (v fakeView) Do(context.Context, tokenvault.ViewInput) error { return nil }
func (v fakeView) Close() error                                   { return nil }

func (s *fakeSession) Drive(context.Context) (tokenvault.Wire, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.driver = &pipeWire{sent: make(chan []byte, 16), says: make(chan []byte, 16), ended: s.ended}
	return s.driver, nil
}

// pipeWire stands for a browser that is driven: what it was sent, and what it says.
type pipeWire struct {
	sent  chan []byte
	says  chan []byte
	ended chan struct{}
}

func (w *pipeWire) Receive(ctx context.Context) ([]byte, error) {
	select {
	case m := <-w.says:
		return m, nil
	case <-w.ended:
		return nil, &tokenvault.BrowserError{End: tokenvault.BrowserEndClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *pipeWire) Send(_ context.Context, message []byte) error {
	w.sent <- message
	return nil
}

func (w *pipeWire) Close() error { return nil }

func bankProvider() tokenvault.Provider {
	return tokenvault.Provider{
		ID: "bank", Name: "Bank", Service: "bank", AuthMethod: tokenvault.AuthBrowserLogin, Hosts: []string{"bank.example"},
		Login: &tokenvault.Login{
			URL: "https://bank.example/login", Domains: []string{"bank.example"},
			Signs: []tokenvault.LoginSign{{Strategy: tokenvault.SignCookie, Pattern: "session"}},
		},
	}
}

// a loginRig is a vault whose only provider is a bank without OAuth.
type loginRig struct {
	*tokenvault.Vault
	store *memory.Store
	clock *clock
	key   tokenvault.Sealer
	flow  *browsers
	bank  tokenvault.Provider
}

func newLoginRig(t testing.TB, change ...func(*tokenvault.Provider)) *loginRig {
	t.Helper()
	c := &clock{now: time.Now()}
	r := &loginRig{clock: c, key: rootKey(t), store: memory.New(&memory.Options{Clock: c.Now}), bank: bankProvider()}
	r.flow = &browsers{sessions: make(map[string]*fakeSession), account: tokenvault.Account{ID: "acc-1", Label: "Alice"}}
	for _, f := range change {
		f(&r.bank)
	}
	r.Vault = r.another(t, "", r.flow)
	return r
}

// another returns a further vault on the same store, as another process has it.
func (r *loginRig) another(t testing.TB, nodeURL string, flow tokenvault.Flow) *tokenvault.Vault {
	t.Helper()
	cat, err := tokenvault.NewCatalog(r.bank)
	if err != nil {
		t.Fatal(err)
	}
	v, err := tokenvault.New(r.store, r.key, cat, &tokenvault.Options{
		PublicURL: "https://vault.example", Origins: []string{"https://app.example"}, NodeURL: nodeURL,
		Flows: map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthBrowserLogin: flow},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return v
}
