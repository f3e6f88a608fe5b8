package tokenvault_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/spool"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
)

// stubborn is a store that refuses commits when it is told so.
type stubborn struct {
	tokenvault.Store
	refuses atomic.Bool
}

func (s *stubborn) CommitRefresh(ctx context.Context, cmd tokenvault.RefreshCommit) (tokenvault.SealedConnection, error) {
	if s.refuses.Load() {
		return tokenvault.SealedConnection{}, errDown
	}
	return s.Store.CommitRefresh(ctx, cmd)
}

// A credential that is still spooled when a backup is restored is newer than all
// that the backup holds: it is used, and no older refresh token is sent.
func TestASpooledCredentialOutlivesARestore(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "vault.db"), filepath.Join(dir, "backup.db")
	open := func() *sqlite.Store {
		s, err := sqlite.Open(t.Context(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	kept, err := spool.Open(filepath.Join(dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	withSpool := func(o *tokenvault.Options) { o.Spool = kept }
	first := open()
	store := &stubborn{Store: first}
	r := &rig{key: rootKey(t), flow: &scriptedFlow{}}
	r.flow.completed = tokenvault.Completed{Credential: credential("at-0", "rt-0"), Account: tokenvault.Account{ID: "acc-1"}, ExpiresIn: time.Nanosecond}
	r.flow.outcome = func(n int, _ tokenvault.RefreshInput) tokenvault.RefreshOutcome {
		o := rotated(n)
		if n == 1 {
			o.ExpiresIn = time.Nanosecond
		}
		return o
	}
	r.Vault = newVault(t, store, r.key, r.flow, withSpool)
	if _, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.FinishConnect(t.Context(), aliceUser, r.start(t, r.mustAsk(t, "read").ID)); err != nil {
		t.Fatal(err)
	}
	if err := first.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	r.token(t, "read") // version 2, which expires at once
	store.refuses.Store(true)
	got := make(chan struct{})
	go func() {
		defer close(got)
		r.token(t, "read") // version 3
	}()
	data := spooledSoon(t, kept)
	store.refuses.Store(false)
	<-got
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	if _, err := sqlite.Replace(path, backup); err != nil {
		t.Fatal(err)
	}
	restored := open()
	t.Cleanup(func() { _ = restored.Close() })
	if n, err := restored.MarkUncertain(t.Context(), tokenvault.Event{}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := kept.Put(t.Context(), r.onlyConnection(t, restored), data); err != nil {
		t.Fatal(err)
	}
	_, before, _ := r.flow.counts()
	r.Vault = newVault(t, restored, r.key, r.flow, withSpool)
	if token := r.token(t, "read"); token != "at-2" {
		t.Errorf("token = %q, want the spooled at-2", token)
	}
	if _, refreshes, _ := r.flow.counts(); refreshes != before {
		t.Error("an older refresh token was sent")
	}
}

// spooledSoon waits for the one file of a spool and returns what is in it.
func spooledSoon(t *testing.T, kept *spool.Dir) []byte {
	t.Helper()
	for {
		names, err := kept.Names(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 1 {
			data, err := kept.Get(t.Context(), names[0])
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (r *rig) onlyConnection(t *testing.T, store tokenvault.Store) string {
	t.Helper()
	list, err := store.ListConnections(t.Context(), alice, tokenvault.Page{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	return list[0].ID
}
