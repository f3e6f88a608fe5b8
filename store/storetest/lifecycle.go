package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func lifecycleCases() []testCase {
	return []testCase{
		{"a store that is open answers", storeAnswers},
		{"a closed store is unavailable", storeClosed},
		{"a command whose context is over changes nothing", storeCanceled},
	}
}

func storeAnswers(t *testing.T, f *fixture) {
	if err := f.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func storeClosed(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	turn := f.claim(t, c.Connection, 1)
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	for name, call := range map[string]func() error{
		"Ping": func() error { return f.Ping(t.Context()) },
		"AppendAudit": func() error {
			return f.AppendAudit(t.Context(), []tokenvault.Event{f.event(tokenvault.EventReleased, alice())})
		},
		"GetConnection": func() error {
			_, err := f.GetConnection(t.Context(), alice(), c.ID)
			return err
		},
		"FindUsable": func() error {
			_, err := f.FindUsable(t.Context(), tokenvault.FindQuery{Owner: alice(), ProviderID: provider})
			return err
		},
		"CommitRefresh": func() error {
			_, err := f.CommitRefresh(t.Context(), f.commit(turn))
			return err
		},
	} {
		wantError(t, name+" of a closed store", call(), tokenvault.ErrUnavailable)
	}
}

func storeCanceled(t *testing.T, f *fixture) {
	turn := f.claim(t, f.connect(t, alice(), "acc").Connection, 1)
	cmd := f.full(t, f.fresh(alice(), "other"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, call := range []func() error{
		func() error { return f.AppendAudit(ctx, cmd.Events) },
		func() error {
			_, err := f.Settle(ctx, cmd)
			return err
		},
		func() error {
			_, err := f.CommitRefresh(ctx, f.commit(turn))
			return err
		},
	} {
		f.refuses(t, context.Canceled, call)
	}
	_, err := f.GetConnection(t.Context(), alice(), cmd.Connection.ID)
	if !errors.Is(err, tokenvault.ErrNotFound) {
		t.Errorf("GetConnection of what was not stored: err = %v, want ErrNotFound", err)
	}
}
