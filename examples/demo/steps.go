package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const watchEvery = 150 * time.Millisecond

// A step of the story is the first entry of its kind after the step before.
type step struct {
	name string
	kind tokenvault.EventKind
}

func story() []step {
	return []step{
		{"paused", tokenvault.EventAuthRequested},
		{"connect_opened", tokenvault.EventConnectStarted},
		{"consented", tokenvault.EventConnectReturned},
		{"connected", tokenvault.EventConnected},
		{"resumed", tokenvault.EventReleased},
		{"refreshed", tokenvault.EventRefreshed},
		{"revoked", tokenvault.EventRevoked},
		{"paused_again", tokenvault.EventAuthRequested},
		// At the bank, which has no OAuth:
		{"live_view_opened", tokenvault.EventLoginViewed},
		{"logged_in", tokenvault.EventLoginSeen},
		{"captured", tokenvault.EventLoginCaptured},
		{"verified", tokenvault.EventLoginVerified},
		{"state_used", tokenvault.EventReleased},
	}
}

// watcher reads the vault's audit entries and prints the steps of the story.
type watcher struct {
	url  string
	key  tokenvault.Secret
	seen chan struct{} // closed when every step was seen

	mu      sync.Mutex // protects all below
	next    int
	printed strings.Builder
}

// An entry is one audit entry.
type entry struct {
	ID            string               `json:"id"`
	At            time.Time            `json:"at"`
	Kind          tokenvault.EventKind `json:"kind"`
	AuthRequestID string               `json:"authRequestId"`
	CredentialID  string               `json:"credentialId"`
}

type auditPage struct {
	Items []entry `json:"items"`
}

// A line is what is printed of a step.
type line struct {
	Step          string               `json:"step"`
	Event         tokenvault.EventKind `json:"event"`
	At            time.Time            `json:"at"`
	AuthRequestID string               `json:"authRequestId,omitempty"`
	CredentialID  string               `json:"credentialId,omitempty"`
}

func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	after := ""
	for {
		if events, err := w.read(ctx, after); err == nil {
			for _, e := range events.Items {
				after = e.ID
				w.take(e)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *watcher) read(ctx context.Context, after string) (auditPage, error) {
	var events auditPage
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/v1/audit?after="+url.QueryEscape(after), http.NoBody)
	if err != nil {
		return events, err
	}
	r.Header.Set("Authorization", "Bearer "+w.key.Reveal())
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return events, err
	}
	defer func() { _ = res.Body.Close() }()
	return events, json.NewDecoder(res.Body).Decode(&events)
}

func (w *watcher) take(e entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	steps := story()
	if w.next == len(steps) || steps[w.next].kind != e.Kind {
		return
	}
	text, err := json.Marshal(line{steps[w.next].name, e.Kind, e.At, e.AuthRequestID, e.CredentialID})
	if err != nil {
		return
	}
	fmt.Println(string(text))
	w.printed.Write(text)
	if w.next++; w.next == len(steps) {
		close(w.seen)
	}
}

// missing returns the name of the first step that was not seen.
func (w *watcher) missing() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if steps := story(); w.next < len(steps) {
		return steps[w.next].name
	}
	return ""
}
