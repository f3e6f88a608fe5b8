package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/server"
)

// K7: a backup is restored after the provider has replaced refresh tokens. Each of
// the old ones is sent at most once, whoever asks; what the provider refuses is
// told as a lost response; what nobody used since works on.
func TestK7ARestoredBackupIsNoReuseStorm(t *testing.T) {
	w := newWorld(t, filepath.Join(t.TempDir(), "data"))
	used := []string{"ada", "bob", "cid"}
	for _, user := range append(used, "idle") {
		w.connect(t, user)
	}
	backup := filepath.Join(t.TempDir(), "backup.db")
	if err := w.opened.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	p := w.serve(t)
	for range 3 {
		for _, user := range used {
			w.expire(t, user)
			if _, err := w.agent(t, p).Resolve(t.Context(), request(user, "rotate")); err != nil {
				t.Fatal(err)
			}
		}
	}
	log := server.NewLogger(os.Stderr, "error", "text")
	if _, err := server.Restore(t.Context(), w.cfg, backup, log); !errors.Is(err, tokenvault.ErrConflict) {
		t.Fatalf("restore under a running server: %v, want ErrConflict", err)
	}
	p.end(t, syscall.SIGTERM)
	_ = w.db.Close()
	if err := w.opened.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	done, err := server.Restore(t.Context(), w.cfg, backup, log)
	if err != nil || done.Uncertain != 4 || done.Unreadable != 0 {
		t.Fatalf("restored %+v, %v", done, err)
	}
	w.open(t)

	n := tally{faults: 1}
	for _, user := range append(used, "idle") {
		w.expire(t, user)
	}
	before := w.tokenRequests(t)
	agents := []*client.Client{w.agent(t, w.serve(t)), w.agent(t, w.serve(t))}
	for range 2 { // a second wave sends nothing either
		storm(t, agents, append(used, "idle"))
	}
	if sent := w.tokenRequests(t) - before; sent != len(used)+1 {
		n.unexplained++
		t.Errorf("%d refresh tokens were sent, want each of %d once", sent, len(used)+1)
	}
	for _, user := range used {
		if s := w.stored(t, user); s.status != "needs_reauth" || s.reason != "lost_response" {
			n.unexplained++
			t.Errorf("%s: %+v, want needs_reauth{lost_response}", user, s)
		}
		w.connect(t, user) // and is healed in place
	}
	for _, user := range append(used, "idle") {
		token, err := agents[0].Resolve(t.Context(), request(user, "after"))
		if err != nil || !w.accepted(t, user, token.AccessToken) {
			n.unexplained++
			t.Errorf("%s: %v", user, err)
		}
	}
	n.report(t, "restore")
}

// storm lets 20 callers ask for every user at once.
func storm(t *testing.T, agents []*client.Client, users []string) {
	t.Helper()
	var all sync.WaitGroup
	for _, user := range users {
		for i := range 20 {
			all.Go(func() {
				_, err := agents[i%len(agents)].Resolve(t.Context(), request(user, fmt.Sprint(i)))
				if _, asks := errors.AsType[*tokenvault.AuthRequiredError](err); err != nil && !asks {
					t.Errorf("%s: %v", user, err)
				}
			})
		}
	}
	all.Wait()
}
