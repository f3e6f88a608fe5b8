package pages_test

import (
	"context"
	"sync"

	"github.com/ai-token-vault/tokenvault"
)

// browsers is a flow whose browsers do as they are told.
type browsers struct {
	mu      sync.Mutex
	last    *session
	err     error // of opening and of capturing
	account tokenvault.Account
}

func (*browsers) Begin(context.Context, tokenvault.BeginInput) (tokenvault.Step, error) {
	return tokenvault.Step{}, nil
}

func (b *browsers) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *browsers) Open(_ context.Context, req tokenvault.BrowserRequest) (tokenvault.BrowserSession, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil, b.err
	}
	b.last = &session{id: req.ID, ended: make(chan struct{})}
	return b.last, nil
}

func (b *browsers) Attach(context.Context, string) (tokenvault.BrowserSession, error) {
	return nil, tokenvault.ErrNotFound
}

func (b *browsers) Capture(context.Context, tokenvault.BrowserSession, tokenvault.Provider) (tokenvault.Completed, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	cred := tokenvault.Credential{AuthMethod: tokenvault.AuthBrowserLogin, Browser: tokenvault.BrowserState{StorageState: tokenvault.NewSecret(`{"canary":1}`)}}
	return tokenvault.Completed{Credential: cred, Account: b.account}, b.err
}

type session struct {
	id    string
	once  sync.Once
	ended chan struct{}
}

func (s *session) ID() string                     { return s.id }
func (s *session) LiveViewURL() tokenvault.Secret { return tokenvault.Secret{} }

func (s *session) Status(context.Context) (tokenvault.BrowserStatus, error) {
	select {
	case <-s.ended:
		return tokenvault.BrowserStatus{}, &tokenvault.BrowserError{End: tokenvault.BrowserEndClosed}
	default:
		return tokenvault.BrowserStatus{Phase: tokenvault.BrowserOpen}, nil
	}
}

func (s *session) Await(ctx context.Context) error {
	select {
	case <-s.ended:
		return &tokenvault.BrowserError{End: tokenvault.BrowserEndCrashed}
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) Capture(context.Context) (tokenvault.BrowserState, error) {
	return tokenvault.BrowserState{}, nil
}

func (s *session) Close(context.Context) error {
	s.once.Do(func() { close(s.ended) })
	return nil
}
